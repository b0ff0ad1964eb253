package capacity

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// renter follows replicas with a quota of requests from outside.
type renter struct {
	rate    map[ReplicaID]int64 // a minute, and the depth
	started map[ReplicaID][]Instant
	running map[CallID]ReplicaID
	waiting map[CallID]bool
}

// follow takes note of what a step has decided. No replica gets more calls in any interval than its depth and what drains in it.
func (r *renter) follow(t *rapid.T, now Instant, actions []Action) {
	for _, a := range actions {
		switch {
		case a.Kind == ActionAdmit:
			delete(r.waiting, a.Call)
			r.running[a.Call] = a.Replica
			r.started[a.Replica] = append(r.started[a.Replica], now)
			starts := r.started[a.Replica]
			for i, since := range starts {
				// In nanoseconds x calls a minute, so that nothing is rounded.
				if n, rate := int64(len(starts)-i), r.rate[a.Replica]; rate > 0 && (n-rate)*int64(time.Minute) > rate*int64(now-since) {
					t.Fatalf("replica %d of %d a minute: %d calls in %v", a.Replica, rate, n, time.Duration(now-since))
				}
			}
		case a.Kind.Terminal():
			if a.Kind == ActionReject && a.Reason == ReasonBucket && a.RetryAfter <= 0 {
				t.Fatalf("refused without the time until there is room: %+v", a)
			}
			delete(r.waiting, a.Call)
			delete(r.running, a.Call)
		}
	}
}

// Calls on rented replicas start within the quotas of these, whatever fails and whoever waits; nobody waits for ever, and a state that is
// restored at any moment goes on as the one that it was saved from.
func TestQuotasOfReplicas(t *testing.T) {
	waited := 0
	rapid.Check(t, func(t *rapid.T) {
		r := &renter{rate: map[ReplicaID]int64{}, started: map[ReplicaID][]Instant{}, running: map[CallID]ReplicaID{}, waiting: map[CallID]bool{}}
		cfg := &Config{
			Models: []Model{{ID: modelID, MaxOutput: 10}},
			Pools:  []Pool{{ID: poolID, MaxQueue: 100, Service: time.Second}},
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "replicas") {
			id := ReplicaID(i + 1)
			x := Replica{ID: id, Pool: poolID, Slots: rapid.Int32Range(1, 3).Draw(t, "slots")}
			if r.rate[id] = rapid.Int64Range(0, 4).Draw(t, "rate"); r.rate[id] > 0 { // 0 is owned
				x.Quota[0] = BucketID(id)
				cfg.Buckets = append(cfg.Buckets, Bucket{ID: BucketID(id), Measure: MeasureRequests, Rate: r.rate[id]})
			}
			cfg.Replicas = append(cfg.Replicas, x)
		}
		s, now := New(), Instant(0)
		step := func(ev Event) {
			again, err := Restore(s.Snapshot(nil))
			if err != nil {
				t.Fatal(err)
			}
			r.follow(t, now, s.Step(now, ev, nil))
			if again.Step(now, ev, nil); string(again.Snapshot(nil)) != string(s.Snapshot(nil)) {
				t.Fatal("the restored state has gone on otherwise")
			}
		}
		step(Event{Kind: EventConfigure, Config: cfg})
		for _, x := range cfg.Replicas {
			step(Event{Kind: EventReplicaUp, Replica: x.ID})
		}
		for id := CallID(1); id < 30; id++ {
			now += Instant(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, 20 * time.Second}).Draw(t, "gap"))
			r.waiting[id] = true
			ev := Event{Kind: EventArrive, Call: id, Account: AccountID(rapid.IntRange(1, 3).Draw(t, "account")), Input: 1}
			ev.SetLanes(Lane{Pool: poolID, Model: modelID})
			step(ev)
			for done := range id + 1 {
				if r.running[done] == 0 {
					continue
				}
				switch rapid.IntRange(0, 9).Draw(t, "what") {
				case 0, 1:
					step(Event{Kind: EventSettle, Call: done, Input: 1})
				case 2:
					delete(r.running, done)
					r.waiting[done] = true
					step(Event{Kind: EventRetry, Call: done})
				}
			}
			waited += len(r.waiting)
		}
		for range 1000 {
			for id := range CallID(30) {
				if r.running[id] != 0 {
					step(Event{Kind: EventSettle, Call: id, Input: 1})
				}
			}
			if at, ok := s.NextWake(); ok {
				now = max(now, at)
				step(Event{Kind: EventTick})
			} else if len(r.running) == 0 {
				break
			}
		}
		if len(r.waiting)+len(r.running) > 0 {
			t.Fatalf("%v wait and %v run in the end", r.waiting, r.running)
		}
		for _, b := range cfg.Buckets {
			if st, _ := s.Bucket(b.ID); st.Held != st.Charged+st.Refunded+st.Lapsed {
				t.Fatalf("%+v", st)
			}
		}
	})
	if waited == 0 {
		t.Error("nothing has waited")
	}
}
