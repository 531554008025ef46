package oci

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

const (
	// catalogBatch is how many names are read at a time.
	catalogBatch = 500
	// catalogProjects is about how many projects one request asks. What is behind
	// them is on the next page.
	catalogProjects = 2000
)

// listCatalog serves the names of the repositories that the caller may see. Every
// project is asked about once per request.
func (p *Protocol) listCatalog(ctx context.Context, c *call) error {
	if err := c.carries(policy.CatalogList); err != nil {
		return err
	}
	if err := p.decide(ctx, c, c.request(policy.CatalogList), nil); err != nil {
		return err
	}
	want, err := p.page(c)
	if err != nil {
		return err
	}
	walk := catalogWalk{p: p, c: c, after: want.after, seen: map[string]bool{}}
	names := []string{}
	if want.size > 0 {
		if names, err = walk.collect(ctx, want.size+1); err != nil {
			return err
		}
	}
	switch {
	case len(names) > want.size:
		names = names[:want.size]
		c.link(ociroute.CatalogPath(strconv.Itoa(want.size), names[len(names)-1]))
	case walk.more:
		c.link(ociroute.CatalogPath(strconv.Itoa(want.size), walk.after))
	}
	body, err := json.Marshal(struct {
		Repositories []string `json:"repositories"`
	}{names})
	if err != nil {
		return err
	}
	c.writeJSON(http.StatusOK, "application/json", body)
	return nil
}

// catalogWalk goes through all names and keeps those that may be seen.
type catalogWalk struct {
	p     *Protocol
	c     *call
	after string
	// seen are the projects that were asked about, and the answers.
	seen map[string]bool
	// more says that the walk ended before the names did.
	more bool
}

func (w *catalogWalk) collect(ctx context.Context, limit int) ([]string, error) {
	out := []string{}
	for {
		batch, err := w.p.index.Repositories(ctx, w.c.repo.Workspace, w.after, catalogBatch)
		if err != nil {
			return nil, err
		}
		if len(batch) == 0 {
			return out, nil
		}
		skipped := false
		for _, name := range batch {
			if len(w.seen) >= catalogProjects {
				w.more = true
				return out, nil
			}
			visible, err := w.visible(ctx, name)
			if err != nil {
				return nil, err
			}
			w.after = name
			if visible {
				if out = append(out, name); len(out) == limit {
					return out, nil
				}
				continue
			}
			// What else is in a project that may not be seen is not read at all:
			// '~' sorts behind every character of a name.
			if project := (policy.Repository{Name: name}).Project(); project != name {
				w.after, skipped = project+"/~", true
				break
			}
		}
		if !skipped && len(batch) < catalogBatch {
			return out, nil
		}
	}
}

// visible asks whether the caller may list what is in the repository's project.
func (w *catalogWalk) visible(ctx context.Context, name string) (bool, error) {
	repo := policy.Repository{Workspace: w.c.repo.Workspace, Name: name}
	project := repo.Project()
	if visible, ok := w.seen[project]; ok {
		return visible, nil
	}
	req := w.c.request(policy.CatalogList)
	req.Repository, req.Purpose = repo, policy.Inspect
	d, err := w.p.gate.Admit(ctx, req)
	if err != nil {
		return false, err
	}
	visible := d.Allowed() && d.Visible
	w.seen[project] = visible
	return visible, nil
}
