package oidc

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
)

// content is what a page says. Everything in it is escaped where it stands.
type content struct {
	Title string
	// Ended says that there was a session.
	Ended     bool
	Providers []link
	// Name, Subject, Provider and Groups are of whoever is logged in.
	Name, Subject, Provider string
	Groups                  []string
	// Message and RequestID are of a failure.
	Message, RequestID string
}

type link struct{ Title, Path string }

// layout has neither script nor style: the policy of the page forbids both.
var layout = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Title}} - Bondgate</title>
<main>
<h1>{{.Title}}</h1>
{{- if .Message}}
<p role="alert">{{.Message}}</p>
{{- if .RequestID}}<p>Request <code>{{.RequestID}}</code></p>{{end}}
<p><a href="/login">Back to the login</a></p>
{{- else if .Subject}}
<p>You are <strong id="name">{{.Name}}</strong>, by {{.Provider}}.</p>
<dl>
<dt>Subject</dt><dd><code id="subject">{{.Subject}}</code></dd>
{{- if .Groups}}
<dt>Groups</dt>{{range .Groups}}<dd><code class="group">{{.}}</code></dd>{{end}}
{{- end}}
</dl>
<form method="post" action="/logout"><button>Log out</button></form>
{{- else}}
{{- if .Ended}}<p>Your session is over.</p>{{end}}
{{- if .Providers}}
<ul>{{range .Providers}}<li><a href="{{.Path}}">Log in with {{.Title}}</a></li>{{end}}</ul>
{{- else}}
<p>No login provider is configured. Names and passwords work where a registry client asks for them.</p>
{{- end}}
{{- end}}
</main>
</html>
`))

// strict sets what holds for every page: nothing is loaded, no other site frames
// it or learns its address, and no cache keeps it. The referrer stays within the
// site, since browsers leave the origin out of a form's request without it.
func strict(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

func write(w http.ResponseWriter, status int, c content) error {
	var b bytes.Buffer
	if err := layout.Execute(&b, c); err != nil {
		return fmt.Errorf("authn/oidc: write a page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a client that went away is nobody's error
	return nil
}
