package harness

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Visitor is a browser without scripts: it keeps cookies, follows redirects and
// sends forms.
type Visitor struct {
	t      testing.TB
	client *http.Client
	// Stop ends the following of redirects at an address that it answers true for.
	Stop func(*url.URL) bool
}

// NewVisitor has no cookies yet.
func NewVisitor(t testing.TB) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &Visitor{t: t}
	v.client = &http.Client{Jar: jar, Timeout: Patience, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if (v.Stop != nil && v.Stop(req.URL)) || len(via) > 20 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return v
}

// Page is what a visitor sees.
type Page struct {
	Status int
	// URL is where the redirects led.
	URL    *url.URL
	Header http.Header
	Body   string

	visitor *Visitor
}

// Get opens an address.
func (v *Visitor) Get(address string) Page {
	v.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do(req)
}

// Cookies are those that the visitor would send to the address.
func (v *Visitor) Cookies(address string) []*http.Cookie {
	u, err := url.Parse(address)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.client.Jar.Cookies(u)
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*\saction="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input[^>]*>`)
	nameIn   = regexp.MustCompile(`\sname="([^"]*)"`)
	valueIn  = regexp.MustCompile(`\svalue="([^"]*)"`)
)

// HasForm reports whether there is one to send.
func (p Page) HasForm() bool { return formTag.MatchString(p.Body) }

// Submit sends the page's first form with its hidden fields and the given ones, as
// a browser does: it says which site's page the form is of.
func (p Page) Submit(fields map[string]string) Page {
	v := p.visitor
	v.t.Helper()
	form := formTag.FindStringSubmatch(p.Body)
	if form == nil {
		v.t.Fatalf("%s has no form: %d %s", p.URL, p.Status, p.Body)
	}
	values := url.Values{}
	for _, input := range inputTag.FindAllString(form[2], -1) {
		if name := nameIn.FindStringSubmatch(input); name != nil {
			value := valueIn.FindStringSubmatch(input)
			if value == nil {
				value = []string{"", ""}
			}
			values.Set(html.UnescapeString(name[1]), html.UnescapeString(value[1]))
		}
	}
	for name, value := range fields {
		values.Set(name, value)
	}
	to, err := p.URL.Parse(html.UnescapeString(form[1]))
	if err != nil {
		v.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.URL.Scheme+"://"+p.URL.Host)
	return v.do(req)
}

// LogIn goes through the pages of an [OIDCProvider] as the person sub, and answers
// the page that follows.
func (p Page) LogIn(sub string) Page {
	p.visitor.t.Helper()
	for range 6 {
		switch {
		case strings.Contains(p.Body, `name="login"`):
			p = p.Submit(map[string]string{"login": sub, "password": "any"})
		case strings.Contains(p.Body, `name="prompt" value="consent"`), strings.Contains(p.Body, `id="op.device`),
			strings.Contains(p.Body, "<noscript>"): // a form that a script would send
			p = p.Submit(nil)
		default:
			return p
		}
	}
	p.visitor.t.Fatalf("the provider asks again and again: %s", p.Body)
	return p
}

func (v *Visitor) do(req *http.Request) Page {
	v.t.Helper()
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return Page{Status: resp.StatusCode, URL: resp.Request.URL, Header: resp.Header, Body: string(body), visitor: v}
}
