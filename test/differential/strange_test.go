package differential_test

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// The three libraries are Go's, whose JSON ignores case and takes the last of two
// equal keys. Clients in other languages tell case apart, and some take the first:
// strangely reads as they do, by writing down what they see and having it read.

// meaningful are the names that say something, wherever they stand.
var meaningful = []string{
	"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations",
	"digest", "size", "urls", "data", "platform", "os", "architecture", "variant",
}

func strangely(first bool) func(*policy.Artifact, []byte) (reading, error) {
	return func(a *policy.Artifact, body []byte) (reading, error) {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		seen, err := see(dec, first, false)
		if err != nil {
			return reading{}, err
		}
		raw, err := json.Marshal(seen)
		if err != nil {
			return reading{}, err
		}
		as := *a
		as.Digest = digest.FromBytes(raw)
		return craneReads(&as, raw)
	}
}

// see decodes one value. Free objects keep every key.
func see(dec *json.Decoder, first, free bool) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name, _ := key.(string) // a key is text
			value, err := see(dec, first, free || name == "annotations")
			if err != nil {
				return nil, err
			}
			if _, there := object[name]; (there && first) || !free && !slices.Contains(meaningful, name) {
				continue
			}
			object[name] = value
		}
		_, err = dec.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			value, err := see(dec, first, free)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = dec.Token()
		return list, err
	}
	return tok, nil
}
