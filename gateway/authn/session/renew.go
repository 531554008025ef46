package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// patience is how long a provider may take to answer, and how long nobody else
// asks it about the same session meanwhile.
const patience = 10 * time.Second

// renewal is what is sealed in [Session.Refresh].
type renewal struct {
	// Token is the provider's refresh token; empty when it gave none.
	Token string `json:"t,omitempty"`
	// Asked is when somebody last began to ask with it. It is written before the
	// provider is asked: one that takes a token twice for a theft would end the
	// session of an honest person.
	Asked time.Time `json:"a,omitzero"`
}

// renewed answers the session, after its provider was asked when that is due.
// Requests of one session share the question.
func (s *Sessions) renewed(ctx context.Context, row Session) (Session, error) {
	terms, ok := s.cfg.Provider.Terms(row.Principal.Workspace, row.Principal.Issuer)
	if !ok {
		return Session{}, s.end(ctx, row, "its provider is not configured any longer")
	}
	if s.cfg.Now().Before(row.Refreshed.Add(terms.Refresh)) {
		return row, nil
	}
	flight := s.flight.DoChan(row.ID, func() (any, error) {
		// The token is spent once it is sent: the answer must be kept even if the
		// request that began it is gone.
		whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
		defer cancel()
		return s.renew(whole, row.Principal.Workspace, row.ID, terms)
	})
	select {
	case res := <-flight:
		if res.Err != nil {
			return Session{}, res.Err
		}
		row, ok := res.Val.(Session)
		if !ok {
			return Session{}, over("no answer")
		}
		return row, nil
	case <-ctx.Done():
		return Session{}, fmt.Errorf("session: waiting for the provider: %w", ctx.Err())
	}
}

func (s *Sessions) renew(ctx context.Context, workspace, id string, terms Terms) (Session, error) {
	row, err := s.cfg.Store.Session(ctx, workspace, id)
	switch {
	case errors.Is(err, policy.ErrNotFound):
		return Session{}, over("it has ended")
	case err != nil:
		return Session{}, fmt.Errorf("session: read it: %w", err)
	}
	now := s.cfg.Now().UTC()
	due := row.Refreshed.Add(terms.Refresh)
	if now.Before(due) { // another request was quicker
		return row, nil
	}
	var with renewal
	if err := s.sealer.Open(row.Refresh, row.ID, &with); err != nil {
		return Session{}, s.end(ctx, row, "it was sealed under another key")
	}
	if with.Token == "" {
		return Session{}, s.end(ctx, row, "the provider's word is over, and it gave nothing to ask with")
	}
	if now.Before(with.Asked.Add(patience)) {
		return meanwhile(row, now, due.Add(terms.Grace))
	}
	claimed := row
	if claimed.Refresh, err = s.sealer.Seal(renewal{Token: with.Token, Asked: now}, id); err != nil {
		return Session{}, err
	}
	switch err := s.cfg.Store.UpdateSession(ctx, claimed, row.Refresh); {
	case errors.Is(err, policy.ErrConflict): // another replica asks, or it was ended
		return meanwhile(row, now, due.Add(terms.Grace))
	case err != nil:
		return Session{}, fmt.Errorf("session: note that the provider is asked: %w", err)
	}
	return s.ask(ctx, claimed, with.Token, due.Add(terms.Grace))
}

// ask asks the provider. Only who has claimed the row may.
func (s *Sessions) ask(ctx context.Context, row Session, token string, until time.Time) (Session, error) {
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, next, err := s.cfg.Provider.Renew(asking, row.Principal, token)
	now := s.cfg.Now().UTC()
	switch {
	case errors.Is(err, policy.ErrUnauthenticated):
		s.cfg.Log.InfoContext(ctx, "a session has ended: its provider refuses it", "issuer", row.Principal.Issuer, "cause", err)
		return Session{}, s.end(ctx, row, "the provider refuses it")
	case err != nil && now.Before(until):
		s.cfg.Log.WarnContext(ctx, "a session goes on for its grace: its provider does not answer",
			"issuer", row.Principal.Issuer, "until", until, "error", err)
		return row, nil
	case err != nil:
		return Session{}, s.end(ctx, row, "the provider has not answered for longer than the grace")
	case p.Workspace != row.Principal.Workspace || p.Issuer != row.Principal.Issuer || p.ID != row.Principal.ID:
		return Session{}, s.end(ctx, row, "the provider answers for somebody else")
	}
	fresh := row
	fresh.Principal, fresh.Refreshed = p, now
	fresh.Principal.Credential = ""
	if fresh.Refresh, err = s.sealer.Seal(renewal{Token: next}, row.ID); err != nil {
		return Session{}, err
	}
	if err := s.cfg.Store.UpdateSession(ctx, fresh, row.Refresh); err != nil {
		if errors.Is(err, policy.ErrConflict) {
			return Session{}, over("it was ended meanwhile")
		}
		return Session{}, fmt.Errorf("session: keep the provider's answer: %w", err)
	}
	return fresh, nil
}

// meanwhile is for a request that comes while somebody else asks: the session
// holds for its grace, and nobody can say more now.
func meanwhile(row Session, now, until time.Time) (Session, error) {
	if now.Before(until) {
		return row, nil
	}
	return Session{}, fmt.Errorf("session: the provider is being asked: %w", policy.ErrUnavailable)
}
