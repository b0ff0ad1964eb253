package server

import (
	"context"
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
	"forebay/store"
)

// routed returns p with the routes as they are with what is bought now, and the routes as the scheduler takes them. Lanes of
// what does not serve are left out, and routes without a lane.
func (p *serving) routed(bought *provisioned, made *directory) (*serving, []dispatch.Route, error) {
	zone, err := time.LoadLocation(p.cfg.Account.Zone)
	if err != nil {
		return nil, nil, err
	}
	out := *p // which calls may be reading
	out.speaks = maps.Clone(p.speaks)
	var routes []dispatch.Route
	var names []*catalog.Route
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Routes)) {
		r := p.cfg.Routes[name]
		to, named := dispatch.Route{Name: name}, &catalog.Route{Name: name}
		for i := range r.Lanes {
			lane, ok := p.lane(&r.Lanes[i], bought, made)
			if !ok || slices.ContainsFunc(to.Lanes, func(o dispatch.Lane) bool { return samePlace(&o, &lane) }) {
				continue // a deployment may have got the model of another lane
			}
			if i > 0 {
				if lane.Budget, err = budget(r.Lanes[i-1].Budget, zone); err != nil {
					return nil, nil, fmt.Errorf("routes.%s: %w", name, err)
				}
			}
			to.Lanes = append(to.Lanes, lane)
			named.Lanes = append(named.Lanes, catalog.Lane{Number: i, Name: lane.Name, Model: p.model(lane.Model), Pool: out.pool(&lane)})
		}
		if len(to.Lanes) > 0 {
			routes, names = append(routes, to), append(names, named)
		}
	}
	out.names = p.names.WithRoutes(names)
	return &out, routes, nil
}

// samePlace reports whether the same engines serve in two lanes, for the same money.
func samePlace(a, b *dispatch.Lane) bool {
	return a.Reservation == b.Reservation && dispatch.PoolName(a.Model, a.Engines) == dispatch.PoolName(b.Model, b.Engines)
}

// lane is a lane as the scheduler takes it; false where what was bought or brought for it does not serve.
func (p *serving) lane(l *config.Lane, bought *provisioned, made *directory) (dispatch.Lane, bool) {
	out := dispatch.Lane{
		Name: l.Title(), Mode: meter.ModeOnDemand, Model: l.Model, Engines: l.Engines, Spill: l.Rules(), MaxWait: l.MaxWait,
	}
	if l.Bought != "" {
		t := bought.lookup(p.cfg.Account.ID, l.Bought)
		if t == nil || !t.Status.Serves() {
			return out, false
		}
		out.Mode, out.Model, out.Reservation = meter.ModeProvisioned, t.Model.ID, t.ARN
	}
	if d := made.deployments[l.Model]; d != nil {
		out.Model = d.Model
	}
	m := p.variants[out.Model]
	if m == nil {
		m = p.names.Get(out.Model)
	}
	if m != nil {
		out.Model = m.ID
	}
	return out, m != nil
}

// routeWith names a route with such a lane, "" for none: one that is in force, or is stored and about to be.
func (s *Server) routeWith(ctx context.Context, tx *store.Tx, such func(*config.Lane) bool) (string, error) {
	if p := s.live.Load(); p != nil { // not stopped meanwhile
		if name := p.routeWith(such); name != "" {
			return name, nil
		}
	}
	objects, err := tx.Objects(ctx)
	for i := range objects {
		var r config.Route
		if o := &objects[i]; o.Kind == config.KindRoute && config.Decode(o.Body, &r) == nil && hasLane(&r, such) {
			return o.Name, nil
		}
	}
	return "", err
}

// routeWith names a route with such a lane, "" for none.
func (p *serving) routeWith(such func(*config.Lane) bool) string {
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Routes)) {
		if r := p.cfg.Routes[name]; hasLane(&r, such) {
			return name
		}
	}
	return ""
}

func hasLane(r *config.Route, such func(*config.Lane) bool) bool {
	return slices.ContainsFunc(r.Lanes, func(l config.Lane) bool { return such(&l) })
}

// pool names the engines that serve in a lane, whose clients become known by it.
func (p *serving) pool(l *dispatch.Lane) string {
	name := dispatch.PoolName(l.Model, l.Engines)
	if _, known := p.speaks[name]; !known {
		p.speaks[name] = p.clients(l)
	}
	return name
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
	q := b.EffectiveQuota(e)
	return identity.Limits{RequestsPerMinute: q.RequestsPerMinute, TokensPerMinute: q.TokensPerMinute}
}
