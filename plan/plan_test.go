package plan

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/perf"
	"forebay/workload"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

const (
	haiku = "anthropic.claude-3-haiku-20240307-v1:0"
	llama = "meta.llama3-1-70b-instruct-v1:0"
)

// day is the shape of the worked example: 80 % of the calls from 9 to 17 h, 1 % from 22 to 6 h, the rest in between.
type day struct {
	calls   float64
	in, out int64
	days    int
}

func (s *day) Info() workload.Info {
	return workload.Info{Name: "50000/day", Format: "test", Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Length: time.Duration(s.days) * 24 * time.Hour}
}
func (s *day) Faults() []workload.Fault { return nil }
func (s *day) Call() workload.Request   { return workload.Request{Input: s.in, Output: s.out} }
func (s *day) Rate(at time.Duration) float64 {
	switch h := int(at/time.Hour) % 24; {
	case h >= 9 && h < 17:
		return s.calls * 0.80 / 8 / 3600
	case h >= 22 || h < 6:
		return s.calls * 0.01 / 8 / 3600
	default:
		return s.calls * 0.19 / 8 / 3600
	}
}

// Assumptions are two other volumes.
func (s *day) Assumptions() iter.Seq2[string, workload.Source] {
	return func(yield func(string, workload.Source) bool) {
		_ = yield("half of it", &day{s.calls / 2, s.in, s.out, s.days}) && yield("a quarter more", &day{s.calls * 5 / 4, s.in, s.out, s.days})
	}
}

func (s *day) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		r := rand.New(rand.NewPCG(1, 2))
		for hour := range 24 * s.days { // whose rate is one: what is left of a wait at its end has no memory
			begin := time.Duration(hour) * time.Hour
			gap := 1e9 / s.Rate(begin)
			for at := begin; ; {
				if at += time.Duration(r.ExpFloat64() * gap); at >= begin+time.Hour {
					break
				}
				if !yield(workload.Request{At: at, Input: s.in, Output: s.out}, nil) {
					return
				}
			}
		}
	}
}

func model(t testing.TB, id string) *catalog.Model {
	t.Helper()
	for _, m := range catalog.Builtin() {
		if m.ID == id {
			return m
		}
	}
	t.Fatal("no model", id)
	return nil
}

func ask(t testing.TB, q *Question) *Answer {
	t.Helper()
	if q.Calls == 0 {
		q.Calls = 10_000 // the worked example alone is replayed as it is by default
	}
	a, err := Do(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func option(t *testing.T, a *Answer, id string) *Option {
	t.Helper()
	for _, o := range a.Options {
		if o.ID == id {
			return o
		}
	}
	var ids []string
	for _, o := range a.Options {
		ids = append(ids, o.ID)
	}
	t.Fatalf("no option %s in %s", id, ids)
	return nil
}

// The worked example, whose figures were computed by hand: 50,000 x 0.000625 USD x 30 days; 31.25 / 24 USD/h; 4.11 USD/h.
func TestWorkedExample(t *testing.T) {
	a := ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, haiku), Calls: defaultCalls})
	if testing.Verbose() {
		raw, _ := json.Marshal(a, jsontext.Multiline(true))
		t.Log(string(raw))
	}
	want := "On demand, 937.50 USD per 30 days; provisioned wins only below 1.30 USD/h in total; the lowest published unit price of any model is 4.11 USD/h (Cohere Command Light, six months), so no unit size can change this"
	if a.Verdict != want {
		t.Errorf("%s\nwant %s", a.Verdict, want)
	}
	if c := option(t, a, "on-demand").Cost; c.Mid != 937_500_000_000 || c.Kind != "range" || c.High*4 != c.Mid*5 || c.Low*2 != c.Mid {
		t.Errorf("%+v", c)
	}
	for id, why := range map[string]string{"endpoint": "weights", "serverless": "weights"} {
		if o := option(t, a, id); o.State != Impossible || !strings.Contains(o.Why, why) {
			t.Errorf("%+v", o)
		}
	}
	if o := option(t, a, "provisioned"); o.State != Unknown || o.AtLeast != 4_110_000_000*720 {
		t.Errorf("%+v", o)
	}
	if r := option(t, a, "on-demand").Refused; r == nil || r.Method != Replayed || r.Share != 0 {
		t.Errorf("%+v", r)
	}
}

