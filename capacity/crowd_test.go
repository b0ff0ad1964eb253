package capacity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// crowd is a State under a heavy, steady load: all slots taken, and a long queue of many accounts and reservations. What it
// keeps of its calls needs no memory as time goes on.
type crowd struct {
	size  crowdSize
	s     *State
	r     *rand.Rand
	now   Instant
	out   []Action
	calls [1 << 16]crowdCall // by the low bits of their handles
	spare []CallID           // handles that may be used again, with other high bits
	lists [4][]CallID        // by what they do
}

// crowdSize is how much there is.
type crowdSize struct{ waiting, accounts, reservations, replicas int }

// What a call of a crowd does.
const (
	crowdGone = iota
	crowdWaits
	crowdRuns
	crowdLeaves // was recalled
)

type crowdCall struct {
	does    int
	place   int // in its list
	on      ReplicaID
	output  int64
	listens bool // can be recalled
}

const crowdSlots = 8 // of a replica

func newCrowd(size crowdSize) *crowd {
	c := &crowd{size: size, s: New(), r: rand.New(rand.NewPCG(1, 2)), out: make([]Action, 0, 1024)}
	for i := range c.lists {
		c.lists[i] = make([]CallID, 0, len(c.calls))
	}
	for i := range c.calls {
		c.spare = append(c.spare, CallID(len(c.calls)-i))
	}
	cfg := &Config{
		Models:   []Model{{ID: modelID, Burndown: 5000, MaxOutput: 100, WeightInput: 1, WeightOutput: 4}},
		Pools:    []Pool{{ID: poolID, MaxQueue: 1 << 20, Service: time.Second, AffinityEntries: 1024}},
		Counters: []Counter{{ID: 1, Measure: MeasureMoney, Calendar: 1, Limit: MaxTokens}, {ID: 2, Measure: MeasureConcurrent, Limit: 1 << 30}},
		Buckets:  []Bucket{{ID: 1, Measure: MeasureTokens, Rate: huge}, {ID: 2, Measure: MeasureRequests, Rate: huge}, {ID: 3, Measure: MeasureTokens, Share: true}},
	}
	for i := range size.reservations {
		id := BucketID(100 + i)
		cfg.Buckets = append(cfg.Buckets, Bucket{ID: id, Measure: MeasureTokens, Rate: huge})
		cfg.Reservations = append(cfg.Reservations, Reservation{ID: ReservationID(i + 1), Pool: poolID, Tokens: id, Slots: int32(size.replicas * crowdSlots / 4 / size.reservations)})
	}
	for i := range size.replicas {
		cfg.Replicas = append(cfg.Replicas, Replica{ID: ReplicaID(i + 1), Pool: poolID, Slots: crowdSlots})
	}
	c.step(Event{Kind: EventConfigure, Config: cfg})
	c.step(Event{Kind: EventWallClock, Calendar: 1, Period: 1})
	for i := range size.replicas {
		c.step(Event{Kind: EventReplicaUp, Replica: ReplicaID(i + 1)})
	}
	c.level()
	for range 4 * size.waiting { // until no call is left of those that came first
		c.step(Event{Kind: EventSettle, Call: c.any(crowdRuns), Input: 500, Output: 100})
		c.level()
	}
	return c
}

func (c *crowd) call(id CallID) *crowdCall { return &c.calls[id%CallID(len(c.calls))] }

// turn makes a call do something else.
func (c *crowd) turn(id CallID, does int) {
	x := c.call(id)
	if x.does != crowdGone {
		l := c.lists[x.does]
		last := l[len(l)-1]
		l[x.place] = last
		c.call(last).place = x.place
		c.lists[x.does] = l[:len(l)-1]
	}
	if x.does = does; does == crowdGone {
		c.spare = append(c.spare, id+CallID(len(c.calls)))
	} else {
		x.place = len(c.lists[does])
		c.lists[does] = append(c.lists[does], id)
	}
}

