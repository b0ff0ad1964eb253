package plan

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/perf"
	"forebay/plan/replay"
)

// mixed is a planner for a week whose hours are of a few kinds, in units of 1,000 calls' tokens, with units by the hour and on a term, and instances if wanted.
func mixed(r *rand.Rand, machines bool) *planner {
	kinds := []float64{0.2 + r.Float64(), 1 + 2*r.Float64(), 3 + 3*r.Float64()}
	d := &Demand{Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)}
	for hour := range hoursOfWeek {
		k := kinds[r.IntN(len(kinds))]
		if hour%24 < 7 {
			k = 0
		}
		for range 60 {
			calls := 1000 * k * (0.8 + 0.4*r.Float64())
			d.Minutes = append(d.Minutes, Flow{Calls: calls, Input: 100 * calls, Output: 50 * calls})
			d.Total.add(d.Minutes[len(d.Minutes)-1], 1)
		}
	}
	m := &catalog.Model{ID: "m", MaxOutput: 4096, Price: &catalog.Price{Currency: "USD", Input: new(int64(100_000_000)), Output: new(int64(100_000_000))}}
	// A unit that is busy all the time is worth 150,000 tokens x 60 x 0.1 USD per million = 0.90 USD an hour.
	q := &Question{
		Retry: &replay.Clients()[0],
		Model: m, Days: 7, Unit: &catalog.Unit{Input: 100_000, Output: 50_000},
		UnitPrices: &catalog.UnitPrices{Currency: "USD", None: new(300_000_000 + r.Int64N(500_000_000)), SixMonths: new(100_000_000 + r.Int64N(300_000_000))},
	}
	p := &planner{q: q, demand: d, a: &Answer{Currency: "USD", Traffic: &Traffic{MeanInput: 100, MeanOutput: 50}}}
	if machines {
		q.Engine = &perf.Profile{Name: "test/x", Step: 20_000_000_000, PrefillToken: 1_000_000, Sequence: 1_000_000_000, MaxBatch: 64, Chunk: 2048, KV: 100_000, Block: 1, Recompute: 1000}
		q.Instance = &catalog.Instance{Type: "x", Accelerator: "x", Accelerators: 1, Currency: "USD", Hour: 300_000_000 + r.Int64N(600_000_000)}
	}
	return p
}

// cheapestOfAll tries every number of units on the term and of instances, and for each hour of the week every number of units by the hour.
func cheapestOfAll(p *planner, x *mixture, base term) float64 {
	of := needOf(x.size)
	var slots [hoursOfWeek][]*Flow
	for i := range p.demand.Minutes {
		slot := p.demand.slot(i)
		slots[slot] = append(slots[slot], &p.demand.Minutes[i])
	}
	peak, _ := p.demand.peak(of)
	most := int64(math.Ceil(peak))
	instances, per := int64(0), 0.0
	if x.engine != nil {
		instances, per = x.enough, float64(x.machine.Hour)
	}
	least := math.Inf(1)
	for b := range most + 1 {
		for n := range instances + 1 {
			h := &holding{unit: x.size, base: b, hours: new([hoursOfWeek]int64), instances: n, per: x.per, rest: true}
			cost := (float64(b)*float64(base.hour) + float64(n)*per) * hoursOfWeek
			for slot, list := range slots {
				best := math.Inf(1)
				for more := range most - b + 1 {
					h.hours[slot] = more
					c := float64(more) * float64(x.hourly.hour)
					for _, f := range list {
						c += h.left(f, slot) * p.value(p.q.Model, f)
					}
					best = min(best, c)
				}
				cost += best
			}
			least = min(least, cost)
		}
	}
	return least
}

// What the search finds is what a trial of every mix finds: exactly with units alone, and with instances to what these numbers are rounded to.
func TestMixesAgainstAllMixes(t *testing.T) {
	for seed := range uint64(4) {
		for _, machines := range []bool{false, true} {
			p := mixed(rand.New(rand.NewPCG(seed, 1)), machines)
			x := &mixture{p: p, model: p.q.Model, demand: p.demand}
			if !x.kinds() || x.hourly == nil || len(x.bases) != 1 || machines != (x.engine != nil) {
				t.Fatalf("%+v", x)
			}
			if err := x.search(x.bases[0], true); err != nil {
				t.Fatal(err)
			}
			s := p.a.Searches[0]
			got := float64(s.Cost)
			if s.ID != "" {
				o := p.offers[0]
				if err := p.price(o); err != nil || o.ID != s.ID {
					t.Fatal(err, o.ID, s.ID)
				}
				got = float64(o.Cost.Mid)
			}
			want := cheapestOfAll(p, x, x.bases[0])
			if d := got/want - 1; d > 2e-3 || d < -2e-3 || !machines && s.Exact && s.ID != "" && d > 5e-4 {
				t.Errorf("seed %d, instances %v: %s at %.0f, the least of all is %.0f (%+.4f); %+v", seed, machines, s.Found, got, want, d, s)
			}
			if s.Exact && float64(s.AtLeast) > want*1.001 {
				t.Errorf("seed %d: no mix is said to cost less than %d, and one costs %.0f", seed, s.AtLeast, want)
			}
		}
	}
}

// Units and instances that leave nothing to on demand leave nothing.
func TestMixesThatLeaveNothing(t *testing.T) {
	for seed := range uint64(4) {
		p := mixed(rand.New(rand.NewPCG(seed, 2)), true)
		x := &mixture{p: p, model: p.q.Model, demand: p.demand}
		if !x.kinds() {
			t.Fatal("no kinds")
		}
		if err := x.search(x.bases[0], false); err != nil {
			t.Fatal(err)
		}
		for _, o := range p.offers {
			if o.spills != nil || o.serving.OnDemand {
				t.Errorf("%s spills", o.Name)
			}
		}
		if s := p.a.Searches[0]; s.Looked == 0 || s.Cost <= 0 || len(p.offers) == 0 && s.ID != "" {
			t.Errorf("%+v", s)
		}
	}
}

// Instances for a base load, with the rest on demand, are as many as cost least of all numbers.
func TestBaseEndpoint(t *testing.T) {
	for seed := range uint64(4) {
		p := mixed(rand.New(rand.NewPCG(seed, 3)), true)
		p.q.Unit, p.q.UnitPrices = nil, nil
		if err := p.mixes(p.q.Model); err != nil {
			t.Fatal(err)
		}
		x := &mixture{p: p, model: p.q.Model, demand: p.demand}
		if !x.kinds() || x.enough < 2 {
			continue
		}
		if len(p.offers) != 1 {
			t.Fatalf("%d offers", len(p.offers))
		}
		o := p.offers[0]
		if err := p.price(o); err != nil {
			t.Fatal(err)
		}
		least := math.Inf(1)
		for n := int64(1); n < x.enough; n++ {
			rest := spill(p.demand, x.per, n)
			least = min(least, float64(n*x.machine.Hour*hoursOfWeek)+p.value(p.q.Model, &rest))
		}
		if math.Abs(float64(o.Cost.Mid)-least) > 1e-6*least {
			t.Errorf("%s costs %d, the least is %.0f", o.Name, o.Cost.Mid, least)
		}
	}
}
