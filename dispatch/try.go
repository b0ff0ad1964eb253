package dispatch

import (
	"forebay/capacity"
	"forebay/fault"
	"forebay/infer"
)

// Trial is what would become of a call if it came now.
type Trial struct {
	Outcome string // one of those below
	Lane    int    // of Lanes, the one that decides
	Engine  string // that would get the call
	// Ahead is how many waiting calls would be served before, of a call that waits.
	Ahead int64
	// Refused says why it is refused; nil elsewhere.
	Refused *fault.Error
	Lanes   []TriedLane
}

// Outcomes of a Trial.
const (
	TrialRuns    = "runs"
	TrialWaits   = "waits"
	TrialRefused = "refused"
)

// TriedLane is a lane as a call would find it.
type TriedLane struct {
	Number  int // in the route
	Name    string
	Mode    string
	Model   string
	Left    string // why the call would leave it, "" if it would not get there or stays
	Engines []TriedEngine
	Limits  []TriedLimit
}

// TriedEngine is an engine of a lane.
type TriedEngine struct {
	Name string
	Kind string // of what stands behind it: "owned", "rented", "bought"
	Up   bool
}

// TriedLimit is a limit that applies in a lane, before the call. Values are as Limit says: requests, tokens or nano-units.
type TriedLimit struct {
	Scope, Limit string
	Value, Level int64
}

// Try says what would become of a call now. It decides on a copy of the scheduler's state: nothing is held, queued or
// recorded. Faults: those of calls that the scheduler never sees.
func (d *Dispatcher) Try(req *infer.Request) (*Trial, error) {
	c, ev := d.take(req), new(capacity.Event)
	if err := c.prepare(ev); err != nil {
		return nil, err
	}
	d.mu.Lock()
	now, snapshot := d.now(), d.state.Snapshot(nil)
	ev.Call = d.nextCall + 1
	d.mu.Unlock()
	copied, err := capacity.Restore(snapshot)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "")
	}
	copied.Step(now, capacity.Event{Kind: capacity.EventTick}, nil) // or levels would be those of the last event
	out := &Trial{Outcome: TrialWaits, Lanes: c.tried(copied, ev)}
	for _, a := range copied.Step(now, *ev, nil) {
		if a.Call == ev.Call {
			c.observe(&a, out)
		}
	}
	out.Lane = c.lane
	for i := range c.left {
		out.Lanes[c.left[i].at].Left = c.left[i].String()
	}
	if e, ok := copied.Explain(ev.Call); ok && out.Outcome == TrialWaits {
		out.Ahead = e.Ahead
	}
	return out, nil
}

// observe takes an action of the copy.
func (c *call) observe(a *capacity.Action, out *Trial) {
	switch a.Kind {
	case capacity.ActionSpill:
		c.spill(a)
	case capacity.ActionAdmit:
		out.Outcome = TrialRuns
		if r := c.d.world.Load().replicas[a.Replica]; r != nil {
			out.Engine = r.name
		}
	case capacity.ActionReject:
		out.Outcome, out.Refused = TrialRefused, fault.From(c.refusal(a))
	default:
	}
}

// tried describes the lanes as they stand.
func (c *call) tried(s *capacity.State, ev *capacity.Event) []TriedLane {
	out := make([]TriedLane, len(c.lanes))
	for i := range c.lanes {
		l := &c.lanes[i]
		t := TriedLane{Number: l.number, Name: l.name, Mode: l.mode, Model: l.model.name}
		if t.Name == "" {
			t.Name = t.Model
		}
		for _, r := range l.model.replicas {
			t.Engines = append(t.Engines, TriedEngine{Name: r.name, Kind: r.kind.String(), Up: c.d.isUp(r)})
		}
		seen := map[limitID]bool{}
		for k := range c.limits {
			x := &c.limits[k]
			id := limitID{x.bucket, x.counter}
			of := l.reserved != nil && l.reserved.charges(&c.req.Caller, x.scope)
			if seen[id] || !of && !applies(ev, x, i) {
				continue
			}
			seen[id] = true
			t.Limits = append(t.Limits, TriedLimit{Scope: x.scope.String(), Limit: x.name, Value: x.value, Level: levelOf(s, x)})
		}
		out[i] = t
	}
	return out
}

type limitID struct {
	bucket  capacity.BucketID
	counter capacity.CounterID
}

// applies says whether a limit is in the masks of a lane.
func applies(ev *capacity.Event, l *limit, lane int) bool {
	for i, id := range ev.Buckets[:ev.NumBuckets] {
		if l.bucket != 0 && id == l.bucket {
			return ev.Lanes[lane].Buckets>>i&1 == 1
		}
	}
	for i, id := range ev.Counters[:ev.NumCounters] {
		if l.counter != 0 && id == l.counter {
			return ev.Lanes[lane].Counters>>i&1 == 1
		}
	}
	return false
}

func levelOf(s *capacity.State, l *limit) int64 {
	if b, ok := s.Bucket(l.bucket); ok {
		return b.Fill
	}
	k, _ := s.Counter(l.counter)
	return k.Used + k.Held
}

func (d *Dispatcher) isUp(r *replica) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !r.engine.breaker.open
}
