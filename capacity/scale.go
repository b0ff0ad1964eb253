package capacity

import (
	"math"
	"slices"
	"time"

	"forebay/capacity/codec"
	"forebay/capacity/scale"
)

// Scaling makes a pool elastic: calls wait even while no replica is up, and WantReplicas follows the demand by the rules of package scale. What a schedule
// changes of the rules, and what is learned of the start of replicas, comes as another Scaling.
type Scaling struct {
	Pool PoolID
	// Group is how many replicas an instance has, which come and go together; 0 is 1. Rules count instances, WantReplicas replicas.
	Group int32
	Rules scale.Rules
	// Desired sets the number of instances by hand, within the bounds of the rules; 0 leaves it as it is.
	Desired int32
	// MaxHeld bounds the calls under quota that wait while no replica is up, and MaxHold the time for which one waits that comes then; 0 are the pool's
	// own bounds.
	MaxHeld int32
	MaxHold time.Duration
}

func (g *Scaling) group() int32 { return max(1, g.Group) }

// scaling is how a pool scales.
type scaling struct {
	Scaling
	scaler *scale.Scaler
	seen   scale.Observation
	wanted int32   // replicas, as last asked for
	wakes  Instant // when the rules have something to do; 0 is never
}

// maxGroup bounds the replicas of an instance.
const maxGroup = 1 << 10

func (s *State) configureScaling(g Scaling) {
	i := s.poolByID[g.Pool]
	if i == 0 || g.Group < 0 || g.Group > maxGroup || g.Desired < 0 || g.MaxHeld < 0 || g.MaxHold < 0 || g.Rules.Validate() != nil {
		s.stats.Ignored++
		return
	}
	p := &s.pools.items[i]
	if p.scaling == nil {
		p.scaling = &scaling{scaler: scale.New(scale.Instant(s.now), g.Rules)}
	} else {
		p.scaling.scaler.Configure(scale.Instant(s.now), g.Rules)
	}
	x := p.scaling
	x.Scaling, x.Desired, x.Rules = g, 0, *x.scaler.Rules()
	if g.Desired > 0 {
		x.scaler.Set(scale.Instant(s.now), g.Desired)
	}
	s.touch(i)
}

// removeScaling leaves a pool with the replicas that it has.
func (s *State) removeScaling(id PoolID) {
	if i := s.poolByID[id]; i != 0 && s.pools.items[i].scaling != nil {
		s.sleepScaling(i)
		s.pools.items[i].scaling = nil
		s.touch(i)
	}
}

// elastic says whether the pool can have replicas that it does not have now.
func (p *pool) elastic() bool { return p.scaling != nil && p.scaling.Rules.Max > 0 }

// called notes that a call has come to the pool of its lane, whatever becomes of it.
func (s *State) called(pi int32) {
	p := &s.pools.items[pi]
	if p.scaling == nil {
		return
	}
	p.scaling.seen.Arrived++
	if p.up == 0 {
		p.scaling.seen.Missed++
	}
}

// scale tells the rules of a pool how it stands, and asks for the replicas that they want.
func (s *State) scale(pi int32) {
	p := &s.pools.items[pi]
	x := p.scaling
	if x == nil {
		return
	}
	x.seen.Load, x.seen.Committed = p.demand()
	x.seen.Serving = p.up / x.group()
	x.scaler.Observe(scale.Instant(s.now), x.seen)
	if n := x.scaler.Desired() * x.group(); n != x.wanted {
		x.wanted = n
		s.emit(Action{Kind: ActionWantReplicas, Pool: p.ID, N: n})
	}
	at, ok := x.scaler.NextWake()
	switch {
	case !ok:
		s.sleepScaling(pi)
	default:
		if x.wakes == 0 {
			s.scaling = append(s.scaling, pi)
		}
		x.wakes = max(Instant(at), 1)
	}
}

