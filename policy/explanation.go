package policy

// Explanation is why a decision came out as it did.
type Explanation struct {
	// Decision is what the bundle of Revision says to the input, now.
	Decision Decision `json:"decision"`
	// Reasons are the rules that fired, in the order of the decision.
	Reasons []ExplainedReason `json:"reasons"`
	// Revision names the bundle that was asked. Where it is not the one that
	// decided, the answer may be another.
	Revision string `json:"revision"`
	// Partial says that the search for facts and changes came to its limits: there
	// may be more of them.
	Partial bool `json:"partial,omitempty"`
}

// ExplainedReason is one rule that fired: where it stands, what it looked at, and
// what would have kept it silent.
type ExplainedReason struct {
	Reason
	// Effect is what became of it: "deny", "warn", "dryrun" or "waived".
	Effect string `json:"effect"`
	// Title, Description, Owner and Links are the rule's METADATA.
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	Links       []string `json:"links,omitempty"`
	// Waivable says that a waiver lifts the rule; Waiver names the one that did.
	Waivable bool   `json:"waivable"`
	Waiver   string `json:"waiver,omitempty"`
	// Rule is the rule's path in data, File and Line where it is written.
	Rule string `json:"rule"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Facts are what the rule read of the input, by path.
	Facts []Fact `json:"facts"`
	// Changes is a smallest set of changes of the input with which the rule does not
	// fire or is lifted, and nothing else denies that did not before; each set was
	// tried. Empty when none was found.
	Changes []Change `json:"changes"`
	// Others are further such sets, what is easier to do first.
	Others [][]Change `json:"others,omitempty"`
}

// Fact is a value at a path of the input, written as rules write it.
type Fact struct {
	Path  string `json:"path"`
	Value any    `json:"value"`
	// Absent says that nothing is there, which is not the same as null.
	Absent bool `json:"absent,omitempty"`
}

// Change is another value at a path; a To of nil with Gone set takes the path away.
// A From of nil is null or nothing.
type Change struct {
	Path string `json:"path"`
	From any    `json:"from"`
	To   any    `json:"to"`
	Gone bool   `json:"gone,omitempty"`
}
