package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Session is somebody's being logged in with a browser. No view knows it: who
// asks with it is looked up once for each request that carries the cookie.
type Session struct {
	// ID is a hash of the cookie: who reads the database has no cookie from it.
	ID        string
	Workspace string
	// Issuer and Subject are those of a person that was enrolled.
	Issuer  string
	Subject string
	Name    string
	Groups  []string
	Claims  json.RawMessage
	Created time.Time
	Expires time.Time
	// Refreshed is when the issuer was last asked; zero for never.
	Refreshed time.Time
	// Refresh is what the issuer is asked with, sealed by the caller.
	Refresh []byte
}

// CreateSession adds a session. Without an id or an end it is policy.ErrInvalid,
// for somebody who is not there it is policy.ErrNotFound.
func (s *Store) CreateSession(ctx context.Context, x Session) error {
	x.Workspace = workspaceOf(x.Workspace)
	if x.Created.IsZero() {
		x.Created = time.Now()
	}
	groups, claims, err := x.columns()
	if err == nil && (x.ID == "" || x.Expires.IsZero()) {
		err = fmt.Errorf("a session needs an id and an end: %w", policy.ErrInvalid)
	}
	if err != nil {
		return wrap(err, "create a session")
	}
	err = s.update(ctx, func(ctx context.Context, tx querier) error {
		p, err := readLogin(ctx, tx, x.Workspace, x.Issuer, x.Subject)
		if err != nil {
			return fmt.Errorf("%q: %w", x.Subject, err)
		}
		if p.Disabled {
			return fmt.Errorf("%q is disabled: %w", x.Subject, policy.ErrUnauthenticated)
		}
		_, err = tx.exec(ctx, "INSERT INTO sessions ("+sessionColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, x.Workspace, x.ID, x.Issuer, x.Subject, x.Name,
			groups, claims, micros(x.Created), micros(x.Expires), micros(x.Refreshed), sealed(x.Refresh))
		return err
	})
	return wrap(err, "create a session")
}

// UpdateSession replaces what the issuer says anew: name, groups, claims, when it
// was asked, what it is asked with, and the end. It is policy.ErrConflict when what
// it was asked with is not was any more, or the session is not there: two replicas
// must not use one refresh token up, and a session that was ended must not come
// back.
func (s *Store) UpdateSession(ctx context.Context, x Session, was []byte) error {
	groups, claims, err := x.columns()
	if err != nil {
		return wrap(err, "update a session")
	}
	err = s.update(ctx, func(ctx context.Context, tx querier) error {
		n, err := tx.exec(ctx, `UPDATE sessions SET name = $3, member_of = $4, claims = $5, expires = $6,
				refreshed = $7, refresh = $8 WHERE workspace = $1 AND id = $2 AND refresh IS NOT DISTINCT FROM $9`,
			workspaceOf(x.Workspace), x.ID, x.Name, groups, claims, micros(x.Expires), micros(x.Refreshed), sealed(x.Refresh), sealed(was))
		if err == nil && n == 0 {
			return fmt.Errorf("changed or ended meanwhile: %w", policy.ErrConflict)
		}
		return err
	})
	return wrap(err, "update a session")
}

// sealed is a refresh token as a column: none and an empty one are the same.
func sealed(refresh []byte) any {
	if len(refresh) == 0 {
		return nil
	}
	return refresh
}

func (x Session) columns() (groups, claims string, err error) {
	if groups, err = encoded("groups", x.Groups); err != nil {
		return "", "", err
	}
	claims, err = verbatim("claims", x.Claims)
	return groups, claims, err
}

const sessionColumns = `workspace, id, issuer, subject, name, member_of, claims, created, expires, refreshed, refresh`

func scanSession(scan func(...any) error) (x Session, err error) {
	var groups, claims string
	var created, expires, refreshed int64
	if err := scan(&x.Workspace, &x.ID, &x.Issuer, &x.Subject, &x.Name, &groups, &claims,
		&created, &expires, &refreshed, &x.Refresh); err != nil {
		return x, err
	}
	x.Created, x.Expires, x.Refreshed = fromMicros(created), fromMicros(expires), fromMicros(refreshed)
	x.Claims = document(claims)
	return x, decoded("groups", groups, &x.Groups)
}

// Session answers a session that has not expired at at, or policy.ErrNotFound.
func (s *Store) Session(ctx context.Context, workspace, id string, at time.Time) (Session, error) {
	x, err := scanSession(s.reads.row(ctx, "SELECT "+sessionColumns+
		" FROM sessions WHERE workspace = $1 AND id = $2 AND expires > $3", workspaceOf(workspace), id, micros(at)).Scan)
	return x, wrap(err, "session")
}

// DeleteSession ends a session, or fails with policy.ErrNotFound.
func (s *Store) DeleteSession(ctx context.Context, workspace, id string) error {
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, "DELETE FROM sessions WHERE workspace = $1 AND id = $2", workspaceOf(workspace), id))
	})
	return wrap(err, "end a session")
}

// DeleteSessionsOf ends all sessions of a person and says how many there were.
func (s *Store) DeleteSessionsOf(ctx context.Context, workspace, issuer, subject string) (ended int, err error) {
	err = s.update(ctx, func(ctx context.Context, tx querier) error {
		n, err := tx.exec(ctx, "DELETE FROM sessions WHERE workspace = $1 AND issuer = $2 AND subject = $3",
			workspaceOf(workspace), issuer, subject)
		ended = int(n)
		return err
	})
	return ended, wrap(err, "end the sessions of %q", subject)
}

// DeleteExpiredSessions removes what has expired at at, of all workspaces, and
// says how many there were.
func (s *Store) DeleteExpiredSessions(ctx context.Context, at time.Time) (removed int, err error) {
	err = s.update(ctx, func(ctx context.Context, tx querier) error {
		n, err := tx.exec(ctx, "DELETE FROM sessions WHERE expires <= $1", micros(at))
		removed = int(n)
		return err
	})
	return removed, wrap(err, "remove expired sessions")
}
