package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// waysOut are the names of the standard library that make a connection or a
// client of their own. Who uses one has not asked gateway/egress.
var waysOut = map[string][]string{
	"net":        {"Dialer", "Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix"},
	"net/http":   {"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "ProxyFromEnvironment"},
	"crypto/tls": {"Dialer", "Dial", "DialWithDialer"},
	"net/smtp":   {"Dial", "SendMail"},
	"net/rpc":    {"Dial", "DialHTTP", "DialHTTPPath"},
}

// guarded are the rooms whose calls go to places that somebody else may name.
var guarded = []string{"gateway", "policy", "scanning", "sbom", "signing"}

// mayDial are folders of those rooms that make their own way, with the reason.
var mayDial = map[string]string{
	"gateway/egress": "it is the way out",
}

func TestOnlyEgressMakesAWayOut(t *testing.T) {
	for _, f := range tree(t) {
		if f.Test || !slices.ContainsFunc(guarded, func(room string) bool { return under(f.Dir, room) }) {
			continue
		}
		if _, ok := mayDial[f.Dir]; ok {
			continue
		}
		src, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(f.Path)))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range dials(t, f.Path, src) {
			t.Errorf("%s uses %s: be given a client or a dialer of gateway/egress, which judges the address after resolution", f.Path, found)
		}
	}
}

// dials names the ways out that a file makes. A pointer type such as
// *http.Client is none: that is how a client is handed in.
func dials(t *testing.T, name string, src []byte) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]string{} // by the name in this file
	for _, spec := range file.Imports {
		path := spec.Path.Value[1 : len(spec.Path.Value)-1]
		if waysOut[path] == nil {
			continue
		}
		local := filepath.Base(path)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		called[local] = path
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if star, ok := n.(*ast.StarExpr); ok {
			s, ok := star.X.(*ast.SelectorExpr)
			return !ok || s.Sel.Name == "DefaultClient" // *http.DefaultClient is a copy of one
		}
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && slices.Contains(waysOut[called[x.Name]], s.Sel.Name) {
				found = append(found, x.Name+"."+s.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestTheRuleOfTheWayOutSeesAnOffence(t *testing.T) {
	for _, c := range []struct {
		why, body string
		want      int
	}{
		{"a client", `var c = &http.Client{}`, 1},
		{"a client by new", `var c = new(http.Client)`, 1},
		{"a client as a value", `var c http.Client`, 1},
		{"the default client", `func f() { http.Get("http://x") }`, 1},
		{"a copy of the default client", `var c = *http.DefaultClient`, 1},
		{"a transport behind a conversion", `var tr = http.DefaultTransport.(*http.Transport).Clone()`, 1},
		{"a dialer", `func f() { (&net.Dialer{}).Dial("tcp", "x") }`, 1},
		{"a call", `func f() { net.Dial("tcp", "x") }`, 1},
		{"a client that is handed in", `func f(c *http.Client) { _ = c }`, 0},
		{"what serves", `var s = &http.Server{}; var _ net.Conn`, 0},
	} {
		t.Run(c.why, func(t *testing.T) {
			src := "package p\nimport (\n\"net\"\n\"net/http\"\n)\n" + c.body + "\n"
			if got := dials(t, "p.go", []byte(src)); len(got) != c.want {
				t.Errorf("found %v", got)
			}
		})
	}
}
