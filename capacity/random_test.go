package capacity

import (
	"time"

	"forebay/capacity/scale"

	"pgregory.net/rapid"
)

// script is a stream of random events in a world of several pools, lanes, limits, shares and calendars, most of them
// sensible and some not. It names more objects than there are.
type script struct {
	t     *rapid.T
	now   Instant
	next  CallID
	fails bool // most of what happens to calls is that they fail, and replicas come and go
}

// worldOf is what a script starts with. Pool 3 is elastic and starts empty.
func worldOf(t *rapid.T) Event {
	rate := rapid.Int64Range(1, 2000)
	cfg := &Config{
		Models: []Model{{ID: 1, Burndown: 5000, MaxOutput: 100, WeightInput: 1, WeightOutput: 4}, {ID: 2, MaxOutput: 10}},
		Buckets: []Bucket{
			{ID: 1, Measure: MeasureTokens, Rate: rate.Draw(t, "tokens")},
			{ID: 2, Measure: MeasureRequests, Rate: rate.Draw(t, "requests")},
			{ID: 3, Measure: MeasureOutput, Rate: 500, Depth: rate.Draw(t, "depth")},
			{ID: 4, Measure: MeasureTokens, Share: true},
			{ID: 6, Measure: MeasureInput, Rate: rate.Draw(t, "bought in")},
			{ID: 7, Measure: MeasureOutput, Rate: rate.Draw(t, "bought out")},
			{ID: 8, Measure: MeasureInput, Rate: 300},
			{ID: 9, Measure: MeasureOutput, Rate: 300},
			{ID: 10, Measure: MeasureTokens, Rate: rate.Draw(t, "bought")},
			{ID: 11, Measure: MeasureTokens, Rate: rate.Draw(t, "rented")},
			{ID: 12, Measure: MeasureRequests, Rate: 20},
		},
		Counters: []Counter{
			{ID: 1, Measure: MeasureTokens, Calendar: 1, Limit: 20_000},
			{ID: 2, Measure: MeasureMoney, Calendar: 2, Limit: 1000},
			{ID: 3, Measure: MeasureConcurrent, Limit: 6},
		},
		Reservations: []Reservation{
			{ID: 1, Pool: 1, Input: 6, Output: 7, Slots: 2, KV: 500},
			{ID: 2, Pool: 1, Parent: 1, Input: 8, Output: 9, Slots: 1},
			{ID: 3, Pool: 1, Tokens: 10},
			{ID: 4, Pool: 2, Tokens: 10, Slots: 1},
		},
		Pools: []Pool{
			{ID: 1, MaxQueue: 20, Service: time.Second, AffinityEntries: 4, RetryBudget: 200},
			{ID: 2, MaxQueue: 3, MaxWait: 20 * time.Second, Service: 2 * time.Second},
			{ID: 3, MaxQueue: 50},
		},
		Scalings: []Scaling{randomScaling(t, 3)},
		Replicas: []Replica{
			{ID: 1, Pool: 1, Slots: 2, Quota: [2]BucketID{11, 12}},
			{ID: 2, Pool: 1, Slots: 1, KV: 300},
			{ID: 3, Pool: 1, Slots: 5, Standby: true},
			{ID: 6, Pool: 1, Slots: 1, Reservation: 3},
			{ID: 4, Pool: 2, Slots: 1, Weight: 3, Quota: [2]BucketID{12}},
			{ID: 5, Pool: 3, Slots: 2, Quota: [2]BucketID{11}},
		},
	}
	return Event{Kind: EventConfigure, Config: cfg}
}

// randomScaling draws rules of every kind.
func randomScaling(t *rapid.T, pool PoolID) Scaling {
	g := Scaling{
		Pool: pool, Group: rapid.Int32Range(0, 2).Draw(t, "group"), Desired: rapid.Int32Range(0, 2).Draw(t, "desired"),
		MaxHeld: rapid.Int32Range(0, 4).Draw(t, "held"), MaxHold: rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "hold"),
		Rules: scale.Rules{Max: rapid.Int32Range(0, 5).Draw(t, "max"), Slots: 2, Idle: 30 * time.Second, Start: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "start")},
	}
	switch rapid.IntRange(0, 2).Draw(t, "rules") {
	case 0:
		g.Rules.Follow = true
	case 1:
		g.Rules.Policies = []scale.Policy{
			{Kind: scale.Tracking, Metric: scale.MetricConcurrency, Target: 1500, OutCooldown: time.Minute, InCooldown: 2 * time.Minute},
			{Kind: scale.Stepping, Metric: scale.MetricNoCapacity, Target: 1000, Points: 1, Adjust: scale.Change, Steps: []scale.Step{{From: 0, To: scale.Open, By: 1}}},
		}
	default:
		g.Rules.Policies = []scale.Policy{{Kind: scale.Tracking, Metric: scale.MetricInvocations, Target: 3000}}
	}
	return g
}

