package opa_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// ask is a request of who with role ("" for none, "anonymous" for nobody) about
// payments/api.
func ask(ev policy.Evaluator, role string, action policy.Action, public bool) policy.Facts {
	f := policy.Facts{
		Request: policy.Request{
			At: time.Unix(1790000000, 0), Action: action,
			Principal:  policy.Principal{ID: "alice", Issuer: policy.LocalIssuer, Kind: policy.KindUser},
			Repository: policy.Repository{Name: "payments/api"},
		},
		ProjectExists: true, Project: policy.Project{Name: "payments", Public: public},
		Packs: ev.Packs(nil), Revision: ev.Revision(),
	}
	switch role {
	case "":
	case "anonymous":
		f.Request.Principal = policy.Principal{}
	case "disabled":
		f.Subject = policy.Subject{Disabled: true}
	default:
		f.Subject.Roles = []string{role}
	}
	switch action {
	case policy.BlobPull:
		f.Request.Blob = &policy.Blob{Digest: "sha256:l1", Manifest: "sha256:aa"}
	case policy.BlobMount:
		f.Request.Mount = &policy.Mount{From: policy.Repository{Name: "base/debian"}, SubjectCanPullFrom: true}
	case policy.CatalogList, policy.RegistryPing, policy.SessionLogin:
		f.Request.Repository, f.Project, f.ProjectExists = policy.Repository{}, policy.Project{}, false
	case policy.AdminAPI:
		f.Request.Admin = &policy.AdminCall{Resource: "member", Verb: "set", After: map[string]any{"project": "payments", "role": "guest"}}
	}
	return f
}

func TestEachRoleMayDoWhatItsColumnSays(t *testing.T) {
	roles := []string{"anonymous", "", "limitedGuest", "guest", "developer", "maintainer", "projectAdmin", "admin", "disabled"}
	// A letter for each role above: private project, then public.
	matrix := map[policy.Action][2]string{
		policy.ManifestPull:   {"--yyyyyy-", "yyyyyyyy-"},
		policy.BlobPull:       {"--yyyyyy-", "yyyyyyyy-"},
		policy.ReferrersList:  {"--yyyyyy-", "yyyyyyyy-"},
		policy.TagsList:       {"--yyyyyy-", "-yyyyyyy-"},
		policy.ManifestPush:   {"----yyyy-", "----yyyy-"},
		policy.BlobPush:       {"----yyyy-", "----yyyy-"},
		policy.BlobMount:      {"----yyyy-", "----yyyy-"},
		policy.UploadStatus:   {"----yyyy-", "----yyyy-"},
		policy.UploadCancel:   {"----yyyy-", "----yyyy-"},
		policy.ManifestDelete: {"-----yyy-", "-----yyy-"},
		policy.TagDelete:      {"-----yyy-", "-----yyy-"},
		policy.BlobDelete:     {"-----yyy-", "-----yyy-"},
		policy.AdminAPI:       {"------yy-", "------yy-"},
		policy.RegistryPing:   {"-yyyyyyy-", "-yyyyyyy-"},
		policy.SessionLogin:   {"-yyyyyyy-", "-yyyyyyy-"},
		policy.CatalogList:    {"-yyyyyyy-", "-yyyyyyy-"},
	}
	ev := compileWith(t)
	for action, rows := range matrix {
		for i, row := range rows {
			for j, role := range roles {
				t.Run(fmt.Sprintf("%s, public %v, role %q", action, i == 1, role), func(t *testing.T) {
					d := decide(t, ev, ask(ev, role, action, i == 1))
					if d.Allowed() != (row[j] == 'y') {
						t.Fatalf("allowed %v: %s", d.Allowed(), d.Message)
					}
					if !d.Allowed() && !strings.HasPrefix(d.Deny[0].Code, "rbac.") {
						t.Fatalf("denied by %s", codes(d.Deny))
					}
				})
			}
		}
	}
}

// The builtins of rules are strict here and not in opa test: an operand that may be
// null has to be tried with the evaluator itself.
func TestGrantsAndLimitsReachAsFarAsTheySay(t *testing.T) {
	ev := compileWith(t)
	whole, part := policy.Grant{Rights: []string{"pull", "list"}}, policy.Grant{Repositories: "payments/a*", Rights: []string{"pull", "list"}}
	other := policy.Grant{Repositories: "payments/w*", Rights: []string{"pull", "push"}}
	for sentence, subject := range map[string]policy.Subject{
		"a grant for the project":              {Grants: []policy.Grant{whole}},
		"a grant for a part":                   {Grants: []policy.Grant{part}},
		"grants for the project and elsewhere": {Grants: []policy.Grant{other, whole}},
		"a role within limits":                 {Roles: []string{"developer"}, Limited: true, Limits: []policy.Grant{whole}},
		"a role within limits of a part":       {Roles: []string{"developer"}, Limited: true, Limits: []policy.Grant{other, part}},
	} {
		for action, want := range map[policy.Action]bool{policy.ManifestPull: true, policy.TagsList: true, policy.ManifestPush: false, policy.TagDelete: false} {
			t.Run(sentence+", "+string(action), func(t *testing.T) {
				f := ask(ev, "", action, false)
				f.Subject = subject
				d := decide(t, ev, f)
				if d.Allowed() != want {
					t.Fatalf("allowed %v: %s", d.Allowed(), d.Message)
				}
				if !want && d.Deny[0].Code != "rbac.right" {
					t.Fatalf("denied by %s", codes(d.Deny))
				}
			})
		}
	}
}

