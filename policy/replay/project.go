package replay

import (
	"bytes"
	"encoding/json"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// Most of a recorded input is nothing that the bundle looks at. Reading only the
// rest is a sixth of what a decision costs.

// wanted is the part of a document that is read, as a tree; all is a place that is
// read as a whole.
type wanted struct {
	all  bool
	keys map[string]*wanted
}

// wantedOf makes the tree of dotted paths; nil paths read everything.
func wantedOf(paths []string) *wanted {
	if paths == nil {
		return &wanted{all: true}
	}
	root := &wanted{}
	for _, p := range paths {
		at := root
		for key := range strings.SplitSeq(p, ".") {
			next := at.keys[key]
			if next == nil {
				next = &wanted{}
				if at.keys == nil {
					at.keys = map[string]*wanted{}
				}
				at.keys[key] = next
			}
			at = next
		}
		at.all = true
	}
	return root
}

// maxDepth is far beyond any document and far below a full stack.
const maxDepth = 200

// reader reads documents as far as they are wanted, with numbers as they were
// written: a time in nanoseconds is beyond what a float64 can hold.
type reader struct {
	dec *jsontext.Decoder
	in  bytes.Buffer
}

func newReader() *reader { return &reader{dec: jsontext.NewDecoder(&bytes.Buffer{})} }

var errDepth = fmt.Errorf("deeper than %d: %w", maxDepth, policy.ErrInvalid)

func (r *reader) document(raw []byte, want *wanted) (map[string]any, error) {
	r.in = *bytes.NewBuffer(raw)
	r.dec.Reset(&r.in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if r.dec.PeekKind() != '{' {
		return nil, fmt.Errorf("no object: %w", policy.ErrInvalid)
	}
	v, err := r.value(want, 0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one document: %w", policy.ErrInvalid)
	}
	doc, _ := v.(map[string]any)
	return doc, nil
}

func (r *reader) value(want *wanted, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	t, err := r.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case '{':
		return r.object(want, depth)
	case '[':
		return r.array(depth)
	case '"':
		return t.String(), nil
	case '0':
		return json.Number(t.String()), nil
	case 't', 'f':
		return t.Bool(), nil
	default:
		return nil, nil
	}
}

func (r *reader) object(want *wanted, depth int) (any, error) {
	out := map[string]any{}
	for r.dec.PeekKind() != '}' {
		t, err := r.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key, below := t.String(), want
		if !want.all {
			below = want.keys[key]
		}
		if below == nil {
			if err := r.dec.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		if out[key], err = r.value(below, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := r.dec.ReadToken()
	return out, err
}

// everything is what is wanted below a list: a path goes no further than to it.
var everything = &wanted{all: true}

func (r *reader) array(depth int) (any, error) {
	out := []any{}
	for r.dec.PeekKind() != ']' {
		v, err := r.value(everything, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := r.dec.ReadToken()
	return out, err
}
