package plan

import (
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/workload"
)

// weeks is recorded traffic whose days have a volume by chance, fewer calls at weekends; the mean is known.
type weeks struct {
	days int
	seed uint64
}

func (w *weeks) Info() workload.Info {
	return workload.Info{Name: "weeks", Format: "test", Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Length: time.Duration(w.days) * 24 * time.Hour}
}
func (w *weeks) Faults() []workload.Fault { return nil }

func (w *weeks) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		r := rand.New(rand.NewPCG(w.seed, 1))
		for day := range w.days {
			n := 300 + r.IntN(201) // 400 in the mean
			if day%7 >= 5 {
				n /= 4
			}
			for i := range n {
				at := time.Duration(day)*24*time.Hour + 8*time.Hour + time.Duration(i)*time.Minute
				if !yield(workload.Request{At: at, Input: 2000, Output: 500}, nil) {
					return
				}
			}
		}
	}
}

// A recorded traffic of weeks has intervals, which hold the true mean about as often as they say; one of days has none, and says what is missing.
func TestIntervals(t *testing.T) {
	m := model(t, haiku)                                                     // which is sold on demand alone: nothing else is looked for
	mean := (400*5 + 99.625*2) / 7.0                                         // calls a day
	truth := whole(30 * mean * (2000*250_000_000 + 500*1_250_000_000) / 1e6) // nano-units
	held := 0
	for seed := range uint64(20) {
		a := ask(t, &Question{Traffic: &weeks{28, seed}, Model: m})
		c := option(t, a, "on-demand").Cost
		if c.Kind != "interval" || c.Low >= c.Mid || c.High <= c.Mid || c.High-c.Low > c.Mid/5 {
			t.Fatalf("%+v", c)
		}
		if c.Low <= truth && truth <= c.High {
			held++
		}
	}
	if held < 14 {
		t.Errorf("%d of 20 intervals of 90 %% hold the truth", held)
	}
	a := ask(t, &Question{Traffic: &weeks{6, 1}, Model: m})
	if c := option(t, a, "on-demand").Cost; c.Kind != "point" || !strings.Contains(strings.Join(a.Warnings, "|"), "weekend days by 1") {
		t.Errorf("%+v %q", c, a.Warnings)
	}
}

// A schedule's interval is over its own hours: a day of the sample is no Monday by chance.
func TestIntervalOfASchedule(t *testing.T) {
	hour := int64(50_000_000)
	a := ask(t, &Question{
		Traffic: &weeks{28, 1}, Model: model(t, llama), Unit: &catalog.Unit{Input: 2_000, Output: 500, Basis: catalog.BasisGiven},
		UnitPrices: &catalog.UnitPrices{Currency: "USD", None: &hour, Date: "2026-01-01", Source: "test"},
	})
	o := option(t, a, "provisioned+on-demand/scheduled")
	if o.Cost.Kind != "interval" || o.Cost.High-o.Cost.Low > o.Cost.Mid/2 || o.Cost.Low > o.Cost.Mid {
		t.Errorf("%+v", o.Cost)
	}
	rows := o.Cost.Rows
	if sum, err := sumOf(rows); err != nil || sum != o.Cost.Mid {
		t.Errorf("%v: the rows add up to %d, not %d", err, sum, o.Cost.Mid)
	}
}
