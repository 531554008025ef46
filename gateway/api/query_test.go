package api

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

type item struct {
	name   string
	id     int64
	public bool
	made   time.Time
}

var itemFields = []field[item]{
	{"name", func(i item) any { return i.name }},
	{"id", func(i item) any { return i.id }},
	{"public", func(i item) any { return i.public }},
	{"creation_time", func(i item) any { return i.made }},
}

func listOf(query url.Values) (listing, error) {
	return readListing(&call{r: httptest.NewRequest("GET", "/x?"+query.Encode(), nil)})
}

func TestListsAreFilteredSortedAndPagedAsInHarbor(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 12, 0, 0, 0, time.UTC) }
	all := []item{{"web", 3, true, day(3)}, {"api", 1, false, day(1)}, {"Apidoc", 2, true, day(2)}, {"base", 11, false, day(4)}}
	for _, c := range []struct {
		sentence, q, sort, page, size string
		want                          []string
		total                         int
	}{
		{"by name where nothing is asked", "", "", "", "", []string{"Apidoc", "api", "base", "web"}, 4},
		{"exactly", "name=api", "", "", "", []string{"api"}, 1},
		{"a part of it in any case", "name=~API", "", "", "", []string{"Apidoc", "api"}, 2},
		{"one of several", "name={web base}", "", "", "", []string{"base", "web"}, 2},
		{"one of several in round brackets", "id=(1 3)", "", "", "", []string{"api", "web"}, 2},
		{"between two numbers", "id=[2~3]", "", "", "", []string{"Apidoc", "web"}, 2},
		{"from a time on", "creation_time=[2026-01-03~]", "", "", "", []string{"base", "web"}, 2},
		{"two conditions", "public=true,name=~api", "", "", "", []string{"Apidoc"}, 1},
		{"a comma within brackets is no condition", "name={web,base}", "", "", "", nil, 0},
		{"quoted", `name="api"`, "", "", "", []string{"api"}, 1},
		{"a quotation mark of SQL is text", "name=api' OR '1'='1", "", "", "", nil, 0},
		{"the newest first", "", "-creation_time", "", "", []string{"base", "web", "Apidoc", "api"}, 4},
		{"by two fields", "", "public,-id", "", "", []string{"base", "api", "web", "Apidoc"}, 4},
		{"numbers as numbers", "", "id", "", "", []string{"api", "Apidoc", "web", "base"}, 4},
		{"the second page", "", "id", "2", "3", []string{"base"}, 4},
		{"a page after the last", "", "", "9", "3", nil, 4},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			l, err := listOf(url.Values{"q": {c.q}, "sort": {c.sort}, "page": {c.page}, "page_size": {c.size}})
			if err != nil {
				t.Fatal(err)
			}
			got, total, err := pageOf(l, all, "name", itemFields)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, i := range got {
				names = append(names, i.name)
			}
			if !slices.Equal(names, c.want) || total != c.total {
				t.Fatalf("%v of %d", names, total)
			}
		})
	}
}

// Attack class 21.
func TestWhatAQueryMayNotAskIsAnError(t *testing.T) {
	for _, c := range []struct{ sentence, q, sort, page, size string }{
		{"a field that is not shown", "password=x", "", "", ""},
		{"a field of a field", "owner.password=x", "", "", ""},
		{"an order by what is not shown", "", "password", "", ""},
		{"SQL as an order", "", "name;DROP TABLE users", "", ""},
		{"a condition without a value", "name", "", "", ""},
		{"a condition without a name", "=x", "", "", ""},
		{"an open range", "id=[1]", "", "", ""},
		{"a number that is none", "id=x", "", "", ""},
		{"a time that is none", "creation_time=[x~y]", "", "", ""},
		{"a truth that is none", "public=perhaps", "", "", ""},
		{"an empty list", "id={}", "", "", ""},
		{"too many alternatives", "name={" + strings.Repeat("a ", 51) + "}", "", "", ""},
		{"too many conditions", strings.Repeat("name=a,", 11) + "name=a", "", "", ""},
		{"too long", "name=" + strings.Repeat("a", 2000), "", "", ""},
		{"a page of nothing", "", "", "0", ""},
		{"a page of everything", "", "", "", "101"},
		{"a page that is no number", "", "", "x", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			l, err := listOf(url.Values{"q": {c.q}, "sort": {c.sort}, "page": {c.page}, "page_size": {c.size}})
			if err == nil {
				_, _, err = pageOf(l, []item{{name: "a"}}, "name", itemFields)
			}
			if err == nil {
				t.Fatal("it is answered")
			}
		})
	}
}

func FuzzParseQ(f *testing.F) {
	for _, q := range []string{"", "name=a", "name=~a,id=[1~2]", "id={1 2}", "a=(b c),d=e", "=", "[", "a=[~]", `a="b"`, "a=={", "a=)("} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		conditions, err := parseQ(q)
		if err != nil {
			return
		}
		if len(q) > maxQuery || len(conditions) > maxConditions {
			t.Fatalf("%d conditions of %d bytes", len(conditions), len(q))
		}
		for _, c := range conditions {
			if c.field == "" || len(c.values) > maxAlternatives || c.between == (len(c.values) > 0) {
				t.Fatalf("%+v", c)
			}
			for _, v := range []any{"x", int64(1), true, time.Time{}} {
				_, _ = c.holds(v)
			}
		}
	})
}
