package purchase_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/plan/purchase"

	"pgregory.net/rapid"
)

// sold are the numbers of an option that can be bought, up to the first that holds the peak alone.
func sold(o purchase.Option, peak int64) []int64 {
	out := []int64{0}
	for n := max(o.Min, 1); ; n += max(o.Step, 1) {
		if o.Most > 0 && n > o.Most {
			return out
		}
		out = append(out, n)
		if n*o.Unit >= peak {
			return out
		}
	}
}

// enumerate computes the cost of every mix, in a way of its own, and returns the least in nano-units, all mixes that cost it, and how many there are.
func enumerate(m purchase.Mix, raw [][]int64) (least float64, at map[string]bool, mixes int64) {
	numbers := make([][]int64, len(m.Options))
	var periods, peak int64
	for _, s := range raw {
		periods += int64(len(s))
		for _, v := range s {
			peak = max(peak, v)
		}
	}
	for i, o := range m.Options {
		numbers[i] = sold(o, peak)
	}
	scale := 1.0
	if m.Horizon > 0 {
		scale = m.Horizon.Seconds() / (float64(periods) * m.Period.Seconds())
	}
	least, at = math.Inf(1), map[string]bool{}
	units := make([]int64, len(m.Options))
	var walk func(i int)
	walk = func(i int) {
		if i < len(units) {
			for _, units[i] = range numbers[i] {
				walk(i + 1)
			}
			return
		}
		mixes++
		cost := price(m, raw, units, scale)
		if cost < least-1 {
			least, at = cost, map[string]bool{}
		}
		if cost < least+1 {
			at[fmt.Sprint(units)] = true
		}
	}
	walk(0)
	return least, at, mixes
}

func price(m purchase.Mix, raw [][]int64, units []int64, scale float64) float64 {
	var spill, cost int64
	for k, s := range raw {
		var level int64
		for i, o := range m.Options {
			here := o.Covers == nil
			for _, c := range o.Covers {
				here = here || c == k
			}
			if here {
				level += units[i] * o.Unit
			}
		}
		for _, v := range s {
			spill += max(0, v-level)
		}
	}
	for i, o := range m.Options {
		cost += units[i] * o.Price
	}
	return float64(cost) + float64(m.Spill)*float64(spill)*scale/purchase.Million
}

// traffic are two segments of noisy minutes: long quiet ones, and busy ones.
func traffic(rng *rand.Rand) [][]int64 {
	raw := make([][]int64, 2)
	for range 40 {
		raw[0] = append(raw[0], int64(1_000*rng.ExpFloat64()))
	}
	for range 20 {
		raw[1] = append(raw[1], 4_000+int64(3_000*rng.ExpFloat64()))
	}
	return raw
}

func segments(t fataler, raw [][]int64) []purchase.Segment {
	t.Helper()
	var out []purchase.Segment
	for k, s := range raw {
		out = append(out, purchase.Segment{Name: strconv.Itoa(k), Demand: must(purchase.NewDemand(s))(t)})
	}
	return out
}

// The three kinds of the question: terms with a minimum of 15 and a step of 5, two sizes of units with scheduled hours, and a base of instances.
func mixes(t fataler, rng *rand.Rand) (out []purchase.Mix, raws [][][]int64) {
	t.Helper()
	const horizon = 2 * purchase.Month
	jitter := func(v int64) int64 { return v * (80 + rng.Int64N(40)) / 100 }
	total := func(term purchase.Term) int64 {
		nano, _, err := term.Price(horizon)
		if err != nil {
			t.Fatal(err)
		}
		return nano
	}
	for range 3 {
		raws = append(raws, traffic(rng))
	}
	hour := jitter(1_000_000_000)
	none, month := purchase.Term{Hour: hour}, purchase.Term{Hour: hour * 8 / 10, Length: purchase.Month}
	half := purchase.Term{Hour: hour * 6 / 10, Length: 6 * purchase.Month}
	day := purchase.Term{Hour: hour, Held: horizon / 3}
	m := purchase.Mix{Period: time.Minute, Horizon: horizon, Spill: 10_000_000_000}
	terms, sizes, base := m, m, m
	terms.Segments, sizes.Segments, base.Segments = segments(t, raws[0]), segments(t, raws[1]), segments(t, raws[2])
	terms.Options = []purchase.Option{
		{Name: "no term", Unit: 200, Price: total(none) / 10, Min: 15, Step: 5},
		{Name: "one month", Unit: 200, Price: total(month) / 10, Min: 15, Step: 5},
		{Name: "six months", Unit: 200, Price: total(half) / 10, Min: 15, Step: 5},
		{Name: "working hours", Unit: 200, Price: total(day) / 10, Min: 15, Step: 5, Covers: []int{1}},
	}
	sizes.Options = []purchase.Option{
		{Name: "small", Unit: 90, Price: total(month) / 20},
		{Name: "large", Unit: 1_000, Price: jitter(total(month) / 2), Min: 2},
		{Name: "scheduled", Unit: 400, Price: total(day) / 5, Covers: []int{1}, Most: 9},
	}
	base.Options = []purchase.Option{
		{Name: "unit", Unit: 70, Price: total(month) / 20, Min: 15, Step: 5},
		{Name: "instance", Unit: 2_300, Price: jitter(total(none))},
	}
	return []purchase.Mix{terms, sizes, base}, raws
}

