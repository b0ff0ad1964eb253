package capacity

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// seen is a call as an observer knows it from events and actions.
type seen struct {
	id        CallID
	tier      Tier
	stoppable bool
	replica   ReplicaID // 0 while it waits
	recalled  bool
	cancelled bool        // after it was recalled
	order     int         // of its admission
	failed    []ReplicaID // where it must not go again
}

// observer follows a pool from outside, and holds what is recalled against what it is good for.
type observer struct {
	slots    map[ReplicaID]int
	calls    []*seen // those that are alive
	admitted int
}

func (o *observer) call(id CallID) *seen {
	i := slices.IndexFunc(o.calls, func(c *seen) bool { return c.id == id })
	if i < 0 {
		return nil
	}
	return o.calls[i]
}

func (o *observer) forget(id CallID) {
	o.calls = slices.DeleteFunc(o.calls, func(c *seen) bool { return c.id == id })
}

func (o *observer) busy(r ReplicaID) (n int) {
	for _, c := range o.calls {
		if c.replica == r {
			n++
		}
	}
	return n
}

// wanted reports whether a waiting call of a higher tier may go to a replica.
func (o *observer) wanted(tier Tier, r ReplicaID) bool {
	return slices.ContainsFunc(o.calls, func(c *seen) bool { return c.replica == 0 && c.tier < tier && !slices.Contains(c.failed, r) })
}

// recall checks one recall and takes note of it.
func (o *observer) recall(t *rapid.T, id CallID) {
	v := o.call(id)
	if v == nil || v.replica == 0 || v.recalled || !v.stoppable {
		t.Fatalf("call %d is recalled, which runs no more or must not be stopped: %+v", id, v)
	}
	v.recalled = true
	waiting, recalled := 0, 0
	for _, c := range o.calls {
		if c.replica == 0 && c.tier < v.tier {
			waiting++
		}
		if c.recalled {
			recalled++
		}
		if c.replica == v.replica && c.stoppable && !c.recalled && c.order > v.order && c.tier >= v.tier {
			t.Fatalf("call %d is recalled from replica %d, and not call %d, which began there later", id, v.replica, c.id)
		}
	}
	if recalled > waiting {
		t.Fatalf("%d calls are recalled for %d that wait above call %d", recalled, waiting, id)
	}
	for r, n := range o.slots {
		if o.busy(r) < n && o.wanted(v.tier, r) {
			t.Fatalf("call %d is recalled while replica %d has a free slot that a call above it may use", id, r)
		}
	}
	if !o.wanted(v.tier, v.replica) {
		t.Fatalf("call %d is recalled from replica %d, which no call above it may use", id, v.replica)
	}
}

// follow takes note of what a step has decided.
func (o *observer) follow(t *rapid.T, actions []Action) {
	for _, a := range actions {
		switch {
		case a.Kind == ActionAdmit:
			c := o.call(a.Call)
			o.admitted++
			c.replica, c.order = a.Replica, o.admitted
			if o.busy(a.Replica) > o.slots[a.Replica] {
				t.Fatalf("replica %d has more calls than slots", a.Replica)
			}
		case a.Kind == ActionPreempt && a.Reason == ReasonRecall:
			o.recall(t, a.Call)
		case a.Kind.Terminal():
			o.forget(a.Call)
		}
	}
}

// freed lets the engine let go of a recalled call, and checks that the slot goes to what it was recalled for, as far as that still waits.
func (o *observer) freed(t *rapid.T, s *State, v *seen) {
	r := v.replica
	v.replica, v.recalled = 0, false
	wanted := o.wanted(v.tier, r)
	actions := s.Step(0, Event{Kind: EventFreed, Call: v.id}, nil)
	took := slices.ContainsFunc(actions, func(a Action) bool { return a.Kind == ActionAdmit && a.Replica == r && a.Tier < v.tier })
	if wanted && !took {
		t.Fatalf("call %d gave up its slot on replica %d, and no call above it has it: %+v", v.id, r, actions)
	}
	o.follow(t, actions)
}

// next lets something happen to a call that is alive.
func (o *observer) next(t *rapid.T, s *State, c *seen) {
	ev := Event{Call: c.id}
	switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
	case c.replica == 0:
		if kind > 0 {
			return
		}
		ev.Kind = EventCancel
	case c.cancelled: // its slot is still on its way
		ev.Kind = EventSettle
		o.forget(c.id)
	case c.recalled && kind < 2:
		o.freed(t, s, c)
		return
	case c.recalled && kind == 2:
		ev.Kind, c.cancelled = EventCancel, true
	case kind == 0:
		ev.Kind, ev.Replica = EventRetry, c.replica
		c.failed, c.replica, c.recalled = append(c.failed, c.replica), 0, false
	case kind == 1:
		ev.Kind, ev.Delivered, ev.Output = EventProgress, true, 1
		c.stoppable = false
	default:
		ev.Kind = EventSettle
		o.forget(c.id)
	}
	o.follow(t, s.Step(0, ev, nil))
}

// Calls are recalled for calls of higher tiers that wait and will use the place: no more of them than wait, none while a slot that they
// may use is free, none from a replica that those must avoid, the newest of a replica first, and none that must not be stopped.
func TestRecallsAreOfUse(t *testing.T) {
	recalls := 0
	rapid.Check(t, func(t *rapid.T) {
		s := setUp(huge, huge, 1000, 1)
		o := &observer{slots: map[ReplicaID]int{1: 1, 2: 1, 3: 2}}
		s.Step(0, Event{Kind: EventConfigure, Config: &Config{Replicas: []Replica{{ID: 2, Pool: poolID, Slots: 1}, {ID: 3, Pool: poolID, Slots: 2}}}}, nil)
		s.Step(0, Event{Kind: EventReplicaUp, Replica: 2}, nil)
		s.Step(0, Event{Kind: EventReplicaUp, Replica: 3}, nil)
		for id := CallID(1); id < 100; id++ {
			ev := arrive(id, 1, 1)
			ev.Tier = rapid.SampledFrom([]Tier{TierPriority, TierDefault, TierFlex, TierFlex, TierBatch}).Draw(t, "tier")
			ev.Preemptible = ev.Tier >= TierFlex
			o.calls = append(o.calls, &seen{id: id, tier: ev.Tier, stoppable: ev.Preemptible})
			o.follow(t, s.Step(0, ev, nil))
			for range rapid.IntRange(0, 2).Draw(t, "events") {
				if len(o.calls) > 0 {
					o.next(t, s, rapid.SampledFrom(o.calls).Draw(t, "call"))
				}
			}
		}
		recalls += int(s.Stats().Recalled)
	})
	if recalls == 0 {
		t.Error("nothing was recalled")
	}
}
