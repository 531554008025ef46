package api

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Harbor's conventions for lists: page, page_size, sort and q. What a client may
// filter and sort by is a closed list of values that the answer shows anyway; the
// client's text is compared in this process and reaches no database (Harbor's
// CVE-2025-30086 and CVE-2024-22261 were both of that).

// Bounds of a list's query.
const (
	maxPageSize     = 100
	defaultPageSize = 10
	maxQuery        = 1024
	maxConditions   = 10
	maxAlternatives = 50
)

// field is something that items of a list may be filtered and sorted by. Its
// values are string, int64, bool or time.Time.
type field[T any] struct {
	name string
	of   func(T) any
}

// listing is a page of a list that a client asked for.
type listing struct {
	page, size int
	sort       []order
	where      []condition
}

type order struct {
	field string
	down  bool
}

// condition is one part of q. A value matches when it is one of values (fuzzy:
// contains one of them), or lies between low and high.
type condition struct {
	field     string
	fuzzy     bool
	between   bool
	low, high string
	values    []string
}

// readListing reads the query parameters of a list.
func readListing(c *call) (listing, error) {
	var l listing
	var err error
	if l.page, err = c.number("page", 1, 1<<31-1); err != nil {
		return l, err
	}
	if l.size, err = c.number("page_size", defaultPageSize, maxPageSize); err != nil {
		return l, err
	}
	if l.sort, err = parseSort(c.query("sort")); err != nil {
		return l, err
	}
	l.where, err = parseQ(c.query("q"))
	return l, err
}

// parseSort reads "name,-creation_time".
func parseSort(s string) ([]order, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxQuery {
		return nil, refuse("sort has at most %d bytes", maxQuery)
	}
	var out []order
	for part := range strings.SplitSeq(s, ",") {
		name, down := strings.CutPrefix(strings.TrimSpace(part), "-")
		if name == "" || len(out) == maxConditions {
			return nil, refuse("sort is at most %d names with a comma between them, a minus before one that descends", maxConditions)
		}
		out = append(out, order{name, down})
	}
	return out, nil
}