func TestT2MixesAgainstAllMixes(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	var all, looked int64
	for range 8 {
		questions, raws := mixes(t, rng)
		for i, m := range questions {
			least, at, n := enumerate(m, raws[i])
			if n > 1_000_000 {
				t.Fatalf("%d mixes are more than the enumeration may try", n)
			}
			got := must(m.Best(1_000_000))(t)
			if !got.Exact || !at[fmt.Sprint(got.Units)] || math.Abs(float64(got.Cost.Total())-least) > 2 {
				t.Errorf("mix %d: %v cost %d, exact: %v; of all %d mixes %v cost least, %.0f", i, got.Units, got.Cost.Total(), got.Exact, n, at, least)
			}
			for o, last := range got.Last {
				if p := float64(m.Options[o].Price); last < p*(1-1e-12) || got.Next[o] > p*(1+1e-12) {
					t.Errorf("mix %d: the price of %s is %.0f, not between its dual prices %.0f and %.0f", i, m.Options[o].Name, p, got.Next[o], last)
				}
			}
			all, looked = all+n, looked+got.Looked
		}
	}
	testenv.Record(t, "T2", fmt.Sprintf("24 questions with terms, minimum and step, two sizes of units and instances: the optimum, after looking at %d of %d mixes", looked, all),
		"enumeration of every mix: the same mix and the same cost to 2e-9; each price lies between the dual prices of the last step and the next")
}

// As units get finer, the dual prices close in on the price, and the share of busy periods on the break-even utilisation.
func TestT2DualPriceIsBreakEven(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	var s []int64
	for range 2_000 {
		s = append(s, int64(100_000*rng.ExpFloat64()))
	}
	d := demand(t, s...)
	r := purchase.Reserve{Period: time.Minute, Unit: 20, Hour: 500_000, Spill: 1_000_000_000}
	b := must(r.BreakEven())(t)
	got := must(r.Optimum(d))(t)
	busy := float64(d.Above(got.Units*r.Unit)) / float64(d.Periods())
	if math.Abs(busy-b.Utilisation) > 0.001 || float64(got.Last-got.Next) > 0.01*float64(r.Hour) {
		t.Errorf("the last unit is busy %.4f of the time and breaks even at %.4f; it saves %d, the next %d, at a price of %d", busy, b.Utilisation, got.Last, got.Next, r.Hour)
	}
	m := purchase.Mix{
		Segments: []purchase.Segment{{Demand: d}}, Period: r.Period, Spill: r.Spill,
		Options: []purchase.Option{{Unit: r.Unit, Price: r.Hour * 2000 / 60}},
	}
	if one := must(m.Best(1_000))(t); one.Units[0] != got.Units || !one.Exact {
		t.Errorf("as a mix of one option %d units, want %d", one.Units[0], got.Units)
	}
	testenv.Record(t, "T2", fmt.Sprintf("the last unit is busy %.4f of the time; dual prices %d to %d nano per hour", busy, got.Next, got.Last),
		fmt.Sprintf("break-even utilisation r/(p c) = %.4f, price %d nano per hour", b.Utilisation, r.Hour))
}

// A search that is cut short says so, and how far off it can be at most.
func TestMixBeyondItsLimit(t *testing.T) {
	questions, _ := mixes(t, rand.New(rand.NewPCG(4, 0)))
	m := questions[0]
	short, full := must(m.Best(1))(t), must(m.Best(1_000_000))(t)
	if short.Exact || short.Bound > full.Cost.Total() || short.Cost.Total() < full.Cost.Total() || full.Bound < full.Cost.Total()-2 {
		t.Errorf("cut short: %d, exact %v, at least %d; in full %d, at least %d", short.Cost.Total(), short.Exact, short.Bound, full.Cost.Total(), full.Bound)
	}
}

