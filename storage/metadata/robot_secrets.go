package metadata

import (
	"context"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// SecretHash is a hash that a secret may have. A zero Until is until it is replaced.
type SecretHash struct {
	Hash  []byte
	Until time.Time
}

// SetRobotSecret gives a robot another secret. The one that it had stays good
// beside it until keepOldUntil, so that it can be changed everywhere without a
// gap; the zero time ends it at once. A third one is good no more. What was got
// with the old secret ends now.
func (s *Store) SetRobotSecret(ctx context.Context, workspace string, id int64, hash []byte, keepOldUntil time.Time) error {
	workspace = workspaceOf(workspace)
	if len(hash) == 0 {
		return wrap(fmt.Errorf("a robot needs a secret: %w", policy.ErrInvalid), "set the secret of robot %d", id)
	}
	keep := "NULL"
	if !keepOldUntil.IsZero() {
		keep = "secret"
	}
	// The revision grows, so that whoever remembers a successful login can forget it.
	err := s.changeDirectory(ctx, robotPart(workspace, id), func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, `UPDATE robots SET old_secret = `+keep+`, old_until = $4, secret = $3,
			generation = generation + 1 WHERE workspace = $1 AND id = $2`, workspace, id, hash, micros(keepOldUntil)))
	})
	return wrap(err, "set the secret of robot %d", id)
}

// RobotSecrets answers a robot and the hashes of the secrets that are good now,
// the newest first, from the database and not from memory. Whether the robot is
// disabled or has expired is the caller's to look at. The project of a robot of
// the system is empty.
func (s *Store) RobotSecrets(ctx context.Context, workspace, project, name string) (Robot, []SecretHash, error) {
	var secret, old []byte
	var until int64
	row := s.reads.row(ctx, "SELECT "+robotColumns+", secret, old_secret, old_until FROM robots WHERE workspace = $1 AND "+
		robotByName, workspaceOf(workspace), project, name)
	r, err := scanRobot(func(into ...any) error { return row.Scan(append(into, &secret, &old, &until)...) })
	if err != nil {
		return Robot{}, nil, wrap(err, "secrets of robot %q of project %q", name, project)
	}
	good := []SecretHash{{Hash: secret}}
	if end := fromMicros(until); len(old) > 0 && time.Now().Before(end) {
		good = append(good, SecretHash{Hash: old, Until: end})
	}
	return r, good, nil
}