// The second worked example, with the unit's price known and its size not: one unit costs 24.00 USD/h, all calls on demand 50,000 x 0.000936 / 24.
func TestUnitOfUnknownSizeLoses(t *testing.T) {
	a := ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama)})
	want := "On demand, 1,404.00 USD per 30 days; one unit costs 24.00 USD/h (no commitment), all calls on demand 1.95 USD/h: provisioned loses whatever a unit delivers, also as a base load"
	if a.Verdict != want {
		t.Errorf("%s\nwant %s", a.Verdict, want)
	}
	if o := option(t, a, "endpoint/ml.p5.48xlarge/1"); o.Cost.Mid != 113_068_000_000*720 || o.First == nil || o.First.P99 <= 0 || o.First.Slower.P50 <= o.First.Faster.P50 || o.Whole.Slower.P95 <= o.Whole.Faster.P95 || o.Whole.Slower.P99 <= o.Whole.P99 {
		t.Errorf("%+v %+v", o, o.First)
	}
	if b := a.BreakEven[0]; b.PerDay != 615_385 || b.PerMinute != 427_350 {
		t.Errorf("%+v", b)
	}
}

// Enough calls round the clock make units pay, and the flip is where the volume says so.
func TestUnitsWinRoundTheClock(t *testing.T) {
	hour := int64(500_000_000)
	q := &Question{
		Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Unit: &catalog.Unit{Input: 200_000, Output: 60_000, Basis: catalog.BasisGiven},
		UnitPrices: &catalog.UnitPrices{Currency: "USD", SixMonths: &hour, Date: "2026-01-01", Source: "test"},
	}
	a := ask(t, q)
	if !strings.HasPrefix(a.Recommended, "provisioned") {
		t.Fatalf("%s: %s", a.Recommended, a.Verdict)
	}
	if len(a.Flips) == 0 || a.Flips[0].To != "on demand" && a.Flips[len(a.Flips)-1].To != "on demand" {
		t.Errorf("%+v", a.Flips)
	}
	if o := option(t, a, a.Recommended); o.Decided != Replayed || o.Refused.Share > fewRefused {
		t.Errorf("%+v %+v", o, o.Refused)
	}
}

// Bisection finds what trying every number of units finds.
func TestCheapestIsTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &Demand{Minutes: make([]Flow, rapid.IntRange(1, 60).Draw(t, "minutes"))}
		for i := range d.Minutes {
			n := float64(rapid.IntRange(0, 300).Draw(t, "calls"))
			d.Minutes[i] = Flow{Calls: n, Input: 1000 * n, Output: float64(rapid.IntRange(0, 500).Draw(t, "output")) * n}
			d.Total.add(d.Minutes[i], 1)
		}
		m := catalog.Model{ID: "m", Price: &catalog.Price{Currency: "USD", Input: new(int64(720_000_000)), Output: new(int64(720_000_000))}}
		p := &planner{q: &Question{Model: &m}, a: &Answer{Currency: "USD"}}
		u := needOf(&catalog.Unit{Input: 10_000, Output: 3_000})
		hour := rapid.Int64Range(1, 2_000_000_000).Draw(t, "price")
		most, err := peakUnits(d, u)
		if err != nil {
			t.Fatal(err)
		}
		cost := func(n int64) float64 {
			f := spill(d, u, n)
			return float64(n)*float64(hour)*float64(len(d.Minutes))/60 + p.value(&m, &f)
		}
		least := math.Inf(1)
		for n := range most + 1 {
			least = min(least, cost(n))
		}
		if got := cost(p.cheapest(&m, d, u, hour, most)); got > least*(1+1e-12) {
			t.Errorf("%v, the least is %v", got, least)
		}
	})
}

// What is impossible, unknown or wrong says what to do.
func TestQuestionsRefused(t *testing.T) {
	zero, traffic := int64(0), &day{50_000, 1000, 300, 7}
	for want, q := range map[string]*Question{
		"no traffic":            {Model: model(t, llama)},
		"no model":              {Traffic: traffic},
		"embeddings":            {Traffic: traffic, Model: model(t, "amazon.titan-embed-text-v1")},
		"zero or negative":      {Traffic: traffic, Model: model(t, llama), UnitPrices: &catalog.UnitPrices{Currency: "USD", None: &zero}},
		"less than one mean":    {Traffic: traffic, Model: model(t, llama), Unit: &catalog.Unit{Input: 999, Output: 300, Basis: catalog.BasisGiven}},
		"that may wait":         {Traffic: traffic, Model: model(t, llama), Batch: 1001},
		"has no calls":          {Traffic: &day{0, 1000, 300, 7}, Model: model(t, llama)},
		"give 1 to 1000000000 ": {Traffic: traffic, Model: model(t, llama), Unit: &catalog.Unit{Input: 1 << 50, Output: 300, Basis: catalog.BasisGiven}},
	} {
		if _, err := Do(t.Context(), q); fault.KindOf(err) == fault.Internal && !strings.Contains(fmt.Sprint(err), want) || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A deadline rules out what answers later, and says so where nothing is known.
func TestDeadline(t *testing.T) {
	a := ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Deadline: 3 * time.Second, DeadlineOf: "a Lambda function's default"})
	if o := option(t, a, "endpoint/ml.p5.48xlarge/1"); o.State != Impossible || !strings.Contains(o.Why, "Lambda") {
		t.Errorf("%+v", o)
	}
	if len(a.Warnings) == 0 || !strings.Contains(a.Warnings[0], "not known") {
		t.Errorf("%q", a.Warnings)
	}
}

