// Package replay runs a traffic through the scheduler that admits live calls and the engine model, on a virtual clock, in one way of serving
// it: on demand within a quota, on bought units with or without spill-over, on engines of one's own. It says what would have been refused,
// what would have spilled over, and how long calls would have taken. What it costs is for package plan.
//
// A run reads its traffic as a stream and keeps nothing of a call that has ended but counts. It depends on its arguments alone.
package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"forebay/capacity"
	"forebay/perf"
	"forebay/sim"
	"forebay/workload"
)

// Rate is tokens a minute.
type Rate struct {
	Input, Output int64
}

// Change is a new rate of what is bought.
type Change struct {
	At   time.Duration
	Rate Rate
}

// Quota is what an account may use on demand, a minute; 0 is no bound.
type Quota struct {
	Requests, Tokens int64
}

// Serving is one way to serve a traffic, as the scheduler sees it.
type Serving struct {
	// Start is the instant of the traffic that the run begins at: no call is earlier. End is when engines are paid for no longer; 0 is with the last call.
	Start, End time.Duration
	// Burndown and MaxOutput are those of the model: see capacity.Model.
	Burndown  int32
	MaxOutput int64
	// Bought is the rate of a provisioned throughput, zero for none.
	Bought Rate
	// Later are the changes of that rate, in order of time from the start of the run on: of units that are bought by a schedule.
	Later []Change
	// OnDemand says that calls are served on demand, within Quota: all of them, or those that Bought does not take. Without it Quota bounds what engines of
	// one's own take.
	OnDemand bool
	Quota    Quota
	// Engines are the engines of one's own, each with the profile and slots for Slots calls: they take all calls, those that Bought does not take, or, with
	// OnDemand, as many as they can within MaxWait. 0 engines is a cloud's, which take every call at once and for which the profile tells only how long a
	// call holds its quota.
	Engines int
	Slots   int
	Profile perf.Profile
	// Elastic says that they come and go; nil is all of them all the time.
	Elastic *Elastic
	// MaxQueue bounds the calls that wait for an engine of one's own, and MaxWait for how long one does where the next lane is on demand.
	MaxQueue int32
	MaxWait  time.Duration
	// Waiting are the calls that may wait.
	Waiting Waiting
	// Concurrent bounds the calls in flight, those that wait included; 0 is no bound.
	Concurrent int64
	// Retry is how clients go on after a refusal.
	Retry Retry
}

// Result is what became of a traffic.
type Result struct {
	Calls   int64
	Served  int64
	Refused int64 // calls that were never served, after all retries
	Retries int64 // attempts beyond the first of each call
	Late    int64 // calls that were served after a retry
	Spilled int64 // calls that a purchase did not take and that were served on demand
	Long    int64 // calls served whose prompts are longer than those that Serving.Profile was measured with

	// OfferedInput and OfferedOutput are the tokens of all calls, also of those that were refused.
	OfferedInput, OfferedOutput int64
	// Tokens served in all, and of those the ones of calls on what was bought.
	Input, Output             int64
	BoughtInput, BoughtOutput int64
	// OwnInput and OwnOutput are those of calls that somebody waited for on engines of one's own, LaterInput and LaterOutput those of the calls that may wait.
	OwnInput, OwnOutput     int64
	LaterInput, LaterOutput int64
	// Refusals of attempts by what refused them, in words.
	Reasons map[string]int64
	// First and Whole are the times to the first token and to the last one of the calls served that somebody waited for, from their first attempt on, and
	// Waited the time to the last token of those that may wait.
	First, Whole, Waited Histogram
	// Delay is how long the calls of Late had been under way when an attempt was taken.
	Delay Histogram
	// Recalled is how often a call that may wait was stopped for another and began again, and Lost the tokens that were produced in vain.
	Recalled, Lost int64
	// Length is the time from the start to the last arrival; Busy the sum of the times that calls were with engines.
	Length, Busy time.Duration
	// Paid is the sum of the times that instances of one's own were paid for, Starts how often one was started, and Held the calls that found none up;
	// of elastic ones only.
	Paid   time.Duration
	Starts int64
	Held   int64
}

