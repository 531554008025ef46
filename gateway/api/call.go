package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// maxBody bounds a request body, in bytes.
const maxBody = 1 << 20

// call is one request on its way through the API.
type call struct {
	r      *http.Request
	caller authn.Caller
	now    time.Time
	body   any
	err    error
}

func (c *call) workspace() string {
	if w := c.caller.Principal.Workspace; w != "" {
		return w
	}
	return policy.DefaultWorkspace
}

func (c *call) path(name string) string  { return c.r.PathValue(name) }
func (c *call) query(name string) string { return c.r.URL.Query().Get(name) }

// read checks the parts of the request that do not depend on the route's
// meaning: known query parameters, JSON of the route's own shape, a bounded body.
func (c *call) read(r route) error {
	for name := range c.r.URL.Query() {
		if !slices.Contains(r.query, name) {
			return errcode.New(errcode.BadRequest, fmt.Sprintf("unknown query parameter %q", name))
		}
	}
	// A DELETE has no form that another site could send.
	if !safe(c.r.Method) && c.r.Method != http.MethodDelete {
		// A browser sends no such type across sites without asking first.
		kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
		if err != nil || kind != "application/json" {
			return errcode.New(errcode.BadRequest, "Content-Type must be application/json").
				WithStatus(http.StatusUnsupportedMediaType)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(c.r.Body, maxBody+1))
	switch {
	case err != nil:
		return errcode.New(errcode.BadRequest, "the body could not be read").Because(err)
	case len(raw) > maxBody:
		return errcode.New(errcode.TooLarge, "the body is larger than 1 MiB")
	case r.body == nil && len(raw) > 0:
		return errcode.New(errcode.BadRequest, "no body is expected")
	case r.body == nil:
		return nil
	}
	c.body = r.body()
	return decode(raw, c.body)
}

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// decode reads exactly one JSON value of the body's type.
func decode(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errcode.New(errcode.BadRequest, "the body does not fit: "+err.Error())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errcode.New(errcode.BadRequest, "the body is more than one JSON value")
	}
	return nil
}

// number reads a query parameter between 1 and high; def when it is not there.
func (c *call) number(name string, def, high int) (int, error) {
	s := c.query(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > high {
		return 0, fmt.Errorf("%w: %s must be a number from 1 to %d", policy.ErrInvalid, name, high)
	}
	return n, nil
}
