package dispatch

import (
	"forebay/capacity"
	"forebay/infer"
	"forebay/meter"
)

// Reservation is capacity of a model that was bought: a rate of tokens, and the slots that back it.
type Reservation struct {
	ID    string // that calls name, and that their rows have
	Name  string // for people
	Model string
	// Input and Output are tokens a minute, 0 without a bound.
	Input, Output int64
	// Slots are the concurrent calls that back the rate.
	Slots int32
	// Replicas isolates so many replicas of each engine, by its declared name, for the reservation; nil shares all. Which ones they
	// are stays the same as long as they are there.
	Replicas map[string]int64
	// Account is whose teams have the Parts.
	Account string
	Parts   []Part
	// Costed says that what its hours cost us is known, so that its calls cost nothing beside them.
	Costed bool
	// Tier says that it is of the reserved tier: the Account's calls use it that ask for the tier of Model, and go on as others beyond it.
	Tier bool
}

// reserved is a reservation as calls look it up: the lane that is taken by calls which name it.
type reserved struct {
	Reservation
	id    capacity.ReservationID
	lane  lane
	parts map[string]*teamPart // by team
}

// The limits of a reservation.
const (
	limitInput  = "input tokens/min"
	limitOutput = "output tokens/min"
)

// reservations adds the reservations, after the models. One of a model that is not served is left out: its calls are told.
func (b *builder) reservations() {
	for i := range b.top.Reservations {
		in := b.top.Reservations[i]
		m := b.w.models[in.Model]
		if m == nil {
			continue
		}
		r := &reserved{Reservation: in, id: handle(&b.ids.next, b.ids.reservations, [2]string{in.ID, in.Model})}
		ref := purchaseScope(in.ID)
		input, output := b.unitBucket(ref, limitInput, capacity.MeasureInput, in.Input), b.unitBucket(ref, limitOutput, capacity.MeasureOutput, in.Output)
		b.cfg.Reservations = append(b.cfg.Reservations, capacity.Reservation{ID: r.id, Pool: m.pool, Input: input, Output: output, Slots: in.Slots})
		r.lane = lane{name: in.Name, mode: meter.ModeProvisioned, model: m, reserved: r}
		if in.Tier {
			r.lane.spill = capacity.SpillOverRate
			at := tierOf{in.Account, in.Model}
			b.w.tiers[at] = append(b.w.tiers[at], r)
		}
		b.parts(r)
		b.w.reservations[in.ID] = r
	}
	b.isolate()
}

// purchaseScope is what was bought, as a holder of limits.
func purchaseScope(id string) scopeRef { return scopeRef{scopeReservation, "", id} }

// unitBucket adds a bucket of a reservation, 0 for what has no bound.
func (b *builder) unitBucket(ref scopeRef, name string, m capacity.Measure, rate int64) capacity.BucketID {
	if rate <= 0 {
		return 0
	}
	id := b.bucket(limitKey{ref, name})
	b.cfg.Buckets = append(b.cfg.Buckets, capacity.Bucket{ID: id, Measure: m, Rate: rate})
	b.w.scopes[ref] = append(b.w.scopes[ref], limit{scope: ref, name: name, value: rate, bucket: id})
	return id
}

// unreserved tells the scheduler of reservations that have ended, or are of another model now. What has ended does not come back, so that
// its handles are forgotten.
func (b *builder) unreserved(old *world) {
	for id, r := range old.reservations {
		now := b.w.reservations[id]
		b.undivided(r, now)
		if now != nil && now.id == r.id {
			continue
		}
		b.cfg.RemoveReservations = append(b.cfg.RemoveReservations, r.id)
		delete(b.ids.reservations, [2]string{id, r.Model})
		if now != nil {
			continue // the buckets are the same
		}
		b.dropBuckets(old, purchaseScope(id))
	}
	sortIDs(b.cfg.RemoveReservations)
	sortIDs(b.cfg.RemoveBuckets)
}

// dropBuckets removes the buckets of a holder that is no more.
func (b *builder) dropBuckets(old *world, ref scopeRef) {
	for _, l := range old.scopes[ref] {
		b.cfg.RemoveBuckets = append(b.cfg.RemoveBuckets, l.bucket)
		delete(b.ids.buckets, limitKey{ref, l.name})
	}
}

