package replay

import (
	"time"

	"forebay/capacity"
	"forebay/capacity/scale"
)

// Elastic is how engines of one's own come and go: the scheduler asks for them by the rules that live endpoints follow.
type Elastic struct {
	// Rules count instances. What they leave open of the calls that one takes at once is Serving.Slots of each of its engines.
	Rules scale.Rules
	// Group is how many engines an instance has, which come and go together; 0 is 1. Serving.Engines is a multiple of it.
	Group int
	// Initial are the instances that are up at the start; fewer than the least are the least.
	Initial int
	// Later are the changes of the least and most instances, in order of time from the start of the run on.
	Later []Bounds
	// MaxHeld bounds the calls that wait while no engine is up, and MaxHold for how long; 0 is no bound but Serving.MaxQueue.
	MaxHeld int32
	MaxHold time.Duration
	// Window is what the time of an instance is paid in, each begun one in whole; 0 is by the instant. An end that comes with the end of the run ends no
	// window.
	Window time.Duration
}

// Bounds are the least and most instances from an instant on.
type Bounds struct {
	At       time.Duration
	Min, Max int32
}

// scaling is the scheduler's part of it.
func (e *Elastic) scaling(slots int32) capacity.Scaling {
	g := capacity.Scaling{Pool: own, Group: int32(max(e.Group, 1)), Rules: e.Rules, Desired: int32(e.Initial), MaxHeld: e.MaxHeld, MaxHold: e.MaxHold}
	if g.Rules.Slots == 0 {
		g.Rules.Slots = slots * g.Group
	}
	return g
}

// reschedule tells the scheduler of the bounds to come.
func (r *run) reschedule(slots int32) {
	g := r.serving.Elastic.scaling(slots)
	g.Desired = 0
	for _, b := range r.serving.Elastic.Later {
		g.Rules.Min, g.Rules.Max = b.Min, b.Max
		r.world.At(capacity.Instant(b.At), capacity.Event{Kind: capacity.EventConfigure, Config: &capacity.Config{Scalings: []capacity.Scaling{g}}})
	}
}

// fleet carries out what the scheduler wants of engines, and adds up for how long they are there. An instance is paid from the moment it is
// asked for until it has no call left after it was let go.
type fleet struct {
	of      *Elastic
	group   int
	members []member // instances
	up      []bool   // engines, as the scheduler knows them
	serving int      // of these, how many are
	paid    time.Duration
	starts  int64
	end     capacity.Instant // of what is paid for, once all calls have come
}

// member is one instance of a fleet.
type member struct {
	state   memberState
	since   capacity.Instant // paid from then on
	at      capacity.Instant // of a starting one: up then
	running int
}

type memberState uint8

const (
	off memberState = iota
	starting
	up
	leaving // takes no call, and goes when it has none left
)

func newFleet(e *Elastic, engines int) *fleet {
	group := max(e.Group, 1)
	f := &fleet{of: e, group: group, members: make([]member, (engines+group-1)/group), up: make([]bool, engines)}
	for i := range min(max(int(e.Rules.Min), int(e.Rules.Provisioned), e.Initial), int(e.Rules.Max), len(f.members)) {
		f.members[i].state = up
	}
	return f
}

// tell tells the scheduler something of each engine of an instance.
func (f *fleet) tell(r *run, i int, at capacity.Instant, kind capacity.EventKind) {
	for k := i * f.group; k < min((i+1)*f.group, r.serving.Engines); k++ {
		r.world.At(at, capacity.Event{Kind: kind, Replica: capacity.ReplicaID(k + 1)})
	}
}

// member returns the instance of an engine.
func (f *fleet) member(replica capacity.ReplicaID) int { return int(replica-1) / f.group }

// observe follows one step of the scheduler.
func (r *run) observe(now capacity.Instant, ev *capacity.Event, actions []capacity.Action) {
	if r.watch != nil {
		r.watch(now, ev, actions)
	}
	switch ev.Kind {
	case capacity.EventReplicaUp:
		r.fleet.turn(int(ev.Replica)-1, true)
	case capacity.EventReplicaDown:
		r.fleet.turn(int(ev.Replica)-1, false)
		r.fleet.gone(r.fleet.member(ev.Replica), now)
	case capacity.EventArrive:
		if r.fleet.serving == 0 && r.again[ev.Call] == nil {
			r.result.Held++
		}
	default:
	}
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case capacity.ActionWantReplicas:
			r.fleet.want(r, now, int(a.N))
		case capacity.ActionAdmit:
			r.fleet.members[r.fleet.member(a.Replica)].running++
		default:
		}
	}
}

// turn notes that the scheduler knows an engine as up, or as down.
func (f *fleet) turn(engine int, on bool) {
	if f.up[engine] == on {
		return
	}
	if f.up[engine] = on; on {
		f.serving++
	} else {
		f.serving--
	}
}

// want starts engines, or lets some go: those that are starting first, then those with the fewest calls.
func (f *fleet) want(r *run, now capacity.Instant, n int) {
	n = (n + f.group - 1) / f.group
	have := 0
	for i := range f.members {
		f.settle(i, now)
		if s := f.members[i].state; s == starting || s == up {
			have++
		}
	}
	for i := 0; i < len(f.members) && have < n; i++ {
		switch m := &f.members[i]; m.state {
		case off:
			f.starts++
			*m = member{state: starting, since: now, at: now + capacity.Instant(f.of.Rules.Start)}
			f.tell(r, i, m.at, capacity.EventReplicaUp)
			have++
		case leaving:
			m.state = starting
			f.tell(r, i, max(now, m.at), capacity.EventReplicaUp)
			f.settle(i, now)
			have++
		case starting, up:
		}
	}
	for ; have > n; have-- {
		f.dismiss(r, now)
	}
}

// settle notes that a starting engine is up by now.
func (f *fleet) settle(i int, now capacity.Instant) {
	if m := &f.members[i]; m.state == starting && m.at <= now {
		m.state = up
	}
}

// dismiss lets one instance go.
func (f *fleet) dismiss(r *run, now capacity.Instant) {
	best := -1
	for i := range f.members {
		m := &f.members[i]
		if m.state != starting && m.state != up {
			continue
		}
		if best < 0 || m.state < f.members[best].state || m.state == f.members[best].state && m.running <= f.members[best].running {
			best = i
		}
	}
	m := &f.members[best]
	m.state = leaving
	f.tell(r, best, max(now, m.at), capacity.EventReplicaDown) // a start is not undone
}

// gone ends the time of an instance that was let go, and has no call left.
func (f *fleet) gone(i int, now capacity.Instant) {
	if m := &f.members[i]; m.state == leaving && m.running == 0 && m.at <= now {
		f.pay(i, now)
	}
}

// pay ends the time of an instance.
func (f *fleet) pay(i int, now capacity.Instant) {
	m := &f.members[i]
	d := time.Duration(now - m.since)
	if w := f.of.Window; w > 0 {
		if rest := d % w; rest > 0 {
			d += w - rest
		}
	}
	if f.end > 0 {
		d = min(d, max(0, time.Duration(f.end-m.since)))
	}
	f.paid += d
	m.state = off
}

// ended notes that a call has left an engine.
func (f *fleet) ended(replica capacity.ReplicaID, now capacity.Instant) {
	if replica == 0 {
		return
	}
	i := f.member(replica)
	f.members[i].running--
	f.gone(i, now)
}

// close ends the time of all instances with that of the traffic.
func (f *fleet) close() {
	for i := range f.members {
		if m := &f.members[i]; m.state != off {
			f.paid += max(0, time.Duration(f.end-m.since))
		}
	}
}
