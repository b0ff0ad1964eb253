package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"forebay/capacity"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"
)

// route is a name that stands for lanes.
type route struct {
	name  string
	lanes []lane
}

// lane is one way to serve a call, as calls look it up.
type lane struct {
	name    string
	mode    string
	model   *servedModel
	spill   capacity.Spill
	maxWait time.Duration
	budget  []limit // what may spill into it; at most one
	// reserved is the purchase that the lane uses; nil is none.
	reserved *reserved
}

// onDemand says whether the caller's quota for the model applies, and its price.
func (l *lane) onDemand() bool { return l.mode != meter.ModeProvisioned }

// limits lists what applies in this lane alone, whoever calls: the quota of its engine, and its budget.
func (l *lane) limits() []limit {
	if len(l.budget) == 0 {
		return l.model.quota
	}
	return append(slices.Clip(l.model.quota), l.budget...)
}

// PoolName names the engines that serve in a lane: all of a model's, or those of a list, in whatever order.
func PoolName(model string, engines []string) string {
	if len(engines) == 0 {
		return model
	}
	return model + " on " + strings.Join(slices.Compact(slices.Sorted(slices.Values(engines))), ", ")
}

// routes adds the routes, after the models. A lane that is restricted to some engines gets a pool of its own, which lanes
// with the same restriction share.
func (b *builder) routes() {
	models := make(map[string]*Model, len(b.top.Models))
	for i := range b.top.Models {
		models[b.top.Models[i].ID] = &b.top.Models[i]
	}
	for i := range b.top.Routes {
		in := &b.top.Routes[i]
		r := &route{name: in.Name}
		for k := range in.Lanes {
			l := &in.Lanes[k]
			m := models[l.Model]
			if m == nil {
				b.bad = append(b.bad, fmt.Errorf("route %s, lane %s: there is no model %q", in.Name, l.Name, l.Model))
				continue
			}
			bought := b.w.reservations[l.Reservation]
			if bought == nil && l.Reservation != "" || bought != nil && bought.Model != l.Model {
				b.bad = append(b.bad, fmt.Errorf("route %s, lane %s: there is no purchase %q of model %q", in.Name, l.Name, l.Reservation, l.Model))
				continue
			}
			r.lanes = append(r.lanes, lane{
				name: l.Name, mode: l.Mode, model: b.lanePool(m, l.Engines), spill: l.Spill, maxWait: l.MaxWait,
				budget: b.budget(in.Name, l), reserved: bought,
			})
		}
		if n := len(r.lanes); n == 0 || n > capacity.MaxLanes {
			b.bad = append(b.bad, fmt.Errorf("route %s has %d lanes; it must have 1 to %d", in.Name, n, capacity.MaxLanes))
		}
		b.w.routes[in.Name] = r
	}
}

// lanePool returns the pool of a model on some of its engines, and makes it where it is new.
func (b *builder) lanePool(m *Model, engines []string) *servedModel {
	whole := b.w.models[m.ID]
	var some []Binding
	for i := range m.Bindings {
		if slices.Contains(engines, m.Bindings[i].declared()) {
			some = append(some, m.Bindings[i])
		}
	}
	if len(engines) == 0 || len(some) == len(m.Bindings) && len(some) > 0 {
		return whole
	}
	some = slices.DeleteFunc(some, func(x Binding) bool { return whole.isolated(x.Engine) }) // they serve their purchase alone
	key := PoolName(m.ID, engines)
	if sm := b.w.pools[key]; sm != nil {
		return sm
	}
	sm := *whole
	sm.pool, sm.replicas = handle(&b.ids.next, b.ids.pools, key), nil
	b.pool(key, &sm, m, some)
	return &sm
}

// budget returns the counter of what may spill into a lane.
func (b *builder) budget(route string, l *Lane) []limit {
	if l.Budget == nil {
		return nil
	}
	zone := "UTC"
	if l.Budget.Zone != nil {
		zone = l.Budget.Zone.String()
	}
	spend := identity.Limits{Currency: l.Budget.Currency}
	if l.Budget.Period == PeriodDay {
		spend.SpendPerDay = l.Budget.Nano
	} else {
		spend.SpendPerMonth = l.Budget.Nano
	}
	ref := scopeRef{scopeLane, route, l.Name}
	ls := b.scopeLimits(ref, spend, zone)
	b.put(ref, ls)
	return ls
}

// tally counts limits of both kinds.
type tally struct{ buckets, counters int }

func (t tally) plus(limits []limit) tally {
	for i := range limits {
		if limits[i].bucket != 0 {
			t.buckets++
		} else {
			t.counters++
		}
	}
	return t
}

