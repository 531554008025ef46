package registry

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// Repo is what the store holds of one repository.
type Repo struct {
	Repository policy.Repository
	// Manifests and Blobs are the digests that the repository links.
	Manifests, Blobs []digest.Digest
	Tags             map[string]digest.Digest
	// Damaged are the paths of links that name nothing readable, for a report.
	Damaged []string
}

// walkTries bounds how often one folder is walked again because a delete took
// something away under the walk.
const walkTries = 8

// Walk calls visit for every repository of every workspace, in the order of
// their names, and ends at its first error. Content that comes or goes
// meanwhile may or may not be seen.
func (e *Engine) Walk(ctx context.Context, visit func(context.Context, Repo) error) error {
	return e.eachRepository(ctx, func(s space, repo policy.Repository) error {
		found, err := s.describe(ctx, repo)
		if err != nil {
			return failure("walk "+repo.String(), err)
		}
		if len(found.Manifests)+len(found.Blobs)+len(found.Tags)+len(found.Damaged) == 0 {
			return nil
		}
		return visit(ctx, found)
	})
}

// Describe is what the store holds of one repository; nothing, where there is none.
func (e *Engine) Describe(ctx context.Context, repo policy.Repository) (Repo, error) {
	s, err := e.repository(repo)
	if err != nil {
		return Repo{}, err
	}
	found, err := s.describe(ctx, repo)
	if err != nil {
		return Repo{}, failure("describe "+repo.String(), err)
	}
	return found, nil
}

func (e *Engine) eachRepository(ctx context.Context, visit func(space, policy.Repository) error) error {
	workspaces := []string{policy.DefaultWorkspace}
	others, err := children(ctx, e.driver, workspacesRoot)
	if err != nil {
		return failure("list workspaces", err)
	}
	for _, other := range others {
		if validWorkspace(other) && other != policy.DefaultWorkspace {
			workspaces = append(workspaces, other)
		}
	}
	for _, workspace := range workspaces {
		s, err := e.space(workspace)
		if err != nil {
			return err
		}
		err = s.repositories(ctx, "", func(name string) error {
			return visit(s, policy.Repository{Workspace: workspace, Name: name})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// repositories finds the repositories at and below a name: folders that have
// one of the layout's own folders in them.
func (s space) repositories(ctx context.Context, name string, visit func(string) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("registry: walk repositories: %w: %w", policy.ErrUnavailable, err)
	}
	entries, err := children(ctx, s, strings.TrimSuffix(repositoriesRoot+"/"+name, "/"))
	if err != nil {
		return failure("list repositories", err)
	}
	if name != "" && slices.ContainsFunc(entries, func(e string) bool { return strings.HasPrefix(e, "_") }) {
		if err := visit(name); err != nil {
			return err
		}
	}
	for _, entry := range entries {
		if below := strings.TrimPrefix(name+"/"+entry, "/"); validName(below) {
			if err := s.repositories(ctx, below, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// children are the sorted names in a folder; none when there is no folder.
func children(ctx context.Context, driver storagedriver.StorageDriver, folder string) ([]string, error) {
	paths, err := driver.List(ctx, folder)
	if err != nil {
		if isNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		names = append(names, path.Base(p))
	}
	slices.Sort(names)
	return names, nil
}

func (s space) describe(ctx context.Context, repo policy.Repository) (Repo, error) {
	found := Repo{Repository: repo, Tags: map[string]digest.Digest{}}
	var err error
	if found.Blobs, err = s.links(ctx, layersPath(repo.Name)); err != nil {
		return Repo{}, err
	}
	if found.Manifests, err = s.links(ctx, revisionsPath(repo.Name)); err != nil {
		return Repo{}, err
	}
	if found.Damaged, err = s.tags(ctx, repo, found.Tags); err != nil {
		return Repo{}, err
	}
	return found, nil
}

// TagLinks are the tags of one repository and what they point to, without a look
// at anything else that is there.
func (e *Engine) TagLinks(ctx context.Context, repo policy.Repository) (map[string]digest.Digest, error) {
	s, err := e.repository(repo)
	if err != nil {
		return nil, err
	}
	found := map[string]digest.Digest{}
	if _, err := s.tags(ctx, repo, found); err != nil {
		return nil, failure("read the tags of "+repo.String(), err)
	}
	return found, nil
}

// tags fills in where tags point to, and answers the links that name nothing.
func (s space) tags(ctx context.Context, repo policy.Repository, into map[string]digest.Digest) (damaged []string, err error) {
	names, err := children(ctx, s, tagsPath(repo.Name))
	if err != nil {
		return nil, err
	}
	for _, tag := range names {
		if !validTag(tag) {
			continue
		}
		target, err := s.GetContent(ctx, tagLink(repo.Name, tag))
		switch {
		case isNotFound(err): // removed, or not yet pointed anywhere
		case err != nil:
			return nil, err
		case validDigest(string(target)):
			into[tag] = digest.Digest(target)
		default:
			damaged = append(damaged, tagLink(repo.Name, tag))
		}
	}
	return damaged, nil
}

// links are the digests that have a link below the folder, sorted.
func (s space) links(ctx context.Context, folder string) ([]digest.Digest, error) {
	var err error
	for range walkTries {
		var found []digest.Digest
		err = s.Walk(ctx, folder, func(info storagedriver.FileInfo) error {
			// …/sha256/<hex>/link
			parent := path.Dir(info.Path())
			hex, algorithm := path.Base(parent), path.Base(path.Dir(parent))
			if !info.IsDir() && path.Base(info.Path()) == "link" && algorithm == "sha256" && validHex(hex) {
				found = append(found, digest.NewDigestFromEncoded(digest.SHA256, hex))
			}
			return nil
		})
		if err == nil {
			slices.Sort(found)
			return found, nil
		}
		if !isNotFound(err) {
			return nil, err
		}
		if _, gone := s.Stat(ctx, folder); gone != nil && isNotFound(gone) {
			return nil, nil
		}
	}
	return nil, err
}

// PurgeUploads removes uploads that nobody has fed since before the given time,
// and what killed writes left; it tells how many uploads went. One that is
// being fed now stays, however slow.
func (e *Engine) PurgeUploads(ctx context.Context, before time.Time) (int, error) {
	if e.local != nil {
		e.local.sweep(before)
	}
	removed := 0
	err := e.eachRepository(ctx, func(s space, repo policy.Repository) error {
		ids, err := children(ctx, s, uploadsPath(repo.Name))
		if err != nil {
			return failure("list uploads of "+repo.String(), err)
		}
		for _, id := range ids {
			if !validUpload(id) {
				continue
			}
			gone, err := e.purge(ctx, s, repo, id, before)
			if err != nil {
				return failure("purge upload "+id, err)
			}
			if gone {
				removed++
			}
		}
		return nil
	})
	return removed, err
}

func (e *Engine) purge(ctx context.Context, s space, repo policy.Repository, id string, before time.Time) (bool, error) {
	held, err := e.uploads.take(sessionKey(repo, id))
	if err != nil {
		return false, nil
	}
	h := &handle{space: s, session: held, engine: e, repo: repo, id: id}
	defer h.release()
	// The folder counts, too: there is nothing in it for a moment after an upload
	// was begun. A store without folders says that it is of no time at all.
	for _, name := range []string{uploadStarted(repo.Name, id), uploadData(repo.Name, id), uploadPath(repo.Name, id)} {
		info, err := s.Stat(ctx, name)
		if err != nil && !isNotFound(err) {
			return false, err
		}
		if err == nil && !info.ModTime().Before(before) {
			return false, nil
		}
	}
	return true, h.discard(ctx)
}
