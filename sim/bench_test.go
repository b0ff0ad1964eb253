package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/perf"
)

// planning is a load as a plan replays it: calls of the sizes of a chat (1,155 tokens in and 211 out in the mean, as in the Azure trace of 2023), Poisson
// arrivals at 70 % of what eight engines do, a quarter of them on a purchase, all with a quota of requests and one of tokens.
type planning struct {
	world *World
	r     *rand.Rand
	at    Instant
	gap   float64 // ns
	next  capacity.CallID
	ended int
	calls []*Call // that can be used again
}

const planningEngines = 8

func newPlanning() *planning {
	profile, err := perf.Named("llama-3.1-8b/a100-80")
	if err != nil {
		panic(err)
	}
	p := &planning{r: rand.New(rand.NewPCG(1, 2))}
	const huge = 1 << 40
	cfg := &capacity.Config{
		Models:       []capacity.Model{{ID: 1, MaxOutput: 1024, Burndown: 5000}},
		Pools:        []capacity.Pool{{ID: 1, MaxQueue: 1 << 16}},
		Buckets:      []capacity.Bucket{{ID: 1, Measure: capacity.MeasureRequests, Rate: huge}, {ID: 2, Measure: capacity.MeasureTokens, Rate: huge}, {ID: 3, Measure: capacity.MeasureInput, Rate: huge}, {ID: 4, Measure: capacity.MeasureOutput, Rate: huge}},
		Reservations: []capacity.Reservation{{ID: 1, Pool: 1, Input: 3, Output: 4, Slots: 64}},
	}
	var replicas []Replica
	for i := range planningEngines {
		id := capacity.ReplicaID(i + 1)
		cfg.Replicas = append(cfg.Replicas, capacity.Replica{ID: id, Pool: 1, Slots: 64})
		replicas = append(replicas, Replica{ID: id, Profile: profile})
	}
	s := capacity.New()
	s.Step(0, capacity.Event{Kind: capacity.EventConfigure, Config: cfg}, nil)
	p.world = New(Options{Scheduler: s, Replicas: replicas, Done: p.done})
	rate := profile.Throughput(64, perf.Mix{Input: 1155, Output: 211}) // tokens a minute
	calls := 0.7 * planningEngines * float64(rate.Output) / 211 / 60
	p.gap = float64(time.Second) / calls
	return p
}

func (p *planning) done(o *Outcome) {
	p.ended++
	p.calls = append(p.calls, o.Call)
}

// one lets the time pass until the next call comes.
func (p *planning) one() {
	p.at += Instant(p.r.ExpFloat64() * p.gap)
	p.next++
	var c *Call
	if n := len(p.calls); n > 0 {
		c, p.calls = p.calls[n-1], p.calls[:n-1]
	} else {
		c = new(Call)
	}
	lane := capacity.Lane{Pool: 1, Model: 1, Buckets: capacity.AllLimits}
	if p.r.IntN(4) == 0 {
		lane.Buckets, lane.Reservation = 0, 1
	}
	*c = Call{Input: int64(p.r.ExpFloat64()*1155) + 1, Output: min(int64(p.r.ExpFloat64()*211)+1, 1024)}
	e := &c.Arrive
	e.Call, e.Tier, e.Account, e.Principal, e.Input, e.MaxOutput = p.next, capacity.TierDefault, 1, capacity.PrincipalID(p.next%10), c.Input, 1024
	e.SetLanes(lane)
	e.SetBuckets(1, 2)
	p.world.Run(p.at)
	p.world.Offer(p.at, c)
}

// BenchmarkPlanning is one call of the planning load, from its arrival to its end: the scheduler's steps, the engines', and the clock's. It runs on one
// core. Its inverse is the number of calls that a plan replays in a second.
func BenchmarkPlanning(b *testing.B) {
	p := newPlanning()
	for range 20_000 { // until the engines are full
		p.one()
	}
	b.ReportAllocs()
	ended := p.ended
	for b.Loop() {
		p.one()
	}
	b.ReportMetric(float64(p.ended-ended)/b.Elapsed().Seconds(), "calls/s")
}
