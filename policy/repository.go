package policy

import "strings"

// Repository names one repository of one workspace.
type Repository struct {
	Workspace string
	// Name is the whole name as in the distribution-spec: "project/repository…".
	Name string
}

// Project is the first component of the name: the project that the repository
// lives in. A name of one component is the project's own name.
func (r Repository) Project() string {
	project, _, _ := strings.Cut(r.Name, "/")
	return project
}

// String is the name as a person reads it.
func (r Repository) String() string {
	if r.Workspace == "" || r.Workspace == DefaultWorkspace {
		return r.Name
	}
	return r.Workspace + ":" + r.Name
}
