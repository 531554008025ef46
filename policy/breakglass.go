package policy

import "time"

// BreakGlass is a grant for an emergency: for a short time the content of images
// does not hold its subject up in some projects. Who may do what is not touched by
// it, and what it lets through is told apart from a clean verdict for ever.
type BreakGlass struct {
	ID        string `json:"id"`
	Workspace string `json:"-"`
	// Issuer and Subject are who has the grant.
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	// Projects are where it holds; never empty.
	Projects []string `json:"projects"`
	// Justification and Ticket say why; both are required.
	Justification string `json:"justification"`
	Ticket        string `json:"ticket"`
	Requester     string `json:"requester,omitempty"`
	// Approver is the second person; empty where none was asked for.
	Approver string    `json:"approver,omitempty"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	// State says whether it holds; the zero state does not.
	State WaiverState `json:"state"`
	// Ended is when somebody took it back before its time.
	Ended time.Time `json:"ended,omitzero"`
}

// InForce reports whether the grant holds at a moment.
func (b *BreakGlass) InForce(at time.Time) bool {
	return b.State == WaiverApproved && at.Before(b.Expires) && (b.Ended.IsZero() || at.Before(b.Ended))
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
