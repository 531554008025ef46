package main

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata"
)

// breakglass is the part of the management API about emergencies.
func (a *App) breakglass() api.BreakGlassConfig {
	return api.BreakGlassConfig{
		Grants: loudGrants{a.store, a.log}, People: a.store,
		Max: time.Duration(a.cfg.Policy.BreakGlass.Max), SecondPerson: a.cfg.Policy.BreakGlass.SecondPerson,
	}
}

// loudGrants are the store's grants, each change of which stands in the server's log:
// whoever watches it must not have to look for an emergency.
type loudGrants struct {
	*metadata.Store
	log *slog.Logger
}

func (l loudGrants) AddBreakGlass(ctx context.Context, b policy.BreakGlass) error {
	err := l.Store.AddBreakGlass(ctx, b)
	if err == nil {
		l.say("breakglass: a grant was made", &b, b.Requester)
	}
	return err
}

func (l loudGrants) ChangeBreakGlass(ctx context.Context, workspace, id string, change func(*policy.BreakGlass) error) (policy.BreakGlass, error) {
	b, err := l.Store.ChangeBreakGlass(ctx, workspace, id, change)
	switch {
	case err != nil:
	case !b.Ended.IsZero():
		l.say("breakglass: a grant was ended", &b, b.EndedBy)
	default:
		l.say("breakglass: a grant was decided about", &b, b.Approver)
	}
	return b, err
}

func (l loudGrants) say(what string, b *policy.BreakGlass, by string) {
	l.log.Warn(what, "grant", b.ID, "workspace", b.Workspace, "state", string(b.State), "by", by, "subject", b.Subject, "issuer", b.Issuer,
		"projects", strings.Join(b.Projects, " "), "ticket", b.Ticket, "justification", b.Justification, "expires", b.Expires.Format(time.RFC3339))
}

// glassMetrics count what went through broken glass.
type glassMetrics struct {
	uses prometheus.Counter
	log  *slog.Logger
	mu   sync.Mutex
	// seen are the grants whose first use here stands in the log.
	seen map[string]bool
}

// manyGrants is when the list of those that were seen begins anew.
const manyGrants = 1024

// newGlassMetrics registers them; open is how many grants are in force.
func newGlassMetrics(registry *prometheus.Registry, log *slog.Logger, open func() int) (*glassMetrics, error) {
	m := &glassMetrics{log: log, seen: map[string]bool{}, uses: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bondgate_breakglass_uses_total", Help: "Requests that were allowed because somebody broke the glass.",
	})}
	if err := registry.Register(m.uses); err != nil {
		return nil, err
	}
	return m, registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bondgate_breakglass_open", Help: "Grants for an emergency that are in force.",
	}, func() float64 { return float64(open()) }))
}

func (m *glassMetrics) observe(o policy.Observation) {
	if o.BreakGlass == "" {
		return
	}
	m.uses.Inc()
	if o.Cached {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen[o.BreakGlass] {
		return
	}
	if len(m.seen) >= manyGrants {
		clear(m.seen)
	}
	m.seen[o.BreakGlass] = true
	m.log.Warn("breakglass: first use of a grant", "grant", o.BreakGlass, "action", string(o.Action))
}