// demand is how many slots a pool wants, and how many instances whatever the rules say. It wants one slot for each call or, if that is more, those
// that purchases have, idle or not, and one for each firm call that uses or needs a common one. What is sold is backed at all times, and
// a common slot beside it while one is needed.
func (p *pool) demand() (slots, instances int32) {
	all := int64(p.busy) + int64(p.waiting)
	sold := int64(p.sold.slots) + p.isolated
	if sold == 0 {
		return int32(min(all, math.MaxInt32)), 0
	}
	firm := int64(p.common.slots) + int64(p.overflow)
	for t := TierPriority; int(t) < numTiers; t++ {
		firm += int64(p.queues[t][classFirm].waiting)
	}
	per := int64(max(1, p.scaling.Rules.Slots))
	return int32(min(max(all, sold+firm), math.MaxInt32)), int32(min((sold+min(firm, 1)+per-1)/per, scale.MaxInstances))
}

// sleepScaling notes that time changes nothing of what the rules of a pool want.
func (s *State) sleepScaling(pi int32) {
	x := s.pools.items[pi].scaling
	if x == nil || x.wakes == 0 {
		return
	}
	x.wakes = 0
	s.scaling = slices.Delete(s.scaling, slices.Index(s.scaling, pi), slices.Index(s.scaling, pi)+1)
}

// scalePools does what the rules have to do by now.
func (s *State) scalePools() {
	for _, pi := range slices.Backward(s.scaling) { // which may leave the list
		if s.pools.items[pi].scaling.wakes <= s.now {
			s.scale(pi)
		}
	}
}

// whileDown says whether a call that finds no replica up may wait for one.
func (s *State) whileDown(p *pool, c *call) verdict {
	x := p.scaling
	if x == nil || p.up > 0 || c.reservation != 0 {
		return verdict{}
	}
	ready := x.scaler.ReadyIn(scale.Instant(s.now))
	full := x.MaxHeld > 0 && p.waiting >= x.MaxHeld
	if late := c.deadline != 0 && s.now.add(ready) >= c.deadline; !full && !late {
		return verdict{}
	}
	v := estimate(ready)
	v.reason = ReasonStarting
	return v
}

// holdEnds returns when a call that has been queued now has waited long enough for a replica to come up; 0 is never.
func (s *State) holdEnds(p *pool, c *call) Instant {
	if x := p.scaling; x != nil && p.up == 0 && x.MaxHold > 0 && c.reservation == 0 {
		return s.now.add(x.MaxHold)
	}
	return 0
}

// scaling describes how a pool scales.
func (x *snapshot) scaling(p *pool) {
	some := p.scaling != nil
	x.Bool(&some)
	if !some {
		return
	}
	if x.Reading() {
		p.scaling = &scaling{scaler: new(scale.Scaler)}
	}
	g := p.scaling
	codec.Int(x.Codec, &g.Group)
	codec.Int(x.Codec, &g.MaxHeld)
	codec.Int(x.Codec, &g.MaxHold)
	codec.Uint(x.Codec, &g.seen.Arrived)
	codec.Uint(x.Codec, &g.seen.Missed)
	codec.Int(x.Codec, &g.wanted)
	g.scaler.Describe(x.Codec)
	g.Pool, g.Rules = p.ID, *g.scaler.Rules()
	if g.Group < 0 || g.Group > maxGroup || g.MaxHeld < 0 || g.MaxHold < 0 || g.wanted < 0 {
		x.Fail("the scaling of pool %d", p.ID)
	}
}

// wakes describes the pools whose rules have something to do, and when.
func (x *snapshot) wakes() {
	s := x.s
	for k := range x.Len(len(s.scaling)) {
		var id PoolID
		var at Instant
		if !x.Reading() {
			p := &s.pools.items[s.scaling[k]]
			id, at = p.ID, p.scaling.wakes
		}
		codec.Uint(x.Codec, &id)
		codec.Int(x.Codec, &at)
		if !x.Reading() {
			continue
		}
		i := s.poolByID[id]
		if i == 0 || at <= 0 || s.pools.items[i].scaling == nil || s.pools.items[i].scaling.wakes != 0 {
			x.Fail("pool %d scales", id)
			return
		}
		s.pools.items[i].scaling.wakes = at
		s.scaling = append(s.scaling, i)
	}
}
