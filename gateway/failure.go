package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// started tells whether a header is out already. gin's writer knows it of its own.
func started(w http.ResponseWriter) bool {
	switch w := w.(type) {
	case *answer:
		return w.status != 0
	case interface{ Written() bool }:
		return w.Written()
	default:
		return false
	}
}

// fail writes the answer to an error, once, and logs the cause of what is not
// the client's fault.
func (e *Edge) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	answer := errcode.From(err)
	if v.body != nil && v.body.late {
		answer = errLate // whatever was made of the half that came
	}
	if answer.Status >= http.StatusInternalServerError && errors.Is(r.Context().Err(), context.Canceled) {
		// Whatever failed failed because the client hung up: an outage is none.
		answer = errcode.From(context.Canceled).Because(err)
	}
	if answer.Status >= http.StatusInternalServerError {
		e.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("request_id", v.id()),
			slog.String("action", v.label), slog.Int("status", answer.Status), slog.String("error", errcode.Line(err.Error(), 2000)))
	} else if answer.Cause != nil {
		e.cfg.Log.LogAttrs(r.Context(), slog.LevelDebug, "request refused", slog.String("request_id", v.id()),
			slog.String("action", v.label), slog.Int("status", answer.Status), slog.String("error", errcode.Line(err.Error(), 2000)))
	}
	if started(w) {
		// Whatever follows would be read as a part of the body.
		panic(cut{err})
	}
	answer = answer.Linked(e.origin(r, v))
	if answer.Code == errcode.Unauthorised {
		w.Header().Set("WWW-Authenticate", e.challenge(r, v, answer, err))
	}
	errcode.Write(w, r, answer)
}

// cut is the panic of an answer that cannot be finished.
type cut struct{ cause error }

// recovered answers for a panic: 503 when it was an outage, 500 otherwise, and
// nothing of what went wrong. The log has it.
func (e *Edge) recovered(a *answer, r *http.Request, v *visit, p any) {
	a.broken = a.status != 0
	if c, ok := p.(cut); ok && c.cause != nil {
		return // logged already
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		a.broken = true
		return
	}
	e.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("request_id", v.id()), slog.String("action", v.label),
		slog.String("panic", errcode.Line(fmt.Sprint(p), 2000)), slog.String("stack", string(debug.Stack())))
	if a.broken {
		return
	}
	answer := errcode.New(errcode.Unknown, "internal error")
	if err, ok := p.(error); ok && errors.Is(err, policy.ErrUnavailable) {
		answer = errcode.From(policy.ErrUnavailable)
	}
	errcode.Write(a, r, answer)
}

// challenge says how to get in. Under /v2/ that is the token service on the
// very host and port that was asked: clients refuse to send a password anywhere
// else. The rest of the site takes passwords.
func (e *Edge) challenge(r *http.Request, v *visit, answer *errcode.Error, err error) string {
	if v.operator || slices.Contains([]string{"token", "api", "decision", "metrics", "readyz"}, v.label) {
		return `Basic realm="Bondgate", charset="UTF-8"`
	}
	var b strings.Builder
	b.WriteString(`Bearer realm="` + e.scheme(r) + "://" + r.Host + `/token",service="` + e.cfg.Keys.Name() + `"`)
	scope := answer.Scope
	if scope == "" {
		scope = scopeOf(v)
	}
	if scope != "" && !strings.ContainsFunc(scope, unquotable) {
		b.WriteString(`,scope="` + scope + `"`)
	}
	switch {
	case answer.Insufficient:
		b.WriteString(`,error="insufficient_scope"`)
	case errors.Is(err, policy.ErrUnauthenticated) && bearer(r):
		b.WriteString(`,error="invalid_token"`)
	}
	return b.String()
}

func unquotable(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }

func bearer(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "bearer")
}

// scheme is how the client reached the host.
func (e *Edge) scheme(r *http.Request) string {
	if r.TLS != nil || e.cfg.BehindTLSProxy {
		return "https"
	}
	return "http"
}

// origin is where people reach the pages of this host: what the operator named, or
// the host that was asked, as in a challenge. The socket has no host of its own.
func (e *Edge) origin(r *http.Request, v *visit) string {
	if named := e.cfg.Origins[v.workspace]; named != "" || v.operator {
		return strings.TrimSuffix(named, "/")
	}
	if !validHost(r.Host) {
		return ""
	}
	return e.scheme(r) + "://" + r.Host
}

// scopeOf is what a token would need for the route: a client whose token has
// expired asks for exactly this.
func scopeOf(v *visit) string {
	name := v.route.Name
	switch policy.Action(v.route.Action) {
	case policy.ManifestPull, policy.BlobPull, policy.TagsList, policy.ReferrersList:
		return "repository:" + name + ":pull"
	case policy.ManifestPush, policy.BlobPush, policy.UploadStatus, policy.UploadCancel:
		return "repository:" + name + ":pull,push"
	case policy.BlobMount:
		scope := "repository:" + name + ":pull,push"
		if from := v.route.Value("from"); from != "" && from != name {
			scope += " repository:" + from + ":pull"
		}
		return scope
	case policy.ManifestDelete, policy.TagDelete, policy.BlobDelete:
		return "repository:" + name + ":delete"
	case policy.CatalogList:
		return "registry:catalog:*"
	default:
		return ""
	}
}

// log writes the line of a request: no query, which may hold what is not for
// logs, no header but the user agent, and nothing that could look like another
// line.
func (e *Edge) log(r *http.Request, v *visit, a *answer, took time.Duration) {
	if !e.cfg.Log.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	status := a.status
	if status == 0 {
		status = http.StatusOK // net/http answers so for a handler that wrote nothing
	}
	e.cfg.Log.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("request_id", v.id()), slog.String("method", errcode.Line(r.Method, 20)),
		slog.String("path", errcode.Line(r.URL.Path, 512)), slog.Int("status", status), slog.Int64("bytes", a.written),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("client", v.address),
		slog.String("user", errcode.Line(v.caller.ID, 255)), slog.String("action", v.label),
		slog.String("agent", errcode.Line(r.UserAgent(), 200)))
}
