package replay

import (
	"time"

	"forebay/capacity"
)

// Elastic is how engines of one's own come and go: the scheduler asks for as many as its calls take, between Min and Serving.Engines.
type Elastic struct {
	// Min engines are always up.
	Min int
	// Group is how many engines an instance has, which come and go together; 0 is 1. Min and Serving.Engines are multiples of it.
	Group int
	// Cold is how long an engine takes to be up; Idle how long fewer must have been enough before one goes.
	Cold, Idle time.Duration
}

// fleet carries out what the scheduler wants of engines, and adds up for how long they are there. An engine is paid from the moment it is
// asked for until it has no call left after it was let go.
type fleet struct {
	of      *Elastic
	group   int
	engines []member // instances
	paid    time.Duration
	starts  int64
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
	leaving // takes no call, has some left
)

func newFleet(e *Elastic, engines int) *fleet {
	group := max(e.Group, 1)
	f := &fleet{of: e, group: group, engines: make([]member, (engines+group-1)/group)}
	for i := range min((e.Min+group-1)/group, len(f.engines)) {
		f.engines[i].state = up
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
func (r *run) observe(now capacity.Instant, _ *capacity.Event, actions []capacity.Action) {
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case capacity.ActionWantReplicas:
			r.fleet.want(r, now, int(a.N))
		case capacity.ActionAdmit:
			r.fleet.engines[r.fleet.member(a.Replica)].running++
		default:
		}
	}
}

// want starts engines, or lets some go: those that are starting first, then those with the fewest calls.
func (f *fleet) want(r *run, now capacity.Instant, n int) {
	n = (n + f.group - 1) / f.group
	have := 0
	for i := range f.engines {
		f.settle(i, now)
		if s := f.engines[i].state; s == starting || s == up {
			have++
		}
	}
	for i := 0; i < len(f.engines) && have < n; i++ {
		switch m := &f.engines[i]; m.state {
		case off:
			f.starts++
			*m = member{state: starting, since: now, at: now + capacity.Instant(f.of.Cold)}
			f.tell(r, i, m.at, capacity.EventReplicaUp)
			have++
		case leaving:
			m.state = up
			f.tell(r, i, now, capacity.EventReplicaUp)
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
	if m := &f.engines[i]; m.state == starting && m.at <= now {
		m.state = up
	}
}

// dismiss lets one engine go.
func (f *fleet) dismiss(r *run, now capacity.Instant) {
	best := -1
	for i := range f.engines {
		m := &f.engines[i]
		if m.state != starting && m.state != up {
			continue
		}
		if best < 0 || m.state < f.engines[best].state || m.state == f.engines[best].state && m.running <= f.engines[best].running {
			best = i
		}
	}
	m := &f.engines[best]
	f.tell(r, best, max(now, m.at), capacity.EventReplicaDown)
	if m.state == starting {
		f.pay(best, m.at) // a start is not undone
		return
	}
	if m.state = leaving; m.running == 0 {
		f.pay(best, now)
	}
}

// pay ends the time of an engine.
func (f *fleet) pay(i int, now capacity.Instant) {
	m := &f.engines[i]
	f.paid += time.Duration(now - m.since)
	m.state = off
}

// ended notes that a call has left an engine.
func (f *fleet) ended(replica capacity.ReplicaID, now capacity.Instant) {
	if replica == 0 {
		return
	}
	i := f.member(replica)
	m := &f.engines[i]
	if m.running--; m.running == 0 && m.state == leaving {
		f.pay(i, now)
	}
}

// close ends the time of all engines at the end of a run.
func (f *fleet) close(now capacity.Instant) {
	for i := range f.engines {
		if f.engines[i].state != off {
			f.pay(i, max(now, f.engines[i].since))
		}
	}
}