func TestWhoMayKnowOfAProject(t *testing.T) {
	ev := compileWith(t)
	for _, c := range []struct {
		name, role string
		public     bool
		visible    bool
	}{
		{"a stranger does not know a private project", "", false, false},
		{"nobody in particular does not know a private project", "anonymous", false, false},
		{"a member who may only pull knows it", "limitedGuest", false, true},
		{"everybody knows a public project", "anonymous", true, true},
		{"an administrator knows every project", "admin", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := decide(t, ev, ask(ev, c.role, policy.ManifestDelete, c.public)); d.Visible != c.visible {
				t.Fatalf("visible %v", d.Visible)
			}
		})
	}
}

func TestABlobThatNoManifestNamesIsForPushers(t *testing.T) {
	ev := compileWith(t)
	for role, want := range map[string]bool{"guest": false, "developer": true} {
		f := ask(ev, role, policy.BlobPull, true)
		f.Request.Blob.Manifest = ""
		if d := decide(t, ev, f); d.Allowed() != want {
			t.Errorf("%s: allowed %v: %s", role, d.Allowed(), d.Message)
		}
	}
}

func TestAMountIsAPullAtItsSource(t *testing.T) {
	ev := compileWith(t)
	f := ask(ev, "admin", policy.BlobMount, false)
	f.Request.Mount.SubjectCanPullFrom = false
	if d := decide(t, ev, f); codes(d.Deny) != "rbac.mount_source" {
		t.Fatalf("got %+v", d)
	}
}

func TestATokenCarriesTheGrantedPartOfEachScope(t *testing.T) {
	ev := compileWith(t)
	scope := func(name string, roles []string, public, exists bool, actions ...string) policy.ScopeFacts {
		project := policy.Repository{Name: name}.Project()
		return policy.ScopeFacts{
			Scope:   policy.Scope{Type: "repository", Name: name, Actions: actions},
			Project: policy.Project{Name: project, Public: public}, ProjectExists: exists,
			Subject: policy.Subject{Roles: roles},
		}
	}
	token := func(principal policy.Principal, scopes ...policy.ScopeFacts) policy.Facts {
		f := policy.Facts{
			Request: policy.Request{At: time.Unix(1790000000, 0), Action: policy.TokenIssue, Purpose: policy.Token, Principal: principal, Token: &policy.TokenRequest{Service: "reg"}},
			Packs:   ev.Packs(nil), Scopes: scopes,
		}
		for _, s := range scopes {
			f.Request.Token.Requested = append(f.Request.Token.Requested, s.Scope)
		}
		return f
	}
	alice := policy.Principal{ID: "alice", Issuer: policy.LocalIssuer, Kind: policy.KindUser}
	for _, c := range []struct {
		name    string
		facts   policy.Facts
		granted string
		allowed bool
	}{
		{"what the role gives, project by project", token(alice,
			scope("a/x", []string{"guest"}, false, true, "pull", "push"),
			scope("b/y", []string{"developer"}, false, true, "pull", "push", "delete"),
			scope("c/z", nil, false, true, "pull")), "a/x:[pull] b/y:[pull push]", true},
		{"an administrator's first push", token(alice, scope("new/x", []string{"admin"}, false, false, "pull", "push")), "new/x:[pull push]", true},
		{"nothing for a project that is not there", token(alice, scope("new/x", nil, true, false, "pull", "push")), "", true},
		{"a token without scopes proves who is asking", token(alice), "", true},
		{"anonymous gets a pull of a public project", token(policy.Principal{}, scope("a/x", nil, true, true, "pull", "push")), "a/x:[pull]", true},
		{"anonymous gets no token for nothing", token(policy.Principal{}, scope("a/x", nil, false, true, "pull")), "", false},
		{"anonymous gets no token without scopes", token(policy.Principal{}), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide(t, ev, c.facts)
			var got []string
			for _, s := range d.Granted {
				got = append(got, fmt.Sprintf("%s:%v", s.Name, s.Actions))
			}
			if strings.Join(got, " ") != c.granted || d.Allowed() != c.allowed {
				t.Fatalf("granted %v, allowed %v: %s", got, d.Allowed(), d.Message)
			}
		})
	}
	t.Run("a disabled account gets none", func(t *testing.T) {
		f := token(alice, scope("a/x", []string{"admin"}, true, true, "pull"))
		f.Subject.Disabled = true
		if d := decide(t, ev, f); d.Allowed() || len(d.Granted) != 0 {
			t.Fatalf("got %+v", d)
		}
	})
}

func TestAnAdministratorsFirstPushMakesTheProject(t *testing.T) {
	ev := compileWith(t)
	for _, c := range []struct {
		role, auto string
		want       bool
	}{
		{"admin", "admins", true}, {"admin", "writers", true}, {"admin", "off", false}, {"admin", "", true},
		{"", "admins", false}, {"", "writers", true}, {"", "off", false}, {"", "", false},
		{"anonymous", "writers", false}, {"disabled", "writers", false},
	} {
		f := ask(ev, c.role, policy.AdminAPI, false)
		f.ProjectExists, f.Project = false, policy.Project{}
		f.Request.Admin = &policy.AdminCall{Resource: "project", Verb: "create", ID: "payments", Auto: c.auto}
		if d := decide(t, ev, f); d.Allowed() != c.want {
			t.Errorf("role %q, auto %q: allowed %v: %s", c.role, c.auto, d.Allowed(), d.Message)
		}
	}
}

func TestEveryActionHasAPlaceInTheRoles(t *testing.T) {
	ev := compileWith(t)
	for _, action := range policy.Actions() {
		f := ask(ev, "admin", action, false)
		if d := decide(t, ev, f); !d.Allowed() {
			t.Errorf("not even an administrator may do %s: %s", action, d.Message)
		}
	}
	if d := decide(t, ev, ask(ev, "admin", "registry.format", false)); d.Allowed() {
		t.Error("an action that nobody named is allowed")
	}
}
