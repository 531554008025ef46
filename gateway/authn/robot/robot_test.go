package robot_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/robot"
	"github.com/bondgate/bondgate/policy"
)

var now = time.Unix(1790000000, 0)

// shelf has robots by workspace, project and name.
type shelf struct {
	robots map[[3]string]robot.Account
	used   []int64
}

func (s *shelf) RobotAccount(_ context.Context, workspace, project, name string) (robot.Account, error) {
	a, ok := s.robots[[3]string{workspace, project, name}]
	switch {
	case name == "down":
		return a, policy.ErrUnavailable
	case !ok:
		return a, policy.ErrNotFound
	}
	return a, nil
}

func (s *shelf) RobotUsed(id int64, _ time.Time) { s.used = append(s.used, id) }

// Attack class 19, as far as logging in goes.
func TestARobotIsWhoHasItsNameAndOneOfItsSecrets(t *testing.T) {
	secret, hash := authn.NewSecret(authn.PrefixRobot)
	old, oldHash := authn.NewSecret(authn.PrefixRobot)
	gone, goneHash := authn.NewSecret(authn.PrefixRobot)
	other, _ := authn.NewSecret(authn.PrefixRobot)
	person, _ := authn.NewSecret(authn.PrefixAccessToken)
	secrets := []robot.Secret{{Hash: hash}, {Hash: oldHash, Until: now.Add(time.Hour)}, {Hash: goneHash, Until: now.Add(-time.Second)}}
	store := &shelf{robots: map[[3]string]robot.Account{
		{"default", "payments", "ci"}:  {ID: 4, Secrets: secrets},
		{"default", "", "scan"}:        {ID: 5, Secrets: secrets},
		{"default", "payments", "off"}: {ID: 6, Disabled: true, Secrets: secrets},
		{"default", "payments", "old"}: {ID: 7, Expires: now, Secrets: secrets},
	}}
	p, err := robot.New(robot.Config{Store: store, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sentence, workspace, name, secret string
		err                               error
	}{
		{"the present secret", "default", "robot$payments+ci", secret, nil},
		{"the secret before it, while it overlaps", "default", "robot$payments+ci", old, nil},
		{"a robot of the system", "default", "robot$scan", secret, nil},
		{"a secret whose overlap has ended", "default", "robot$payments+ci", gone, policy.ErrUnauthenticated},
		{"a secret of nobody", "default", "robot$payments+ci", other, policy.ErrUnauthenticated},
		{"a robot that is disabled", "default", "robot$payments+off", secret, policy.ErrUnauthenticated},
		{"a robot that has expired", "default", "robot$payments+old", secret, policy.ErrUnauthenticated},
		{"a robot of another workspace", "acme", "robot$payments+ci", secret, policy.ErrUnauthenticated},
		{"a robot of another project", "default", "robot$other+ci", secret, policy.ErrUnauthenticated},
		{"a project's robot as one of the system", "default", "robot$ci", secret, policy.ErrUnauthenticated},
		{"a robot that does not exist is not asked of others", "default", "robot$payments+no", secret, policy.ErrUnauthenticated},
		{"a robot's name with a password", "default", "robot$payments+ci", "hunter2", policy.ErrUnauthenticated},
		{"a robot's name with a person's token", "default", "robot$payments+ci", person, policy.ErrUnauthenticated},
		{"a person's name with a robot's secret is not asked of others", "default", "alice", secret, policy.ErrUnauthenticated},
		{"two pluses", "default", "robot$payments+ci+x", secret, policy.ErrUnauthenticated},
		{"the prefix alone", "default", "robot$", secret, policy.ErrUnauthenticated},
		{"no name after the project", "default", "robot$payments+", secret, policy.ErrUnauthenticated},
		{"the prefix in capitals is no robot", "default", "ROBOT$payments+ci", "x", policy.ErrNotFound},
		{"a person", "default", "alice", "hunter2", policy.ErrNotFound},
		{"a store that is down", "default", "robot$payments+down", secret, policy.ErrUnavailable},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			who, err := p.Authenticate(t.Context(), c.workspace, c.name, c.secret)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("%+v, %v", who, err)
			}
			if err == nil && (who.ID != c.name || who.Kind != policy.KindRobot || who.Issuer != robot.Issuer || who.Credential == "") {
				t.Fatalf("%+v", who)
			}
		})
	}
	if len(store.used) != 3 {
		t.Errorf("%d logins were noted", len(store.used))
	}
}

func TestAPrefixThatPeopleCouldHaveIsRefused(t *testing.T) {
	for prefix, ok := range map[string]bool{"robot$": true, "ci!": true, "robot-": false, "a": false, "robot:$": false, "r$/": false, "r+$": false} {
		if err := robot.CheckPrefix(prefix); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

func TestASecretIsKnownByItsFormAndNoTypingErrorPasses(t *testing.T) {
	raw, hash := authn.NewSecret(authn.PrefixRobot)
	if !authn.IsSecret(authn.PrefixRobot, raw) || authn.IsSecret(authn.PrefixAccessToken, raw) || len(hash) != 32 {
		t.Fatal(raw)
	}
	for i := len(authn.PrefixRobot); i < len(raw); i++ {
		b := []byte(raw)
		if b[i]++; authn.IsSecret(authn.PrefixRobot, string(b)) {
			t.Fatalf("a change at %d goes unnoticed", i)
		}
	}
}