func (c *crowd) any(does int) CallID {
	l := c.lists[does]
	if len(l) == 0 {
		return 0
	}
	return l[c.r.IntN(len(l))]
}

// arrival is the next call: a quarter of reservations, a quarter that can be recalled, all with two quotas, a budget and a ceiling.
func (c *crowd) arrival() Event {
	id := c.spare[len(c.spare)-1]
	c.spare = c.spare[:len(c.spare)-1]
	ev := Event{
		Kind: EventArrive, Call: id, Tier: Tier(2 + c.r.IntN(4)), Account: AccountID(1 + c.r.IntN(c.size.accounts)), Principal: PrincipalID(c.r.IntN(3)),
		Input: 500, MaxOutput: 200, Prefix: c.r.Uint64N(200), Deadline: c.now + Instant(time.Hour),
	}
	lane := Lane{Pool: poolID, Model: modelID, Buckets: AllLimits, Counters: AllLimits, Money: 1000}
	switch c.r.IntN(4) {
	case 0:
		lane.Buckets, lane.Reservation = 0, ReservationID(1+c.r.IntN(c.size.reservations))
	case 1:
		ev.Tier, ev.Preemptible = TierFlex, true
	}
	ev.SetBuckets(1, 2)
	ev.SetCounters(1, 2)
	ev.SetLanes(lane)
	*c.call(id) = crowdCall{listens: ev.Preemptible}
	c.turn(id, crowdWaits)
	return ev
}

func (c *crowd) step(ev Event) {
	c.now += 1000
	c.out = c.s.Step(c.now, ev, c.out[:0])
	c.follow(ev)
}

func (c *crowd) follow(ev Event) {
	switch ev.Kind {
	case EventFreed, EventRetry: // and perhaps admitted again
		c.turn(ev.Call, crowdWaits)
	}
	for i := range c.out {
		switch a := &c.out[i]; {
		case a.Kind == ActionAdmit:
			x := c.call(a.Call)
			x.on, x.output = a.Replica, 0
			c.turn(a.Call, crowdRuns)
		case a.Kind == ActionPreempt:
			c.turn(a.Call, crowdLeaves)
		case a.Kind.Terminal():
			c.turn(a.Call, crowdGone)
		}
	}
}

// level brings the queue back to its length, and lets go of what was recalled but for a few.
func (c *crowd) level() {
	for len(c.lists[crowdLeaves]) > 8 {
		c.step(Event{Kind: EventFreed, Call: c.any(crowdLeaves)})
	}
	for len(c.lists[crowdWaits]) < c.size.waiting {
		c.step(c.arrival())
	}
	for len(c.lists[crowdWaits]) > c.size.waiting {
		c.step(Event{Kind: EventCancel, Call: c.any(crowdWaits)})
	}
}

