package policy

// Kind tells what sort of subject a principal is.
type Kind string

// The kinds of principal. The zero Kind is nobody.
const (
	KindUser     Kind = "user"
	KindRobot    Kind = "robot"
	KindWorkload Kind = "workload"
	// KindOperator is whoever may open the 0600 socket in the data folder: the
	// account that runs the server. It is judged like everybody else; the
	// directory gives it the role admin.
	KindOperator Kind = "operator"
	// KindSystem is the gateway itself at work in the background. It has no
	// roles: what it may do follows from the purpose of its requests.
	KindSystem Kind = "system"
)

// Principal is who is asking, as far as authentication could tell. What the
// principal may do is never part of it: rights are looked up for each decision,
// so a right that is taken away stops at the next request.
//
// The zero Principal is anonymous.
type Principal struct {
	// Workspace is the tenant that the principal belongs to.
	Workspace string
	// Issuer names who vouches for ID: "local", an OIDC issuer, a directory.
	// Two principals with one ID and different issuers are different people.
	Issuer string
	// ID is the stable name within the issuer; empty means anonymous.
	ID   string
	Kind Kind
	// Auth is how the principal proved itself: "basic", "token", "socket".
	Auth   string
	Groups []string
	Claims map[string]any
}

// Anonymous reports whether nobody in particular is asking.
func (p Principal) Anonymous() bool { return p.ID == "" }

// DefaultWorkspace is the tenant that needs no configuration.
const DefaultWorkspace = "default"

// LocalIssuer vouches for the people in the gateway's own database.
const LocalIssuer = "local"
