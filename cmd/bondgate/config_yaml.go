package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
	"gopkg.in/yaml.v3"
)

// Duration is a span of time that is written as in Go: "50ms", "5m", "720h".
type Duration time.Duration

// UnmarshalText reads the form of [time.ParseDuration].
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 50ms, 5m or 24h", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// JSONSchema describes the written form.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`}
}

// document is one configuration while it is read. It remembers where each key
// stood, so that whatever is wrong with it later is told with its line.
type document struct {
	name  string
	lines map[string]int
	// said is what had its say over the file: a key's variable or flag.
	said map[string]string
	// broken are the keys whose values could not be read: more about them would
	// be about a default that nobody wrote.
	broken []string
	errs   []error
}

func (d *document) fail(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for p := path; p != ""; p = parentKey(p) {
		if by := d.said[p]; by != "" {
			d.errs = append(d.errs, fmt.Errorf("%s: %s", by, text))
			return
		}
		if line := d.lines[p]; line > 0 {
			d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", filepath.Base(d.name), line, text))
			return
		}
	}
	d.errs = append(d.errs, errors.New(text))
}

// unreadable is a key whose value is of another type or form.
func (d *document) unreadable(path string, line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	d.broken = append(d.broken, path)
	d.failAt(line, "%s", text)
}

// unread reports whether a key, or a section that it is in, could not be read.
func (d *document) unread(path string) bool {
	for p := path; ; p = parentKey(p) {
		if slices.Contains(d.broken, p) {
			return true
		}
		if p == "" {
			return false
		}
	}
}

func (d *document) failAt(line int, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", filepath.Base(d.name), line, fmt.Sprintf(format, args...)))
}

func parentKey(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// decode reads one YAML document strictly: unknown and repeated keys, a second
// document and values of another type are problems.
func (d *document) decode(r io.Reader, c *Config) {
	d.lines = map[string]int{}
	dec := yaml.NewDecoder(r)
	var root, second yaml.Node
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		d.broken = append(d.broken, "")
		d.errs = append(d.errs, fmt.Errorf("%s: %w", filepath.Base(d.name), err))
		return
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		d.failAt(max(second.Line, 1), "one document is expected")
	}
	d.value(root.Content[0], reflect.ValueOf(c).Elem(), "")
}

func (d *document) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a key without a value is a key that is not there
	}
	switch {
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.unreadable(path, n.Line, "a list is expected")
			return
		}
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			p := fmt.Sprintf("%s[%d]", path, i)
			d.lines[p] = item.Line
			d.value(item, out.Index(i), p)
		}
		v.Set(out)
	case v.Kind() == reflect.Map:
		d.parameters(n, v, path)
	case n.Kind != yaml.ScalarNode:
		d.unreadable(path, n.Line, "a single value is expected")
	default:
		if err := setScalar(v, n.Value); err != nil {
			d.unreadable(path, n.Line, "%s", err)
		}
	}
}

func (d *document) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.unreadable(path, n.Line, "keys and values are expected")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		p := join(path, key.Value)
		field, ok := fieldOf(v, key.Value)
		if !ok {
			d.failAt(key.Line, "unknown key %s%s", p, nearest(key.Value, v.Type()))
			continue
		}
		if d.lines[p] > 0 {
			d.failAt(key.Line, "%s is given twice, first in line %d", p, d.lines[p])
			continue
		}
		d.lines[p] = key.Line
		d.value(val, field, p)
	}
}

func (d *document) parameters(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.unreadable(path, n.Line, "keys and values are expected")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		d.lines[join(path, n.Content[i].Value)] = n.Content[i].Line
	}
	out := reflect.New(v.Type())
	if err := n.Decode(out.Interface()); err != nil {
		d.unreadable(path, n.Line, "%s", err)
		return
	}
	v.Set(out.Elem())
}

// environment lets BONDGATE_SECTION_KEY variables have their say over the file.
// Variables that name no key are left alone: a cluster puts variables of its own
// with the same prefix there.
func (d *document) environment(environ []string, c *Config) {
	env := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "BONDGATE_") && v != "" {
			env[k] = v
		}
	}
	d.overlay(env, reflect.ValueOf(c).Elem(), "BONDGATE_", "")
}

// overridden remembers who gave a key its value: what is wrong with it is not the
// file's fault any more.
func (d *document) overridden(path, by string) {
	if d.said == nil {
		d.said = map[string]string{}
	}
	d.said[path] = by
	d.broken = slices.DeleteFunc(d.broken, func(p string) bool { return p == path })
}

func (d *document) overlay(env map[string]string, v reflect.Value, prefix, section string) {
	for i := range v.NumField() {
		key := keyOf(v.Type().Field(i))
		name, path := prefix+strings.ToUpper(key), join(section, key)
		field := v.Field(i)
		switch field.Kind() {
		case reflect.Struct:
			d.overlay(env, field, name+"_", path)
			continue
		case reflect.Map:
			for k, val := range env {
				key, ok := strings.CutPrefix(k, name+"_")
				if !ok {
					continue
				}
				if field.IsNil() {
					field.Set(reflect.MakeMap(field.Type()))
				}
				key = strings.ToLower(key)
				field.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(val))
				d.overridden(join(path, key), k)
			}
			continue
		}
		val, ok := env[name]
		if !ok {
			continue
		}
		d.overridden(path, name)
		if field.Kind() == reflect.Slice {
			if field.Type().Elem().Kind() != reflect.String {
				d.broken = append(d.broken, path)
				d.errs = append(d.errs, fmt.Errorf("%s: a list of sections is given in the file", name))
				continue
			}
			field.Set(reflect.ValueOf(strings.FieldsFunc(val, func(r rune) bool { return r == ',' || r == ' ' })))
			continue
		}
		if err := setScalar(field, val); err != nil {
			d.broken = append(d.broken, path)
			d.errs = append(d.errs, fmt.Errorf("%s: %w", name, err))
		}
	}
}

// secrets puts the content of the files that *_file keys name in their places.
func (d *document) secrets(c *Config) {
	c.Identity.secrets(d)
	if c.Database.DSNFile != "" {
		if c.Database.DSN != "" {
			d.fail("database.dsn_file", "database: dsn and dsn_file exclude each other")
		}
		c.Database.DSN = d.secret("database.dsn_file", c.Database.DSNFile)
	}
	for key, val := range c.Storage.Parameters {
		name, ok := strings.CutSuffix(key, "_file")
		if !ok {
			continue
		}
		path := "storage.parameters." + key
		if _, twice := c.Storage.Parameters[name]; twice {
			d.fail(path, "storage.parameters: %s and %s exclude each other", name, key)
		}
		c.Storage.Parameters[name] = d.secret(path, fmt.Sprint(val))
		delete(c.Storage.Parameters, key)
	}
}

func (d *document) secret(path, file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		d.fail(path, "%s: %s", path, err)
		return ""
	}
	s := strings.TrimSpace(string(raw))
	if s == "" {
		d.fail(path, "%s: %s is empty", path, file)
	}
	return s
}

func setScalar(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(interface{ UnmarshalText([]byte) error }); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(n)
	default:
		return fmt.Errorf("a value of type %s cannot be set", v.Type())
	}
	return nil
}

func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if keyOf(v.Type().Field(i)) == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest is a hint at the key that was probably meant.
func nearest(key string, t reflect.Type) string {
	best, distance := "", 3
	for i := range t.NumField() {
		name := keyOf(t.Field(i))
		if n := edits(key, name); n < distance {
			best, distance = name, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
