package credential

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// UseHelper makes docker, and all who read its configuration, ask the helper for a
// registry. Everything else in the file stays. dir is docker's configuration
// folder; $HOME/.docker when it is empty.
func UseHelper(dir, registry string) (file string, err error) {
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find docker's configuration: %w", err)
		}
		dir = filepath.Join(home, ".docker")
	}
	file = filepath.Join(dir, "config.json")
	config := map[string]json.RawMessage{}
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return file, fmt.Errorf("read docker's configuration: %w", err)
	}
	helpers := map[string]string{}
	if there, ok := config["credHelpers"]; ok {
		if err := json.Unmarshal(there, &helpers); err != nil {
			return file, fmt.Errorf("read docker's configuration: credHelpers: %w", err)
		}
	}
	if helpers[registry] == HelperName {
		return file, nil
	}
	if helpers == nil { // null in the file
		helpers = map[string]string{}
	}
	helpers[registry] = HelperName
	if config["credHelpers"], err = json.Marshal(helpers); err != nil {
		return file, err
	}
	if raw, err = json.MarshalIndent(config, "", "\t"); err != nil {
		return file, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return file, fmt.Errorf("write docker's configuration: %w", err)
	}
	// A link to a file elsewhere stays one.
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	if err := replace(file, append(raw, '\n'), 0o600); err != nil {
		return file, fmt.Errorf("write docker's configuration: %w", err)
	}
	return file, nil
}
