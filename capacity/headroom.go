package capacity

import "math"

// Headroom. Of a pool's slots, those that back purchases are for them; what is left is common. A call that can be recalled may start
// on any free slot; one that cannot, which is called firm here, only where it keeps no reservation from what is its own:
//
//	excess of a part     = firm calls of the part beyond its slots
//	excess of a purchase = its own firm calls and the excess of its parts, beyond the slots that it has not divided
//	common use           = firm calls under quota and the excess of all purchases
//	common capacity      = slots of the replicas that are up and shared, less the slots of all purchases
//
// A firm call starts while common use stays within the common capacity, or does not grow. The same holds of memory, in tokens.
// Calls on isolated replicas are outside all of this: there only their owner's calls are firm, unless a call that was lent to has
// begun to answer (see apart). So are calls that are still on a standby when others are up again.

// room is slots and tokens of memory.
type room struct {
	slots int32
	kv    wide
}

// plus saturates, which no number of calls gets to, but configured slots might.
func (a room) plus(b room) room {
	return room{int32(min(int64(a.slots)+int64(b.slots), math.MaxInt32)), a.kv.add(b.kv)}
}

// minus stops at 0.
func (a room) minus(b room) room { return room{max(0, a.slots-b.slots), a.kv.sub(b.kv)} }

// backing is what a reservation has for itself of the shared replicas.
func (r *reservation) backing() room {
	if r.removed {
		return room{}
	}
	slots := r.Slots
	if r.away {
		slots = 0
	}
	return room{slots, wide{lo: uint64(r.KV)}}
}

// base returns the replicas that work under quota runs on.
func (p *pool) base() *rack {
	if p.shared.up == 0 {
		return &p.standby
	}
	return &p.shared
}

// commonRoom returns the common capacity. bounded says that memory counts.
func (p *pool) commonRoom() (c room, bounded bool) {
	k := p.base()
	return room{k.slots, k.kv}.minus(p.sold), k.boundless == 0
}

// ownRack returns the replicas that are isolated for the call, nil if it has none that is up.
func (s *State) ownRack(c *call) *rack {
	if c.reservation == 0 {
		return nil
	}
	if oi := s.ownerOf(c.reservation); oi != 0 {
		return &s.reservations.items[oi].own
	}
	return nil
}

// occupies is what a call takes up on a replica of its pool, at most.
func (p *pool) occupies(c *call) room {
	kv := c.tokens()
	if p.memory > 0 {
		kv = min(kv, p.memory)
	}
	return room{1, wide{lo: uint64(kv)}}
}

// over is what a purchase uses beyond what is its own.
func (r *reservation) over(use room) room {
	x := use.minus(r.backing().minus(r.divided))
	if r.KV == 0 {
		x.kv = wide{}
	}
	return x
}

// growth is how much common use grows by a firm call that takes up x.
func (s *State) growth(c *call, x room) room {
	if c.reservation == 0 {
		return x
	}
	r := &s.reservations.items[c.reservation]
	if r.parent != 0 {
		x = r.use.plus(x).minus(r.backing()).minus(r.excess)
		r = &s.reservations.items[r.parent]
	}
	return r.over(r.use.plus(r.ofParts).plus(x)).minus(r.excess)
}

// oversized says whether a firm call of a reservation takes up more memory than that and all that is common would have, were nothing else there
// and every replica up.
func (s *State) oversized(p *pool, c *call) bool {
	limit, bounded := p.commonRoom()
	if !bounded || s.ownRack(c) != nil {
		return false
	}
	r, x := &s.reservations.items[c.reservation], p.occupies(c)
	if r.parent != 0 {
		x = x.minus(r.backing())
		r = &s.reservations.items[r.parent]
	}
	if x = r.over(x); !limit.kv.less(x.kv) {
		return false
	}
	var all wide
	for _, ri := range p.replicas {
		o := &s.replicas.items[ri]
		switch {
		case o.removed || o.Reservation != 0 || o.Standby && p.shared.up > 0:
		case o.KV == 0:
			return false
		default:
			all = all.add(wide{lo: uint64(o.KV)})
		}
	}
	return all.sub(p.sold.kv).less(x.kv)
}

// tooLarge says whether a call of a reservation needs more common memory than there is while some replicas are down, so that nobody should wait for it.
func (s *State) tooLarge(p *pool, c *call) bool {
	limit, bounded := p.commonRoom()
	return bounded && limit.kv.less(s.growth(c, p.occupies(c)).kv)
}

// mayStart says whether a call may have a slot of its pool, if there is one.
func (s *State) mayStart(p *pool, c *call) bool {
	if c.preemptible {
		return true
	}
	if c.reservation != 0 {
		if owner := s.ownerOf(c.reservation); owner != 0 {
			return s.mayStartApart(c.reservation, owner)
		}
	}
	grows := s.growth(c, p.occupies(c))
	limit, bounded := p.commonRoom()
	after := p.common.plus(grows)
	return (grows.slots == 0 || after.slots <= limit.slots) && (!bounded || grows.kv.zero() || !limit.kv.less(after.kv))
}

// occupy counts a call that has a slot of a replica that is up, or has it no more.
func (s *State) occupy(c *call, on bool) {
	if c.preemptible {
		return
	}
	if r := &s.replicas.items[c.replica]; r.Reservation != 0 {
		by := int32(1)
		if !on {
			by = -1
		}
		s.occupyApart(c, r, by)
		return
	} else if r.Standby && s.pools.items[r.pool].shared.up > 0 {
		return
	}
	x := room{1, wide{lo: uint64(c.kv)}}
	if c.reservation == 0 {
		p := &s.pools.items[c.pool]
		if on {
			p.common = p.common.plus(x)
		} else {
			p.common = p.common.minus(x)
		}
		return
	}
	r := &s.reservations.items[c.reservation]
	if on {
		r.use = r.use.plus(x)
	} else {
		r.use = r.use.minus(x)
	}
	s.reckon(c.reservation)
}

// reckon brings up to date what follows from a reservation's use, and where it and its kin wait.
func (s *State) reckon(ri int32) {
	r := &s.reservations.items[ri]
	if r.parent == 0 {
		s.reckonPurchase(ri)
		s.seat(ri)
		return
	}
	f := &s.reservations.items[r.parent]
	excess := r.use.minus(r.backing())
	f.ofParts = f.ofParts.minus(r.excess).plus(excess)
	r.excess = excess
	s.reckonPurchase(r.parent)
	s.seat(ri)
}

func (s *State) reckonPurchase(fi int32) {
	f := &s.reservations.items[fi]
	p := &s.pools.items[f.pool]
	had := f.undivided()
	f.used = f.use.plus(f.ofParts)
	excess := f.over(f.used)
	p.common = p.common.minus(f.excess).plus(excess)
	f.excess = excess
	if has := f.undivided(); (had.slots > 0) != (has.slots > 0) || f.KV > 0 && had.kv != has.kv {
		s.seatKin(fi)
	}
}

// undivided is what is left of the part of a purchase that is nobody's in particular.
func (r *reservation) undivided() room { return r.backing().minus(r.divided).minus(r.used) }