func TestTermsArePaidToTheirEnd(t *testing.T) {
	nano, paid, err := purchase.Term{Hour: 3, Length: purchase.Month}.Price(purchase.Month + time.Hour)
	if nano != 3*2*730 || paid != 2*purchase.Month || err != nil {
		t.Error(nano, paid, err)
	}
	if _, _, err := (purchase.Term{Name: "x", Length: time.Hour, Held: time.Hour}).Price(2 * time.Hour); err == nil || !strings.Contains(err.Error(), "without a commitment") {
		t.Error(err)
	}
}

// A mode more, or a lower price, never makes the best mix dearer; k times the demand in units of k times the size leaves all numbers as they are.
func TestT17MixesUnderChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := series(t, "a"), series(t, "b")
		m := purchase.Mix{
			Period: time.Minute, Spill: rapid.Int64Range(1, 1e12).Draw(t, "spill"), Segments: segments(t, [][]int64{a, b}),
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "options") {
			o := purchase.Option{Name: strconv.Itoa(i), Unit: rapid.Int64Range(5, 80).Draw(t, "unit"), Price: rapid.Int64Range(0, 1e9).Draw(t, "price")}
			o.Min, o.Step = rapid.Int64Range(0, 4).Draw(t, "min"), rapid.Int64Range(0, 3).Draw(t, "step")
			if rapid.Bool().Draw(t, "busy only") {
				o.Covers = []int{1}
			}
			m.Options = append(m.Options, o)
		}
		base := must(m.Best(1 << 30))(t)
		if least, at, _ := enumerate(m, [][]int64{a, b}); !base.Exact || !at[fmt.Sprint(base.Units)] {
			t.Fatalf("%v cost %d, and %v cost least, %.0f", base.Units, base.Cost.Total(), at, least)
		}
		more, cheap, big := m, m, m
		more.Options = slices.Concat(m.Options, []purchase.Option{{Unit: 17, Price: 1e6}})
		cheap.Options = append([]purchase.Option(nil), m.Options...)
		cheap.Options[0].Price /= 2
		if c := must(more.Best(1 << 30))(t).Cost.Total(); c > base.Cost.Total()+2 {
			t.Fatalf("with another option the best costs %d, without it %d", c, base.Cost.Total())
		}
		if c := must(cheap.Best(1 << 30))(t).Cost.Total(); c > base.Cost.Total()+2 {
			t.Fatalf("at a lower price the best costs %d, before %d", c, base.Cost.Total())
		}
		const k = 1000
		big.Options, big.Segments = append([]purchase.Option(nil), m.Options...), nil
		for i := range big.Options {
			big.Options[i].Unit *= k
			big.Options[i].Price *= k
		}
		for _, g := range m.Segments {
			big.Segments = append(big.Segments, purchase.Segment{Demand: must(g.Demand.Scale(k, 1))(t)})
		}
		if c := must(big.Best(1 << 30))(t); fmt.Sprint(c.Units) != fmt.Sprint(base.Units) || math.Abs(float64(c.Cost.Total()-k*base.Cost.Total())) > 2*k {
			t.Fatalf("%d times as large: %v cost %d, want %v and %d", k, c.Units, c.Cost.Total(), base.Units, k*base.Cost.Total())
		}
	})
}

// More reserve never spills more, and a lower price of units never reserves less.
func TestT17ReserveUnderChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, d := question(t), must(purchase.NewDemand(series(t, "demand")))(t)
		n := rapid.Int64Range(0, 60).Draw(t, "units")
		if d.Spill(n*r.Unit) < d.Spill((n+1)*r.Unit) {
			t.Fatal("more reserve spills more")
		}
		cheap := r
		cheap.Hour /= 2
		a, b := must(r.Optimum(d))(t), must(cheap.Optimum(d))(t)
		if b.Cost.Total() > a.Cost.Total()+2 || b.Units < a.Units {
			t.Fatalf("at half the price %d units cost %d, before %d units %d", b.Units, b.Cost.Total(), a.Units, a.Cost.Total())
		}
		const k = 7
		big := r
		big.Unit, big.Hour = k*r.Unit, k*r.Hour
		if c := must(big.Optimum(must(d.Scale(k, 1))(t)))(t); c.Units != a.Units || math.Abs(float64(c.Cost.Total()-k*a.Cost.Total())) > 2*k {
			t.Fatalf("%d times as large: %d units cost %d, want %d and %d", k, c.Units, c.Cost.Total(), a.Units, k*a.Cost.Total())
		}
	})
}
