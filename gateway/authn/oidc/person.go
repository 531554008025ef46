package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

const (
	maxSubject = 255 // OpenID Connect Core 1.0, section 2
	maxName    = 255
	// maxAnswer bounds what is read of a list of groups, in bytes.
	maxAnswer = 4 << 20
)

// person is who the verified claims are about. access is the access token that
// came with them; nil where there was none.
func (p *Provider) person(ctx context.Context, subject string, claims map[string]any, access *oauth2.Token) (policy.Principal, authn.Profile, error) {
	none := func(err error) (policy.Principal, authn.Profile, error) {
		return policy.Principal{}, authn.Profile{}, err
	}
	if !presentable(subject, maxSubject) {
		return none(p.refused("its subject is empty, too long or has control characters"))
	}
	if p.cfg.UserInfo && access != nil {
		more, err := p.userInfo(ctx, subject, access)
		if err != nil {
			return none(err)
		}
		claims = completed(claims, more, p.cfg.GroupsClaim)
	}
	groups, err := p.groups(ctx, claims, access)
	if err != nil {
		return none(err)
	}
	who := policy.Principal{
		Workspace: p.cfg.Workspace, Issuer: p.cfg.Issuer, ID: subject, Name: p.name(claims),
		Kind: policy.KindUser, Auth: policy.AuthOIDC, Groups: groups,
	}
	for _, name := range p.cfg.Claims {
		if v, ok := claims[name]; ok && (name != "email" || verifiedEmail(claims) != "") {
			if who.Claims == nil {
				who.Claims = map[string]any{}
			}
			who.Claims[name] = v
		}
	}
	return who, authn.Profile{Email: verifiedEmail(claims), RealName: text(claims, "name")}, nil
}

// name is what people call the person; empty for the subject.
func (p *Provider) name(claims map[string]any) string {
	if p.cfg.UsernameClaim == "email" {
		return verifiedEmail(claims)
	}
	v, _ := lookup(claims, p.cfg.UsernameClaim)
	s, _ := v.(string)
	if !presentable(s, maxName) {
		return ""
	}
	return s
}

// verifiedEmail is empty unless the provider says that the address is the
// person's. Some say it in a string.
func verifiedEmail(claims map[string]any) string {
	if v := claims["email_verified"]; v != true && v != "true" {
		return ""
	}
	return text(claims, "email")
}

func text(claims map[string]any, name string) string {
	if s, _ := claims[name].(string); presentable(s, maxName) {
		return s
	}
	return ""
}

func presentable(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// completed adds to the ID token's claims those that only userinfo has. What the
// token says of groups being elsewhere is answered by userinfo, if that has them.
func completed(token, more map[string]any, path string) map[string]any {
	all := maps.Clone(token)
	for name, v := range more {
		if _, there := all[name]; !there {
			all[name] = v
		}
	}
	if _, there := lookup(more, path); path != "" && there && !overage(more, path) && overage(all, path) {
		root, _, _ := strings.Cut(path, ".")
		for name := range all {
			if name == "hasgroups" || name == "_claim_names" || strings.HasPrefix(name, root+":src") || strings.HasPrefix(name, path+":src") {
				delete(all, name)
			}
		}
		for _, name := range []string{path, root} {
			if v, ok := more[name]; ok {
				all[name] = v
			}
		}
	}
	return all
}

// groups are the person's; asked for at GroupsURL when the token left them out.
func (p *Provider) groups(ctx context.Context, claims map[string]any, access *oauth2.Token) ([]string, error) {
	groups, err := groupsAt(claims, p.cfg.GroupsClaim)
	switch {
	case errors.Is(err, errOverage) && p.cfg.GroupsURL != "" && access != nil:
		return p.listGroups(ctx, access)
	case errors.Is(err, errOverage) && access == nil:
		return nil, p.refused(err.Error() + ", and a login by an ID token alone cannot ask for them: " +
			"let the provider give only the groups that are assigned to the application")
	case errors.Is(err, errOverage):
		return nil, p.refused(err.Error() + ": configure userinfo or groups_url, " +
			"or let the provider give only the groups that are assigned to the application")
	case err != nil:
		return nil, p.refused(err.Error())
	}
	if _, there := lookup(claims, p.cfg.GroupsClaim); !there && p.cfg.GroupsClaim != "" && p.cfg.UserInfo && access == nil {
		return nil, p.refused("its ID token has no groups, and a login by an ID token alone cannot ask userinfo for them: " +
			"let the provider put them into the ID token")
	}
	return groups, nil
}

// userInfo asks the provider's userinfo endpoint, which must speak of the same
// person (OpenID Connect Core 1.0, section 5.3.2).
func (p *Provider) userInfo(ctx context.Context, subject string, access *oauth2.Token) (map[string]any, error) {
	meta, err := p.metadata(ctx)
	if err != nil {
		return nil, err
	}
	endpoint := oidc.ProviderConfig{
		IssuerURL: p.cfg.Issuer, UserInfoURL: meta.UserinfoEndpoint, JWKSURL: meta.JWKSURI,
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.cfg.Client), patience)
	defer cancel()
	info, err := endpoint.NewProvider(ctx).UserInfo(ctx, oauth2.StaticTokenSource(access))
	if err != nil { // its words have the answer's body in them
		return nil, p.away(errors.New("its userinfo endpoint does not tell who this is"))
	}
	if info.Subject != subject {
		return nil, p.refused("its userinfo is about somebody else")
	}
	claims := map[string]any{}
	if err := info.Claims(&claims); err != nil {
		return nil, p.away(errors.New("its userinfo endpoint does not tell who this is"))
	}
	return claims, nil
}

// listGroups asks GroupsURL, as Microsoft Graph's getMemberObjects is asked.
func (p *Provider) listGroups(ctx context.Context, access *oauth2.Token) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.cfg.GroupsURL, strings.NewReader(`{"securityEnabledOnly":false}`))
	if err != nil {
		return nil, p.away(errors.New("the address for groups is not one"))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	access.SetAuthHeader(req)
	resp, err := p.cfg.Client.Do(req)
	if err != nil {
		return nil, p.away(fmt.Errorf("asking for groups: %w", err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, p.away(fmt.Errorf("asking for groups: %s", resp.Status))
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(raw) > maxAnswer {
		return nil, p.away(errors.New("asking for groups: the answer is broken off or too long"))
	}
	var answer map[string]any
	if json.NewDecoder(bytes.NewReader(raw)).Decode(&answer) != nil {
		return nil, p.away(errors.New("asking for groups: the answer is not JSON"))
	}
	if _, more := answer["@odata.nextLink"]; more || !slices.Contains(slices.Collect(maps.Keys(answer)), "value") {
		return nil, p.away(errors.New("asking for groups: the answer has not all of them"))
	}
	groups, err := groupsAt(answer, "value")
	if err != nil {
		return nil, p.refused(err.Error())
	}
	return groups, nil
}
