package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Secret is something that the installation must keep and must not show, such
// as a key that signs tokens. It belongs to no workspace.
type Secret struct {
	Kind string
	ID   string
	Data []byte
	// Created is set to now when it is zero. A zero Expires is never.
	Created time.Time
	Expires time.Time
}

// AddSecret keeps a secret. An id that is taken within its kind is
// policy.ErrConflict, so that of several replicas exactly one adds it. The view's
// revision grows on every replica when secrets change.
func (s *Store) AddSecret(ctx context.Context, secret Secret) error {
	if secret.Kind == "" || secret.ID == "" {
		return fmt.Errorf("metadata: a secret needs a kind and an id: %w", policy.ErrInvalid)
	}
	if secret.Created.IsZero() {
		secret.Created = time.Now()
	}
	p := part{changedSecret, policy.DefaultWorkspace, secret.Kind}
	err := s.changeDirectory(ctx, p, func(ctx context.Context, tx querier) error {
		_, err := tx.exec(ctx, "INSERT INTO secrets (kind, id, data, created, expires) VALUES ($1, $2, $3, $4, $5)",
			secret.Kind, secret.ID, secret.Data, micros(secret.Created), micros(secret.Expires))
		return err
	})
	return wrap(err, "add a secret of kind %q", secret.Kind)
}

// Secrets lists the secrets of a kind, oldest first, expired ones included.
func (s *Store) Secrets(ctx context.Context, kind string) ([]Secret, error) {
	rows, err := s.reads.rows(ctx,
		"SELECT kind, id, data, created, expires FROM secrets WHERE kind = $1 ORDER BY created, id", kind)
	all, err := collect(rows, err, func(rows *sql.Rows) (secret Secret, err error) {
		var created, expires int64
		err = rows.Scan(&secret.Kind, &secret.ID, &secret.Data, &created, &expires)
		secret.Created, secret.Expires = fromMicros(created), fromMicros(expires)
		return secret, err
	})
	return all, wrap(err, "secrets of kind %q", kind)
}

// DeleteSecret forgets a secret, or fails with policy.ErrNotFound.
func (s *Store) DeleteSecret(ctx context.Context, kind, id string) error {
	p := part{changedSecret, policy.DefaultWorkspace, kind}
	err := s.changeDirectory(ctx, p, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, "DELETE FROM secrets WHERE kind = $1 AND id = $2", kind, id))
	})
	return wrap(err, "delete a secret of kind %q", kind)
}
