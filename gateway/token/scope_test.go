package token_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
)

func TestParseScopes(t *testing.T) {
	repo := func(name string, actions ...string) policy.Scope {
		return policy.Scope{Type: "repository", Name: name, Actions: actions}
	}
	cases := []struct {
		sentence string
		params   []string
		want     []policy.Scope
	}{
		{"nothing", nil, []policy.Scope{}},
		{"an empty parameter", []string{""}, []policy.Scope{}},
		{"one", []string{"repository:a/b:pull,push"}, []policy.Scope{repo("a/b", "pull", "push")}},
		{"several parameters", []string{"repository:a/b:pull", "repository:a/c:pull"}, []policy.Scope{repo("a/b", "pull"), repo("a/c", "pull")}},
		{"several in one parameter, as OAuth2 has it", []string{"repository:a/b:pull repository:a/c:push"}, []policy.Scope{repo("a/b", "pull"), repo("a/c", "push")}},
		{"two on one thing are joined", []string{"repository:a/b:pull", "repository:a/b:push,pull"}, []policy.Scope{repo("a/b", "pull", "push")}},
		{"the catalog", []string{"registry:catalog:*"}, []policy.Scope{{Type: "registry", Name: "catalog", Actions: []string{"*"}}}},
		{"a class", []string{"repository(plugin):a/b:pull"}, []policy.Scope{{Type: "repository(plugin)", Name: "a/b", Actions: []string{"pull"}}}},
		{"a name with a port in it", []string{"other:host:5000/a:pull"}, []policy.Scope{{Type: "other", Name: "host:5000/a", Actions: []string{"pull"}}}},
		{"no action", []string{"repository:a/b:"}, []policy.Scope{repo("a/b")}},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got, err := token.ParseScopes(c.params)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %v, %v", got, err)
			}
		})
	}
}

func TestParseScopesRefuses(t *testing.T) {
	many := make([]string, token.MaxScopes+1)
	for i := range many {
		many[i] = fmt.Sprintf("repository:r%d:pull", i)
	}
	cases := []struct {
		sentence string
		params   []string
		err      error
	}{
		{"two parts", []string{"repository:a"}, policy.ErrInvalid},
		{"a name in upper case", []string{"repository:A/B:pull"}, policy.ErrInvalid},
		{"dots for components", []string{"repository:a/../b:pull"}, policy.ErrInvalid},
		{"an empty component", []string{"repository:a//b:pull"}, policy.ErrInvalid},
		{"an escape", []string{"repository:a%2Fb:pull"}, policy.ErrInvalid},
		{"a pattern", []string{"repository:*:pull"}, policy.ErrInvalid},
		{"a name that is too long", []string{"repository:" + strings.Repeat("a", 256) + ":pull"}, policy.ErrInvalid},
		{"letters that only look alike", []string{"repository:а/b:pull"}, policy.ErrInvalid},
		{"a type in upper case", []string{"Repository:a/b:pull"}, policy.ErrInvalid},
		{"a class that is open", []string{"repository(plugin:a/b:pull"}, policy.ErrInvalid},
		{"an action in upper case", []string{"repository:a/b:Pull"}, policy.ErrInvalid},
		{"an action with a quote", []string{`repository:a/b:pull"`}, policy.ErrInvalid},
		{"a line break", []string{"repository:a/b:pull\nrepository:c:push"}, policy.ErrInvalid},
		{"too many actions", []string{"repository:a/b:" + strings.Repeat("a,", 17)}, policy.ErrInvalid},
		{"too many", many, policy.ErrTooLarge},
		{"too many in one parameter", []string{strings.Join(many, " ")}, policy.ErrTooLarge},
		{"too long", []string{strings.Repeat(" ", 33<<10)}, policy.ErrTooLarge},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			if got, err := token.ParseScopes(c.params); !errors.Is(err, c.err) {
				t.Fatalf("got %v, %v", got, err)
			}
		})
	}
}

func FuzzParseScopes(f *testing.F) {
	for _, s := range []string{"repository:a/b:pull,push", "registry:catalog:*", "repository(plugin):a:b:c", "::", " a:b:c  d:e:f", "repository:a:pull repository:a:push"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := token.ParseScopes([]string{s})
		if err != nil {
			if got != nil || !errors.Is(err, policy.ErrInvalid) && !errors.Is(err, policy.ErrTooLarge) {
				t.Fatalf("%q: %v %v", s, got, err)
			}
			return
		}
		if len(got) > token.MaxScopes {
			t.Fatalf("%d scopes", len(got))
		}
		for _, scope := range got {
			// The token service and the router must agree on what a name is.
			if scope.Type == "repository" && !ociroute.ValidName(scope.Name) {
				t.Fatalf("%q is no repository", scope.Name)
			}
		}
		again, err := token.ParseScopes([]string{token.FormatScopes(got)})
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q is read as %v and that as %v, %v", s, got, again, err)
		}
	})
}
