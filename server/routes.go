package server

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"forebay/catalog"
	"forebay/config"
	"forebay/dispatch"
	"forebay/engine"
	"forebay/identity"
	"forebay/meter"
)

// routes are the routes as the scheduler takes them.
func (p *serving) routes() ([]dispatch.Route, error) {
	zone, err := time.LoadLocation(p.cfg.Account.Zone)
	if err != nil {
		return nil, err
	}
	var out []dispatch.Route
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Routes)) {
		r := p.cfg.Routes[name]
		to := dispatch.Route{Name: name}
		for i := range r.Lanes {
			l := &r.Lanes[i]
			lane := dispatch.Lane{
				Name: l.Title(), Mode: meter.ModeOnDemand, Model: l.Model, Engines: l.Engines, Spill: l.Rules(), MaxWait: l.MaxWait,
			}
			if i > 0 {
				if lane.Budget, err = budget(r.Lanes[i-1].Budget, zone); err != nil {
					return nil, fmt.Errorf("routes.%s: %w", name, err)
				}
			}
			to.Lanes = append(to.Lanes, lane)
		}
		out = append(out, to)
	}
	return out, nil
}

// budget is what the lane before lets into a lane.
func budget(b *config.Budget, zone *time.Location) (*dispatch.Budget, error) {
	if b == nil {
		return nil, nil //nolint:nilnil // most lanes have none
	}
	nano, currency, err := config.Money(b.Amount)
	out := &dispatch.Budget{Nano: nano, Currency: currency, Period: dispatch.PeriodMonth, Zone: zone}
	if b.Period == dispatch.PeriodDay {
		out.Period = dispatch.PeriodDay
	}
	return out, err
}

// named are the routes as names are resolved; what serves in each lane becomes known to p.speaks.
func (p *serving) named(models map[string]*catalog.Model) []*catalog.Route {
	var out []*catalog.Route
	for i := range p.base.Routes {
		r := &p.base.Routes[i]
		to := &catalog.Route{Name: r.Name}
		for k := range r.Lanes {
			l := &r.Lanes[k]
			pool := dispatch.PoolName(l.Model, l.Engines)
			to.Lanes = append(to.Lanes, catalog.Lane{Name: l.Name, Model: models[l.Model], Pool: pool})
			if _, known := p.speaks[pool]; !known {
				p.speaks[pool] = p.clients(l)
			}
		}
		out = append(out, to)
	}
	return out
}

// clients are those of the engines that serve in a lane.
func (p *serving) clients(l *dispatch.Lane) (out []engine.Client) {
	for i := range p.base.Models {
		m := &p.base.Models[i]
		for _, b := range m.Bindings {
			if m.ID == l.Model && slices.Contains(l.Engines, b.Declared) {
				out = append(out, p.opened[b.Engine].client)
			}
		}
	}
	return out
}

// quota is what an engine's owner lets us have of a model.
func quota(b *config.Binding, e *config.Engine) identity.Limits {
	q := e.Quota
	if b.Quota != nil {
		q = *b.Quota
	}
	return identity.Limits{RequestsPerMinute: q.RequestsPerMinute, TokensPerMinute: q.TokensPerMinute}
}
