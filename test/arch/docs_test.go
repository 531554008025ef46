package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A row of the failure table is a promise, and a promise names its test.
func TestEachRowOfTheFailureTableNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "failure.md"))
	if err != nil {
		t.Fatal(err)
	}
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
	all, rows := tests.String(), 0
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what fails") {
			continue
		}
		rows++
		names := named.FindAllStringSubmatch(line, -1)
		if len(names) == 0 {
			t.Errorf("a row without a test: %s", line)
		}
		for _, name := range names {
			if !strings.Contains(all, "func "+name[1]+"(t *testing.T)") {
				t.Errorf("%s does not exist, and is to show: %s", name[1], line)
			}
		}
	}
	if rows == 0 {
		t.Error("no table was found")
	}
}
