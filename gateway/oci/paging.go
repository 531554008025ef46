package oci

import (
	"strconv"

	"github.com/bondgate/bondgate/gateway/errcode"
)

// maxLast is the longest name that a page can begin after.
const maxLast = 256

// page is which part of a list is asked for.
type page struct {
	after string
	size  int
}

// page reads "n" and "last". A larger n than is allowed gets the largest page,
// and a link to the next.
func (p *Protocol) page(c *call) (page, error) {
	out := page{after: c.route.Value("last"), size: p.limits.Page}
	if len(out.after) > maxLast {
		return out, errcode.New(errcode.PageInvalid, "last is longer than any name")
	}
	text := c.route.Value("n")
	if text == "" {
		return out, nil
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return out, errcode.New(errcode.PageInvalid, "n is not a number")
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > p.limits.MaxPage {
		n = p.limits.MaxPage // more digits than an integer has are more than is allowed
	}
	out.size = n
	return out, nil
}

// link puts the address of the next page into the answer.
func (c *call) link(path string) {
	c.w.Header().Set("Link", "<"+path+`>; rel="next"`)
}