// A commitment is regretted by what its units cost too much when traffic falls, computed by hand: six months of units that nobody needs.
func TestRegret(t *testing.T) {
	hour := int64(300_000_000)
	a := ask(t, &Question{
		Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Unit: &catalog.Unit{Input: 20_000, Output: 6_000, Basis: catalog.BasisGiven},
		UnitPrices: &catalog.UnitPrices{Currency: "USD", SixMonths: &hour, Date: "2026-01-01", Source: "test"},
	})
	found := false
	for _, r := range a.Regrets {
		if !strings.HasPrefix(r.ID, "provisioned/6-months/") || r.Volume != 100 {
			continue
		}
		found = true
		o := option(t, a, r.ID)
		if want := 300_000_000 * 720 * o.Units; r.Cost != want || r.Best > 140_400_000_000 || r.Lost != 6*(r.Cost-r.Best) {
			t.Errorf("%+v, the units cost %d", r, want)
		}
	}
	if !found {
		t.Errorf("%+v", a.Regrets)
	}
}

// A serverless endpoint is replayed with its cold starts: what is paid for is near the closed form, and more idle time costs more and makes fewer wait.
func TestServerless(t *testing.T) {
	q := &Question{Traffic: &day{5_000, 1000, 300, 7}, Model: model(t, llama), Serverless: &ServerlessOffer{
		Currency: "USD", Hour: 10_000_000_000, Idle: 2 * time.Minute, Cold: 45 * time.Second, Source: "test",
	}}
	a := ask(t, q)
	o := option(t, a, "serverless")
	if o.State != Possible || o.Decided != Replayed || o.First.P50 > int64(time.Second) || o.First.P99 < int64(45*time.Second) {
		t.Fatalf("%+v %+v", o, o.First)
	}
	closed := a.Idle[3].Cost
	if ratio := float64(o.Cost.Mid) / float64(closed); ratio < 0.9 || ratio > 1.1 {
		t.Errorf("%d replayed, %d by closed form", o.Cost.Mid, closed)
	}
	for i := 1; i < len(a.Idle); i++ {
		if a.Idle[i].Cost < a.Idle[i-1].Cost || a.Idle[i].Cold > a.Idle[i-1].Cold {
			t.Errorf("%+v after %+v", a.Idle[i], a.Idle[i-1])
		}
	}
}

// Instances that follow the demand are paid for while they are up, and make calls wait for those that start.
func TestElasticInstances(t *testing.T) {
	hour := int64(3_000_000_000)
	e, err := perf.Named("llama-2-7b/a10g")
	if err != nil {
		t.Fatal(err)
	}
	q := &Question{
		Traffic: &day{500_000, 300, 100, 7}, Model: model(t, llama), Engine: &e,
		Instance: &catalog.Instance{Type: "ml.g5.xlarge", Accelerator: "a10g", Accelerators: 1, Currency: "USD", Hour: hour, Date: "2026-01-01", Source: "test"},
	}
	a := ask(t, q)
	o := option(t, a, "endpoint/ml.g5.xlarge/tracking")
	var fixed *Option
	for _, x := range a.Options {
		if x.Mode == Endpoint && x.Units > 1 {
			fixed = x
		}
	}
	if fixed == nil || o.Decided != Replayed || o.Cost.Mid >= fixed.Cost.Mid || o.First.P99 < fixed.First.P99 || o.Used == nil || *o.Used <= *fixed.Used {
		t.Errorf("%+v\n%+v", o, fixed)
	}
}

