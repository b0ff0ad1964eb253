package replay

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"forebay/capacity/scale"
	"forebay/internal/testenv"
	"forebay/workload"
	"forebay/workload/trace"
)

// sized gives calls sizes that are spread exponentially around means, and a tenant and a beginning of the prompt by chance.
func sized(traffic iter.Seq2[workload.Request, error], in, out float64) iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		r := rand.New(rand.NewPCG(16, 0))
		for q, err := range traffic {
			q.Input, q.Output = 1+int64(r.ExpFloat64()*in), min(1+int64(r.ExpFloat64()*out), 4096)
			q.MaxOutput, q.Tenant, q.Prefix = 4096, r.Int32N(1000), r.Uint64()
			if !yield(q, err) {
				return
			}
		}
	}
}

// week is the conversations of Azure's week of May 2024, 27.3 million calls of the mean sizes of its conversations of 2023. It is made anew by each reader.
func week(t *testing.T) iter.Seq2[workload.Request, error] {
	t.Helper()
	s, err := trace.Open(testenv.Shared(t, "traces/azure-llm-2024-digitised/azure2024_conv_rpm_digitised.csv"), trace.Options{Input: 1155, Output: 211, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return sized(s.All(), 1155, 211)
}

// ways are three ways of serving that between them have every part of a run: engines of one's own; units with spill-over within a quota, and clients
// that go on after a refusal; and engines that come and go.
func ways(t testing.TB, engines int) map[string]Serving {
	p := profile(t, "llama-3.1-8b/a100-80")
	own := Serving{Engines: engines, Slots: 64, MaxQueue: 100_000, MaxOutput: 4096, Profile: p}
	elastic := own
	elastic.Elastic = &Elastic{Rules: scale.Rules{
		Min: 1, Max: int32(engines), Start: 2 * time.Minute,
		Policies: []scale.Policy{{Kind: scale.Tracking, Metric: scale.MetricConcurrency, Target: 32_000, InCooldown: 5 * time.Minute, OutCooldown: time.Minute}},
	}}
	rate := int64(engines) * 250 // calls a minute, about half of what so many engines do
	cloud := profile(t, "llama-3.1-8b/a100-80")
	cloud.Step, cloud.PrefillToken, cloud.ContextToken, cloud.Sequence = 20_000_000_000, 0, 0, 0
	return map[string]Serving{
		"engines of one's own": own, "engines that come and go": elastic,
		"units, the rest on demand": {
			Burndown: 1000, MaxOutput: 4096, OnDemand: true, Quota: Quota{Requests: rate, Tokens: rate * (1155 + 4096)},
			Bought: Rate{Input: rate * 1155 / 2, Output: rate * 211 / 2}, Profile: cloud, Retry: SDKStandard,
		},
	}
}

// A week of 27 million calls is replayed, in two ways side by side on two cores, in less than three minutes each and with less than 500 MB in all. The mark is
// held against processor time, which what else runs on the machine does not lengthen; how long it took by the clock is told as well.
func TestT16Week(t *testing.T) {
	testenv.Long(t)
	const minutes, memory, engines = 3, 500e6, 12
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	all := ways(t, engines)
	for _, pair := range [][]string{{"engines of one's own", "units, the rest on demand"}, {"engines that come and go"}} {
		busy, results, took := testenv.Processor(t), make([]*Result, len(pair)), make([]time.Duration, len(pair))
		var side sync.WaitGroup
		for i, name := range pair {
			side.Go(func() {
				began := time.Now()
				r, err := Run(t.Context(), week(t), all[name])
				if results[i], took[i] = r, time.Since(began); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		side.Wait()
		if t.Failed() {
			return
		}
		each, most := (testenv.Processor(t)-busy)/time.Duration(len(pair)), testenv.PeakMemory(t)
		if each > minutes*time.Minute || float64(most) > memory {
			t.Errorf("%v of processor time for a scenario and %d MB, at most %d minutes and %.0f MB", each, most/1e6, minutes, memory/1e6)
		}
		for i, name := range pair {
			r := results[i]
			if math.Abs(float64(r.Calls)/27_303_999-1) > 1e-5 || r.Served+r.Refused != r.Calls {
				t.Errorf("%s: %d calls, %d served and %d refused", name, r.Calls, r.Served, r.Refused)
			}
			testenv.Record(t, "T16", fmt.Sprintf("%s: %d calls in %.0f s of processor time (%.0f s by the clock), %.0f calls/s on a core; at most %d MB resident", name, r.Calls, each.Seconds(), took[i].Seconds(), float64(r.Calls)/each.Seconds(), most/1e6),
				fmt.Sprintf("%d minutes a scenario, %.0f MB in all, with %d scenarios on two cores", minutes, memory/1e6, len(pair)))
		}
	}
}

// What a run keeps does not grow with its traffic, whatever the way of serving, the tenants and the prompts.
func TestT16MemoryDoesNotGrow(t *testing.T) {
	const calls, allowed = 24_000, 1 << 19 // bytes: 28 for a call beyond the first quarter
	for name, s := range ways(t, 2) {
		held := map[int]int64{}
		at := 0
		watched := func(yield func(workload.Request, error) bool) {
			for q, err := range sized(poisson(2, calls, 2*250*1.5/60, 1, 1), 1155, 211) {
				if at++; at == calls/4 || at == calls {
					var m runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&m)
					held[at] = int64(m.HeapAlloc)
				}
				if !yield(q, err) {
					return
				}
			}
		}
		r := must(t, watched, s)
		grown := held[calls] - held[calls/4]
		if grown > allowed {
			t.Errorf("%s: the run held %d bytes more after %d calls than after %d", name, grown, calls, calls/4)
		}
		testenv.Record(t, "T16", fmt.Sprintf("%s: %d bytes live after %d calls, %d after %d (%d served, %d refused)", name, held[calls/4], calls/4, held[calls], calls, r.Served, r.Refused),
			fmt.Sprintf("the traffic is a stream: growth of at most %d bytes", allowed))
	}
}

// BenchmarkWays is a call of the week in each way of serving, with the traffic made as it goes.
func BenchmarkWays(b *testing.B) {
	for name, s := range ways(b, 12) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r, err := Run(b.Context(), sized(poisson(1, b.N, 45, 1, 1), 1155, 211), s)
			if err != nil || r.Calls != int64(b.N) {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
