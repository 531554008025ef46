package bundle

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/bondgate/bondgate/policy/opa"
	"github.com/bondgate/bondgate/rego"
)

// shipped is the part of every bundle that comes with the gateway.
func shipped() ([]opa.File, []byte, error) {
	var files []opa.File
	err := fs.WalkDir(rego.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isPolicy(path) {
			return err
		}
		data, err := fs.ReadFile(rego.FS, path)
		if err != nil {
			return err
		}
		files = append(files, opa.File{Path: path, Data: data, Shipped: true})
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the shipped policy: %w", err)
	}
	caps, err := fs.ReadFile(rego.FS, rego.CapabilitiesFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the shipped capabilities: %w", err)
	}
	return files, caps, nil
}

// shippedSchemas are the schemas of the input, by action.
func shippedSchemas() (map[string][]byte, error) {
	const dir, ext = "schemas/input", ".jsonschema"
	entries, err := fs.ReadDir(rego.FS, dir)
	if err != nil {
		return nil, fmt.Errorf("read the shipped schemas: %w", err)
	}
	out := make(map[string][]byte, len(entries))
	for _, e := range entries {
		data, err := fs.ReadFile(rego.FS, path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the shipped schemas: %w", err)
		}
		out[strings.TrimSuffix(e.Name(), ext)] = data
	}
	return out, nil
}
