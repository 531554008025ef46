package policy

// RemovalKind is what a [Removal] is of.
type RemovalKind string

// What can be removed from a repository.
const (
	RemovedTag      RemovalKind = "tag"
	RemovedManifest RemovalKind = "manifest"
	RemovedBlob     RemovalKind = "blob"
)

// Removal is a name that the index has let go of and that storage may still link:
// the two cannot be told at once, and a process that dies in between must not
// leave behind what a later reindex takes for content.
type Removal struct {
	Repository Repository
	Kind       RemovalKind
	// Name is a tag, or a canonical digest.
	Name string
}
