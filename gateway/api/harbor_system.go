package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// HarborPermissions is Harbor's Permissions: what a robot may be given.
type HarborPermissions struct {
	System  []HarborAccess `json:"system"`
	Project []HarborAccess `json:"project"`
}

func (a *API) harborPermissions(*call) (plan, error) {
	return plan{do: func(context.Context) (any, error) {
		out := HarborPermissions{System: []HarborAccess{}}
		for access := range accessRights {
			out.Project = append(out.Project, access)
		}
		slices.SortFunc(out.Project, func(a, b HarborAccess) int {
			return strings.Compare(a.Resource+":"+a.Action, b.Resource+":"+b.Action)
		})
		return out, nil
	}}, nil
}

// HarborLDAPPing is the part of Harbor's LdapConf that names a directory here; its
// other fields are configuration, which no call changes.
type HarborLDAPPing struct {
	Name string `json:"name,omitempty"`
}

// HarborLDAPPong is Harbor's LdapPingResult.
type HarborLDAPPong struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

func (a *API) harborLDAPPing(c *call) (plan, error) {
	body, _ := c.body.(*HarborLDAPPing)
	which := slices.DeleteFunc(slices.Clone(a.harbor.Directories), func(d Directory) bool {
		return d.Workspace() != c.workspace() || body.Name != "" && d.Name() != body.Name
	})
	p := plan{id: body.Name}
	if len(which) == 0 {
		return p, errors.Join(policy.ErrNotFound, errors.New("no such directory is configured"))
	}
	p.do = func(ctx context.Context) (any, error) {
		for _, d := range which {
			if err := d.Ping(ctx); err != nil {
				//nolint:nilerr // the cause may tell addresses and accounts, and the answer is about it
				return HarborLDAPPong{Message: "the directory " + d.Name() + " does not answer as it should"}, nil
			}
		}
		return HarborLDAPPong{Success: true}, nil
	}
	return p, nil
}

// HarborSystemInfo is the part of Harbor's GeneralInfo that clients look at.
type HarborSystemInfo struct {
	Version  string `json:"harbor_version"`
	AuthMode string `json:"auth_mode"`
	SelfReg  bool   `json:"self_registration"`
}

func (a *API) harborSystemInfo(c *call) (plan, error) {
	return plan{do: func(context.Context) (any, error) {
		info := HarborSystemInfo{Version: "v2.0-bondgate-" + a.harbor.Version, AuthMode: "db_auth"}
		if len(a.directoriesOf(c.workspace())) > 0 {
			info.AuthMode = "ldap_auth"
		}
		return info, nil
	}}, nil
}