// A schedule has in each hour what its busiest minute takes, started ahead: the calls of an hour that begins at once find their instances.
func TestScheduledInstances(t *testing.T) {
	e, err := perf.Named("llama-2-7b/a10g")
	if err != nil {
		t.Fatal(err)
	}
	a := ask(t, &Question{
		Traffic: &day{500_000, 300, 100, 7}, Model: model(t, llama), Engine: &e, Calls: 15_000, InstanceStart: 7 * time.Minute,
		Instance: &catalog.Instance{Type: "ml.g5.xlarge", Accelerator: "a10g", Accelerators: 1, Currency: "USD", Hour: 3_000_000_000, Date: "2026-01-01", Source: "test"},
	})
	o, tracked := option(t, a, "endpoint/ml.g5.xlarge/scheduled"), option(t, a, "endpoint/ml.g5.xlarge/tracking")
	words := strings.Join(o.Assumptions, " ")
	for _, want := range []string{"cron(53 8 * * ? *)", "cron(0 17 * * ? *)", "cron(0 22 * * ? *)", "cron(53 5 * * ? *)"} {
		if !strings.Contains(words, want) {
			t.Errorf("%s is not in %s", want, words)
		}
	}
	if o.Decided != Replayed || o.First.P99 > tracked.First.P99 || o.First.P99 > int64(5*time.Second) {
		t.Errorf("%+v %+v", o.First, tracked.First)
	}
	// 8 h of the day with most, 8 with fewer, 8 with one.
	if c := o.Cost.Rows[0]; c.Unit != "instance seconds of ml.g5.xlarge" || c.Amount != o.Cost.Mid {
		t.Errorf("%+v", o.Cost)
	}
}

// Engines that are always up answer at once, and cost what they cost at rest; a bound of calls at once refuses; a short hold sends callers to try again.
func TestServerlessBounds(t *testing.T) {
	ask := func(s ServerlessOffer) *Option {
		s.Currency, s.Hour, s.Source = "USD", 10_000_000_000, "test"
		return option(t, ask(t, &Question{Traffic: &day{5_000, 1000, 300, 7}, Model: model(t, llama), Serverless: &s, Calls: 2000}), "serverless")
	}
	free := ask(ServerlessOffer{Idle: 2 * time.Minute, Cold: 45 * time.Second})
	if free.Held == nil || free.Held.Share == 0 || free.Refused.Share != 0 {
		t.Errorf("%+v %+v", free.Held, free.Refused)
	}
	always := ask(ServerlessOffer{Idle: 2 * time.Minute, Cold: 45 * time.Second, Provisioned: 1, ProvisionedHour: 6_000_000_000})
	if always.Held.Share != 0 || always.First.P99 > int64(2*time.Second) || always.Cost.Mid < 6_000_000_000*720 {
		t.Errorf("%+v %+v %+v", always.Held, always.First, always.Cost)
	}
	windows := ask(ServerlessOffer{Idle: 2 * time.Minute, Cold: 45 * time.Second, Window: 5 * time.Minute})
	if windows.Cost.Mid <= free.Cost.Mid || windows.Held.Share != free.Held.Share {
		t.Errorf("%d in windows, %d by the second", windows.Cost.Mid, free.Cost.Mid)
	}
	few := ask(ServerlessOffer{Idle: 2 * time.Minute, Cold: 45 * time.Second, Concurrency: 1})
	if len(few.Throttles) == 0 || few.Throttles[0].By != "calls at once" {
		t.Errorf("%+v", few.Throttles)
	}
	short := ask(ServerlessOffer{Idle: 2 * time.Minute, Cold: 45 * time.Second, Hold: 10 * time.Second})
	if len(short.Throttles) == 0 || short.Throttles[0].By != "no engine up in time" || short.Refused.Share == 0 {
		t.Errorf("%+v %+v", short.Throttles, short.Refused)
	}
}

// A question that is stopped is answered by what is known.
func TestStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	q := &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, haiku)}
	q.Progress = func(int64, string) { stop() }
	a, err := Do(ctx, q)
	if err != nil || a.Complete || a.Recommended != "on-demand" {
		t.Errorf("%v %+v", err, a)
	}
}

// The same question has the same answer.
func TestAnswersRepeat(t *testing.T) {
	once := func() string {
		raw, err := json.Marshal(ask(t, &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(t, llama), Substitute: model(t, haiku), Seed: 3, Quota: &catalog.Quota{RequestsPerMinute: 100, TokensPerMinute: 100_000}}))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if a, b := once(), once(); a != b {
		t.Error("two answers to one question differ")
	}
}

// The one-line question, as forebay plan asks it: below 2 s on any machine that is not busy.
func BenchmarkOneLine(b *testing.B) {
	for b.Loop() {
		q := &Question{Traffic: &day{50_000, 1000, 300, 7}, Model: model(b, llama), Unit: &catalog.Unit{Input: 20_000, Output: 6_000, Basis: catalog.BasisGiven}, Calls: defaultCalls}
		if a := ask(b, q); a.Recommended == "" {
			b.Fatal(a.Verdict)
		}
	}
}
