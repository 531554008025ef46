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
	"unicode/utf8"
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
// that are not needed. It hides what the mask says and moves large parts into facts.
type canonical struct {
	buf     []byte
	keys    []string
	parts   []part
	key     []byte // of the mask's hash
	split   bool
	plain   bool // keys as they are: nothing is a fact here
	masked  bool
	facts   []fact
	scratch []byte
}

type part struct{ start, end int }

func (c *canonical) reset() {
	clear(c.facts)
	c.buf, c.facts, c.masked = c.buf[:0], nil, false
	c.keys, c.parts = c.keys[:0], c.parts[:0]
}

// root writes a whole document; the document itself is never a fact.
func (c *canonical) root(doc map[string]any, m *mask) error { return c.object(doc, m, 0) }

func (c *canonical) value(v any, m *mask, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("deeper than %d", maxDepth)
	}
	if m != nil && m.hide && v != nil {
		return c.hide(v, depth)
	}
	start := len(c.buf)
	var err error
	switch v := v.(type) {
	case nil:
		c.buf = append(c.buf, "null"...)
	case string:
		c.buf = appendString(c.buf, v)
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
			c.buf = appendString(c.buf, r.String())
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
	last := len(c.keys)
	slices.Sort(c.keys[first:last])
	c.buf = append(c.buf, '{')
	for i := first; i < last; i++ {
		k := c.keys[i]
		if i > first {
			c.buf = append(c.buf, ',')
		}
		if !c.plain && k != "" && k[0] == '$' {
			c.buf = appendString(c.buf, "$"+k)
		} else {
			c.buf = appendString(c.buf, k)
		}
		c.buf = append(c.buf, ':')
		from := len(c.buf)
		if err := c.value(v[k], m.down(k), depth+1); err != nil {
			return fmt.Errorf("%s: %w", k, err)
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
		if err := c.value(v[i], m, depth+1); err != nil {
			return fmt.Errorf("%d: %w", i, err)
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

func (c *canonical) hide(v any, depth int) error {
	inner := canonical{plain: true}
	if err := inner.value(v, nil, depth); err != nil {
		return err
	}
	c.masked = true
	c.buf = appendString(c.buf, hidden(c.key, inner.buf))
	return nil
}

func appendDigest(buf []byte, digest hash) []byte {
	return hex.AppendEncode(append(buf, "sha256:"...), digest[:])
}

const hexDigits = "0123456789abcdef"

func appendString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	from := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			buf = append(append(buf, s[from:i]...), "\ufffd"...)
			i++
			from = i
			continue
		}
		buf = append(buf, s[from:i]...)
		switch b {
		case '"', '\\':
			buf = append(buf, '\\', b)
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\r':
			buf = append(buf, '\\', 'r')
		case '\t':
			buf = append(buf, '\\', 't')
		default:
			buf = append(buf, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		i++
		from = i
	}
	return append(append(buf, s[from:]...), '"')
}

// decode reads JSON and keeps numbers as they are written.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}
