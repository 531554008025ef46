package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/bondgate/bondgate/gateway/api"
)

// projectFile is a project as people write it down. What it does not name stays as
// it is; members that it does not name stay members.
type projectFile struct {
	Project     string            `yaml:"project"`
	Visibility  string            `yaml:"visibility"`
	Description *string           `yaml:"description"`
	Owner       *string           `yaml:"owner"`
	Labels      map[string]string `yaml:"labels"`
	Members     []memberEntry     `yaml:"members"`
	Policies    projectPolicies   `yaml:"policies"`
}

// memberEntry names one of user, group, robot and workload.
type memberEntry struct {
	User         string            `yaml:"user"`
	Group        string            `yaml:"group"`
	Robot        string            `yaml:"robot"`
	Workload     string            `yaml:"workload"`
	Issuer       string            `yaml:"issuer"`
	Role         string            `yaml:"role"`
	Repositories string            `yaml:"repositories"`
	Claims       map[string]string `yaml:"claims"`
}

// projectPolicies are kept and answered; they drive the packs once those exist.
type projectPolicies struct {
	VulnerabilityScanning *bool   `yaml:"vulnerability_scanning" json:"vulnerability_scanning,omitempty"`
	ContentTrust          *string `yaml:"content_trust" json:"content_trust,omitempty"`
	PreventVulnerable     *bool   `yaml:"prevent_vulnerable_images" json:"prevent_vulnerable_images,omitempty"`
	AutoScanOnPush        *bool   `yaml:"auto_scan_on_push" json:"auto_scan_on_push,omitempty"`
	SeverityThreshold     *string `yaml:"severity_threshold" json:"severity_threshold,omitempty"`
	AutoSBOMOnPush        *bool   `yaml:"auto_sbom_on_push" json:"auto_sbom_on_push,omitempty"`
}

func (p projectPolicies) settings() map[string]any {
	out := map[string]any{}
	for name, value := range map[string]*bool{
		"vulnerability_scanning": p.VulnerabilityScanning, "prevent_vulnerable_images": p.PreventVulnerable,
		"auto_scan_on_push": p.AutoScanOnPush, "auto_sbom_on_push": p.AutoSBOMOnPush,
	} {
		if value != nil {
			out[name] = *value
		}
	}
	for name, value := range map[string]*string{"content_trust": p.ContentTrust, "severity_threshold": p.SeverityThreshold} {
		if value != nil {
			out[name] = *value
		}
	}
	return out
}

// maxProjectFile bounds what is read of a file, in bytes.
const maxProjectFile = 1 << 20

func (r *operator) projectApply() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make projects as files say, or change them; - is standard input", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := readFile(cmd, file)
			if err != nil {
				return err
			}
			all, err := parseProjects(file, raw)
			if err != nil {
				return err
			}
			for i := range all {
				if err := r.apply(cmd, &all[i]); err != nil {
					return fmt.Errorf("project %s: %w", all[i].Project, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with one or more YAML documents")
	_ = cmd.MarkFlagRequired("file") // the flag is there
	return cmd
}

func readFile(cmd *cobra.Command, file string) ([]byte, error) {
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxProjectFile+1))
	if err == nil && len(raw) > maxProjectFile {
		err = fmt.Errorf("%s is larger than %d bytes", file, maxProjectFile)
	}
	return raw, err
}

// parseProjects reads the documents of a file. A key that nobody knows is an error
// with its line: a misspelt policy must not look like one that is in force.
func parseProjects(name string, raw []byte) ([]projectFile, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	var all []projectFile
	for {
		var p projectFile
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) && len(all) > 0 {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, len(all)+1, err)
		}
		all = append(all, p)
	}
}

func (p *projectFile) check() error {
	if err := api.CheckProjectName(p.Project); err != nil {
		return err
	}
	if p.Visibility != "" && p.Visibility != "private" && p.Visibility != "public" {
		return fmt.Errorf("visibility is private or public, not %q", p.Visibility)
	}
	for i := range p.Members {
		m := &p.Members[i]
		if m.Role = roleAsWritten(m.Role); m.Role == "" {
			return fmt.Errorf("member %d has no role", i+1)
		}
		if _, _, err := m.who(); err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
	}
	return nil
}

// roleAsWritten takes the roles as people write them: ProjectAdmin, project_admin.
func roleAsWritten(role string) string {
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(role))
	i := slices.IndexFunc(api.Roles(), func(known string) bool { return strings.ToLower(known) == plain })
	if i >= 0 {
		return api.Roles()[i]
	}
	return role
}

func (m *memberEntry) who() (kind, name string, err error) {
	for _, one := range [][2]string{{"user", m.User}, {"group", m.Group}, {"robot", m.Robot}, {"workload", m.Workload}} {
		if one[1] == "" {
			continue
		}
		if kind != "" {
			return "", "", errors.New("it is one of user, group, robot and workload")
		}
		kind, name = one[0], one[1]
	}
	if kind == "" {
		return "", "", errors.New("it is a user, a group, a robot or a workload")
	}
	return kind, name, nil
}

func (r *operator) apply(cmd *cobra.Command, p *projectFile) error {
	made, err := r.applyProject(cmd, p)
	if err != nil {
		return err
	}
	for i := range p.Members {
		if err := r.applyMember(cmd, p.Project, &p.Members[i]); err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
	}
	verb := "changed"
	if made {
		verb = "made"
	}
	if r.json {
		var now api.Project
		if err := r.call(cmd.Context(), http.MethodGet, projectPath(p.Project), nil, &now); err != nil {
			return err
		}
		return printJSON(cmd, now)
	}
	return say(cmd, "%s project %s: %d members named", verb, p.Project, len(p.Members))
}

func (r *operator) applyProject(cmd *cobra.Command, p *projectFile) (made bool, err error) {
	var was api.Project
	err = r.call(cmd.Context(), http.MethodGet, projectPath(p.Project), nil, &was)
	if errors.Is(err, errNotThere) {
		made = true
		err = r.call(cmd.Context(), http.MethodPost, "/projects", api.NewProject{Name: p.Project}, &was)
	}
	if err != nil {
		return false, err
	}
	change := api.ProjectChange{Owner: p.Owner, Description: p.Description}
	if p.Visibility != "" {
		public := p.Visibility == "public"
		change.Public = &public
	}
	if p.Labels != nil {
		change.Labels = &p.Labels
	}
	if s := p.Policies.settings(); len(s) > 0 {
		change.Policies = &s
	}
	if change == (api.ProjectChange{}) {
		return made, nil
	}
	return made, r.call(cmd.Context(), http.MethodPatch, projectPath(p.Project), change, &was)
}

func (r *operator) applyMember(cmd *cobra.Command, project string, m *memberEntry) error {
	kind, name, err := m.who()
	if err != nil {
		return err
	}
	path := memberPath(project, kind, name, m.Issuer, m.Repositories)
	return r.call(cmd.Context(), http.MethodPut, path, api.NewMember{Role: m.Role, Claims: m.Claims}, nil)
}
