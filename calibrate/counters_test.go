package calibrate

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"forebay/internal/testenv"
	"forebay/perf"

	"github.com/go-json-experiment/json"
)

// published reads the counters of a recorded run of vLLM.
func published(t *testing.T, run string, kv float64) []Counter {
	t.Helper()
	f, err := os.Open(filepath.Join(testenv.Shared(t, "traces/vllm-runs"), run, "timeseries.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []Counter
	for _, r := range rows[1:] {
		var v [6]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(r[i], 64); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, Counter{Seconds: 1, Prompt: v[1], Generated: v[2], Running: v[3], Waiting: v[4], KV: v[5] / 100 * kv})
	}
	return out
}

// held adds the tokens of context to counters that lack them, from what became of each request.
func held(t *testing.T, run string, list []Counter) {
	t.Helper()
	calls := recorded(t, run)
	from := calls[0].Queued
	for _, c := range calls {
		from = min(from, c.Queued)
	}
	for i := range list {
		at := from + float64(i+1)
		for _, c := range calls {
			if c.First <= at && at < c.Last {
				list[i].KV += c.In + c.Out*(at-c.First)/(c.Last-c.First)
			}
		}
	}
}

// request is a request of a recorded run.
type request struct {
	In     float64 `json:"input_toks"`
	Out    float64 `json:"output_toks"`
	Queued float64 `json:"queued_ts"`
	First  float64 `json:"first_token_ts"`
	Last   float64 `json:"last_token_ts"`
}

func recorded(t *testing.T, run string) (out []request) {
	t.Helper()
	f, err := os.Open(filepath.Join(testenv.Shared(t, "traces/vllm-runs"), run, "requests.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var r request
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// replayed are the runs of vLLM 0.19 that were recorded: Llama 3.1 8B with 300 calls in half a minute. Memory never ends in the first, and from the fifth second on
// in the second, in which sequences are set back some 250 times.
var replayed = []struct {
	run, profile string
	kv           float64 // tokens of memory, by which the counters give what is held; 0 where they do not
	batch        int     // the most at once
	allowed      float64 // relative error
}{
	{"RTXPRO6000_Llama-3.1-8B", "llama-3.1-8b/rtx-pro-6000", 0, 128, 0.10},
	{"RTX4090_Llama-3.1-8B", "llama-3.1-8b/rtx-4090", 41_408, 50, 0.25},
}

// counters are those of a recorded run, with the context that was held.
func counters(t *testing.T, run string, kv float64) []Counter {
	list := published(t, run, kv)
	if kv == 0 {
		held(t, run, list)
	}
	return list
}

// The engine of a fit over the first half of the counters gives the latencies of the run, most of whose calls it has not seen the end of: means and 99th
// percentiles within a tenth where memory is not the limit, and within a quarter where it is. There a step cannot be told from its context, as the fit says of
// itself, and its coefficients are those of an engine that is full.
func TestT7HalfOfTheCounters(t *testing.T) {
	for _, x := range replayed {
		t.Run(x.run, func(t *testing.T) {
			list := counters(t, x.run, x.kv)
			rest, err := perf.Named(x.profile) // of which batch, chunk and memory are the run's own
			if err != nil {
				t.Fatal(err)
			}
			c, err := Fit(FromCounters(list[:len(list)/2]), Span{Batch: x.batch, Block: 10})
			how := "fit"
			if _, uncovered := errors.AsType[*Uncovered](err); x.kv > 0 && uncovered {
				how = "fit within its samples (" + err.Error() + ")"
				c, err = Fit(FromCounters(list[:len(list)/2]), Span{Batch: x.batch, Block: 10, Within: true})
			}
			if err != nil {
				t.Fatal(err)
			}
			p := c.Profile(rest)
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: step %.2f ms, prompt %.1f us, context %.1f ns, sequence %.1f us, %+v", how, c.Step.Value*1e3, c.PrefillToken.Value*1e6, c.ContextToken.Value*1e9, c.Sequence.Value*1e6, c.Measured)
			got, want := latencies(p, recorded(t, x.run))
			var words []string
			for i, name := range figures {
				off := got[i]/want[i] - 1
				words = append(words, fmt.Sprintf("%s %+.1f %%", name, 100*off))
				if math.Abs(off) > x.allowed {
					t.Errorf("%s is off by %+.1f %%: %.4f s, recorded %.4f s", name, 100*off, got[i], want[i])
				}
			}
			testenv.Record(t, "T7", fmt.Sprintf("%s, %s over the first half of the counters: %s", x.run, how, strings.Join(words, ", ")),
				fmt.Sprintf("the run itself, as vLLM recorded it: within %.0f %%", 100*x.allowed))
		})
	}
}

// Of a quarter of the counters, before the batch has been through what it will, the fit says itself that it is not enough, or its intervals hold the latencies of the run.
func TestT7QuarterOfTheCounters(t *testing.T) {
	for _, x := range replayed {
		t.Run(x.run, func(t *testing.T) {
			list := counters(t, x.run, x.kv)
			c, err := Fit(FromCounters(list[:len(list)/4]), Span{Batch: x.batch, Block: 10})
			if u, uncovered := errors.AsType[*Uncovered](err); uncovered {
				testenv.Record(t, "T7", fmt.Sprintf("%s, a quarter of the counters: %s", x.run, strings.Join(u.Missing, "; ")), "the tool flags insufficient coverage, or its interval holds the truth")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			rest, err := perf.Named(x.profile)
			if err != nil {
				t.Fatal(err)
			}
			bound := func(of func(Estimate) float64) perf.Profile {
				b := *c
				for _, e := range []*Estimate{&b.Step, &b.PrefillToken, &b.ContextToken, &b.Sequence} {
					e.Value = of(*e)
				}
				return b.Profile(rest)
			}
			low, want := latencies(bound(func(e Estimate) float64 { return e.Low }), recorded(t, x.run))
			high, _ := latencies(bound(func(e Estimate) float64 { return e.High }), recorded(t, x.run))
			for i, name := range figures {
				if want[i] < low[i] || want[i] > high[i] {
					t.Errorf("%s: %.4f s, by the intervals of the coefficients %.4f to %.4f s", name, want[i], low[i], high[i])
				}
			}
			testenv.Record(t, "T7", fmt.Sprintf("%s, a quarter of the counters: the intervals of the coefficients hold all of %s", x.run, strings.Join(figures, ", ")), "the tool flags insufficient coverage, or its interval holds the truth")
		})
	}
}

// figures are what a replay is judged by.
var figures = []string{"mean TTFT", "p99 TTFT", "mean TPOT", "p99 TPOT", "mean E2E", "p99 E2E"}

// latencies are the figures when an engine serves recorded requests, and those that were recorded.
func latencies(p perf.Profile, calls []request) (got, want []float64) {
	slices.SortStableFunc(calls, func(a, b request) int { return cmp.Compare(a.Queued, b.Queued) })
	firsts, lasts := serve(p, calls)
	var times [2][3][]float64 // of the replay and of the run: TTFT, TPOT, E2E
	for i, c := range calls {
		at := c.Queued - calls[0].Queued
		for k, x := range [2][2]float64{{firsts[i] - at, lasts[i] - at}, {c.First - c.Queued, c.Last - c.Queued}} {
			times[k][0], times[k][2] = append(times[k][0], x[0]), append(times[k][2], x[1])
			if c.Out > 1 {
				times[k][1] = append(times[k][1], (x[1]-x[0])/(c.Out-1))
			}
		}
	}
	for k, to := range []*[]float64{&got, &want} {
		for _, v := range times[k] {
			sum := 0.0
			for _, x := range v {
				sum += x
			}
			slices.Sort(v)
			*to = append(*to, sum/float64(len(v)), v[len(v)*99/100])
		}
	}
	return got, want
}

// serve returns when the first and the last token of each request comes, in seconds after the first request.
func serve(p perf.Profile, calls []request) (firsts, lasts []float64) {
	e := perf.New(p)
	firsts, lasts = make([]float64, len(calls)), make([]float64, len(calls))
	for next, done := 0, 0; done < len(calls); {
		at, busy := e.NextChange()
		due := perf.Instant(math.MaxInt64)
		if next < len(calls) {
			due = perf.Instant((calls[next].Queued - calls[0].Queued) * 1e9)
		}
		if !busy || due <= at {
			at = due
		}
		for _, pr := range e.Step(at, nil) {
			if pr.First {
				firsts[pr.ID] = float64(pr.At) / 1e9
			}
			if pr.Done {
				lasts[pr.ID] = float64(pr.At) / 1e9
				done++
			}
		}
		if at == due {
			e.Add(due, uint64(next), int64(calls[next].In), int64(calls[next].Out))
			next++
		}
	}
	return firsts, lasts
}
