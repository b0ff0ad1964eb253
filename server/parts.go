package server

import (
	"cmp"
	"context"
	"slices"

	"forebay/api/admin"
	"forebay/dispatch"
	"forebay/fault"
	"forebay/provision"
)

// partsOf are the parts of a throughput as the scheduler takes them. Slots are divided as units are, of the reserved tier as its input and output
// are in the mean, rounded down: what is left is for all.
func partsOf(t *provision.Throughput, slots int64) []dispatch.Part {
	out := make([]dispatch.Part, len(t.Parts))
	slots = min(slots, 1<<20)
	for i, p := range t.Parts {
		if t.Tier {
			out[i] = dispatch.Part{Team: p.Team, Input: p.Input, Output: p.Output, Slots: int32(slots * p.Input / t.Unit.Input)}
			if t.Unit.Output > 0 {
				out[i].Slots = (out[i].Slots + int32(slots*p.Output/t.Unit.Output)) / 2
			}
			continue
		}
		out[i] = dispatch.Part{Team: p.Team, Input: p.Units * t.Unit.Input, Output: p.Units * t.Unit.Output, Slots: int32(slots * p.Units / t.Units)}
	}
	return out
}

// divisibleApart is how many slots of the replicas that are isolated for a throughput its parts can have: all but one, which is for all.
func (p *serving) divisibleApart(t *provision.Throughput) int64 { return max(0, p.slotsApart(t)-1) }

// slotsApart is how many slots the replicas have that are isolated for a throughput, all of them up.
func (p *serving) slotsApart(t *provision.Throughput) (n int64) {
	for _, w := range t.Replicas {
		slots := int64(1) // of an engine that is gone, of which no more is known
		if _, known := p.cfg.Engines[w.Engine]; known {
			slots = int64(cmp.Or(p.slotsOf(t.Model.ID, w.Engine), dispatch.DefaultSlots))
		}
		n += w.Replicas * slots
	}
	return n
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
