package main

import (
	"context"

	"github.com/bondgate/bondgate/gateway/api"
)

func (d decisions) Verify(ctx context.Context) (api.Verification, error) {
	r, err := d.log.Verify(ctx)
	if err != nil {
		return api.Verification{}, err
	}
	v := api.Verification{
		Intact: r.Intact(), Records: r.Records, Facts: r.Facts, Days: r.Days, More: r.More,
		Heads: make([]api.VerificationHead, 0, len(r.Heads)), Findings: make([]api.VerificationFinding, 0, len(r.Findings)),
	}
	for _, h := range r.Heads {
		v.Heads = append(v.Heads, api.VerificationHead(h))
	}
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, api.VerificationFinding(f))
	}
	return v, nil
}
