package metadata

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Stamp names what a principal's present credential rests on: it is another one
// after the person was disabled or its password changed, and after a robot was disabled or
// got another secret, even when that is undone. It fails with
// policy.ErrUnauthenticated for whoever may not log in any more: disabled, gone,
// expired or revoked; and for whoever has no lasting credential, such as a
// workload. Refresh tokens carry it.
func (s *Store) Stamp(ctx context.Context, p policy.Principal) (string, error) {
	stamp, err := s.stamp(ctx, p, time.Now())
	if isNotFound(err) {
		err = fmt.Errorf("it is gone: %w", policy.ErrUnauthenticated)
	}
	return stamp, wrap(err, "stamp of %s %q", p.Kind, p.ID)
}

func (s *Store) stamp(ctx context.Context, p policy.Principal, now time.Time) (string, error) {
	if p.Anonymous() || (p.Kind != policy.KindUser && p.Kind != policy.KindRobot) {
		return "", fmt.Errorf("no lasting credential: %w", policy.ErrUnauthenticated)
	}
	workspace := workspaceOf(p.Workspace)
	if p.Kind == policy.KindRobot {
		id, ok := credentialID(p.Credential, policy.CredentialRobot)
		if !ok {
			return "", errNoCredential
		}
		return s.robotStamp(ctx, workspace, id, now)
	}
	stamp, err := s.personStamp(ctx, workspace, p.Issuer, p.ID)
	if err != nil || p.Credential == "" {
		return stamp, err
	}
	if id, ok := strings.CutPrefix(p.Credential, policy.CredentialSession+":"); ok {
		err := exists(ctx, s.reads, "session", `SELECT 1 FROM sessions
			WHERE workspace = $1 AND id = $2 AND expires > $3 AND issuer = $4 AND subject = $5`,
			workspace, id, micros(now), p.Issuer, p.ID)
		return stamp, err
	}
	id, ok := credentialID(p.Credential, policy.CredentialAccessToken)
	if !ok {
		return "", errNoCredential
	}
	err = exists(ctx, s.reads, "access token", `SELECT 1 FROM access_tokens
		WHERE workspace = $1 AND id = $2 AND (expires = 0 OR expires > $3) AND issuer = $4 AND owner = $5`,
		workspace, id, micros(now), p.Issuer, p.ID)
	return stamp + "/" + p.Credential, err
}

var errNoCredential = fmt.Errorf("no credential that is known: %w", policy.ErrUnauthenticated)

func (s *Store) personStamp(ctx context.Context, workspace, issuer, subject string) (string, error) {
	var id, generation int64
	err := s.reads.row(ctx, "SELECT id, generation FROM people WHERE workspace = $1 AND "+bySubject+" AND NOT "+barredPerson,
		workspace, issuer, subject).Scan(&id, &generation)
	return fmt.Sprintf("person:%d:%d", id, generation), err
}

func (s *Store) robotStamp(ctx context.Context, workspace string, id int64, now time.Time) (string, error) {
	var generation int64
	err := s.reads.row(ctx, `SELECT generation FROM robots
		WHERE workspace = $1 AND id = $2 AND NOT disabled AND (expires = 0 OR expires > $3)`,
		workspace, id, micros(now)).Scan(&generation)
	return fmt.Sprintf("robot:%d:%d", id, generation), err
}

// credentialID is the number in the name of a credential of a kind.
func credentialID(credential, kind string) (int64, bool) {
	got, text, _ := strings.Cut(credential, ":")
	if got != kind {
		return 0, false
	}
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil
}
