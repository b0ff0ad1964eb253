package sim

import (
	"container/heap"
	"time"

	"forebay/capacity"
	"forebay/internal/minheap"
	"forebay/perf"
)

// Instant is a moment of the virtual clock, in nanoseconds. The scheduler and the engines share it.
type Instant = capacity.Instant

// Scheduler decides. It is capacity.State in all but tests that compare it with other orders of service.
type Scheduler interface {
	Step(now capacity.Instant, ev capacity.Event, out []capacity.Action) []capacity.Action
	NextWake() (capacity.Instant, bool)
}

// Replica is one engine, under the number by which the scheduler knows it.
type Replica struct {
	ID      capacity.ReplicaID
	Profile perf.Profile
}

// Call is one call to be made.
type Call struct {
	// Arrive is the event that offers it. Its Input and MaxOutput are what the scheduler believes.
	Arrive capacity.Event
	// Input and Output are the tokens that the engine will read and produce.
	Input, Output int64
}

// Outcome is what became of a call.
type Outcome struct {
	Call *Call
	// Last is the call's terminal action: settled, rejected, cancelled or expired.
	Last capacity.Action
	// Admitted is when it got its first slot, First when its first token came, 0 for never.
	Arrived, Admitted, First, Ended Instant
	// Admission is the last Admit: lane, replica, reservation, tier.
	Admission capacity.Action
	Attempts  int
	// Spilled counts the lanes that it left.
	Spilled int
	// Produced are the output tokens that counted, Lost those of attempts that were stopped or failed.
	Produced, Lost int64
}

// Options of a World.
type Options struct {
	Scheduler Scheduler
	Replicas  []Replica
	// ReportEvery and ReportTokens say how often a running call's progress is told: at most after either; 0 is 1 s and 256 tokens.
	ReportEvery  time.Duration
	ReportTokens int64
	// CancelLatency is how long an engine takes to let go of a call that is stopped.
	CancelLatency time.Duration
	// Observe, if any, sees every step.
	Observe func(now Instant, ev *capacity.Event, actions []capacity.Action)
	// Done, if any, sees every call as it ends. It may offer further ones. The Outcome is used again once it returns, the Call is the caller's.
	Done func(*Outcome)
}

// World is a scheduler, its engines and the calls in flight.
type World struct {
	opt      Options
	now      Instant
	pending  minheap.Heap[item, *item] // what is to happen, in order of time
	sequence uint64
	replicas map[capacity.ReplicaID]*replica
	due      due // the replicas, by when each has something to do
	calls    map[capacity.CallID]*flight
	ended    []*flight        // to be used again
	todo     []capacity.Event // what the scheduler is to be told at this instant
	actions  []capacity.Action
	progress []perf.Progress
}

// flight is a call in flight.
type flight struct {
	outcome  Outcome
	on       *replica // whose engine has it
	recalled bool     // the engine lets go of it, and Freed follows
	produced int64    // in this attempt, as last reported
}

// New returns a World at instant 0. The scheduler must know the replicas; those are told to be up.
func New(opt Options) *World {
	if opt.ReportEvery <= 0 {
		opt.ReportEvery = time.Second
	}
	if opt.ReportTokens <= 0 {
		opt.ReportTokens = 256
	}
	w := &World{opt: opt, replicas: map[capacity.ReplicaID]*replica{}, calls: map[capacity.CallID]*flight{}}
	for _, r := range opt.Replicas {
		x := &replica{id: r.ID, engine: perf.New(r.Profile), at: never}
		x.engine.Report(engineTime(Instant(opt.ReportEvery)), opt.ReportTokens)
		w.replicas[r.ID] = x
		heap.Push(&w.due, x)
		w.todo = append(w.todo, capacity.Event{Kind: capacity.EventReplicaUp, Replica: r.ID})
	}
	w.settleDown()
	return w
}

// Offer makes a call arrive at an instant, which must not have passed. Call ids are never used twice.
func (w *World) Offer(at Instant, c *Call) { w.schedule(item{at: at, call: c}) }

// At tells the scheduler something at an instant: that a replica is down, that a client has left, a new configuration.
func (w *World) At(at Instant, ev capacity.Event) { w.schedule(item{at: at, event: &ev}) }

func (w *World) schedule(i item) {
	w.sequence++
	i.order = w.sequence
	i.at = max(i.at, w.now)
	w.pending.Push(i)
}

// Run lets time pass until nothing is left to happen, or until an instant; 0 is no end. It returns the calls still in flight.
func (w *World) Run(until Instant) int {
	for {
		at, ok := w.next()
		if !ok || until > 0 && at > until {
			break
		}
		w.now = max(w.now, at)
		w.happen()
		w.settleDown()
	}
	if until > 0 {
		w.now = max(w.now, until)
	}
	return len(w.calls)
}

// next returns when something happens next.
func (w *World) next() (Instant, bool) {
	at := never
	if len(w.due) > 0 {
		at = w.due[0].at
	}
	if len(w.pending) > 0 {
		at = min(at, w.pending[0].at)
	}
	if wake, ok := w.opt.Scheduler.NextWake(); ok {
		at = min(at, wake)
	}
	return at, at != never
}

// happen does what is due now: first what the engines have finished, which frees slots, then what comes from outside, then time alone.
func (w *World) happen() {
	if len(w.due) > 0 && w.due[0].at <= w.now {
		w.advance(w.due[0])
		return
	}
	if len(w.pending) > 0 && w.pending[0].at <= w.now {
		i := w.pending.Pop()
		if i.call == nil {
			w.todo = append(w.todo, *i.event)
			return
		}
		w.calls[i.call.Arrive.Call] = w.flight(i.call)
		ev := i.call.Arrive
		ev.Kind = capacity.EventArrive
		w.todo = append(w.todo, ev)
		return
	}
	w.todo = append(w.todo, capacity.Event{Kind: capacity.EventTick})
}

// flight returns a flight for a call that arrives now, one that has ended if there is any.
func (w *World) flight(c *Call) *flight {
	var f *flight
	if n := len(w.ended); n > 0 {
		f, w.ended = w.ended[n-1], w.ended[:n-1]
	} else {
		f = new(flight)
	}
	*f = flight{outcome: Outcome{Call: c, Arrived: w.now}}
	return f
}

// settleDown tells the scheduler what there is to tell, and carries out what it answers, until both have nothing more to say.
func (w *World) settleDown() {
	for i := 0; i < len(w.todo); i++ { // which grows meanwhile
		w.actions = w.opt.Scheduler.Step(w.now, w.todo[i], w.actions[:0])
		if w.opt.Observe != nil {
			w.opt.Observe(w.now, &w.todo[i], w.actions)
		}
		for i := range w.actions {
			w.carryOut(&w.actions[i])
		}
	}
	w.todo = w.todo[:0]
}
