package oci

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// listTags serves the tags of a repository, a page at a time, in byte order.
func (p *Protocol) listTags(ctx context.Context, c *call) error {
	if err := c.carries(policy.TagsList); err != nil {
		return err
	}
	if err := p.decide(ctx, c, c.request(policy.TagsList), nil); err != nil {
		return err
	}
	want, err := p.page(c)
	if err != nil {
		return err
	}
	exists, err := p.index.RepositoryExists(ctx, c.repo)
	if err != nil {
		return err
	}
	if !exists {
		return nameUnknown()
	}
	tags := []string{}
	if want.size > 0 {
		found, err := p.index.Tags(ctx, c.repo, want.after, want.size+1)
		if err != nil {
			return err
		}
		tags = append(tags, found...)
	}
	if len(tags) > want.size {
		tags = tags[:want.size]
		c.link(ociroute.TagsPath(c.repo.Name, strconv.Itoa(want.size), tags[len(tags)-1]))
	}
	body, err := json.Marshal(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.repo.Name, tags})
	if err != nil {
		return err
	}
	c.writeJSON(http.StatusOK, "application/json", body)
	return nil
}
