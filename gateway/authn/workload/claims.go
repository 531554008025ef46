package workload

import (
	json "encoding/json/v2"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Limits of what is kept of a token. All of it goes into bearer tokens, which must
// fit into a header, and into the record of every decision.
const (
	maxClaims    = 64
	maxClaimName = 128
	maxClaimText = 1 << 10
	maxList      = 64
	maxKept      = 5 << 10 // as JSON, in bytes
	maxDepth     = 4
	maxName      = 255
)

// DefaultClaims are those that tell where a workload is from, in the words of the
// platforms that write them; a token has those of one. In words of ours they say:
// which repository, which part of it, which job, started by what and by whom.
func DefaultClaims() []string {
	return []string{
		// GitHub Actions: docs.github.com, "OpenID Connect reference".
		"repository", "repository_id", "repository_owner", "repository_owner_id", "repository_visibility",
		"ref", "ref_type", "ref_protected", "base_ref", "head_ref", "sha", "environment", "event_name",
		"workflow", "workflow_ref", "job_workflow_ref", "actor", "actor_id", "run_id", "run_attempt", "runner_environment",
		"enterprise",
		// GitLab CI: docs.gitlab.com, "OpenID Connect (OIDC) authentication using ID tokens".
		"namespace_id", "namespace_path", "project_id", "project_path", "project_visibility", "ref_path",
		"environment_protected", "deployment_tier", "pipeline_id", "pipeline_source", "job_id", "user_id", "user_login",
		"user_access_level", "runner_id", "ci_config_ref_uri",
		// Kubernetes: kubernetes.io, "Managing Service Accounts", an object.
		"kubernetes.io",
	}
}

// keep takes the claims that are wanted. An object becomes one claim for each of
// its members, "kubernetes.io/serviceaccount/name", so that a membership can name
// it. Null, and lists of anything but strings, numbers and booleans, are left out:
// they are nothing that could be compared. A token of which more is wanted than is
// kept is an error: what is missing may be what a rule looks for.
func keep(all map[string]any, wanted []string) (map[string]any, error) {
	out := map[string]any{}
	for _, claim := range wanted {
		value, there := all[claim]
		if !there {
			continue
		}
		if err := take(out, claim, value, 0); err != nil {
			return nil, err
		}
	}
	size, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("its claims cannot be kept: %w", err)
	}
	if len(size) > maxKept {
		return nil, fmt.Errorf("its claims are %d bytes, and %d are kept at most", len(size), maxKept)
	}
	return out, nil
}

func take(out map[string]any, claim string, value any, depth int) error {
	if len(claim) > maxClaimName || len(out) >= maxClaims {
		return fmt.Errorf("it has more than %d claims, or one with a name of more than %d bytes", maxClaims, maxClaimName)
	}
	if _, there := out[claim]; there {
		return errors.New("an object and a name that looks like its member say two things") // a token may have both
	}
	switch v := value.(type) {
	case string:
		if len(v) > maxClaimText {
			return fmt.Errorf("a claim has more than %d bytes", maxClaimText)
		}
		out[claim] = v
	case bool, float64:
		out[claim] = v
	case []any:
		return takeList(out, claim, v)
	case map[string]any:
		if depth == maxDepth {
			return errors.New("its claims are too deep")
		}
		for name, member := range v {
			if err := take(out, claim+"/"+name, member, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func takeList(out map[string]any, claim string, list []any) error {
	if len(list) > maxList {
		return fmt.Errorf("a claim has more than %d elements", maxList)
	}
	for _, element := range list {
		switch e := element.(type) {
		case string:
			if len(e) > maxClaimText {
				return fmt.Errorf("a claim has an element of more than %d bytes", maxClaimText)
			}
		case bool, float64:
		default:
			return nil
		}
	}
	out[claim] = list
	return nil
}

// name is what people call a workload: "acme/api@refs/heads/main" of GitHub, the
// path of the project of GitLab, namespace/account of Kubernetes; empty, which
// stands for the subject, for all others. It decides nothing.
func name(claims map[string]any) string {
	text := func(of map[string]any, claim string) string {
		s, _ := of[claim].(string)
		return s
	}
	var out string
	cluster, _ := claims["kubernetes.io"].(map[string]any)
	account, _ := cluster["serviceaccount"].(map[string]any)
	switch {
	case text(claims, "project_path") != "":
		out = text(claims, "project_path")
	case text(claims, "repository") != "":
		out = text(claims, "repository")
		if ref := text(claims, "ref"); ref != "" {
			out += "@" + ref
		}
	case text(cluster, "namespace") != "" && text(account, "name") != "":
		out = text(cluster, "namespace") + "/" + text(account, "name")
	}
	if len(out) > maxName || strings.ContainsFunc(out, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return ""
	}
	return out
}
