package capacity

import "testing"

// BenchmarkLoaded is a pair of steps as the live dispatcher makes them for a key, a team, an account and a model with
// requests, tokens and a budget each, over four replicas, with a hundred calls under way.
func BenchmarkLoaded(b *testing.B) {
	s := New()
	cfg := &Config{
		Models: []Model{{ID: modelID, Burndown: 5000, MaxOutput: 100, WeightInput: 1, WeightOutput: 4}},
		Pools:  []Pool{{ID: poolID, MaxQueue: 4096, AffinityEntries: 1024, RetryBudget: 200}},
	}
	ev := Event{Kind: EventArrive, Input: 500, MaxOutput: 200}
	for i := range 4 {
		cfg.Replicas = append(cfg.Replicas, Replica{ID: ReplicaID(i + 1), Pool: poolID, Slots: 1000})
		cfg.Buckets = append(cfg.Buckets, Bucket{ID: BucketID(2*i + 1), Measure: MeasureTokens, Rate: huge}, Bucket{ID: BucketID(2*i + 2), Measure: MeasureRequests, Rate: huge})
		cfg.Counters = append(cfg.Counters, Counter{ID: CounterID(i + 1), Measure: MeasureMoney, Calendar: 1, Limit: MaxTokens})
	}
	s.Step(0, Event{Kind: EventConfigure, Config: cfg}, nil)
	for i := range 4 {
		s.Step(0, Event{Kind: EventReplicaUp, Replica: ReplicaID(i + 1)}, nil)
	}
	ev.SetBuckets(1, 2, 3, 4, 5, 6, 7, 8)
	ev.SetCounters(1, 2, 3, 4)
	ev.SetLanes(Lane{Pool: poolID, Model: modelID, Buckets: AllLimits, Counters: AllLimits, Money: 1000})
	var out []Action
	id, now := CallID(0), Instant(0)
	b.ReportAllocs()
	for b.Loop() {
		id++
		now += 1000
		ev.Call, ev.Account, ev.Principal, ev.Prefix = id, AccountID(id%10), PrincipalID(id%30), uint64(id%50)
		out = s.Step(now, ev, out[:0])
		if id > 100 {
			out = s.Step(now, Event{Kind: EventSettle, Call: id - 100, Input: 500, Output: 100, Money: 900}, out[:0])
		}
	}
}

// A slab of calls grows without moving those that are in it.
func TestCallsStayWhereTheyAre(t *testing.T) {
	var s callSlab
	i := s.take()
	c := s.at(i)
	for range 10 * callsInPart {
		s.take()
	}
	if s.at(i) != c {
		t.Error("a call has been moved")
	}
	s.drop(i)
	if s.take() != i || i == 0 {
		t.Error("an index that was given back is not used again")
	}
}