// event draws the next event and lets some time pass before it.
func (s *script) event() (Instant, Event) {
	t := s.t
	s.now += Instant(rapid.SampledFrom([]time.Duration{0, time.Nanosecond, time.Millisecond, time.Second, 7 * time.Second, time.Hour, -time.Second}).Draw(t, "gap"))
	what := rapid.IntRange(0, 19)
	if s.fails {
		what = rapid.SampledFrom([]int{0, 1, 8, 9, 10, 11, 15, 16, 15, 16, 17, 19})
	}
	switch n := what.Draw(t, "what"); {
	case n < 8:
		return s.now, s.arrival()
	case n < 15:
		return s.now, s.ofCall()
	case n < 17:
		return s.now, s.ofReplica()
	case n < 19:
		return s.now, s.ofLimit()
	default:
		return s.now, s.change()
	}
}

func (s *script) arrival() Event {
	t := s.t
	s.next++
	ev := Event{
		Kind: EventArrive, Call: s.next, Tier: Tier(rapid.IntRange(0, 6).Draw(t, "tier")), Account: AccountID(rapid.IntRange(0, 3).Draw(t, "account")),
		Principal: PrincipalID(rapid.IntRange(0, 3).Draw(t, "principal")), Preemptible: rapid.Bool().Draw(t, "preemptible"),
		Input: rapid.Int64Range(0, 200).Draw(t, "in"), MaxOutput: rapid.Int64Range(0, 200).Draw(t, "out"),
		N: rapid.Int32Range(0, 2).Draw(t, "n"), Prefix: rapid.Uint64Range(0, 9).Draw(t, "prefix"),
	}
	if rapid.Bool().Draw(t, "hurry") {
		ev.Deadline = s.now + Instant(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "deadline"))
	}
	first := PoolID(rapid.IntRange(1, 4).Draw(t, "pool"))
	spill := Spill(rapid.IntRange(0, 7).Draw(t, "spill"))
	lanes := []Lane{
		{Pool: first, Model: 1, Spill: spill, Buckets: 3, Counters: AllLimits, Money: 50, MaxWait: time.Second},
		{Pool: first%3 + 1, Model: 2, Buckets: AllLimits, Money: 10},
	}
	if rapid.Bool().Draw(t, "bought") {
		id := rapid.Uint32Range(1, 5).Draw(t, "reservation")
		lanes[0] = Lane{Pool: 1 + PoolID(id/4), Model: 1, Reservation: ReservationID(id), Spill: spill, MaxWait: time.Second}
	}
	ev.SetLanes(lanes[:rapid.IntRange(1, 2).Draw(t, "lanes")]...)
	ev.SetBuckets([]BucketID{1, 2, 3, 4, 5}[:rapid.SampledFrom([]int{0, 1, 2, 2, 3, 3, 4, 5}).Draw(t, "buckets")]...)
	ev.SetCounters([]CounterID{1, 2, 3}[:rapid.IntRange(0, 3).Draw(t, "counters")]...)
	return ev
}

func (s *script) ofCall() Event {
	t := s.t
	kinds := []EventKind{EventSettle, EventSettle, EventSettle, EventProgress, EventCancel, EventExpire, EventRetry, EventFreed, EventTick}
	if s.fails {
		kinds = []EventKind{EventSettle, EventRetry, EventRetry, EventRetry, EventFreed}
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	call := CallID(rapid.Uint64Range(uint64(max(1, s.next)-min(max(1, s.next)-1, 12)), uint64(s.next+1)).Draw(t, "call"))
	ev := Event{Kind: kind, Call: call, Input: rapid.Int64Range(0, 300).Draw(t, "used"), Output: rapid.Int64Range(0, 300).Draw(t, "made")}
	switch kind {
	case EventSettle:
		ev.SlotHeld, ev.Money, ev.CacheWrite = rapid.Bool().Draw(t, "held"), rapid.Int64Range(0, 60).Draw(t, "money"), 3
	case EventProgress:
		ev.Delivered = rapid.Bool().Draw(t, "delivered")
	case EventRetry:
		ev.Replica = ReplicaID(rapid.IntRange(0, 5).Draw(t, "replica"))
	}
	return ev
}

// memories are sizes of a replica's memory; 0 leaves it as it is, or is no bound.
var memories = rapid.SampledFrom([]int64{0, 50, 300, 700})

func (s *script) ofReplica() Event {
	t := s.t
	kind := rapid.SampledFrom([]EventKind{EventReplicaUp, EventReplicaUp, EventReplicaUp, EventReplicaDown, EventReplicaDraining}).Draw(t, "kind")
	return Event{
		Kind: kind, Replica: ReplicaID(rapid.IntRange(1, 7).Draw(t, "replica")), Slots: rapid.Int32Range(0, 3).Draw(t, "slots"),
		KV: memories.Draw(t, "kv"),
	}
}

func (s *script) ofLimit() Event {
	t := s.t
	switch rapid.IntRange(0, 3).Draw(t, "limit") {
	case 0:
		return Event{
			Kind: EventShareGranted, Bucket: BucketID(rapid.IntRange(3, 5).Draw(t, "bucket")), Rate: 600, Depth: rapid.Int64Range(0, 900).Draw(t, "depth"),
			Until: s.now + Instant(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "until")),
		}
	case 1:
		return Event{Kind: EventShareEnded, Bucket: BucketID(rapid.IntRange(3, 5).Draw(t, "bucket"))}
	case 2:
		return Event{
			Kind: EventWallClock, Calendar: CalendarID(rapid.IntRange(0, 2).Draw(t, "calendar")), Period: rapid.Int64Range(0, 5).Draw(t, "period"),
			At: s.now + Instant(time.Hour),
		}
	default:
		ev := Event{Kind: EventCharge, Amount: rapid.Int64Range(0, 2000).Draw(t, "amount"), At: s.now - Instant(time.Second), Period: 1}
		if rapid.Bool().Draw(t, "bucket") {
			ev.Bucket = 1
		} else {
			ev.Counter = 1
		}
		return ev
	}
}

