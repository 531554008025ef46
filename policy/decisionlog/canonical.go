package decisionlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
)

const (
	// factKey marks the place of a fact: {"$fact":"sha256:…"}. A key of the input
	// that begins with "$" is stored with one "$" more, so that no input can
	// name a fact.
	factKey = "$fact"
	// partSize is the size from which the parts of an object that is too large
	// are stored by themselves: what never changes is then stored once although
	// an age beside it changes every second.
	partSize = 512
	// maxDepth is far beyond any document and far below a full stack.
	maxDepth = 200
)

// canonical writes JSON values in one form: keys sorted, no spaces, no escapes
// that are not needed. It hides what the mask says and every secret that it
// recognises, and moves large parts into facts.
type canonical struct {
	buf   []byte
	keys  []string
	parts []part
	// key is that of the hash that stands for what is hidden; without one no
	// secret is looked for.
	key     []byte
	split   bool
	plain   bool     // keys as they are: nothing is a fact here
	hits    []string // dotted paths of what was hidden, from the value being written on
	facts   []fact
	scratch []byte
}

type part struct{ start, end int }

func (c *canonical) reset() {
	clear(c.facts)
	c.buf, c.facts, c.hits = c.buf[:0], nil, nil
	c.keys, c.parts = c.keys[:0], c.parts[:0]
}

// root writes a whole document; the document itself is never a fact.
func (c *canonical) root(doc map[string]any, m *mask) error { return c.object(doc, m, 0) }

func (c *canonical) value(v any, m *mask, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("deeper than %d", maxDepth)
	}
	if m != nil {
		switch {
		case m.hide && v != nil:
			return c.hide(v, depth)
		case m.upsert:
			return c.given(m.value, depth)
		}
	}
	start := len(c.buf)
	var err error
	switch v := v.(type) {
	case nil:
		c.buf = append(c.buf, "null"...)
	case string:
		c.text(v)
	case bool:
		c.buf = strconv.AppendBool(c.buf, v)
	case int:
		c.buf = strconv.AppendInt(c.buf, int64(v), 10)
	case int64:
		c.buf = strconv.AppendInt(c.buf, v, 10)
	case float64:
		err = c.float(v)
	case json.Number:
		c.buf = append(c.buf, v...)
	case map[string]any:
		if err = c.object(v, m, depth); err == nil {
			c.moveIfLarge(start)
		}
	case []any:
		err = list(c, v, m, depth)
	case []string:
		err = list(c, v, m, depth)
	case []map[string]any:
		err = list(c, v, m, depth)
	default:
		err = c.other(v, m, depth)
	}
	return err
}

// other writes a value of any other type: a named string or number as what it
// is, the rest as encoding/json sees it.
func (c *canonical) other(v any, m *mask, depth int) error {
	r := reflect.ValueOf(v)
	if _, own := v.(json.Marshaler); !own {
		switch r.Kind() {
		case reflect.String:
			c.text(r.String())
			return nil
		case reflect.Bool:
			c.buf = strconv.AppendBool(c.buf, r.Bool())
			return nil
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			c.buf = strconv.AppendInt(c.buf, r.Int(), 10)
			return nil
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			c.buf = strconv.AppendUint(c.buf, r.Uint(), 10)
			return nil
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	again, err := decode(text)
	if err != nil {
		return err
	}
	return c.value(again, m, depth+1)
}

func (c *canonical) float(v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%v is no JSON number", v)
	}
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		c.buf = strconv.AppendInt(c.buf, int64(v), 10)
		return nil
	}
	c.buf = strconv.AppendFloat(c.buf, v, 'g', -1, 64)
	return nil
}

func (c *canonical) object(v map[string]any, m *mask, depth int) error {
	start, first, partsFrom := len(c.buf), len(c.keys), len(c.parts)
	for k := range v {
		c.keys = append(c.keys, k)
	}
	c.keys = m.missing(v, c.keys)
	last := len(c.keys)
	slices.Sort(c.keys[first:last])
	c.buf = append(c.buf, '{')
	for i := first; i < last; i++ {
		k := c.keys[i]
		if i > first {
			c.buf = append(c.buf, ',')
		}
		before := len(c.hits)
		if !c.plain && k != "" && k[0] == '$' {
			c.text("$" + k)
		} else {
			c.text(k)
		}
		c.buf = append(c.buf, ':')
		keyHidden := len(c.hits) > before
		from := len(c.buf)
		child, there := v[k]
		if !there { // a mask puts something further down
			child = map[string]any{}
		}
		if err := c.member(k, child, m.down(k), depth+1); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		switch {
		case keyHidden:
			c.hits = append(c.hits[:before], "")
		case len(c.hits) > before:
			c.hits = below(k, c.hits, before)
		}
		if len(c.buf)-from >= partSize && (c.buf[from] == '{' || c.buf[from] == '[') {
			c.parts = append(c.parts, part{from, len(c.buf)})
		}
	}
	c.buf = append(c.buf, '}')
	c.keys = c.keys[:first]
	if c.split && depth > 0 && len(c.buf)-start > FactSize {
		// From the back, so that the places of the others stay true.
		for _, p := range slices.Backward(c.parts[partsFrom:]) {
			tail := append(c.scratch[:0], c.buf[p.end:]...)
			c.scratch = tail
			c.buf = c.buf[:p.end]
			c.move(p.start)
			c.buf = append(c.buf, tail...)
		}
	}
	c.parts = c.parts[:partsFrom]
	return nil
}

func list[T any](c *canonical, v []T, m *mask, depth int) error {
	start := len(c.buf)
	c.buf = append(c.buf, '[')
	for i := range v {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		before := len(c.hits)
		if err := c.value(v[i], m.item(i), depth+1); err != nil {
			return fmt.Errorf("%d: %w", i, err)
		}
		if len(c.hits) > before {
			c.hits = below(strconv.Itoa(i), c.hits, before)
		}
	}
	c.buf = append(c.buf, ']')
	c.moveIfLarge(start)
	return nil
}

func (c *canonical) moveIfLarge(start int) {
	if c.split && len(c.buf)-start > FactSize {
		c.move(start)
	}
}

// move makes a fact of what was written from start on.
func (c *canonical) move(start int) {
	body := bytes.Clone(c.buf[start:])
	digest := sha256.Sum256(body)
	c.facts = append(c.facts, fact{digest, body})
	c.buf = append(c.buf[:start], `{"`+factKey+`":"`...)
	c.buf = appendDigest(c.buf, digest)
	c.buf = append(c.buf, `"}`...)
}

func appendDigest(buf []byte, digest hash) []byte {
	return hex.AppendEncode(append(buf, "sha256:"...), digest[:])
}

// decode reads JSON and keeps numbers as they are written.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}
