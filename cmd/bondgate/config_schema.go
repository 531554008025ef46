package main

import (
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"
)

// configSchema is the JSON Schema of the configuration file, made from [Config]:
// an editor that knows it completes keys and marks unknown ones.
func configSchema() []byte {
	r := jsonschema.Reflector{DoNotReference: true, FieldNameTag: "yaml"}
	s := r.Reflect(Config{})
	s.ID = "https://bondgate.dev/schemas/config.json"
	s.Title = "Bondgate configuration"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("the configuration's schema is not JSON: %v", err)) // a fault of this program's types
	}
	return append(out, '\n')
}