// ErrUnfinished is returned when calls are in flight that never end: a fault of this package.
var ErrUnfinished = errors.New("replay: calls did not end")

// The numbers by which the scheduler knows what it is told of.
const (
	model      capacity.ModelID       = 1
	rented     capacity.PoolID        = 1
	bought     capacity.PoolID        = 2
	requests   capacity.BucketID      = 1
	tokens     capacity.BucketID      = 2
	unitInput  capacity.BucketID      = 3
	unitOutput capacity.BucketID      = 4
	purchase   capacity.ReservationID = 1
	own        capacity.PoolID        = 3
	concurrent capacity.CounterID     = 1

	// cloudSlots are more calls at once than any traffic here has.
	cloudSlots = 1 << 20
)

// Run replays the requests, in order of time. It ends early, with what it knows, when ctx does.
func Run(ctx context.Context, traffic iter.Seq2[workload.Request, error], s Serving) (*Result, error) {
	r := &run{serving: s, result: &Result{Reasons: map[string]int64{}}, again: map[capacity.CallID]*attempt{}}
	return r.through(ctx, traffic)
}

func (r *run) through(ctx context.Context, traffic iter.Seq2[workload.Request, error]) (*Result, error) {
	if err := r.build(); err != nil {
		return nil, err
	}
	s := &r.serving
	for i := range r.serving.Later {
		c := &r.serving.Later[i]
		r.world.At(capacity.Instant(c.At), capacity.Event{Kind: capacity.EventConfigure, Config: &capacity.Config{Buckets: unitBuckets(c.Rate)}})
	}
	for q, err := range traffic {
		if err != nil {
			return nil, err
		}
		if r.result.Calls++; r.result.Calls%1024 == 0 && ctx.Err() != nil {
			return r.result, ctx.Err()
		}
		if q.At < s.Start {
			return nil, fmt.Errorf("replay: a call at %v, before the start at %v", q.At, s.Start)
		}
		r.result.Length = q.At - s.Start
		r.world.Run(capacity.Instant(r.result.Length + 1))
		r.offer(capacity.Instant(r.result.Length+1), &q)
	}
	if r.fleet != nil {
		r.fleet.end = capacity.Instant(max(r.result.Length, s.End-s.Start))
	}
	if left := r.world.Run(0); left != 0 {
		return nil, fmt.Errorf("%w: %d", ErrUnfinished, left)
	}
	if r.fleet != nil {
		r.fleet.close()
		r.result.Paid, r.result.Starts = r.fleet.paid, r.fleet.starts
	}
	return r.result, nil
}

// run is a run under way.
type run struct {
	serving Serving
	world   *sim.World
	result  *Result
	last    capacity.CallID
	again   map[capacity.CallID]*attempt // calls under way that were refused before
	fleet   *fleet                       // nil where engines do not come and go
	tier    tiers                        // who may wait
	watch   watcher                      // of tests, which sees every step of the scheduler; nil for none
}

type watcher func(now capacity.Instant, ev *capacity.Event, actions []capacity.Action)

// attempt is what a call went through before it was offered again.
type attempt struct {
	arrived capacity.Instant
	tries   int
}

