package policy

// RecordMask is one thing that a policy wants hidden in the record of a decision
// (package system.log, "mask").
type RecordMask struct {
	// Path are the keys from the input on; none is all of the input.
	Path []string
	// Upsert puts Value there, also where there is nothing. Without it a keyed
	// hash takes the value's place.
	Upsert bool
	Value  any
}

// RecordRuling is what a policy says about the record of one decision.
type RecordRuling struct {
	Masks []RecordMask
	// Drop asks for no record at all; see package decisionlog for when it is heard.
	Drop bool
	// Failure says what went wrong with Drop; the record is kept then.
	Failure error
}
