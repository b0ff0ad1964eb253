package plan

import (
	"strings"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/perf"
	"forebay/plan/clouds"
)

const qwen = "qwen.qwen3-32b-v1:0"

func preset(t testing.TB, name string) RuleOffer {
	t.Helper()
	p, err := clouds.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return RuleOffer{Preset: p}
}

// 50,000 calls a day of 1,000 tokens in and 300 out, at 0.15 and 0.60 USD per million, are 16.50 USD a day and 495 USD a month: of a half that may wait, at half
// of the price, a quarter is saved.
func TestTiersAtWhichCallsWait(t *testing.T) {
	a := ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, qwen), Flex: 200, Batch: 300})
	o := option(t, a, "on-demand+flex+batch")
	if o.Cost.Mid != 371_250_000_000 || option(t, a, "on-demand").Cost.Mid != 495_000_000_000 || a.Recommended != o.ID || o.Decided != Replayed {
		t.Errorf("%s: %+v", a.Recommended, o.Cost)
	}
	if o.Recalled == nil || o.Recalled.Share != 0 {
		t.Errorf("%+v", o.Recalled)
	}
	if b := option(t, a, "batch"); b.State != Impossible || b.Cost.Mid != 247_500_000_000 {
		t.Errorf("%+v", b)
	}
	a = ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, qwen), Batch: 1000})
	if b := option(t, a, "batch"); b.State != Possible || b.Cost.Mid != 247_500_000_000 {
		t.Errorf("%+v", b)
	}
	// A model without these tiers says so, and counts all calls as calls that somebody waits for.
	a = ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Flex: 200})
	if w := strings.Join(a.Warnings, "|"); !strings.Contains(w, "no price of the tier flex") || a.Recommended != "on-demand" {
		t.Errorf("%s: %s", a.Recommended, w)
	}
}

// Engines of one's own are sized for the calls that somebody waits for, and those that may wait run in what is left: fewer instances, which are used more,
// at no later first token.
func TestInstancesForThoseWhoWait(t *testing.T) {
	e, err := perf.Named("llama-2-7b/a10g")
	if err != nil {
		t.Fatal(err)
	}
	fleet := func(batch int64) *Option {
		a := ask(t, &Question{
			Traffic: &day{500_000, 300, 100, 7}, Model: model(t, llama), Engine: &e, Batch: batch,
			Instance: &catalog.Instance{Type: "ml.g5.xlarge", Accelerator: "a10g", Accelerators: 1, Currency: "USD", Hour: 3_000_000_000, Date: "2026-01-01", Source: "test"},
		})
		for _, o := range a.Options {
			if o.Mode == Endpoint && o.Units > 1 {
				return o
			}
		}
		t.Fatalf("%+v", a.Options)
		return nil
	}
	all, some := fleet(0), fleet(600)
	if some.Units >= all.Units || *some.Used <= *all.Used || all.Waited != nil {
		t.Errorf("%d instances for all, %d for those who wait", all.Units, some.Units)
	}
	if some.Waited == nil || some.Waited.P50 < some.Whole.P50 || some.Recalled == nil || some.First.P99 > 2*all.First.P99 {
		t.Errorf("%+v %+v, first tokens %+v and %+v", some.Waited, some.Recalled, some.First, all.First)
	}
}

// Units under the rules of other clouds are sold in their steps and replayed under those rules; none of them is the answer to a question about this one.
func TestRulesOfOtherClouds(t *testing.T) {
	hour := int64(500_000_000)
	q := &Question{
		Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Unit: &catalog.Unit{Input: 50_000, Output: 15_000, Basis: catalog.BasisGiven},
		UnitPrices: &catalog.UnitPrices{Currency: "USD", None: &hour, Date: "2026-01-01", Source: "test"},
	}
	for _, name := range []string{"azure-ptu", "azure-ptu-gpt-4o", "vertex-gsu", "by-the-minute"} {
		q.Rules = append(q.Rules, preset(t, name))
	}
	a := ask(t, q)
	seen := map[string]int{}
	for _, o := range a.Options {
		if o.Rules == "" {
			continue
		}
		seen[o.Rules]++
		if o.ID == a.Recommended || o.State == Possible && o.Decided != Replayed || o.Cost == nil || o.Cost.Rows[0].Amount != hour*720*o.Units {
			t.Errorf("%s: %+v %+v", a.Recommended, o, o.Cost)
		}
		if o.Rules == "azure-ptu-gpt-4o" && (o.Units < 15 || o.Units%5 != 0) {
			t.Errorf("%d units are not sold", o.Units)
		}
		if o.Rules == "by-the-minute" && (o.Mode != Mix || o.Cost.Rows[0].Unit != "unit minutes") {
			t.Errorf("%+v", o)
		}
	}
	for _, r := range q.Rules {
		if seen[r.Name] == 0 {
			t.Errorf("nothing under the rules of %s", r.Name)
		}
	}
	a = ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, haiku), Rules: []RuleOffer{preset(t, "azure-ptu-gpt-5")}})
	if o := option(t, a, "azure-ptu-gpt-5"); o.State != Unknown || !strings.Contains(o.Why, "--rule-unit") {
		t.Errorf("%+v", o)
	}
	a = ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, haiku), Rules: []RuleOffer{{Preset: preset(t, "azure-ptu").Preset, PerUnit: 10_000, Weight: 4}}})
	if o := option(t, a, "azure-ptu"); o.State != Unknown || !strings.Contains(o.Why, "--unit-price") {
		t.Errorf("%+v", o)
	}
}

