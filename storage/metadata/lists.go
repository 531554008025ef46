package metadata

import (
	"context"
	"database/sql"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

const (
	tagsQuery = `SELECT name FROM tags
		WHERE workspace = $1 AND repository = $2 AND name > $3 ORDER BY name LIMIT $4`
	repositoriesQuery = `SELECT name FROM repositories
		WHERE workspace = $1 AND name > $2 ORDER BY name LIMIT $3`
	tagLinksQuery = `SELECT workspace, repository, name, digest FROM tags
		WHERE (workspace, repository, name) > ($1, $2, $3)
		ORDER BY workspace, repository, name LIMIT $4`
)

// Tags lists at most limit tags of a repository that come after the given one
// in byte order. A page costs the same wherever it is.
func (s *Store) Tags(ctx context.Context, repo policy.Repository, after string, limit int) ([]string, error) {
	repo = canonical(repo)
	if limit <= 0 {
		return nil, nil
	}
	rows, err := s.reads.rows(ctx, tagsQuery, repo.Workspace, repo.Name, after, limit)
	tags, err := collect(rows, err, scanString[string])
	return tags, wrap(err, "tags of %s", repo)
}

// Repositories lists at most limit repositories of a workspace that come after
// the given one in byte order.
func (s *Store) Repositories(ctx context.Context, workspace, after string, limit int) ([]string, error) {
	if limit <= 0 {
		return nil, nil
	}
	rows, err := s.reads.rows(ctx,
		repositoriesQuery, workspaceOf(workspace), after, limit)
	names, err := collect(rows, err, scanString[string])
	return names, wrap(err, "list repositories")
}

// RepositoryCounts is how many repositories each project of a workspace has; one
// without any is not in it.
func (s *Store) RepositoryCounts(ctx context.Context, workspace string) (map[string]int, error) {
	project := "substr(name, 1, instr(name || '/', '/') - 1)"
	if s.source.postgres {
		project = "split_part(name, '/', 1)"
	}
	rows, err := s.reads.rows(ctx, "SELECT "+project+", COUNT(*) FROM repositories WHERE workspace = $1 GROUP BY 1", workspaceOf(workspace))
	counts := map[string]int{}
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var name string
		var n int
		err = rows.Scan(&name, &n)
		counts[name] = n
		return
	})
	return counts, wrap(err, "count the repositories of all projects")
}

// CountRepositories is how many repositories a project has.
func (s *Store) CountRepositories(ctx context.Context, workspace, project string) (n int, err error) {
	// A zero is the next byte after the slash.
	err = s.reads.row(ctx, `SELECT COUNT(*) FROM repositories
		WHERE workspace = $1 AND (name = $2 OR (name >= $3 AND name < $4))`,
		workspaceOf(workspace), project, project+"/", project+"0").Scan(&n)
	return n, wrap(err, "count the repositories of project %q", project)
}

// RepositoryExists reports whether a manifest was ever pushed to the repository.
func (s *Store) RepositoryExists(ctx context.Context, repo policy.Repository) (bool, error) {
	repo = canonical(repo)
	key := cacheKey{cachedRepository, repo, ""}
	if _, ok := s.cache.get(key); ok {
		return true, nil
	}
	t := s.cache.begin(repo)
	var found bool
	err := s.reads.row(ctx, "SELECT EXISTS (SELECT 1 FROM repositories WHERE workspace = $1 AND name = $2)",
		repo.Workspace, repo.Name).Scan(&found)
	if found && err == nil {
		s.cache.install(t, key, true, 0)
	}
	return found, wrap(err, "repository %s", repo)
}

// tagLink is one row of tags.
type tagLink struct {
	repo policy.Repository
	tag  string
	to   digest.Digest
}

const tagLinkPage = 1000

// TagLinks calls fn for every tag of every workspace, in order, and stops at its
// first error. It reads page by page: fn may take its time.
func (s *Store) TagLinks(ctx context.Context, fn func(repo policy.Repository, tag string, d digest.Digest) error) error {
	var last tagLink
	for {
		rows, err := s.reads.rows(ctx, tagLinksQuery,
			last.repo.Workspace, last.repo.Name, last.tag, tagLinkPage)
		page, err := collect(rows, err, func(rows *sql.Rows) (l tagLink, err error) {
			return l, rows.Scan(&l.repo.Workspace, &l.repo.Name, &l.tag, &l.to)
		})
		if err != nil {
			return wrap(err, "read tags")
		}
		for _, l := range page {
			if err := fn(l.repo, l.tag, l.to); err != nil {
				return err
			}
			last = l
		}
		if len(page) < tagLinkPage {
			return nil
		}
	}
}
