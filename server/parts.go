package server

import (
	"context"
	"slices"

	"forebay/api/admin"
	"forebay/dispatch"
	"forebay/fault"
	"forebay/provision"
)

// partsOf are the parts of a throughput as the scheduler takes them. Slots are divided as units are, rounded down: what is left is
// for all.
func partsOf(t *provision.Throughput, slots int64) []dispatch.Part {
	out := make([]dispatch.Part, len(t.Parts))
	for i, p := range t.Parts {
		out[i] = dispatch.Part{Team: p.Team, Input: p.Units * t.Unit.Input, Output: p.Units * t.Unit.Output}
		if t.Isolation != provision.Replica {
			out[i].Slots = int32(min(slots, 1<<20) * p.Units / t.Units)
		}
	}
	return out
}

// Divide implements admin.ProvisionAdmin.
func (p provisionAdmin) Divide(ctx context.Context, account, id string, parts []provision.Part) (*admin.Provisioned, error) {
	teams := p.s.live.Load().cfg.Tenants()[account].Teams
	before, err := p.s.book.Get(ctx, account, id)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if _, ok := teams[part.Team]; !ok && !slices.ContainsFunc(before.Parts, func(x provision.Part) bool { return x.Team == part.Team }) {
			return nil, fault.Newf(fault.Invalid, "the account has no team %.64q", part.Team)
		}
	}
	t, err := p.s.book.Divide(ctx, account, id, parts)
	if err != nil {
		return nil, err
	}
	return p.used(t), nil
}