// crowdEvents are events that change something, by the name of their kind.
var crowdEvents = []func(c *crowd, n int) Event{
	func(c *crowd, _ int) Event { return c.arrival() },
	func(c *crowd, _ int) Event {
		id := c.any(crowdRuns)
		c.call(id).output += 64
		return Event{Kind: EventProgress, Call: id, Output: c.call(id).output}
	},
	func(c *crowd, _ int) Event {
		return Event{Kind: EventSettle, Call: c.any(crowdRuns), Input: 500, Output: 100, Money: 900}
	},
	func(c *crowd, _ int) Event { return Event{Kind: EventCancel, Call: c.any(crowdWaits)} },
	func(c *crowd, _ int) Event { return Event{Kind: EventExpire, Call: c.any(crowdWaits)} },
	func(c *crowd, _ int) Event { return Event{Kind: EventRetry, Call: c.any(crowdRuns)} },
	func(c *crowd, _ int) Event {
		for c.any(crowdLeaves) == 0 { // have one recalled
			c.step(c.arrival())
			c.step(Event{Kind: EventSettle, Call: c.any(crowdRuns), Input: 500, Output: 100})
		}
		return Event{Kind: EventFreed, Call: c.any(crowdLeaves)}
	},
	func(c *crowd, n int) Event {
		ev := Event{Kind: EventReplicaDown, Replica: ReplicaID(1 + n%c.size.replicas)}
		c.step(ev)
		ev.Kind = EventReplicaUp
		return ev
	},
	func(c *crowd, n int) Event {
		c.step(Event{Kind: EventReplicaUp, Replica: ReplicaID(1 + (n+c.size.replicas-1)%c.size.replicas)})
		return Event{Kind: EventReplicaDown, Replica: ReplicaID(1 + n%c.size.replicas)}
	},
	func(c *crowd, n int) Event {
		c.step(Event{Kind: EventReplicaUp, Replica: ReplicaID(1 + (n+c.size.replicas-1)%c.size.replicas)})
		return Event{Kind: EventReplicaDraining, Replica: ReplicaID(1 + n%c.size.replicas)}
	},
	func(c *crowd, _ int) Event { return Event{Kind: EventShareGranted, Bucket: 3, Rate: 100, Depth: 100} },
	func(c *crowd, _ int) Event {
		c.step(Event{Kind: EventShareGranted, Bucket: 3, Rate: 100, Depth: 100})
		return Event{Kind: EventShareEnded, Bucket: 3}
	},
	func(c *crowd, n int) Event { return Event{Kind: EventWallClock, Calendar: 1, Period: int64(n) + 2} },
	func(c *crowd, _ int) Event { return Event{Kind: EventCharge, Bucket: 2, Amount: 1, At: c.now} },
	func(c *crowd, _ int) Event { return Event{Kind: EventTick} },
	func(c *crowd, n int) Event {
		crowdChange.Buckets[0].Rate = huge + int64(n)
		return Event{Kind: EventConfigure, Config: crowdChange}
	},
}

var crowdChange = &Config{Buckets: []Bucket{{ID: 100, Measure: MeasureTokens}}}

var fullCrowd = crowdSize{waiting: 10_000, accounts: 1000, reservations: 100, replicas: 100}

// BenchmarkStep is one step of each kind in a crowd, and of the most frequent kinds in crowds that are four times as large in one way.
func BenchmarkStep(b *testing.B) {
	c := newCrowd(fullCrowd)
	for _, event := range crowdEvents {
		b.Run(event(c, 0).Kind.String(), func(b *testing.B) { c.bench(b, event) })
	}
	for _, size := range []crowdSize{
		{waiting: 40_000, accounts: 1000, reservations: 100, replicas: 100},
		{waiting: 10_000, accounts: 4000, reservations: 100, replicas: 100},
		{waiting: 10_000, accounts: 1000, reservations: 400, replicas: 100},
		{waiting: 10_000, accounts: 1000, reservations: 100, replicas: 400},
	} {
		c := newCrowd(size)
		for _, event := range crowdEvents[:3] {
			b.Run(fmt.Sprintf("%s/%+v", event(c, 0).Kind, size), func(b *testing.B) { c.bench(b, event) })
		}
	}
}

// bench measures steps one by one. The time of reading the clock, some 50 ns, is in the figures.
func (c *crowd) bench(b *testing.B, event func(c *crowd, n int) Event) {
	took := make([]time.Duration, 0, 1<<22)
	c.level()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		c.level()
		ev := event(c, n)
		c.now += 1000
		start := time.Now()
		c.out = c.s.Step(c.now, ev, c.out[:0])
		if d := time.Since(start); len(took) < cap(took) {
			took = append(took, d)
		}
		c.follow(ev)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*999/1000]), "p99.9-ns")
}

// A crowd that goes on as it is needs no memory.
func TestSteadyStepsAllocateNothing(t *testing.T) {
	c := newCrowd(crowdSize{waiting: 500, accounts: 100, reservations: 10, replicas: 10})
	n := 0
	for _, event := range crowdEvents {
		kind := event(c, 0).Kind
		if got := testing.AllocsPerRun(500, func() { n++; c.step(event(c, n)); c.level() }); got > 0 {
			t.Errorf("%s: %.2f allocations", kind, got)
		}
	}
}
