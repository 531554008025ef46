package metadata

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// The inventory is read in two steps a page: which manifests come next and how large
// their facts are, then the facts, of as many as fit. So one page is bounded in
// bytes too, and no statement runs for long.
const (
	inventoryPage  = 256
	inventoryBytes = 4 << 20
)

// inventoryKeys are the next manifests of a workspace after a key ($2, $3).
// octet_length is spelt so in both databases.
const inventoryKeys = `SELECT repository, digest, octet_length(body) FROM artifacts
	WHERE workspace = $1 AND (repository, digest) > ($2, $3)
	ORDER BY repository, digest LIMIT $4`

// inventoryProjectKeys are those of a project: of the repository $5 that is called so
// and of those below it, from $6 to before $7. Other names can sort between the two.
const inventoryProjectKeys = `SELECT repository, digest, octet_length(body) FROM artifacts
	WHERE workspace = $1 AND (repository, digest) > ($2, $3) AND repository < $7 AND (repository = $5 OR repository >= $6)
	ORDER BY repository, digest LIMIT $4`

// inventoryFacts reads the manifests from one key ($2, $3) to another ($4, $5) with
// what hangs on them, in one statement: one snapshot.
const inventoryFacts = `
WITH page AS MATERIALIZED (SELECT repository, digest, body, pushed_by, pushed_at FROM artifacts
	WHERE workspace = $1 AND (repository, digest) >= ($2, $3) AND (repository, digest) <= ($4, $5))
SELECT 'artifact', repository, digest, body, pushed_by, pushed_at FROM page
UNION ALL SELECT 'tag', p.repository, p.digest, t.name, '', 0 FROM page p
	CROSS JOIN tags t WHERE t.digest = p.digest AND t.workspace = $1 AND t.repository = p.repository
UNION ALL SELECT 'alias', p.repository, p.digest, a.alias, '', 0 FROM page p
	CROSS JOIN aliases a WHERE a.digest = p.digest AND a.workspace = $1 AND a.repository = p.repository
UNION ALL SELECT 'parent', p.repository, p.digest, c.digest, '', 0 FROM page p
	CROSS JOIN manifest_children c WHERE c.workspace = $1 AND c.repository = p.repository AND c.child = p.digest
UNION ALL SELECT 'referrers', p.repository, p.digest, '', '', COUNT(*) FROM page p
	CROSS JOIN artifacts r WHERE r.workspace = $1 AND r.repository = p.repository AND r.subject = p.digest AND r.subject <> ''
	GROUP BY p.repository, p.digest`

// inventoryKey is a manifest in the order of the inventory, with the size of its facts.
type inventoryKey struct {
	repository, digest string
	size               int64
}

// Inventory calls fn with every manifest of a workspace, or of one project, by
// repository and digest, and stops at its first error. It reads page by page and not
// through the memory of what is pulled: fn may take its time. What is pushed or
// deleted meanwhile is there or is not. The artifacts are sealed.
func (s *Store) Inventory(ctx context.Context, workspace, project string, fn func(*policy.Artifact) error) error {
	workspace = workspaceOf(workspace)
	last := inventoryKey{repository: project}
	for {
		keys, err := s.inventoryKeys(ctx, workspace, project, last)
		if err != nil {
			return wrap(err, "read the inventory")
		}
		full := len(keys) == inventoryPage
		for len(keys) > 0 {
			n, size := 1, keys[0].size
			for n < len(keys) && size+keys[n].size <= inventoryBytes && (keys[0].repository == project) == (keys[n].repository == project) {
				size += keys[n].size
				n++
			}
			page, err := s.inventoryFacts(ctx, workspace, keys[0], keys[n-1])
			if err != nil {
				return wrap(err, "read the inventory")
			}
			for _, a := range page {
				if err := fn(a); err != nil {
					return err
				}
			}
			last, keys = keys[n-1], keys[n:]
		}
		if !full {
			return nil
		}
	}
}

func (s *Store) inventoryKeys(ctx context.Context, workspace, project string, after inventoryKey) ([]inventoryKey, error) {
	query, args := inventoryKeys, []any{workspace, after.repository, after.digest, inventoryPage}
	if project != "" {
		// A zero is the next byte after the slash.
		query, args = inventoryProjectKeys, append(args, project, project+"/", project+"0")
	}
	rows, err := s.reads.rows(ctx, query, args...)
	return collect(rows, err, func(rows *sql.Rows) (k inventoryKey, err error) {
		return k, rows.Scan(&k.repository, &k.digest, &k.size)
	})
}

func (s *Store) inventoryFacts(ctx context.Context, workspace string, first, last inventoryKey) ([]*policy.Artifact, error) {
	found := map[inventoryKey]*policy.Artifact{}
	at := func(repository, d string) *policy.Artifact {
		k := inventoryKey{repository: repository, digest: d}
		if found[k] == nil {
			found[k] = &policy.Artifact{}
		}
		return found[k]
	}
	rows, err := s.reads.rows(ctx, inventoryFacts, workspace, first.repository, first.digest, last.repository, last.digest)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var what, repository, d, text, by string
		var n int64
		if err = rows.Scan(&what, &repository, &d, &text, &by, &n); err != nil {
			return
		}
		a := at(repository, d)
		if what == rowArtifact {
			a.Repository = policy.Repository{Workspace: workspace, Name: repository}
		}
		if err = take(a, what, text, by, n); err != nil {
			err = fmt.Errorf("facts of %s@%s: %w", repository, d, err)
		}
		return
	})
	if err != nil {
		return nil, err
	}
	page := make([]*policy.Artifact, 0, len(found))
	for _, a := range found {
		page = append(page, whole(a))
	}
	slices.SortFunc(page, func(a, b *policy.Artifact) int {
		return cmp.Or(strings.Compare(a.Repository.Name, b.Repository.Name), strings.Compare(string(a.Digest), string(b.Digest)))
	})
	return page, nil
}
