package arch

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A row of the failure table, or of the attacks, is a promise, and a promise names
// its test.
func TestEachRowOfATableThatPromisesNamesTestsThatExist(t *testing.T) {
	all := testSources(t)
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	for file, head := range map[string]string{"failure.md": "what fails", "hardness.md": "class"} {
		rows, inside := 0, false
		for line := range strings.Lines(document(t, file)) {
			switch {
			case strings.HasPrefix(line, "| "+head+" "):
				inside = true
				continue
			case !strings.HasPrefix(line, "|"):
				inside = false
			}
			if !inside || strings.HasPrefix(line, "|-") {
				continue
			}
			rows++
			names := named.FindAllStringSubmatch(line, -1)
			if len(names) == 0 {
				t.Errorf("%s: a row without a test: %s", file, line)
			}
			for _, name := range names {
				if !strings.Contains(all, "func "+name[1]+"(t *testing.T)") {
					t.Errorf("%s: %s does not exist, and is to show: %s", file, name[1], line)
				}
			}
		}
		if rows == 0 {
			t.Errorf("%s: no table was found", file)
		}
	}
}

// Each limit is named where people look for it, with the default that it has.
func TestTheLimitsThatAreToldAreThoseOfTheConfiguration(t *testing.T) {
	type property struct {
		Type       string              `json:"type"`
		Default    any                 `json:"default"`
		Properties map[string]property `json:"properties"`
	}
	var schema property
	if err := json.Unmarshal([]byte(document(t, "config.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	var walk func(prefix string, p property)
	walk = func(prefix string, p property) {
		for name, child := range p.Properties {
			if child.Properties != nil {
				walk(prefix+name+".", child)
				continue
			}
			switch v := child.Default.(type) {
			case nil:
				defaults[prefix+name] = map[string]string{"boolean": "false"}[child.Type]
				if defaults[prefix+name] == "" {
					defaults[prefix+name] = "0"
				}
			case float64:
				defaults[prefix+name] = strconv.FormatInt(int64(v), 10)
			default:
				defaults[prefix+name] = fmt.Sprint(v)
			}
		}
	}
	walk("", schema.Properties["limits"])
	if len(defaults) < 10 {
		t.Fatalf("the schema has the limits %v", defaults)
	}
	_, section, ok := strings.Cut(document(t, "hardness.md"), "\n## Limits\n")
	if !ok {
		t.Fatal("no section on limits was found")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+(?:\\.[a-z_]+)*)` \\| ([^ |]+) \\|").FindAllStringSubmatch(section, -1) {
		told[row[1]] = row[2]
	}
	if !maps.Equal(told, defaults) {
		for name, def := range defaults {
			if told[name] != def {
				t.Errorf("limits.%s is %s by default, and told as %q", name, def, told[name])
			}
		}
		for name := range told {
			if _, ok := defaults[name]; !ok {
				t.Errorf("limits.%s is told and not there", name)
			}
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// testSources is the text of all tests.
func testSources(t *testing.T) string {
	t.Helper()
	var tests strings.Builder
	for _, f := range tree(t) {
		if !f.Test {
			continue
		}
		src, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(f.Path)))
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(src)
	}
	return tests.String()
}