func (r *run) build() error {
	s := &r.serving
	if !s.OnDemand && !s.buys() && s.Engines == 0 {
		return errors.New("replay: nothing serves the calls")
	}
	c := &capacity.Config{Models: []capacity.Model{{ID: model, Burndown: s.Burndown, MaxOutput: s.MaxOutput}}}
	var engines []sim.Replica
	add := func(pool capacity.PoolID, n int, slots int32, p perf.Profile, queue int32, kind capacity.PoolKind) {
		c.Pools = append(c.Pools, capacity.Pool{ID: pool, Kind: kind, MaxQueue: queue})
		if s.Elastic != nil && kind == capacity.PoolOwned {
			c.Scalings = append(c.Scalings, s.Elastic.scaling(slots))
		}
		for range n {
			id := capacity.ReplicaID(len(c.Replicas) + 1)
			c.Replicas = append(c.Replicas, capacity.Replica{ID: id, Pool: pool, Slots: slots})
			engines = append(engines, sim.Replica{ID: id, Profile: p})
		}
	}
	cloud := s.cloud()
	if s.metered() {
		if s.Quota.Requests > 0 {
			c.Buckets = append(c.Buckets, capacity.Bucket{ID: requests, Measure: capacity.MeasureRequests, Rate: s.Quota.Requests})
		}
		if s.Quota.Tokens > 0 {
			c.Buckets = append(c.Buckets, capacity.Bucket{ID: tokens, Measure: capacity.MeasureTokens, Rate: s.Quota.Tokens})
		}
	}
	if s.Engines > 0 { // the first replicas: those that come and go are told by their number
		add(own, s.Engines, r.slots(), s.Profile, s.MaxQueue, capacity.PoolOwned)
	}
	if s.rents() {
		add(rented, 1, cloudSlots, cloud, 0, capacity.PoolRented)
	}
	if s.buys() {
		c.Buckets = append(c.Buckets, unitBuckets(s.Bought)...)
		add(bought, 1, cloudSlots, cloud, 0, capacity.PoolBought)
		c.Reservations = append(c.Reservations, capacity.Reservation{ID: purchase, Pool: bought, Input: unitInput, Output: unitOutput, Slots: cloudSlots})
	}
	if s.Concurrent > 0 {
		c.Counters = append(c.Counters, capacity.Counter{ID: concurrent, Measure: capacity.MeasureConcurrent, Limit: s.Concurrent})
	}
	state := capacity.New()
	state.Step(0, capacity.Event{Kind: capacity.EventConfigure, Config: c}, nil)
	opt := sim.Options{Scheduler: state, Replicas: engines, Done: r.done, Observe: r.watch}
	if s.Elastic != nil && s.Engines > 0 {
		r.fleet = newFleet(s.Elastic, s.Engines)
		opt.Observe = r.observe // which shows it to the watcher, too
	}
	r.world = sim.New(opt)
	if r.fleet != nil {
		for i := range r.fleet.members {
			if r.fleet.members[i].state == off {
				r.fleet.tell(r, i, 0, capacity.EventReplicaDown)
			}
		}
		r.reschedule(r.slots())
	}
	return nil
}

// cloud are engines that take every call at once. Beside those of one's own their speed is not known: 20 ms a token.
func (s *Serving) cloud() perf.Profile {
	cloud := s.Profile
	if s.Engines > 0 {
		cloud = perf.Profile{Step: 20_000_000_000}
	}
	cloud.MaxBatch, cloud.Chunk, cloud.KV, cloud.Block = cloudSlots, math.MaxInt32, math.MaxInt64/4, 1
	return cloud
}

// rents says whether any call goes to a cloud, on demand or at a tier at which it may wait.
func (s *Serving) rents() bool { return s.OnDemand || s.Engines == 0 && s.Waiting != (Waiting{}) }

// metered says whether any call counts against the quota.
func (s *Serving) metered() bool { return s.OnDemand || s.Engines > 0 }

// slots are the calls that one of the engines has at once.
func (r *run) slots() int32 { return int32(min(r.serving.Slots, r.serving.Profile.MaxBatch)) }

func (s *Serving) buys() bool { return s.Bought != (Rate{}) || len(s.Later) > 0 }

func unitBuckets(r Rate) []capacity.Bucket {
	return []capacity.Bucket{{ID: unitInput, Measure: capacity.MeasureInput, Rate: r.Input}, {ID: unitOutput, Measure: capacity.MeasureOutput, Rate: r.Output}}
}

// offer makes a call arrive.
func (r *run) offer(at capacity.Instant, q *workload.Request) {
	r.last++
	s := &r.serving
	c := &sim.Call{Input: max(q.Input, 1), Output: max(q.Output, 1)}
	e := &c.Arrive
	e.Call, e.Tier, e.Account, e.Principal = r.last, r.tier.next(s.Waiting), 1, capacity.PrincipalID(q.Tenant)+1
	e.Preemptible = e.Tier != capacity.TierDefault
	e.Input, e.CacheRead, e.MaxOutput, e.Prefix = max(q.Input-q.Cached, 0), q.Cached, q.MaxOutput, q.Prefix
	c.Input = max(e.Input, 1)
	r.result.OfferedInput += c.Input
	r.result.OfferedOutput += c.Output
	if e.Preemptible {
		r.result.LaterInput += c.Input
		r.result.LaterOutput += c.Output
	}
	r.lanes(e)
	r.world.Offer(at, c)
}

