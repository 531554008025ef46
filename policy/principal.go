package policy

import "time"

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
	ID string
	// Name is what people call the principal, and what messages and records show;
	// empty when it is the ID. It is not unique and decides nothing.
	Name string
	Kind Kind
	// Auth is how the principal proved itself: one of the Auth constants.
	Auth string
	// Credential names the lasting credential that was used, such as
	// "access-token:17" or "robot:4"; empty for a password. The directory knows
	// whether it still holds, so revoking it ends tokens that were got with it.
	Credential string
	Groups     []string
	Claims     map[string]any
	// Until is when the proof of who this is ends, for somebody without a lasting
	// credential, such as a workload with a token of its CI system; zero is no end.
	// Nothing that is issued on the proof outlives it. No rule sees it.
	Until time.Time
}

// The ways in which a principal proves itself.
const (
	AuthBasic       = "basic"
	AuthLDAP        = "ldap"
	AuthOIDC        = "oidc"
	AuthRobot       = "robot"
	AuthAccessToken = "access_token"
	AuthWorkload    = "workload"
	AuthCertificate = "certificate"
	AuthToken       = "token"
	AuthSocket      = "socket"
)

// The kinds of lasting credential, as they stand before the colon of
// [Principal.Credential].
const (
	CredentialAccessToken = "access-token"
	CredentialRobot       = "robot"
	CredentialSession     = "session"
)

// Label is what a person reads for the principal: its name, or its ID.
func (p Principal) Label() string {
	if p.Name != "" {
		return p.Name
	}
	return p.ID
}

// Identity names who this is among all people of a workspace, as "issuer#id": no
// issuer has a "#". Empty for nobody.
func (p Principal) Identity() string {
	if p.ID == "" {
		return ""
	}
	return p.Issuer + "#" + p.ID
}

// Anonymous reports whether nobody in particular is asking.
func (p Principal) Anonymous() bool { return p.ID == "" }

// DefaultWorkspace is the tenant that needs no configuration.
const DefaultWorkspace = "default"

// LocalIssuer vouches for the people in the gateway's own database.
const LocalIssuer = "local"