// onlyCalls leaves the limits of calls, in a minute and at once. Tokens and money of a reservation were bought: quotas and budgets of
// what is used on demand do not hold for them.
func onlyCalls(limits []limit) []limit {
	var out []limit
	for _, l := range limits {
		if l.name == limitRPM || l.name == limitCalls {
			out = append(out, l)
		}
	}
	return out
}

// tierOf is whose purchases of the reserved tier serve which model.
type tierOf struct{ account, model string }

// tierLanes are those of a call that asks for the reserved tier: what its account has bought of the model, in the order in which it was bought, and
// then the model on demand.
func (c *call) tierLanes(w *world, m *servedModel) {
	for _, r := range w.tiers[tierOf{c.req.Caller.Account, m.name}] {
		if n := len(c.lanes); n < capacity.MaxLanes-1 {
			c.lanes = append(c.lanes, callLane{lane: &r.lane, number: n})
		}
	}
	c.lanes = append(c.lanes, callLane{lane: &m.alone, number: len(c.lanes)})
}

// unbought tells of a call that asked for the reserved tier, of which its account has bought nothing of the model; "" of others. As at the service, it
// is served at the default tier.
func (c *call) unbought() string {
	if c.req.TierAsked != infer.TierReserved.String() || c.req.Route != "" || c.req.Reservation != "" || len(c.lanes) == 0 || c.lanes[0].reserved != nil {
		return ""
	}
	return "reserved: not bought"
}

// tier is that at which the call is served: that of its request, or reserved where a purchase of the tier serves it.
func (c *call) tier() infer.Tier {
	if len(c.lanes) > 0 {
		if r := c.lanes[c.lane].reserved; r != nil && r.Tier {
			return infer.TierReserved
		}
	}
	return c.req.Tier
}

// purchase is the reservation that serves the call, "" for none.
func (c *call) purchase() string {
	if len(c.lanes) == 0 || c.lanes[c.lane].reserved == nil {
		return ""
	}
	return c.lanes[c.lane].reserved.ID
}

// ReservationStatus is where a reservation stands, and the pool that it is in.
type ReservationStatus struct {
	Input, Output Level
	Slots         int32 // of shared replicas that back it
	Own           int32 // slots of the replicas of its own that are up
	Running       int32 // calls of it and of its parts that run and cannot be recalled
	Waiting       int32 // calls of both that wait
	Pool          PoolSlots
	Parts         []PartStatus // in the order of the teams
}

// PoolSlots are the slots of a pool.
type PoolSlots struct {
	Slots int32
	Sold  int32 // of all purchases
	Lent  int32 // sold ones in which calls run that can be recalled
}

// Level is the level of a leaky bucket, in tokens.
type Level struct {
	Fill  int64 // that have not drained
	Depth int64 // beyond which calls are refused
	Rate  int64 // that drain a minute
}

// Reserved returns where a reservation stands; false when it is not served.
func (d *Dispatcher) Reserved(id string) (ReservationStatus, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.world.Load().reservations[id]
	if r == nil {
		return ReservationStatus{}, false
	}
	d.step(&capacity.Event{Kind: capacity.EventTick}) // buckets drain with time
	return d.reservation(r), true
}

// reservation returns where a reservation stands. The mutex is held.
func (d *Dispatcher) reservation(r *reserved) ReservationStatus {
	st, _ := d.state.Reservation(r.id)
	pool, _ := d.state.Pool(r.lane.model.pool)
	out := ReservationStatus{
		Input: level(st.Input), Output: level(st.Output), Slots: st.Slots, Own: st.Own, Running: st.Firm + st.OwnBusy - st.OwnLent, Waiting: st.Waiting,
		Pool: PoolSlots{Slots: pool.Slots, Sold: pool.Sold, Lent: pool.Lent},
	}
	for _, p := range r.Parts {
		x, shared := d.part(p.Team, r.parts[p.Team])
		out.Running, out.Waiting, out.Parts = out.Running+shared, out.Waiting+x.Waiting, append(out.Parts, x)
	}
	return out
}

func level(b capacity.BucketStats) Level { return Level{Fill: b.Fill, Depth: b.Depth, Rate: b.Rate} }
