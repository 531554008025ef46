package metadata

import "context"

// The kinds of number.
const (
	numberPerson      = "person"
	numberGroup       = "group"
	numberProject     = "project"
	numberMember      = "member"
	numberRobot       = "robot"
	numberAccessToken = "access-token"
)

// number gives the next number of a kind. None is given twice, not even after
// what had it is gone: a log, a token or somebody's script may still name it.
func number(ctx context.Context, tx querier, kind string) (int64, error) {
	var n int64
	err := tx.row(ctx, `INSERT INTO counters (kind, newest) VALUES ($1, 1)
		ON CONFLICT (kind) DO UPDATE SET newest = counters.newest + 1 RETURNING newest`, kind).Scan(&n)
	return n, err
}
