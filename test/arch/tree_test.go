package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bondgate/bondgate"

// goFile is one Go file of the tree, as far as the rules ask.
type goFile struct {
	Path    string // from the root of the module, with slashes
	Dir     string // of Path; "." for the root
	Test    bool
	Lines   int
	Package string
	Doc     string
	// Imports are import paths; ours start with the module's.
	Imports []string
	Inits   []int // lines of func init()
}

// tree reads every Go file under the module's root. It goes through os.Open and
// os.ReadDir, which go test records, so a changed file is a new run.
func tree(t *testing.T) []goFile {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var files []goFile
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(filepath.ToSlash(rel)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := read(name, filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files found under %s: the walk is broken, and every rule would pass", len(files), root)
	}
	return files
}

// skipped are folders that hold no code of the house.
func skipped(rel string) bool {
	base := path.Base(rel)
	return rel != "." && (strings.HasPrefix(base, ".") || base == "testdata" ||
		rel == "bin" || rel == "data" || rel == "web")
}

func read(name, rel string) (goFile, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return goFile{}, err
	}
	// The whole file, not imports only: the rules ask for init functions too.
	parsed, err := parser.ParseFile(token.NewFileSet(), rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return goFile{}, err
	}
	f := goFile{
		Path:    rel,
		Dir:     path.Dir(rel),
		Test:    strings.HasSuffix(rel, "_test.go"),
		Lines:   bytes.Count(src, []byte("\n")),
		Package: parsed.Name.Name,
		Doc:     parsed.Doc.Text(),
	}
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		f.Imports = append(f.Imports, p)
	}
	for _, decl := range parsed.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			f.Inits = append(f.Inits, 1+bytes.Count(src[:fn.Pos()-1], []byte("\n")))
		}
	}
	return f, nil
}

// under reports whether dir is folder or lies in it.
func under(dir, folder string) bool {
	return dir == folder || strings.HasPrefix(dir, folder+"/")
}

// ours answers the folder of an import of this module, and whether it is one.
func ours(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// standard reports whether an import path is the standard library's: the first
// element of every other path has a dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}
