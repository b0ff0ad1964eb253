package plan

import (
	"iter"
	"math"
	"testing"
	"time"

	"forebay/workload"
)

// gappy is a traffic of as many calls a minute as the hour of its day, twice that on working days, of which some times are missing.
type gappy struct {
	start   time.Time
	days    int
	unknown []workload.Span
	refuse  func(t time.Time) bool
}

func (g gappy) Info() workload.Info {
	return workload.Info{Name: "gappy", Start: g.start, Length: time.Duration(g.days) * 24 * time.Hour, Unknown: g.unknown}
}
func (g gappy) Faults() []workload.Fault { return nil }
func (g gappy) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		for m := range g.days * minutesOfDay {
			at := time.Duration(m) * time.Minute
			t := g.start.Add(at)
			n := t.Hour()
			if w := t.Weekday(); w != time.Saturday && w != time.Sunday {
				n *= 2
			}
			for range n {
				if (g.refuse == nil || !g.refuse(t)) && !yield(workload.Request{At: at, Input: 10, Output: 1}, nil) {
					return
				}
			}
		}
	}
}

// Times of which nothing is known have what the same hours of days of their kind had; as idleness they lower the demand.
func TestMissingTimesAreNoIdleness(t *testing.T) {
	monday := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	whole, err := Measure(t.Context(), gappy{start: monday, days: 14})
	if err != nil {
		t.Fatal(err)
	}
	gone := func(at time.Time) bool { return at.Day() == 7 || at.Day() == 17 && at.Hour() >= 12 } // a Wednesday, and half a Saturday
	g := gappy{start: monday, days: 14, refuse: gone, unknown: []workload.Span{{From: 48 * time.Hour, To: 72 * time.Hour}, {From: 300 * time.Hour, To: 312 * time.Hour}}}
	filled, err := Measure(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	if filled.missing != 36*60 {
		t.Errorf("%d minutes are missing", filled.missing)
	}
	for i := range whole.Minutes {
		if a, b := whole.Minutes[i], filled.Minutes[i]; math.Abs(a.Calls-b.Calls) > 1e-9 || math.Abs(a.Input-b.Input) > 1e-9 || math.Abs(a.Output-b.Output) > 1e-9 {
			t.Fatalf("minute %d: %+v, want %+v", i, b, a)
		}
	}
	if math.Abs(filled.Total.Calls-whole.Total.Calls) > 1e-6 {
		t.Errorf("%v calls, want %v", filled.Total.Calls, whole.Total.Calls)
	}
	g.unknown = nil
	idle, err := Measure(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	if other := filled.idle(); other.Total != idle.Total || idle.Total.Calls >= whole.Total.Calls {
		t.Errorf("%v calls as idleness, want %v", other.Total.Calls, idle.Total.Calls)
	}
}

// Where no hour like it is known, other days' hours are taken, and then all of them; a clock that is not known has days of its own.
func TestMissingTimesWithoutTheirLike(t *testing.T) {
	saturday := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	d, err := Measure(t.Context(), gappy{start: saturday, days: 3, refuse: func(at time.Time) bool { return at.Weekday() != time.Monday }, unknown: []workload.Span{{From: 0, To: 48 * time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Minutes[5*60].Calls; got != 10 {
		t.Errorf("%v calls a minute at 5 h of the Saturday, want Monday's 10", got)
	}
	d, err = Measure(t.Context(), gappy{days: 1, refuse: func(at time.Time) bool { return at.Hour() < 12 }, unknown: []workload.Span{{From: 0, To: 12 * time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Minutes[60].Calls; math.Abs(got-2*17.5) > 1e-9 { // year 1 began on a Monday
		t.Errorf("%v calls a minute, want the mean of 12 to 23 h", got)
	}
}
