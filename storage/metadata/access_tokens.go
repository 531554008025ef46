package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// AccessToken is a credential that a person made for a program: it is the
// person, as far as its limits reach.
type AccessToken struct {
	// ID is known by outside and is never given to another.
	ID        int64  `json:"id"`
	Workspace string `json:"workspace"`
	// Issuer and Owner say whose it is; OwnerName is what that person is called now.
	Issuer    string `json:"issuer"`
	Owner     string `json:"owner"`
	OwnerName string `json:"owner_name"`
	// Name is unique among the owner's.
	Name string `json:"name"`
	// Limited says that it reaches no further than Limits, which may be nothing.
	// Otherwise it reaches as far as its owner.
	Limited bool         `json:"limited"`
	Limits  []RobotGrant `json:"limits,omitempty"`
	Created time.Time    `json:"created,omitzero"`
	// Expires is when it stops to be good for anything; zero is never.
	Expires time.Time `json:"expires,omitzero"`
	// LastUsed is to the minute; zero for never.
	LastUsed time.Time `json:"last_used,omitzero"`
}

// CreateAccessToken adds a token with the hash of its secret and answers it with
// its number. A name that the owner's tokens have is policy.ErrConflict; an owner
// or a project that is not there is policy.ErrNotFound. Limits without Limited
// are policy.ErrInvalid: one of the two is a mistake.
func (s *Store) CreateAccessToken(ctx context.Context, t AccessToken, hash []byte) (AccessToken, error) {
	t.Workspace = workspaceOf(t.Workspace)
	if t.Created.IsZero() {
		t.Created = time.Now()
	}
	limits, err := t.check()
	if err == nil && len(hash) == 0 {
		err = fmt.Errorf("an access token needs a secret: %w", policy.ErrInvalid)
	}
	if err != nil {
		return AccessToken{}, wrap(err, "create access token %q", t.Name)
	}
	err = s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		owner, err := readPerson(ctx, tx, t.Workspace, bySubject, t.Issuer, t.Owner)
		if err != nil {
			return nil, fmt.Errorf("owner: %w", err)
		}
		t.OwnerName = owner.Name
		if err := s.holdGranted(ctx, tx, t.Workspace, "", t.Limits); err != nil {
			return nil, err
		}
		if t.ID, err = number(ctx, tx, numberAccessToken); err != nil {
			return nil, err
		}
		_, err = tx.exec(ctx, `INSERT INTO access_tokens
				(workspace, id, issuer, owner, name, limited, limits, hash, created, expires, last_used)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)`,
			t.Workspace, t.ID, t.Issuer, t.Owner, t.Name, t.Limited, limits, hash, micros(t.Created), micros(t.Expires))
		return []part{tokenPart(t.Workspace, t.ID)}, err
	})
	if err != nil {
		return AccessToken{}, wrap(err, "create access token %q", t.Name)
	}
	t.Created, t.Expires, t.LastUsed = fromMicros(micros(t.Created)), fromMicros(micros(t.Expires)), time.Time{}
	return t, nil
}

// check answers the token's limits as a column.
func (t *AccessToken) check() (limits string, err error) {
	if err := checkName("an access token's name", t.Name); err != nil {
		return "", err
	}
	if len(t.Limits) > 0 && !t.Limited {
		return "", fmt.Errorf("an access token without limits has some: %w", policy.ErrInvalid)
	}
	all := make([]RobotGrant, len(t.Limits))
	for i, g := range t.Limits {
		if all[i], err = g.checked(allRights); err != nil {
			return "", err
		}
	}
	t.Limits = all
	return encoded("limits", all)
}

// AccessTokens lists a person's tokens by name, expired ones included.
func (s *Store) AccessTokens(ctx context.Context, workspace, issuer, owner string) ([]AccessToken, error) {
	rows, err := s.reads.rows(ctx, "SELECT "+tokenColumns+tokenTables+" WHERE t.workspace = $1 AND t.issuer = $2 AND t.owner = $3 ORDER BY t.name",
		workspaceOf(workspace), issuer, owner)
	all, err := collect(rows, err, each(scanToken))
	return all, wrap(err, "list access tokens")
}

// AccessTokenByID answers one token, or policy.ErrNotFound.
func (s *Store) AccessTokenByID(ctx context.Context, workspace string, id int64) (AccessToken, error) {
	t, err := scanToken(s.reads.row(ctx, "SELECT "+tokenColumns+tokenTables+" WHERE t.workspace = $1 AND t.id = $2",
		workspaceOf(workspace), id).Scan)
	return t, wrap(err, "access token %d", id)
}

// AccessTokenByHash answers the token of a workspace whose secret has the hash,
// and its owner as the database has it now, or policy.ErrNotFound. Whether the
// token has expired or the owner is disabled is the caller's to look at.
func (s *Store) AccessTokenByHash(ctx context.Context, workspace string, hash []byte) (AccessToken, Person, error) {
	workspace = workspaceOf(workspace)
	t, err := scanToken(s.reads.row(ctx, "SELECT "+tokenColumns+tokenTables+" WHERE t.workspace = $1 AND t.hash = $2",
		workspace, hash).Scan)
	if err != nil {
		return AccessToken{}, Person{}, wrap(err, "access token")
	}
	p, err := readLogin(ctx, s.reads, workspace, t.Issuer, t.Owner)
	if err != nil {
		return AccessToken{}, Person{}, wrap(err, "owner of access token %d", t.ID)
	}
	return t, p, nil
}

// DeleteAccessToken revokes a token, or fails with policy.ErrNotFound.
func (s *Store) DeleteAccessToken(ctx context.Context, workspace string, id int64) error {
	workspace = workspaceOf(workspace)
	err := s.changeDirectory(ctx, tokenPart(workspace, id), func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, "DELETE FROM access_tokens WHERE workspace = $1 AND id = $2", workspace, id))
	})
	return wrap(err, "delete access token %d", id)
}

const (
	tokenColumns = `t.workspace, t.id, t.issuer, t.owner, p.name, t.name, t.limited, t.limits, t.created, t.expires, t.last_used`
	tokenTables  = ` FROM access_tokens t JOIN people p
		ON p.workspace = t.workspace AND p.issuer = t.issuer AND p.subject = t.owner`
)

func scanToken(scan func(...any) error) (t AccessToken, err error) {
	var limits string
	var created, expires, used int64
	if err := scan(&t.Workspace, &t.ID, &t.Issuer, &t.Owner, &t.OwnerName, &t.Name, &t.Limited, &limits,
		&created, &expires, &used); err != nil {
		return t, err
	}
	t.Created, t.Expires, t.LastUsed = fromMicros(created), fromMicros(expires), fromMicros(used)
	return t, decoded("limits", limits, &t.Limits)
}

// deleteTokensOf revokes all tokens of a person and answers what that touched.
func deleteTokensOf(ctx context.Context, tx querier, p Person) ([]part, error) {
	rows, err := tx.rows(ctx, `DELETE FROM access_tokens WHERE workspace = $1 AND issuer = $2 AND owner = $3
		RETURNING id`, p.Workspace, p.Issuer, p.Subject)
	return collect(rows, err, func(rows *sql.Rows) (part, error) {
		var id int64
		err := rows.Scan(&id)
		return tokenPart(p.Workspace, id), err
	})
}
