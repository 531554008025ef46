package accesstoken_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/accesstoken"
	"github.com/bondgate/bondgate/policy"
)

var now = time.Unix(1790000000, 0)

type shelf map[string]accesstoken.Token

func (s shelf) AccessTokenByHash(_ context.Context, _ string, hash []byte) (accesstoken.Token, error) {
	t, ok := s[string(hash)]
	if !ok {
		return t, policy.ErrNotFound
	}
	return t, nil
}

func (shelf) AccessTokenUsed(int64, time.Time) {}

// source knows who people are today.
type source struct{}

func (source) Renew(_ context.Context, p policy.Principal) (policy.Principal, error) {
	if p.ID == "left" {
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	p.Groups = []string{"today"}
	return p, nil
}

func TestAnAccessTokenIsItsOwnersAndNobodyElses(t *testing.T) {
	store := shelf{}
	made := func(token accesstoken.Token) string {
		raw, hash := authn.NewSecret(authn.PrefixAccessToken)
		store[string(hash)] = token
		return raw
	}
	owner := policy.Principal{Workspace: "default", Issuer: "https://sso", ID: "00u1", Name: "alice", Kind: policy.KindUser}
	left := policy.Principal{Workspace: "default", Issuer: "ldap:corp", ID: "left", Kind: policy.KindUser}
	good := made(accesstoken.Token{ID: 17, Owner: owner, Expires: now.Add(time.Hour)})
	forever := made(accesstoken.Token{ID: 18, Owner: owner})
	expired := made(accesstoken.Token{ID: 19, Owner: owner, Expires: now})
	disabled := made(accesstoken.Token{ID: 20, Owner: owner, Disabled: true})
	away := made(accesstoken.Token{ID: 21, Owner: left})
	unknown, _ := authn.NewSecret(authn.PrefixAccessToken)
	p, err := accesstoken.New(accesstoken.Config{Store: store, Renew: source{}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sentence, workspace, name, secret string
		err                               error
	}{
		{"by the owner's name", "default", "alice", good, nil},
		{"by the owner's id", "default", "00u1", good, nil},
		{"one that does not expire", "default", "alice", forever, nil},
		{"one that has expired", "default", "alice", expired, policy.ErrUnauthenticated},
		{"one of somebody who is disabled", "default", "alice", disabled, policy.ErrUnauthenticated},
		{"one of somebody who left", "default", "left", away, policy.ErrUnauthenticated},
		{"under another name", "default", "bob", good, policy.ErrUnauthenticated},
		{"in another workspace", "acme", "alice", good, policy.ErrUnauthenticated},
		{"one that nobody has is not asked of others", "default", "alice", unknown, policy.ErrUnauthenticated},
		{"one with a typing error", "default", "alice", unknown[:len(unknown)-1] + "!", policy.ErrUnauthenticated},
		{"a password", "default", "alice", "hunter2", policy.ErrNotFound},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			who, err := p.Authenticate(t.Context(), c.workspace, c.name, c.secret)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("%+v, %v", who, err)
			}
			if err == nil && (who.ID != "00u1" || who.Auth != policy.AuthAccessToken || who.Credential == "" || !slices.Equal(who.Groups, []string{"today"})) {
				t.Fatalf("%+v", who)
			}
		})
	}
}
