package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"strconv"

	"github.com/bondgate/bondgate/policy"
)

// metadataKey is what Harbor's settings of a project are called.
var metadataKey = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

const metadataPublic = "public"

func checkMetadata(m map[string]string) error {
	if len(m) > 64 {
		return refuse("a project has at most 64 settings")
	}
	for k, v := range m {
		if !metadataKey.MatchString(k) {
			return refuse("a setting's name is 1 to 64 of a-z 0-9 _: %s", show(k))
		}
		if err := checkText("a setting's value", v, maxText); err != nil {
			return err
		}
		if k == metadataPublic {
			if _, err := strconv.ParseBool(v); err != nil {
				return refuse("public is true or false, not %s", show(v))
			}
		}
	}
	return nil
}

func (a *API) harborMetadata(c *call) (plan, error) {
	p, err := a.detailOf(c)
	return plan{project: p.Name, id: cmp.Or(p.Name, c.path("project_name_or_id")), do: func(context.Context) (any, error) {
		return metadataOf(p), nil
	}}, err
}

func (a *API) harborReadMetadata(c *call) (plan, error) {
	p, err := a.detailOf(c)
	name := c.path("meta_name")
	value, there := metadataOf(p)[name]
	if err == nil && !there {
		err = fmt.Errorf("find setting %s: %w", name, policy.ErrNotFound)
	}
	return plan{project: p.Name, id: name, do: func(context.Context) (any, error) {
		return map[string]string{name: value}, nil
	}}, err
}

// setMetadata changes settings; with one name (of the path) the body names that one
// alone.
func (a *API) setMetadata(c *call, only string) (plan, error) {
	body, _ := c.body.(*map[string]string)
	if err := checkMetadata(*body); err != nil {
		return plan{}, err
	}
	if _, named := (*body)[only]; only != "" && (!named || len(*body) != 1) {
		return plan{}, refuse("the body names %s and nothing else", show(only))
	}
	was, err := a.detailOf(c)
	if err != nil {
		return plan{project: was.Name, id: c.path("project_name_or_id")}, err
	}
	now := was
	if now.Metadata = maps.Clone(was.Metadata); now.Metadata == nil {
		now.Metadata = map[string]string{}
	}
	if err := (&HarborProjectRequest{Metadata: *body}).into(&now); err != nil {
		return plan{project: was.Name, id: was.Name}, err
	}
	return a.changed(c, was, now), nil
}

func (a *API) harborAddMetadata(c *call) (plan, error) { return a.setMetadata(c, "") }

func (a *API) harborPutMetadata(c *call) (plan, error) { return a.setMetadata(c, c.path("meta_name")) }

func (a *API) harborDeleteMetadata(c *call) (plan, error) {
	name := c.path("meta_name")
	if name == metadataPublic {
		return plan{}, refuse("a project is public or it is not; set it to false")
	}
	was, err := a.detailOf(c)
	if err != nil {
		return plan{project: was.Name, id: name}, err
	}
	now := was
	now.Metadata = maps.Clone(was.Metadata)
	if _, there := now.Metadata[name]; !there {
		return plan{project: was.Name, id: name}, fmt.Errorf("find setting %s: %w", name, policy.ErrNotFound)
	}
	delete(now.Metadata, name)
	return a.changed(c, was, now), nil
}