// roomForLimits warns of routes with more limits than a call can hold: such calls get only the first lanes (see offerTo). It
// follows the scopes.
func (b *builder) roomForLimits() {
	var caller tally // of the key and the team that have most
	for _, kind := range []scopeKind{scopeKey, scopeTeam} {
		var most tally
		for ref, ls := range b.w.scopes {
			if t := (tally{}).plus(ls); ref.kind == kind {
				most.buckets, most.counters = max(most.buckets, t.buckets), max(most.counters, t.counters)
			}
		}
		caller.buckets, caller.counters = caller.buckets+most.buckets, caller.counters+most.counters
	}
	for i := range b.top.Routes {
		r := b.w.routes[b.top.Routes[i].Name]
		for k := range b.top.Accounts {
			account := b.top.Accounts[k].ID
			all := b.routeLimits(r, account, caller)
			if all.buckets > capacity.MaxBuckets || all.counters > capacity.MaxCounters {
				b.opts.Log.Warn("calls of a route are under more limits than they can hold, and do not get to its last lanes",
					"route", r.name, "account", account, "a_minute", all.buckets, "a_day_or_month", all.counters, "room", capacity.MaxBuckets)
			}
		}
	}
}

// routeLimits adds the limits of an account in all lanes of a route, each once.
func (b *builder) routeLimits(r *route, account string, all tally) tally {
	all = all.plus(b.w.scopes[scopeRef{scopeAccount, account, account}])
	seen := map[scopeRef]bool{}
	for i := range r.lanes {
		l := &r.lanes[i]
		own := scopeRef{scopeModel, account, l.model.name}
		if l.onDemand() && !seen[own] {
			seen[own] = true
			all = all.plus(b.w.scopes[own])
		}
		for _, q := range l.limits() {
			if once := (scopeRef{q.scope.kind, q.scope.account, q.scope.id + " " + q.name}); !seen[once] {
				seen[once] = true
				all = all.plus([]limit{q})
			}
		}
	}
	return all
}

// lanesOf lists the lanes that can serve a call: of its route those that its request has, else the model on demand.
func (c *call) lanesOf(w *world) error {
	if c.req.Reservation != "" {
		r := w.reservations[c.req.Reservation]
		if r == nil || r.Model != c.req.Model {
			return overtaken() // it has ended, or has another model now
		}
		c.single[0] = callLane{lane: &r.lane}
		c.lanes = c.single[:]
		return nil
	}
	if c.req.Route == "" {
		m := w.models[c.req.Model]
		if m == nil {
			return unbound(c.req.Model)
		}
		if c.req.TierAsked == infer.TierReserved.String() {
			c.tierLanes(w, m)
			return nil
		}
		c.single[0] = callLane{lane: &m.alone}
		c.lanes = c.single[:]
		return nil
	}
	r := w.routes[c.req.Route]
	if r == nil {
		return overtaken()
	}
	for i := range c.req.Lanes {
		in := &c.req.Lanes[i]
		if in.Number >= len(r.lanes) || r.lanes[in.Number].model.name != in.Model {
			return overtaken() // the route was changed after the call had looked it up
		}
		c.lanes = append(c.lanes, callLane{lane: &r.lanes[in.Number], number: in.Number, enter: in.Enter})
		if in.Entered {
			c.ready = in.Number + 1
		}
	}
	return nil
}

// callLane is a lane as one call may use it.
type callLane struct {
	*lane
	number int // in the route
	enter  func() error
	money  int64 // to be held on budgets, nano-units
}

// offerTo describes the lanes to the scheduler, with the limits of each. Lanes whose price cannot be held against a budget that
// applies are left out; the error is that of the first when none is left.
func (c *call) offerTo(w *world, ev *capacity.Event) error {
	shared := w.callerLimits(&c.req.Caller)
	var limits [capacity.MaxLanes][]limit
	var first error
	kept := c.lanes[:0]
	for i := range c.lanes {
		l := c.lanes[i]
		own := l.limits()
		if l.onDemand() {
			own = joined(w.scopes[scopeRef{scopeModel, c.req.Caller.Account, l.model.name}], own)
		}
		all := joined(shared, own)
		if l.reserved != nil {
			all = onlyCalls(all)
		}
		if err := c.holdMoney(w, &l, all); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		limits[len(kept)] = all
		kept = append(kept, l)
	}
	if c.lanes = kept; len(kept) == 0 {
		return first
	}
	ev.NumLanes = uint8(len(kept))
	for i := range kept {
		ev.Lanes[i] = kept[i].toScheduler(&c.req.Caller)
		if err := c.list(ev, limits[i], &ev.Lanes[i]); err != nil {
			if i == 0 {
				return err
			}
			ev.NumLanes, c.lanes = uint8(i), kept[:i] // no call gets to a lane whose limits it cannot hold
			break
		}
		c.limits = joined(joined(c.limits, limits[i]), kept[i].model.rented)
		if r := kept[i].reserved; r != nil { // the scheduler knows them by the lane
			c.limits = joined(c.limits, w.limitsOf(r, &c.req.Caller))
		}
	}
	return nil
}

