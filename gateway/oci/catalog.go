package oci

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

const (
	// catalogBatch is how many names are read at a time.
	catalogBatch = 500
	// catalogQuestions is about how many questions one request asks. What is behind
	// them is on the next page.
	catalogQuestions = 2000
)

// listCatalog serves the names of the repositories that the caller may see.
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
	walk := catalogWalk{p: p, c: c, after: want.after, seen: map[string]sight{}}
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
	// seen are the names that were asked about, and the answers.
	seen map[string]sight
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
			if len(w.seen) >= catalogQuestions {
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
			// What is in a project that may not be seen is not read at all: '~' sorts
			// behind every character of a name.
			project := (policy.Repository{Name: name}).Project()
			if !w.seen[project].there && project != name {
				w.after, skipped = project+"/~", true
				break
			}
		}
		if !skipped && len(batch) < catalogBatch {
			return out, nil
		}
	}
}

// sight is how much of a name the caller may see.
type sight struct {
	// there is whether they may know of it, or of anything below it.
	there bool
	// listed is whether they may list it.
	listed bool
}

// visible asks whether the caller may list a repository. Most have a project or have
// it not, and two questions answer for all of its names: whether anything of it may
// be seen, and whether everything as deep in it may, by a name that no pattern but
// one of stars matches. Who has a part of it is asked about name by name.
func (w *catalogWalk) visible(ctx context.Context, name string) (bool, error) {
	project, rest, _ := strings.Cut(name, "/")
	whole, err := w.ask(ctx, project)
	if err != nil || !whole.there || rest == "" {
		return whole.listed, err
	}
	deep, err := w.ask(ctx, project+strings.Repeat("/~", strings.Count(name, "/")))
	if err != nil || deep.listed {
		return deep.listed, err
	}
	own, err := w.ask(ctx, name)
	return own.listed, err
}

func (w *catalogWalk) ask(ctx context.Context, name string) (sight, error) {
	if known, ok := w.seen[name]; ok {
		return known, nil
	}
	req := w.c.request(policy.CatalogList)
	req.Repository, req.Purpose = policy.Repository{Workspace: w.c.repo.Workspace, Name: name}, policy.Inspect
	d, err := w.p.gate.Admit(ctx, req)
	if err != nil {
		return sight{}, err
	}
	w.seen[name] = sight{there: d.Visible, listed: d.Allowed() && d.Visible}
	return w.seen[name], nil
}
