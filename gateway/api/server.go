package api

import "context"

func (a *API) status(*call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) { return a.cfg.Maintenance.Status(ctx), nil }}, nil
}

func (a *API) reindex(*call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) { return a.cfg.Maintenance.Reindex(ctx) }}, nil
}

func (a *API) schema(*call) (plan, error) {
	return plan{do: func(context.Context) (any, error) { return Routes(), nil }}, nil
}
