package server

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"forebay/api/admin"
	"forebay/capacity"
	"forebay/config"
	"forebay/fault"
)

// guarantees say what each kind of pool promises.
var guarantees = map[capacity.PoolKind]string{
	capacity.PoolOwned: "Replicas of our own. What runs there is ours to order: calls wait in our queue by tier and fairness, lent slots come back at once, " +
		"and with measured slots, or units that were said, it backs provisioned throughput.",
	capacity.PoolRented: "A quota of its owner's. Below it calls go out by our own count, and beyond it they spill or are told exactly when there is room. " +
		"The owner may throttle earlier; it promises no latency, and backs no provisioned throughput unless units are said.",
	capacity.PoolBought: "Throughput that was bought elsewhere and is paid by the hour, used or not. Its owner does not throttle what stays within it in every minute; " +
		"what exceeds it must spill, for the owner refuses it.",
}

// Engine implements admin.Catalogue.
func (v adminView) Engine(_ context.Context, name string) (*admin.EngineInfo, error) {
	p := v.s.live.Load()
	e, ok := p.cfg.Engines[name]
	if !ok && name != simulatedEngine {
		return nil, fault.Newf(fault.NotFound, "there is no engine %q; see `forebay engines`", name)
	}
	if !ok {
		e = config.Engine{Type: simulatedEngine}
	}
	out := &admin.EngineInfo{Name: name, Type: e.Type, URL: e.URL, ManagedBy: p.declared.Declared(config.KindEngine, "", name), Pools: []admin.EnginePool{}}
	for _, id := range slices.Sorted(maps.Keys(p.cfg.Models)) {
		for _, b := range p.bindings(id) {
			if b.Engine != name {
				continue
			}
			upstream := cmp.Or(b.Model, id)
			kind, why := e.PoolKind(upstream)
			q := b.EffectiveQuota(&e)
			out.Pools = append(out.Pools, admin.EnginePool{
				Model: id, Upstream: upstream, Kind: kind.String(), Why: why, Guarantee: guarantees[kind], Slots: e.Slots, Standby: b.Standby,
				RequestsPerMinute: q.RequestsPerMinute, TokensPerMinute: q.TokensPerMinute,
			})
		}
	}
	return out, nil
}
