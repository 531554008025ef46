package metadata

import (
	"context"
	"database/sql"
)

// SetGroupAdmin says whether those of a group are administrators of the workspace,
// from the next request on. They are recognised like members by their group: by its
// DN when it has one, else by its name. They do not keep the last administrator who
// is a person from being needed: who is in a group is another's to say.
func (s *Store) SetGroupAdmin(ctx context.Context, workspace string, id int64, admin bool) error {
	workspace = workspaceOf(workspace)
	err := s.changeDirectory(ctx, groupsPart(workspace), func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, "UPDATE user_groups SET admin = $3 WHERE workspace = $1 AND id = $2", workspace, id, admin))
	})
	return wrap(err, "set whether group %d is of administrators", id)
}

// groupsPart is what a change of the groups of administrators touches in the view.
func groupsPart(workspace string) part { return part{changedGroups, workspace, ""} }

// touched is what a change of a group touches beside its memberships.
func (g Group) touched() []part {
	if g.Admin {
		return []part{groupsPart(g.Workspace)}
	}
	return nil
}

// adminGroups are the groups of administrators of a workspace, under their DN when
// they have one, else under their name.
type adminGroups map[identity]struct{}

// readAdminGroups reads those of all workspaces, or of one.
func readAdminGroups(ctx context.Context, q querier, workspace string) (map[string]adminGroups, error) {
	query, args := "SELECT workspace, issuer, CASE WHEN dn <> '' THEN dn ELSE name END FROM user_groups WHERE admin", []any(nil)
	if workspace != "" {
		query, args = query+" AND workspace = $1", []any{workspace}
	}
	rows, err := q.rows(ctx, query, args...)
	all := map[string]adminGroups{}
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var in string
		var group identity
		if err = rows.Scan(&in, &group.issuer, &group.name); err != nil {
			return
		}
		if all[in] == nil {
			all[in] = adminGroups{}
		}
		all[in][group] = struct{}{}
		return
	})
	return all, err
}

// adminOf reports whether a group of an issuer's is one of administrators.
func (v *view) adminOf(workspace, issuer string, groups []string) bool {
	those := v.admins[workspace]
	if len(those) == 0 {
		return false
	}
	for _, group := range groups {
		if _, ok := those[identity{issuer, group}]; ok {
			return true
		}
	}
	return false
}