func (l *callLane) toScheduler(by *infer.Caller) capacity.Lane {
	out := capacity.Lane{Pool: l.model.pool, Model: l.model.id, Spill: l.spill, MaxWait: l.maxWait, Money: l.money}
	if l.reserved != nil {
		out.Reservation = l.reserved.id
		if p := l.reserved.partOf(by); p != nil {
			out.Reservation = p.id
		}
	}
	return out
}

// departure is a lane that a call has left, and why.
type departure struct {
	at    int // of the call's lanes
	lane  string
	why   string
	limit string        // that refused it there, "" for another reason
	wait  time.Duration // until there is room there; 0 unknown
	guess bool          // wait is an estimate
}

// stand puts the call into a lane.
func (c *call) stand(w *world, at int) {
	c.lane = at
	l := &c.lanes[at]
	c.model, c.charged = l.model, w.chargedIn(l, c.req)
}

// chargedIn finds by whose tariffs a call is charged in a lane: in a route by those of the model that serves, for its name is
// no model's.
func (w *world) chargedIn(l *callLane, req *infer.Request) *meter.Tariffs {
	if req.Route != "" {
		return &l.model.charge
	}
	return w.charged(req.ModelCharged, l.model)
}

// spill takes the call into the lane that the scheduler has found for it.
func (c *call) spill(a *capacity.Action) {
	d := departure{at: c.lane, lane: c.lanes[c.lane].name, why: whySpilled(a.Reason), wait: a.RetryAfter, guess: a.Estimated}
	if l := c.limitOf(a); l != nil {
		d.limit = l.name + " of " + l.scope.String()
	}
	c.left = append(c.left, d)
	c.stand(c.d.world.Load(), int(a.Lane))
	c.failures = 0
}

// The rules under which calls leave lanes, as they are shown.
const (
	whyOverRate    = "over-rate"
	whyOverLatency = "over-latency"
	whyFailover    = "failover"
)

// whySpilled names the rule under which a call has left a lane.
func whySpilled(r capacity.Reason) string {
	switch r {
	case capacity.ReasonQueueFull, capacity.ReasonDeadline, capacity.ReasonLatency, capacity.ReasonWaited, capacity.ReasonMemory, capacity.ReasonSoldOut, capacity.ReasonStarting:
		return whyOverLatency
	case capacity.ReasonNoReplica, capacity.ReasonReplicasFailed:
		return whyFailover
	default:
		return whyOverRate
	}
}

// String is a departure as the response's header and the ledger have it: "own: over-rate (tokens/min of engine vllm for m)".
func (d *departure) String() string {
	if d.limit == "" {
		return d.lane + ": " + d.why
	}
	return d.lane + ": " + d.why + " (" + d.limit + ")"
}

// spilled lists the lanes that the call has left.
func (c *call) spilled() string {
	if len(c.left) == 0 {
		return c.unbought()
	}
	out := make([]string, len(c.left))
	for i := range c.left {
		out[i] = c.left[i].String()
	}
	return strings.Join(out, "; ")
}

// enter makes the request what the lane takes in which it was admitted.
func (c *call) enter() error {
	l := &c.lanes[c.lane]
	if l.enter == nil || c.ready == l.number+1 {
		return nil
	}
	c.req.Model = l.model.name
	if err := l.enter(); err != nil {
		return err
	}
	c.ready = l.number + 1
	return nil
}

// mayFailOver says whether the call may leave its lane when the engines there fail it.
func (c *call) mayFailOver() bool {
	return c.lane+1 < len(c.lanes) && c.lanes[c.lane].spill&capacity.FailOver != 0
}

// tell says in the head of the answer who has served.
func (c *call) tell(h *infer.Head) {
	h.Served, h.Spill = c.model.name, c.spilled()
	if c.req.Route != "" {
		h.Lane = c.lanes[c.lane].name
	}
	h.Dropped = append(h.Dropped, c.req.Dropped...)
}

// heldMoney is what the call holds of budgets in its lane.
func (c *call) heldMoney() int64 {
	if len(c.lanes) == 0 {
		return 0
	}
	return c.lanes[c.lane].money
}

func (c *call) mode() string {
	if len(c.lanes) == 0 {
		return meter.ModeOnDemand
	}
	return c.lanes[c.lane].mode
}
