package plan

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"forebay/catalog"
	"forebay/internal/testenv"
	"forebay/perf"
	"forebay/plan/replay"
	"forebay/workload"

	"github.com/go-json-experiment/json"
)

// shaken is a traffic whose readers stop for each other at places that hang on a seed, so that replays that run side by side meet, and end, in another
// order with another seed.
type shaken struct {
	*day
	seed    uint64
	readers atomic.Uint64
}

func (s *shaken) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		r := rand.New(rand.NewPCG(s.seed, s.readers.Add(1)))
		pause := 1 + r.IntN(200) // some readers are slower than others by far
		n := 0
		for q, err := range s.day.All() {
			if n++; n%pause == 0 {
				runtime.Gosched()
			}
			if !yield(q, err) {
				return
			}
		}
	}
}

// many are questions whose answers take every kind of scenario: quotas and clients that try again, units with and without spill-over and by a schedule,
// engines of one's own that stay and that come and go, a substitute, a serverless endpoint, and the range over assumptions.
func many(t *testing.T) map[string]func() *Question {
	small, hour := perf.Profile{}, int64(100_000_000)
	for i := range perf.Profiles {
		if perf.Profiles[i].Name == "llama-2-7b/a10g" {
			small = perf.Profiles[i]
		}
	}
	return map[string]func() *Question{
		"clouds": func() *Question {
			return &Question{
				Model: model(t, llama), Substitute: model(t, haiku), Seed: 3, Calls: 3_000, Quota: &catalog.Quota{RequestsPerMinute: 100, TokensPerMinute: 100_000},
				Unit: &catalog.Unit{Input: 20_000, Output: 6_000, Basis: catalog.BasisGiven}, UnitPrices: &catalog.UnitPrices{Currency: "USD", None: &hour, SixMonths: &hour, Date: "2026-01-01", Source: "test"},
			}
		},
		"engines": func() *Question {
			return &Question{
				Model: model(t, llama), Engine: &small, Seed: 4, Calls: 2_000,
				Instance:   &catalog.Instance{Type: "ml.g5.xlarge", Accelerator: "a10g", Accelerators: 1, Currency: "USD", Hour: hour, Date: "2026-01-01", Source: "test"},
				Serverless: &ServerlessOffer{Currency: "USD", Hour: hour, Idle: 60e9, Cold: 30e9, Source: "test"},
			}
		},
	}
}

// An answer is the same, byte for byte, on one core, two and four, and in whatever order the scenarios that run side by side come to their ends.
func TestT17CoresChangeNothing(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(cores)
	for name, question := range many(t) {
		t.Run(name, func(t *testing.T) {
			var want string
			readings := uint64(0)
			for i, n := range []int{1, 2, 4, 4} {
				runtime.GOMAXPROCS(n)
				traffic := &shaken{day: &day{100_000, 300, 100, 2}, seed: uint64(i)}
				q := question()
				q.Traffic = traffic
				raw, err := json.Marshal(ask(t, q))
				if err != nil {
					t.Fatal(err)
				}
				if want == "" {
					want, readings = string(raw), traffic.readers.Load()
				}
				if string(raw) != want {
					t.Fatalf("on %d cores, order %d:\n%s\nwant\n%s", n, i, raw, want)
				}
			}
			testenv.Record(t, "T17", fmt.Sprintf("%s: %d readings of the traffic give %d bytes, the same on 1, 2 and 4 cores and in another order on each", name, readings, len(want)), "byte-equal: results hang on neither cores nor goroutines")
		})
	}
}

// Scenarios that are begun in another order have the same results.
func TestT17OrderOfScenariosChangesNothing(t *testing.T) {
	run := func(order func([]task)) map[string]replay.Result {
		q := many(t)["clouds"]()
		q.Traffic = &day{50_000, 1000, 300, 7}
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
		w, out := p.window(), map[string]replay.Result{}
		tasks := p.tasks(p.undecided(), w)
		for i := range tasks {
			of := fmt.Sprintf("%s %d", tasks[i].of.ID, tasks[i].how.Profile.Step)
			tasks[i].put = func(r *replay.Result) { out[of] = *r }
		}
		order(tasks)
		if err := p.replay(t.Context(), w, tasks); err != nil {
			t.Fatal(err)
		}
		if len(out) != len(tasks) || len(out) < 3 {
			t.Fatalf("%d results of %d tasks", len(out), len(tasks))
		}
		return out
	}
	want := fmt.Sprint(run(func([]task) {}))
	for name, order := range map[string]func([]task){
		"backwards": slices.Reverse[[]task],
		"shuffled": func(list []task) {
			rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		},
	} {
		if got := fmt.Sprint(run(order)); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
}
