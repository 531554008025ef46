package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// MaxConfig is the largest configuration that is read, in bytes.
const MaxConfig = 4 << 20

// maxEntries is how many labels, variables or ports a configuration may have.
const maxEntries = 5000

type imageConfig struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Created      string `json:"created"`
	Config       *struct {
		User         string              `json:"User"`
		Env          []string            `json:"Env"`
		Labels       map[string]string   `json:"Labels"`
		ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	} `json:"config"`
}

// ParseConfig reads an image's configuration, as strictly as a manifest. Values
// of variables are not kept: they are where secrets are. It fails with
// [policy.ErrTooLarge] beyond [MaxConfig] and with [policy.ErrInvalid] for
// everything else.
func ParseConfig(body []byte) (*policy.ImageConfig, error) {
	if len(body) > MaxConfig {
		return nil, fmt.Errorf("a configuration of %d bytes, %d are allowed: %w", len(body), MaxConfig, policy.ErrTooLarge)
	}
	if _, err := scan(body, configFields); err != nil {
		return nil, err
	}
	var doc imageConfig
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, invalid("a field has the wrong type: %v", err)
	}
	out := &policy.ImageConfig{OS: doc.OS, Architecture: doc.Architecture}
	if at, err := time.Parse(time.RFC3339Nano, doc.Created); err == nil {
		out.Created = at
	}
	c := doc.Config
	if c == nil {
		return out, nil
	}
	if max(len(c.Labels), len(c.Env), len(c.ExposedPorts)) > maxEntries {
		return nil, invalid("more than %d labels, variables or ports", maxEntries)
	}
	out.User, out.Labels = c.User, c.Labels
	for _, entry := range c.Env {
		name, _, _ := strings.Cut(entry, "=")
		out.EnvNames = append(out.EnvNames, name)
	}
	out.ExposedPorts = slices.Sorted(maps.Keys(c.ExposedPorts))
	return out, nil
}
