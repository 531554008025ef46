package policy

// Action is what a request would do. Every HTTP route maps to exactly one.
type Action string

// The closed list of actions (the policy contract, "Per action").
const (
	TokenIssue     Action = "token.issue"
	ManifestPull   Action = "manifest.pull"
	ManifestPush   Action = "manifest.push"
	ManifestDelete Action = "manifest.delete"
	TagDelete      Action = "tag.delete"
	TagsList       Action = "tags.list"
	BlobPull       Action = "blob.pull"
	BlobPush       Action = "blob.push"
	BlobMount      Action = "blob.mount"
	BlobDelete     Action = "blob.delete"
	UploadStatus   Action = "upload.status"
	UploadCancel   Action = "upload.cancel"
	ReferrersList  Action = "referrers.list"
	CatalogList    Action = "catalog.list"
	RegistryPing   Action = "registry.ping"
	SessionLogin   Action = "session.login"
	DecisionRead   Action = "decision.read"
	AdminAPI       Action = "admin.api"
)

// Actions lists every action, in the order of the contract.
func Actions() []Action {
	return []Action{
		TokenIssue, ManifestPull, ManifestPush, ManifestDelete, TagDelete, TagsList,
		BlobPull, BlobPush, BlobMount, BlobDelete, UploadStatus, UploadCancel,
		ReferrersList, CatalogList, RegistryPing, SessionLogin, DecisionRead, AdminAPI,
	}
}

// Class says what a pack of rules asks: who may do this, or whether the content
// is fit for it.
type Class string

// The two classes of packs.
const (
	Access  Class = "access"
	Content Class = "content"
)

// Purpose says what a request is for. It comes from the token or the job, never
// from a header, and it alone decides which classes of rules run.
//
// The zero Purpose is [Use]: everything runs.
type Purpose string

// The purposes of the contract.
const (
	Use          Purpose = "use"
	Inspect      Purpose = "inspect"
	Scan         Purpose = "scan"
	Token        Purpose = "token"
	Evaluate     Purpose = "evaluate"
	AuditPurpose Purpose = "audit"
)

// Runs reports whether rules of class c are evaluated for purpose p. A purpose
// that nobody defined runs everything: a typing error must not skip a rule.
func (p Purpose) Runs(c Class) bool {
	switch p {
	case Inspect, Scan, Token:
		return c == Access
	case Evaluate, AuditPurpose:
		return c == Content
	default:
		return true
	}
}
