package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/replay"
)

// auditReport is what another bundle would make of the images that are stored.
type auditReport struct {
	// Images are names that can be pulled: one image under two tags is two.
	Images int64 `json:"images"`
	// Stopped can be pulled now and could not be, Freed the other way round.
	// Undecided have no answer by the other bundle, and Skipped none by the one in force.
	Stopped   int64 `json:"stopped"`
	Freed     int64 `json:"freed"`
	Undecided int64 `json:"undecided"`
	Skipped   int64 `json:"skipped"`
	// Projects are those where something would change, the most touched first.
	Projects []*auditProject `json:"projects"`
	// Report is rule by rule; a request is an image's name.
	Report replay.Report `json:"report"`
}

// auditProject is one project with something that would change.
type auditProject struct {
	Project   string `json:"project"`
	Owner     string `json:"owner,omitempty"`
	Images    int64  `json:"images"`
	Stopped   int64  `json:"stopped"`
	Freed     int64  `json:"freed"`
	Undecided int64  `json:"undecided"`
	// Rules are how many images each rule stops or frees.
	Rules map[string]int64 `json:"rules"`
}

// auditing counts by project while the cases pass.
type auditing struct {
	images   map[string]int64
	projects map[string]*auditProject
	skipped  int64
}

func newAuditing() *auditing {
	return &auditing{images: map[string]int64{}, projects: map[string]*auditProject{}}
}

// each is told of a case that changed.
func (a *auditing) each(c *replay.Case, kind string, rules []string) {
	if kind == replay.Changed {
		return // it can be pulled as before, or cannot
	}
	p := a.projects[c.Project]
	if p == nil {
		p = &auditProject{Project: c.Project, Owner: c.Owner, Rules: map[string]int64{}}
		a.projects[c.Project] = p
	}
	switch kind {
	case replay.NewlyDenied:
		p.Stopped++
	case replay.NewlyAllowed:
		p.Freed++
	default:
		p.Undecided++
	}
	for _, rule := range rules {
		p.Rules[rule]++
	}
}

func (a *auditing) report(r replay.Report) auditReport {
	out := auditReport{
		Images: r.Recorded.Requests, Stopped: r.NewlyDenied.Requests, Freed: r.NewlyAllowed.Requests,
		Undecided: r.Undecided.Requests, Skipped: a.skipped, Report: r,
		Projects: slices.Collect(maps.Values(a.projects)),
	}
	for _, p := range out.Projects {
		p.Images = a.images[p.Project]
	}
	slices.SortFunc(out.Projects, func(x, y *auditProject) int {
		return cmp.Or(cmp.Compare(y.Stopped+y.Undecided, x.Stopped+x.Undecided), cmp.Compare(y.Freed, x.Freed), strings.Compare(x.Project, y.Project))
	})
	return out
}

// maxImageLine bounds what is known of one image, in bytes: a manifest has 4 MiB at most.
const maxImageLine = 64 << 20

// errPartial is an inventory that broke off: a part of it is no audit.
var errPartial = errors.New("the server broke off its list of images: ask again")

// cases are the images of a stream of the API, and count as they pass.
func (a *auditing) cases(stream io.Reader) iter.Seq2[replay.Case, error] {
	at := time.Now().UTC().Truncate(time.Second)
	return func(yield func(replay.Case, error) bool) {
		lines := bufio.NewScanner(stream)
		lines.Buffer(make([]byte, 0, 64<<10), maxImageLine)
		for lines.Scan() {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			var image api.InventoryImage
			if err := json.Unmarshal(lines.Bytes(), &image); err != nil {
				yield(replay.Case{}, fmt.Errorf("understand the server's list of images: %w", err))
				return
			}
			switch image.Kind {
			case "image":
			case "end":
				return
			default:
				yield(replay.Case{}, errPartial)
				return
			}
			if !yield(a.pass(&image, at), nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(replay.Case{}, fmt.Errorf("read the server's list of images: %w", err))
			return
		}
		yield(replay.Case{}, errPartial)
	}
}

// pass counts an image and makes a case of it.
func (a *auditing) pass(i *api.InventoryImage, at time.Time) replay.Case {
	a.images[i.Project]++
	c := replay.Case{
		ID: imageName(i), At: at, Count: 1, Action: policy.ManifestPull,
		Project: i.Project, Owner: i.Owner, Repository: i.Repository, Reference: i.Reference, Digest: i.Digest,
		Raw: i.Input, Packs: i.Packs, Was: i.Now,
	}
	if i.Outage != "" {
		a.skipped++
		c.Skip = replay.SkipOutage
	}
	return c
}

// imageName is an image as people write it.
func imageName(i *api.InventoryImage) string {
	if strings.Contains(i.Reference, ":") {
		return i.Repository + "@" + i.Reference
	}
	return i.Repository + ":" + i.Reference
}
