package dispatch

import (
	"cmp"
	"slices"

	"forebay/capacity"
	"forebay/infer"
)

// Part is what a team has of a reservation for itself: a rate of what it is bought in, and some of its slots.
type Part struct {
	Team          string
	Input, Output int64 // tokens a minute, each 0 where the reservation has no bound
	Slots         int32 // of those that back the reservation, which are on its own replicas if it has some
}

// teamPart is a team's part as calls look it up.
type teamPart struct {
	id  capacity.ReservationID
	ref scopeRef
}

// partName is what is remembered of a part in the place of a purchase.
func partName(id, team string) string { return id + ", part of team " + team }

// parts adds the parts of a reservation, behind it.
func (b *builder) parts(r *reserved) {
	r.parts = make(map[string]*teamPart, len(r.Parts))
	r.Parts = slices.SortedFunc(slices.Values(r.Parts), func(x, y Part) int { return cmp.Compare(x.Team, y.Team) })
	for _, in := range r.Parts {
		p := &teamPart{
			id:  handle(&b.ids.next, b.ids.reservations, [2]string{partName(r.ID, in.Team), r.Model}),
			ref: scopeRef{scopePart, "", in.Team + " of " + r.ID},
		}
		input, output := b.unitBucket(p.ref, limitInput, capacity.MeasureInput, in.Input), b.unitBucket(p.ref, limitOutput, capacity.MeasureOutput, in.Output)
		b.cfg.Reservations = append(b.cfg.Reservations, capacity.Reservation{
			ID: p.id, Pool: r.lane.model.pool, Parent: r.id, Input: input, Output: output, Slots: in.Slots,
		})
		r.parts[in.Team] = p
	}
}

// undivided tells the scheduler of parts of a reservation that are no more; now is what it has become, nil where it has ended. What a
// purchase leaves behind goes with it.
func (b *builder) undivided(r, now *reserved) {
	for team, p := range r.parts {
		stays := now != nil && now.parts[team] != nil
		if stays && now.parts[team].id == p.id {
			continue
		}
		if now != nil && now.id == r.id {
			b.cfg.RemoveReservations = append(b.cfg.RemoveReservations, p.id)
		}
		delete(b.ids.reservations, [2]string{partName(r.ID, team), r.Model})
		if !stays {
			b.dropBuckets(b.world.Load(), p.ref)
		}
	}
}

// partOf is the part that a caller's calls use, nil for none: parts are for teams of the account that has bought.
func (r *reserved) partOf(c *infer.Caller) *teamPart {
	if c.Account != r.Account || c.Team == "" {
		return nil
	}
	return r.parts[c.Team]
}

// limitsOf are the buckets that a caller's calls are charged to: those of the purchase, and those of the caller's part.
func (w *world) limitsOf(r *reserved, c *infer.Caller) []limit {
	all := w.scopes[purchaseScope(r.ID)]
	if p := r.partOf(c); p != nil {
		all = joined(w.scopes[p.ref], all)
	}
	return all
}

// charges reports whether the calls of a caller on a purchase are charged to a holder of limits.
func (r *reserved) charges(c *infer.Caller, ref scopeRef) bool {
	p := r.partOf(c)
	return ref == purchaseScope(r.ID) || p != nil && ref == p.ref
}

// PartStatus is where a team's part of a reservation stands.
type PartStatus struct {
	Team          string
	Input, Output Level
	Slots         int32 // that are its own
	Running       int32 // calls of it that cannot be recalled
	Waiting       int32
}

// part returns where a part stands, and how many of its calls run on shared replicas. The mutex is held.
func (d *Dispatcher) part(team string, p *teamPart) (st PartStatus, shared int32) {
	x, _ := d.state.Reservation(p.id)
	return PartStatus{Team: team, Input: level(x.Input), Output: level(x.Output), Slots: x.Slots, Running: x.Firm + x.Apart, Waiting: x.Waiting}, x.Firm
}
