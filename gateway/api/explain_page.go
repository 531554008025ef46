package api

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// DecisionPage explains one decision in words to whoever was denied: GET and HEAD of
// /d/ID. The gate is asked as for the decision in the API; whoever may not read it
// is told what is told of one that does not exist.
func (a *API) DecisionPage() DecisionPage { return DecisionPage{api: a} }

// DecisionPage is a handler of the edge.
type DecisionPage struct{ api *API }

// noDecision is the one answer for what is not there and for what is not the
// caller's to read.
func noDecision() *errcode.Error { return errcode.New(errcode.NotFound, "no such decision") }

// Serve answers for one decision, or gives back the error that the edge is to write.
func (p DecisionPage) Serve(w http.ResponseWriter, r *http.Request, caller authn.Caller) error {
	if caller.Scoped {
		return errcode.New(errcode.DeniedCode, "a registry token does not open the page of a decision: use a password")
	}
	if caller.Principal.Anonymous() {
		return errcode.Unauthorized("", false)
	}
	a := p.api
	c := &call{r: r, caller: caller, now: a.cfg.Now().UTC()}
	if err := a.workspaceExists(r.Context(), c.workspace()); err != nil {
		return err
	}
	rec, pl, missing := a.explained(c, strings.TrimPrefix(r.URL.Path, errcode.PathOfDecision))
	if missing != nil && !errors.Is(missing, policy.ErrNotFound) {
		return missing
	}
	err := a.admit(c, route{action: policy.DecisionRead, resource: "decision", verb: "read"}, pl)
	switch {
	case errors.Is(err, policy.ErrUnavailable):
		return err
	case err != nil:
		return noDecision()
	case missing != nil:
		return noDecision()
	}
	h := w.Header()
	strict(h)
	html := strings.Contains(r.Header.Get("Accept"), "text/html")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if html {
		h.Set("Content-Type", "text/html; charset=utf-8")
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	e, err := a.explain(r.Context(), c, rec)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if html {
		err = decisionPage.Execute(&b, tell(&e))
	} else {
		err = WriteExplanation(&b, e)
	}
	if err != nil {
		return fmt.Errorf("write the page of decision %s: %w", rec.ID, err)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b.Bytes()) // a client that went away is nobody's error
	return nil
}

// strict sets what holds for the page: nothing is loaded or run, no other site
// frames it or learns its address, and no cache keeps it.
func strict(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept, Authorization, Cookie")
}

// decisionPage has neither script nor style: the policy of the page forbids both.
var decisionPage = template.Must(template.New("decision").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>{{.Verdict}} - Bondgate</title>
<main>
<h1>{{.Verdict}}</h1>
<p>{{.What}}.</p>
<p>Decision <code>{{.ID}}</code> by bundle <code>{{.Bundle}}</code>.</p>
{{- range .Notes}}
<p role="note">{{.}}</p>
{{- end}}
{{- range .Reasons}}
<section>
<h2>{{.Effect}}: {{.Code}}{{if .Term}} <code>{{.Term}}</code>{{end}}</h2>
<p>{{.Message}}</p>
<dl>
{{- if .Title}}
<dt>Rule</dt><dd>{{.Title}}{{if .Description}}. {{.Description}}{{end}}</dd>
{{- end}}
{{- if .Place}}
<dt>Where it stands</dt><dd><code>{{.Place}}</code></dd>
{{- end}}
{{- if .Owner}}
<dt>Who answers for it</dt><dd>{{.Owner}}</dd>
{{- end}}
{{- range .Links}}
<dt>See</dt><dd><a rel="noopener noreferrer" href="{{.}}">{{.}}</a></dd>
{{- end}}
{{- if .Remediation}}
<dt>Fix</dt><dd>{{.Remediation}}</dd>
{{- end}}
{{- if .Facts}}
<dt>What it looked at</dt>
{{- range .Facts}}
<dd><code>{{.Path}}</code> = <code>{{.Value}}</code></dd>
{{- end}}
{{- end}}
{{- if .Ways}}
<dt>It passes</dt>
{{- range .Ways}}
<dd>{{range $i, $way := .}}{{if $i}}, and {{end}}{{$way}}{{end}}</dd>
{{- end}}
{{- end}}
{{- if .Waiver}}
<dt>A waiver is asked for by</dt><dd><code>{{.Waiver}}</code></dd>
{{- end}}
</dl>
</section>
{{- else}}
<p>No rule had anything to say.</p>
{{- end}}
</main>
</html>
`))
