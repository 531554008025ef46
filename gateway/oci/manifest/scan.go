package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// fields are the names that an object of one place may have that mean something
// to its readers, each with the fields of what stands there. A list is as its
// elements are. A nil place means nothing to anybody: any key may stand there,
// once.
type fields map[string]fields

var (
	platformFields = fields{
		"architecture": nil, "os": nil, "os.version": nil, "os.features": nil, "variant": nil, "features": nil,
	}
	descriptorFields = fields{
		"mediaType": nil, "digest": nil, "size": nil, "urls": nil, "annotations": nil, "data": nil,
		"artifactType": nil, "platform": platformFields,
	}
	manifestFields = fields{
		"schemaVersion": nil, "mediaType": nil, "artifactType": nil, "config": descriptorFields,
		"layers": descriptorFields, "manifests": descriptorFields, "subject": descriptorFields, "annotations": nil,
		"fsLayers": nil, "signatures": nil, "history": nil, "blobs": nil,
	}
	configFields = fields{
		"architecture": nil, "os": nil, "variant": nil, "created": nil, "rootfs": {"type": nil, "diff_ids": nil},
		"config": {
			"User": nil, "Env": nil, "Labels": nil, "ExposedPorts": nil, "Entrypoint": nil, "Cmd": nil,
			"Volumes": nil, "WorkingDir": nil, "StopSignal": nil,
		},
	}
)

// scope is one object or list that is open while scanning.
type scope struct {
	keys   map[string]bool // nil for a list
	fields fields
	// key says that the next token of an object is a key.
	key bool
	// under are the fields of the value that comes next.
	under fields
}

// scan walks a document and refuses what two readers could read differently. It
// answers the keys of the document's own object.
func scan(body []byte, root fields) (map[string]bool, error) {
	if !utf8.Valid(body) {
		return nil, invalid("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	top := map[string]bool{}
	var open []*scope
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil, invalid("it is empty")
		}
		if err != nil {
			return nil, invalid("it is not JSON")
		}
		var cur *scope
		if len(open) > 0 {
			cur = open[len(open)-1]
		}
		if cur == nil && tok != json.Delim('{') {
			return nil, invalid("it is not a JSON object")
		}
		if name, ok := tok.(string); ok && cur.keys != nil && cur.key {
			if err := cur.enter(name); err != nil {
				return nil, err
			}
			if len(open) == 1 {
				top[name] = true
			}
			continue
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			if len(open) == maxDepth {
				return nil, invalid("it nests deeper than %d", maxDepth)
			}
			next := &scope{fields: root}
			if cur != nil {
				next.fields = cur.under
			}
			if tok == json.Delim('{') {
				next.keys, next.key = map[string]bool{}, true
			} else {
				next.under = next.fields
			}
			open = append(open, next)
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			if len(open) == 0 {
				return top, trailing(dec, body)
			}
			cur = open[len(open)-1]
		}
		// A value ended: in an object a key comes next.
		cur.key = cur.keys != nil
	}
}

// enter takes a key of an object. Where names mean something, one that folds to
// another that is there, or to one that means something, would be read by some
// readers and not by others; in free-form objects case tells names apart.
func (s *scope) enter(name string) error {
	id := name
	if s.fields != nil {
		id = fold(name)
	}
	if s.keys[id] {
		return invalid("the key %q is there twice", name)
	}
	s.keys[id] = true
	under, known := s.fields[name]
	if !known {
		for field := range s.fields {
			if fold(field) == id {
				return invalid("the key %q is %q in the wrong case", name, field)
			}
		}
	}
	s.under, s.key = under, false
	return nil
}

// fold makes names equal that a reader which ignores case takes for equal.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// trailing refuses anything but white space after the end.
func trailing(dec *json.Decoder, body []byte) error {
	if len(bytes.TrimLeft(body[dec.InputOffset():], " \t\r\n")) > 0 {
		return invalid("there is data after its end")
	}
	return nil
}