// parseQ reads Harbor's q: "k=v" (exact), "k=~v" (contains), "k=[a~b]" (between),
// "k={a b}" and "k=(a b)" (one of), with commas between conditions, all of which
// must hold.
func parseQ(q string) ([]condition, error) {
	if q == "" {
		return nil, nil
	}
	if len(q) > maxQuery {
		return nil, refuse("q has at most %d bytes", maxQuery)
	}
	var out []condition
	for _, part := range splitConditions(q) {
		if len(out) == maxConditions {
			return nil, refuse("q has at most %d conditions", maxConditions)
		}
		name, value, ok := strings.Cut(part, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, refuse("a condition of q is name=value: %s", show(part))
		}
		c, err := parseCondition(name, strings.TrimSpace(value))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// splitConditions cuts at the commas that are not within brackets.
func splitConditions(q string) []string {
	var out []string
	depth, from := 0, 0
	for i := range len(q) {
		switch q[i] {
		case '[', '{', '(':
			depth++
		case ']', '}', ')':
			depth--
		case ',':
			if depth <= 0 {
				out, from = append(out, q[from:i]), i+1
			}
		}
	}
	return append(out, q[from:])
}

func parseCondition(name, value string) (condition, error) {
	c := condition{field: name}
	inner, bracketed := "", byte(0)
	if len(value) >= 2 {
		for _, pair := range []string{"[]", "{}", "()"} {
			if value[0] == pair[0] && value[len(value)-1] == pair[1] {
				inner, bracketed = value[1:len(value)-1], pair[0]
			}
		}
	}
	switch {
	case bracketed == '[':
		var ok bool
		if c.low, c.high, ok = strings.Cut(inner, "~"); !ok {
			return c, refuse("a range of q is [from~to]: %s", show(value))
		}
		c.between, c.low, c.high = true, unquote(c.low), unquote(c.high)
	case bracketed != 0:
		for _, v := range strings.Fields(inner) {
			c.values = append(c.values, unquote(v))
		}
		if len(c.values) == 0 || len(c.values) > maxAlternatives {
			return c, refuse("a list of q has 1 to %d values: %s", maxAlternatives, show(value))
		}
	case strings.HasPrefix(value, "~"):
		c.fuzzy, c.values = true, []string{unquote(value[1:])}
	default:
		c.values = []string{unquote(value)}
	}
	return c, nil
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// pageOf filters and sorts all and answers the page that was asked for, and how
// many there are on all pages. by is the order where the client named none.
func pageOf[T any](l listing, all []T, by string, fields []field[T]) ([]T, int, error) {
	named := make(map[string]func(T) any, len(fields))
	for _, f := range fields {
		named[f.name] = f.of
	}
	for _, c := range l.where {
		if named[c.field] == nil {
			return nil, 0, refuse("q knows no %s here", show(c.field))
		}
	}
	kept := []T{}
	for _, item := range all {
		fits := true
		for _, c := range l.where {
			ok, err := c.holds(named[c.field](item))
			if err != nil {
				return nil, 0, err
			}
			fits = fits && ok
		}
		if fits {
			kept = append(kept, item)
		}
	}
	keys := l.sort
	if len(keys) == 0 {
		keys = []order{{field: by}}
	}
	for _, k := range keys {
		if named[k.field] == nil {
			return nil, 0, refuse("sort knows no %s here", show(k.field))
		}
	}
	slices.SortStableFunc(kept, func(a, b T) int {
		for _, k := range keys {
			n := compare(named[k.field](a), named[k.field](b))
			if k.down {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return 0
	})
	total := len(kept)
	from := min((l.page-1)*l.size, total)
	return kept[from:min(from+l.size, total)], total, nil
}

func (c condition) holds(value any) (bool, error) {
	if c.between {
		low, err := c.against(value, c.low)
		if err != nil {
			return false, err
		}
		high, err := c.against(value, c.high)
		return (c.low == "" || low >= 0) && (c.high == "" || high <= 0), err
	}
	for _, want := range c.values {
		if text, ok := value.(string); ok {
			if text == want || c.fuzzy && strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
				return true, nil
			}
			continue
		}
		n, err := c.against(value, want)
		if err != nil {
			return false, err
		}
		if n == 0 {
			return true, nil
		}
	}
	return false, nil
}

// against compares a value with what the client wrote, read as the value's type.
func (c condition) against(value any, written string) (int, error) {
	switch v := value.(type) {
	case string:
		return cmp.Compare(v, written), nil
	case bool:
		b, err := strconv.ParseBool(written)
		if err != nil {
			return 0, refuse("%s is true or false, not %s", c.field, show(written))
		}
		return compare(v, b), nil
	case int64:
		if written == "" {
			return 0, nil
		}
		n, err := strconv.ParseInt(written, 10, 64)
		if err != nil {
			return 0, refuse("%s is a number, not %s", c.field, show(written))
		}
		return cmp.Compare(v, n), nil
	case time.Time:
		if written == "" {
			return 0, nil
		}
		for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02"} {
			if t, err := time.Parse(layout, written); err == nil {
				return v.Compare(t), nil
			}
		}
		return 0, refuse("%s is a time such as 2026-11-21 or 2026-11-21T10:00:00Z, not %s", c.field, show(written))
	default:
		return 0, fmt.Errorf("api: the field %s has no comparable value", c.field)
	}
}

func compare(a, b any) int {
	switch a := a.(type) {
	case string:
		b, _ := b.(string)
		return cmp.Compare(a, b)
	case int64:
		b, _ := b.(int64)
		return cmp.Compare(a, b)
	case time.Time:
		b, _ := b.(time.Time)
		return a.Compare(b)
	case bool:
		b, _ := b.(bool)
		switch {
		case a == b:
			return 0
		case b:
			return -1
		}
		return 1
	default:
		return 0
	}
}
