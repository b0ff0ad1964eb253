package plan

import (
	"fmt"
	"math"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/internal/testenv"
	"forebay/plan/replay"
)

func given(size *catalog.Unit, none, six int64) *Question {
	q := &Question{Unit: size, UnitPrices: &catalog.UnitPrices{Currency: "USD", Date: "2026-01-01", Source: "test"}}
	if none > 0 {
		q.UnitPrices.None = &none
	}
	if six > 0 {
		q.UnitPrices.SixMonths = &six
	}
	return q
}

// least is the cost of the recommended option, by closed forms alone: replay corrects the spill-over of each on its own.
func least(t *testing.T, q *Question) (int64, *planner) {
	t.Helper()
	q.Traffic, q.Model = &day{50_000, 1000, 300, 7}, model(t, llama)
	if err := q.complete(); err != nil {
		t.Fatal(err)
	}
	d, err := Measure(t.Context(), q.Traffic)
	if err != nil {
		t.Fatal(err)
	}
	p := &planner{q: q, demand: d, a: &Answer{Traffic: summary(q.Traffic, d)}}
	if err := p.screen(); err != nil {
		t.Fatal(err)
	}
	return p.offers[0].Cost.Mid, p
}

// What must hold between answers whatever the right answer is.
func TestT17Metamorphic(t *testing.T) {
	size := &catalog.Unit{Input: 20_000, Output: 6_000, Basis: catalog.BasisGiven}
	t.Run("a lower price never costs more", func(t *testing.T) {
		before := int64(math.MaxInt64)
		for price := int64(2_000_000_000); price >= 50_000_000; price = price * 9 / 10 {
			cost, _ := least(t, given(size, 0, price))
			if cost > before {
				t.Errorf("at %d: %d, and %d at a higher price", price, cost, before)
			}
			before = cost
		}
		testenv.Record(t, "T17", "36 falling prices of a unit: the least cost never rises", "a lower price never raises optimal cost")
	})
	t.Run("another way never costs more", func(t *testing.T) {
		without, _ := least(t, given(size, 0, 400_000_000))
		with, _ := least(t, given(size, 500_000_000, 400_000_000))
		alone, _ := least(t, &Question{})
		if with > without || without > alone {
			t.Errorf("%d on demand, %d with six months, %d with hours, too", alone, without, with)
		}
		testenv.Record(t, "T17", fmt.Sprintf("%s on demand, %s with six months, %s with hours as well", Amount(alone), Amount(without), Amount(with)), "adding a mode never raises optimal cost")
	})
	t.Run("scale", func(t *testing.T) {
		const k = 7
		_, p := least(t, given(size, 0, 400_000_000))
		big := &catalog.Unit{Input: k * size.Input, Output: k * size.Output}
		for n := range int64(12) {
			a, b := spill(p.demand, needOf(size), n), spill(p.demand.scaled(k), needOf(big), n)
			if math.Abs(b.Input-k*a.Input) > 1e-6*k*p.demand.Total.Input {
				t.Errorf("%d units leave %v, and %v of the %d-fold", n, a.Input, b.Input, k)
			}
		}
		testenv.Record(t, "T17", "7 times the demand on units 7 times as large leaves 7 times the spill-over, for 0 to 11 units", "ratios unchanged")
	})
	t.Run("more reserve, less spill", func(t *testing.T) {
		_, p := least(t, given(size, 0, 400_000_000))
		spilled, fluid := int64(math.MaxInt64), math.Inf(1)
		for n := int64(1); n <= 10; n += 3 {
			s := p.unitServing(p.q.Model, size, n, true)
			r, err := replay.Run(t.Context(), p.within(window{600, 720}), with(s.Serving, 600))
			if err != nil {
				t.Fatal(err)
			}
			f := spill(p.demand, needOf(size), n)
			if r.Spilled > spilled || f.Input > fluid {
				t.Errorf("%d units: %d calls spill over, %d with fewer", n, r.Spilled, spilled)
			}
			spilled, fluid = r.Spilled, f.Input
		}
		testenv.Record(t, "T17", "1, 4, 7, 10 units, replayed: spill-over never rises", "more reserve never raises spill")
	})
}

// with begins the run at a minute.
func with(s replay.Serving, minute int) replay.Serving {
	s.Start = time.Duration(minute) * time.Minute
	return s
}

// A schedule by the hour is never worse than the same price at all hours.
func TestScheduleIsNoWorseThanItsPrice(t *testing.T) {
	size := &catalog.Unit{Input: 20_000, Output: 6_000, Basis: catalog.BasisGiven}
	for price := int64(100_000_000); price < 2_000_000_000; price += 300_000_000 {
		_, p := least(t, given(size, price, 0))
		always, scheduled := int64(math.MaxInt64), int64(math.MaxInt64)
		for _, o := range p.offers {
			switch {
			case o.Cost == nil:
			case o.Term == "scheduled":
				scheduled = o.Cost.Mid
			case o.Term == "none" && (o.Mode == Mix || o.Mode == Provisioned):
				always = min(always, o.Cost.Mid)
			}
		}
		if scheduled > always+2 && scheduled != math.MaxInt64 {
			t.Errorf("at %d: %d by a schedule, %d always", price, scheduled, always)
		}
	}
}