// lanes gives a call the lanes of the way of serving, and the buckets of each. Calls that may wait take nothing of what was bought, and go on demand
// only where there are no engines of one's own; those of batch count against no quota.
func (r *run) lanes(e *capacity.Event) {
	s := &r.serving
	var lanes []capacity.Lane
	if s.buys() && !e.Preemptible {
		l := capacity.Lane{Pool: bought, Model: model, Reservation: purchase}
		if s.OnDemand || s.Engines > 0 {
			l.Spill = capacity.SpillOverRate
		}
		lanes = append(lanes, l)
	}
	if s.Engines > 0 {
		l := capacity.Lane{Pool: own, Model: model, Counters: capacity.AllLimits}
		if !s.OnDemand {
			l.Buckets = capacity.AllLimits
		}
		if s.OnDemand && !e.Preemptible {
			l.Spill, l.MaxWait = capacity.SpillOverLatency, s.MaxWait
		}
		lanes = append(lanes, l)
	}
	metered := s.metered() && e.Tier != capacity.TierBatch
	if s.OnDemand && !e.Preemptible || e.Preemptible && s.Engines == 0 {
		l := capacity.Lane{Pool: rented, Model: model}
		if metered {
			l.Buckets = capacity.AllLimits
		}
		lanes = append(lanes, l)
	}
	e.SetLanes(lanes...)
	if s.Concurrent > 0 {
		e.SetCounters(concurrent)
	}
	if !metered {
		return
	}
	var ids []capacity.BucketID
	if s.Quota.Requests > 0 {
		ids = append(ids, requests)
	}
	if s.Quota.Tokens > 0 {
		ids = append(ids, tokens)
	}
	e.SetBuckets(ids...)
}

// because says what refused an attempt.
func because(a *capacity.Action) string {
	switch {
	case a.Reason == capacity.ReasonBucket && a.Bucket == requests:
		return "requests a minute"
	case a.Reason == capacity.ReasonBucket && a.Bucket == tokens:
		return "tokens a minute"
	case a.Reason == capacity.ReasonOverDepth:
		return "a hold larger than the quota of a minute"
	case a.Reason == capacity.ReasonReservation:
		return "what was bought"
	case a.Reason == capacity.ReasonConcurrent:
		return "calls at once"
	case a.Reason == capacity.ReasonStarting:
		return "no engine up in time"
	default:
		return a.Reason.String()
	}
}

// done counts a call that has ended, or offers it again.
func (r *run) done(o *sim.Outcome) {
	id := o.Call.Arrive.Call
	before := r.again[id]
	delete(r.again, id)
	res := r.result
	if r.fleet != nil {
		r.fleet.ended(o.Admission.Replica, o.Ended)
	}
	if o.Last.Kind != capacity.ActionSettled {
		res.Reasons[because(&o.Last)]++
		r.retry(o, before)
		return
	}
	arrived := o.Arrived
	if before != nil {
		arrived = before.arrived
		res.Late++
		res.Delay.Add(time.Duration(o.Admitted - arrived))
	}
	res.Served++
	res.Input += o.Call.Input
	res.Output += o.Call.Output
	res.Busy += time.Duration(o.Ended - o.Admitted)
	if o.Call.Arrive.Preemptible {
		res.Waited.Add(time.Duration(o.Ended - arrived))
		res.Recalled += int64(o.Attempts - 1)
		res.Lost += o.Lost
		return
	}
	if most := r.serving.Profile.Measured.Prompt; most > 0 && o.Call.Input > most {
		res.Long++
	}
	res.First.Add(time.Duration(o.First - arrived))
	res.Whole.Add(time.Duration(o.Ended - arrived))
	switch {
	case o.Admission.Reservation == purchase:
		res.BoughtInput += o.Call.Input
		res.BoughtOutput += o.Call.Output
	case o.Admission.Pool == own:
		res.OwnInput += o.Call.Input
		res.OwnOutput += o.Call.Output
	case o.Spilled > 0:
		res.Spilled++
	}
}
