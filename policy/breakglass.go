package policy

import "time"

// BreakGlass is a grant for an emergency: for a short time the content of images
// does not hold its subject up in some projects. Who may do what is not touched by
// it, and what it lets through is told apart from a clean verdict for ever.
type BreakGlass struct {
	ID        string `json:"id"`
	Workspace string `json:"-"`
	// Issuer, Subject and Kind are who has the grant: one person, or one robot or
	// workload that is named as such. A person's grant is not their robots'; a
	// robot is named without what names of robots begin with.
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Kind    Kind   `json:"kind"`
	// Projects are where it holds; never empty.
	Projects []string `json:"projects"`
	// Justification and Ticket say why; both are required.
	Justification string `json:"justification"`
	Ticket        string `json:"ticket"`
	// Requester asked for it, and Approver is the second person who let it be or
	// refused it; empty where none was asked for. They are names, for people to read.
	Requester string `json:"requester,omitempty"`
	Approver  string `json:"approver,omitempty"`
	// RequestedBy and DecidedBy are who that was among all people: "issuer#id".
	RequestedBy string    `json:"requested_by,omitempty"`
	DecidedBy   string    `json:"decided_by,omitempty"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	// State says whether it holds; the zero state does not.
	State WaiverState `json:"state"`
	// Ended is when somebody took it back before its time.
	Ended time.Time `json:"ended,omitzero"`
	// EndedBy is who took it back.
	EndedBy string `json:"ended_by,omitempty"`
}

// InForce reports whether the grant holds at a moment. Decisions are made on whole
// seconds: a grant that was ended does not hold for the rest of its second.
func (b *BreakGlass) InForce(at time.Time) bool {
	return b.State == WaiverApproved && at.Before(b.Expires) && (b.Ended.IsZero() || at.Before(b.Ended.Truncate(time.Second)))
}

// Over reports whether the grant will never hold again after a moment: one that is
// pending may still come to hold.
func (b *BreakGlass) Over(at time.Time) bool {
	return b.State == WaiverRejected || !b.Ended.IsZero() || !at.Before(b.Expires)
}

// For reports whether the grant is the principal's own.
func (b *BreakGlass) For(p Principal) bool {
	return !p.Anonymous() && b.Kind == p.Kind && b.Issuer == p.Issuer && b.Subject == p.ID
}

// breakglassDoc is null where nobody broke the glass.
func breakglassDoc(b *BreakGlass) any {
	if b == nil {
		return nil
	}
	return map[string]any{
		"grant": b.ID, "justification": b.Justification, "ticket": b.Ticket,
		"expires": b.Expires.UTC().Format(time.RFC3339), "approver": orNull(b.Approver),
	}
}
