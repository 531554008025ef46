package metadata

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// Page is which part of a list is wanted, and in which order.
type Page struct {
	// Offset is how many are passed over.
	Offset int
	// Limit bounds the answer; zero is all of the rest.
	Limit int
	// Sort orders by the first, then by the next; at most three. Each list names
	// the keys that it knows, and has an order of its own for none.
	Sort []Order
}

// Order is one key of a sorting.
type Order struct {
	By         string
	Descending bool
}

// Text filters a text; the zero Text lets everything through.
type Text struct {
	Exact string
	// Contains asks for a part, whatever the case of its ASCII letters.
	Contains string
}

// maxSort bounds the keys of a sorting: a client chooses them.
const maxSort = 3

// listing builds the statements of one list. Columns and tables come from this
// package's own text; what a client gave is a parameter or chooses from sorts.
type listing struct {
	columns, from string
	// sorts are the keys that a client may name, with the column of each.
	sorts map[string]string
	// order is the order without keys; it ends with what tells all rows apart, and
	// comes last in every other order.
	order string
	where []string
	args  []any
}

func (l *listing) equal(column string, value any) {
	l.args = append(l.args, value)
	l.where = append(l.where, fmt.Sprintf("%s = $%d", column, len(l.args)))
}

// equalIf filters by a text that is not empty.
func (l *listing) equalIf(column, value string) {
	if value != "" {
		l.equal(column, value)
	}
}

// flag filters by a boolean; nil does not.
func (l *listing) flag(column string, value *bool) {
	if value != nil {
		l.equal(column, *value)
	}
}

func (l *listing) text(column string, t Text) {
	l.equalIf(column, t.Exact)
	if t.Contains != "" {
		l.args = append(l.args, "%"+literal.Replace(lower(t.Contains))+"%")
		l.where = append(l.where, fmt.Sprintf(`lower(%s) LIKE $%d ESCAPE '\'`, column, len(l.args)))
	}
}

// literal takes their meaning from the characters that LIKE gives one.
var literal = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// lower folds ASCII letters alone, as both databases do here.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

func (l *listing) condition() string {
	if len(l.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(l.where, " AND ")
}

func (l *listing) sorted(by []Order) (string, error) {
	if len(by) > maxSort {
		return "", fmt.Errorf("more than %d keys to sort by: %w", maxSort, policy.ErrInvalid)
	}
	var b strings.Builder
	b.WriteString(" ORDER BY ")
	for _, o := range by {
		column, ok := l.sorts[o.By]
		if !ok {
			return "", fmt.Errorf("no list is sorted by %q: %w", o.By, policy.ErrInvalid)
		}
		b.WriteString(column)
		if o.Descending {
			b.WriteString(" DESC")
		}
		b.WriteString(", ")
	}
	return b.String() + l.order, nil
}

// list answers a page and how many there are on all pages. The two are two
// readings: what changes in between may show in one of them.
func list[T any](ctx context.Context, s *Store, l *listing, page Page, scan func(scan func(...any) error) (T, error)) ([]T, int, error) {
	order, err := l.sorted(page.Sort)
	if err != nil {
		return nil, 0, err
	}
	if page.Offset < 0 || page.Limit < 0 {
		return nil, 0, fmt.Errorf("a page before the first: %w", policy.ErrInvalid)
	}
	limit := int64(page.Limit)
	if limit == 0 {
		limit = math.MaxInt64
	}
	// Not through the kept statements: there are too many combinations to keep.
	q := plain{s.read}
	var total int
	if err := q.row(ctx, "SELECT COUNT(*) FROM "+l.from+l.condition(), l.args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	n := len(l.args)
	rows, err := q.rows(ctx, "SELECT "+l.columns+" FROM "+l.from+l.condition()+order+
		fmt.Sprintf(" LIMIT $%d OFFSET $%d", n+1, n+2), append(l.args[:n:n], limit, page.Offset)...)
	all, err := collect(rows, err, each(scan))
	return all, total, err
}