// change is a small change of the configuration.
func (s *script) change() Event {
	t := s.t
	cfg := &Config{}
	switch rapid.IntRange(0, 14).Draw(t, "change") {
	case 0:
		cfg.RemoveBuckets = []BucketID{BucketID(rapid.IntRange(1, 5).Draw(t, "bucket"))}
	case 1:
		cfg.Buckets = []Bucket{{ID: BucketID(rapid.IntRange(1, 5).Draw(t, "bucket")), Measure: MeasureTokens, Rate: rapid.Int64Range(0, 5000).Draw(t, "rate")}}
	case 2:
		cfg.RemoveReplicas = []ReplicaID{ReplicaID(rapid.IntRange(1, 7).Draw(t, "replica"))}
	case 3:
		id := rapid.Uint32Range(1, 7).Draw(t, "replica")
		cfg.Replicas = []Replica{{ID: ReplicaID(id), Pool: PoolID(rapid.IntRange(1, 3).Draw(t, "pool")), Slots: rapid.Int32Range(0, 3).Draw(t, "slots"), KV: memories.Draw(t, "kv")}}
	case 4:
		cfg.RemovePools = []PoolID{PoolID(rapid.IntRange(1, 3).Draw(t, "pool"))}
	case 5:
		cfg.Pools = []Pool{{
			ID: PoolID(rapid.IntRange(1, 3).Draw(t, "pool")), MaxQueue: rapid.Int32Range(0, 9).Draw(t, "queue"), AffinityEntries: rapid.Int32Range(0, 5).Draw(t, "table"),
		}}
	case 12:
		cfg.Scalings = []Scaling{randomScaling(t, PoolID(rapid.IntRange(1, 4).Draw(t, "pool")))}
	case 13:
		cfg.RemoveScalings = []PoolID{PoolID(rapid.IntRange(1, 3).Draw(t, "pool"))}
	case 6:
		cfg.Counters = []Counter{{ID: 1, Measure: MeasureTokens, Calendar: CalendarID(rapid.IntRange(1, 2).Draw(t, "calendar")), Limit: 30_000}}
	case 7:
		cfg.RemoveCounters = []CounterID{1}
	case 8:
		cfg.RemoveModels = []ModelID{2}
	case 9:
		cfg.RemoveReservations = []ReservationID{ReservationID(rapid.IntRange(1, 4).Draw(t, "reservation"))}
	case 10:
		cfg.Reservations = []Reservation{
			{ID: 1, Pool: 1, Input: 6, Output: 7, Slots: rapid.Int32Range(0, 4).Draw(t, "slots"), KV: rapid.Int64Range(0, 900).Draw(t, "kv")},
			{ID: 2, Pool: 1, Parent: 1, Input: 8, Output: 9, Slots: rapid.Int32Range(0, 2).Draw(t, "of them")},
		}
	case 11:
		id := rapid.Uint32Range(1, 7).Draw(t, "replica")
		cfg.Replicas = []Replica{{ID: ReplicaID(id), Pool: 1, Slots: 2, KV: 400, Reservation: ReservationID(rapid.IntRange(0, 5).Draw(t, "owner"))}}
	default:
		cfg.Models = []Model{{ID: 2, MaxOutput: 20}}
	}
	return Event{Kind: EventConfigure, Config: cfg}
}
