package metadata

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
)

// No query of a request's path may read a whole table or sort one.
func TestQueriesOfThePullPathUseIndexes(t *testing.T) {
	s := open(t, Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "b.db")})
	for what, query := range map[string]string{
		"an artifact":             artifactQuery,
		"a page of tags":          tagsQuery,
		"a page of repositories":  repositoriesQuery,
		"the manifests of a blob": blobManifestsQuery,
		"referrers":               referrersQuery,
		"all tags":                tagLinksQuery,
		"the grants of a project": projectGrantsQuery,
	} {
		args := []any{"default", "a/b", "c", 10}[:strings.Count(query, "$4")+3]
		if !strings.Contains(query, "$3") {
			args = args[:2]
		}
		if what == "a page of repositories" {
			args = []any{"default", "a", 10}
		}
		rows, err := s.reads.rows(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		steps, err := collect(rows, err, func(rows *sql.Rows) (step string, err error) {
			var id, parent, unused int
			return step, rows.Scan(&id, &parent, &unused, &step)
		})
		must(t, err)
		for _, step := range steps {
			if strings.Contains(step, "SEARCH m ") && !strings.Contains(step, "project=?") {
				t.Errorf("%s: reads those of all projects: %s", what, step)
			}
			if strings.HasPrefix(step, "SCAN") && step != "SCAN CONSTANT ROW" || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s", what, step)
			}
		}
	}
}
