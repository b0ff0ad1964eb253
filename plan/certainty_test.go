package plan

import (
	"iter"
	"strings"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/workload"
)

// weeksOfUnits are four weeks in which one unit carries every call: each is alone in its minute, as large as the unit, and costs 0.0018 USD on demand. About
// 2,200 of the 10,080 minutes of a week have one, so that a unit is worth what they cost, about 0.0236 USD an hour.
func weeksOfUnits(none, month, six int64) *Question {
	q := &Question{Traffic: &weeks{28, 1}, Unit: &catalog.Unit{Input: 2_000, Output: 500, Basis: catalog.BasisGiven}, UnitPrices: &catalog.UnitPrices{Currency: "USD", Date: "2026-01-01", Source: "test"}}
	for _, x := range []struct {
		price int64
		to    **int64
	}{{none, &q.UnitPrices.None}, {month, &q.UnitPrices.OneMonth}, {six, &q.UnitPrices.SixMonths}} {
		if x.price > 0 {
			*x.to = &x.price
		}
	}
	return q
}

// A month of a unit at 0.02 USD an hour is 14.40 USD and carries all: six months on the flat course cost 86.40 USD, which nothing undercuts.
func TestCertaintyAndCourses(t *testing.T) {
	q := weeksOfUnits(50_000_000, 20_000_000, 19_000_000)
	q.Model = model(t, llama)
	a := ask(t, q)
	byTerm := map[string]Certainty{}
	for _, c := range a.Certainty {
		byTerm[c.Term] = c
		if c.Low > c.Best || c.Best > c.High || c.Level != 900 || c.Days != 28 || c.MinimalSample || c.Regret < 0 || c.RegretHigh < c.Regret {
			t.Errorf("%+v", c)
		}
	}
	if byTerm["none"].Best != 0 || byTerm["1-month"].Best != 1 || byTerm["6-months"].Best != 1 {
		t.Errorf("%+v", byTerm)
	}
	courses := map[string]Course{}
	for _, c := range a.Courses {
		courses[c.Name+"/"+c.Term] = c
		if c.Best > c.Cost || c.Best > c.OnDemand || len(c.Units) != courseMonths || c.Assumed != (c.Name == "+10 % a month" || c.Name == "-10 % a month") {
			t.Errorf("%+v", c)
		}
	}
	flat := courses["flat/1-month"]
	if flat.Cost != 6*14_400_000_000 || flat.Units[5] != 1 {
		t.Errorf("%+v", flat)
	}
	if six := courses["flat/6-months"]; six.Cost != 6*13_680_000_000 || six.Lost() != 0 || six.Kept != 1000 || six.Beyond != 0 {
		t.Errorf("%+v", six)
	}
	for _, name := range []string{"the week's shape/1-month", "-10 % a month/6-months", "+10 % a month/none"} {
		if _, ok := courses[name]; !ok {
			t.Errorf("no course %s in %v", name, courses)
		}
	}
	grown := 0
	for name := range courses {
		if strings.Contains(name, "as seen") {
			grown++
		}
	}
	if grown != 3 {
		t.Errorf("%d courses of the growth that was seen", grown)
	}
}

// A shape has courses, and no interval: nothing of it was seen.
func TestCoursesOfAShape(t *testing.T) {
	hour := int64(300_000_000)
	a := ask(t, &Question{
		Calls: 2_000, Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Unit: &catalog.Unit{Input: 20_000, Output: 6_000, Basis: catalog.BasisGiven},
		UnitPrices: &catalog.UnitPrices{Currency: "USD", SixMonths: &hour, Date: "2026-01-01", Source: "test"},
	})
	if len(a.Certainty) != 0 || len(a.Courses) != 3 || a.Courses[0].Name != "flat" || a.Courses[0].Lost() != 0 {
		t.Errorf("%+v %+v", a.Certainty, a.Courses)
	}
}

// What a unit would have saved in four weeks of about 2,200 calls, each 0.0018 USD, is 15.84 USD: more than a month of it at 0.02 USD an hour, 14.40, and less
// than at 0.03, 21.60.
func TestAdvice(t *testing.T) {
	for _, c := range []struct{ month, units int64 }{{20_000_000, 1}, {30_000_000, 0}} {
		q := weeksOfUnits(50_000_000, c.month, 0)
		q.Model = model(t, llama)
		list, err := Advise(t.Context(), q, 0)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		a := list[0]
		if a.Units != c.units || a.More != c.units || a.Hours != 672 || a.Bound != 2000 || a.Threshold != 720*c.month || !a.Until.Equal(time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v", a)
		}
		if c.units == 1 && (a.Paid <= a.OnDemand || len(a.Buys) != 1 || a.Buys[0].Hour < 500 || !strings.Contains(a.Says, "reserve 1 unit now")) {
			t.Errorf("%+v", a)
		}
		if c.units == 0 && (a.Paid != a.OnDemand || a.Missed <= 0 || a.Missed >= a.Threshold || !strings.Contains(a.Says, "nothing more")) {
			t.Errorf("%+v", a)
		}
		if list, err = Advise(t.Context(), q, 2); err != nil || list[0].More != 0 || list[0].Held != 2 {
			t.Errorf("%+v %v", list, err)
		}
	}
}

// The same calls by the hour have the same advice: they come evenly within their hours.
func TestAdviceByTheHour(t *testing.T) {
	q := weeksOfUnits(0, 20_000_000, 0)
	m := *model(t, llama)
	m.Unit, m.UnitPrices = q.Unit, q.UnitPrices
	hours := make([]Flow, 672)
	for r, err := range q.Traffic.All() {
		if err != nil {
			t.Fatal(err)
		}
		hours[r.At/time.Hour].add(Flow{Calls: 1, Input: float64(r.Input), Output: float64(r.Output)}, 1)
	}
	list, err := AdviseHours(&m, hours, q.Traffic.Info().Start, 0)
	if err != nil || len(list) != 1 || list[0].More != 1 {
		t.Errorf("%+v %v", list, err)
	}
}

func TestAdviceRefused(t *testing.T) {
	known := func() *Question { q := weeksOfUnits(0, 20_000_000, 0); q.Model = model(t, llama); return q }
	for want, change := range map[string]func(q *Question) int64{
		"not negative":      func(*Question) int64 { return -1 },
		"--unit-size":       func(q *Question) int64 { q.Unit = nil; return 0 },
		"with a commitment": func(q *Question) int64 { q.UnitPrices.OneMonth, q.UnitPrices.None = nil, new(int64(1)); return 0 },
		"no whole hour":     func(q *Question) int64 { q.Traffic = &short{}; return 0 },
	} {
		q := known()
		if _, err := Advise(t.Context(), q, change(q)); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// short is a traffic of its first minutes.
type short struct{ weeks }

func (s *short) Info() workload.Info {
	i := (&weeks{1, 1}).Info()
	i.Length = 0
	return i
}

func (s *short) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		_ = yield(workload.Request{At: time.Minute, Input: 2000, Output: 500}, nil)
	}
}