// Tokens a minute that are bought are as many as any number of thousands, tried one by one, would be worth.
func TestReservedTierAgainstAllThousands(t *testing.T) {
	m := catalog.Model{ID: "m", Price: &catalog.Price{Currency: "USD", Input: new(int64(720_000_000)), Output: new(int64(1_440_000_000))}}
	for k, output := range []float64{100, 300, 900} {
		d := &Demand{Minutes: make([]Flow, 240)}
		for i := range d.Minutes {
			calls := float64(3 + (i*7+k)%23)
			d.Minutes[i] = Flow{Calls: calls, Input: 700 * calls, Output: output * calls}
			d.Total.add(d.Minutes[i], 1)
		}
		p := &planner{q: &Question{Model: &m}, demand: d, a: &Answer{Currency: "USD"}}
		const in, out = 25_000_000, 50_000_000
		cost := func(i, o int64) float64 {
			rest := spill(d, needOf(&catalog.Unit{Input: 1000 * i, Output: 1000 * o}), 1)
			return 4*float64(i*in+o*out) + p.value(&m, &rest)
		}
		least := p.value(&m, &d.Total)
		for i := int64(1); i <= 18; i++ {
			for o := int64(1); o <= 24; o++ {
				least = min(least, cost(i, o))
			}
		}
		i, o := p.thousands(&m, in, out)
		if i == 0 || cost(i, o) > least*1.0001 {
			t.Errorf("%d and %d thousand cost %v, the least is %v", i, o, cost(i, o), least)
		}
	}
	dear := int64(1_000_000_000_000)
	p := &planner{q: &Question{Model: &m}, demand: &Demand{Minutes: []Flow{{1, 700, 0, 300, 0, 0}}, Total: Flow{1, 700, 0, 300, 0, 0}}, a: &Answer{Currency: "USD"}}
	if i, o := p.thousands(&m, dear, dear); i != 0 || o != 0 {
		t.Errorf("%d and %d thousand are bought that nothing is worth", i, o)
	}
}

func TestReservedTier(t *testing.T) {
	in, out := int64(20_000_000), int64(20_000_000)
	a := ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Reserved: &catalog.TierPrices{
		Currency: "USD", Input: catalog.TermPrices{OneMonth: &in}, Output: catalog.TermPrices{OneMonth: &out}, Date: "2026-01-01", Source: "test",
	}})
	o := option(t, a, "reserved-tier/1-month")
	if o.Mode != ReservedTier || o.Decided != Replayed || o.Spilled == nil || o.Cost.Mid >= option(t, a, "on-demand").Cost.Mid || o.Cost.Rows[0].Rate%20_000_000 != 0 {
		t.Errorf("%+v %+v", o, o.Cost)
	}
}

// What is ruled out by a deadline is what is best for callers who do not wait, and the answer says who waits long enough.
func TestDeadlineSaysWhatToDoInstead(t *testing.T) {
	q := &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Deadline: 3 * time.Second, DeadlineOf: "a Lambda function's default"}
	a := ask(t, q)
	if a.Instead == nil || a.Instead.ID != "on-demand" || a.Instead.Cost != 1_404_000_000_000 || !strings.Contains(a.Verdict, "asynchronously") {
		t.Fatalf("%s: %+v", a.Verdict, a.Instead)
	}
	fits := map[string]bool{}
	for _, f := range a.Callers {
		fits[f.Of] = f.Fits
		if f.Fits != (f.Late.Share <= 10_000) || !f.Fits && !strings.Contains(f.Says, ";") {
			t.Errorf("%+v", f)
		}
	}
	if len(a.Callers) != len(Callers()) || fits["a Lambda function's default"] || !fits["a Lambda function's maximum"] {
		t.Errorf("%+v", a.Callers)
	}
	found := false
	for _, b := range a.Bounds {
		found = found || strings.Contains(b.Says, "more than 100 tokens a second")
	}
	if !found {
		t.Errorf("300 tokens in 3 s are 100 a second: %+v", a.Bounds)
	}
	q.Deadline = time.Hour
	if a = ask(t, q); a.Instead != nil {
		t.Errorf("%+v", a.Instead)
	}
}

// The frontiers hold what none beats, cheaper first, and sizes that are no answers do not become options.
func TestFrontiers(t *testing.T) {
	e, err := perf.Named("llama-2-7b/a10g")
	if err != nil {
		t.Fatal(err)
	}
	a := ask(t, &Question{
		Traffic: &day{500_000, 300, 100, 7}, Model: model(t, llama), Engine: &e,
		Instance: &catalog.Instance{Type: "ml.g5.xlarge", Accelerator: "a10g", Accelerators: 1, Currency: "USD", Hour: 3_000_000_000, Date: "2026-01-01", Source: "test"},
	})
	extra := 0
	for i := range a.Frontier {
		x := &a.Frontier[i]
		if i > 0 && x.Cost < a.Frontier[i-1].Cost {
			t.Errorf("%+v after %+v", x, a.Frontier[i-1])
		}
		if !x.Listed {
			extra++
		}
		quick, sure := x.P99 > 0, true
		for j := range a.Frontier {
			y := &a.Frontier[j]
			if i == j {
				continue
			}
			if y.Cost <= x.Cost && y.Refused <= x.Refused && (y.Cost < x.Cost || y.Refused < x.Refused) {
				sure = false
			}
			if y.P99 > 0 && y.Cost <= x.Cost && y.P99 <= x.P99 && (y.Cost < x.Cost || y.P99 < x.P99) {
				quick = false
			}
		}
		if x.Quick != quick || x.Sure != sure {
			t.Errorf("%+v, want %v and %v", x, quick, sure)
		}
		for _, o := range a.Options {
			if o.ID == x.ID && !x.Listed && o.Units != 0 && o.Decided != Replayed {
				t.Errorf("%+v is an option", x)
			}
		}
	}
	if extra == 0 {
		t.Error("no other size was replayed")
	}
}
