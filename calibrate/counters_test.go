package calibrate

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"forebay/internal/testenv"
	"forebay/perf"
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

// The recorded run that memory does not bound: its counters, or the first half of them, give an engine on which the same
// requests take the time that they took.
func TestCountersGiveTheEngineBack(t *testing.T) {
	const run = "RTXPRO6000_Llama-3.1-8B"
	list := published(t, run, 0)
	held(t, run, list)
	rest, err := perf.Named("llama-3.1-8b/rtx-pro-6000")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(list), len(list) / 2} {
		c, err := Fit(FromCounters(list[:n]), Span{Batch: rest.MaxBatch, Block: 10})
		if err != nil {
			t.Errorf("%d counters: %v", n, err)
			continue
		}
		p := c.Profile(rest)
		if err := p.Validate(); err != nil {
			t.Errorf("%d counters: %v", n, err)
		}
		first, between, whole := replayed(p, recorded(t, run))
		t.Logf("%d counters: step %.2f ms, prompt %.1f us, context %.1f ns, sequence %.1f us; first token %+.1f %%, between %+.1f %%, whole %+.1f %%",
			n, c.Step.Value*1e3, c.PrefillToken.Value*1e6, c.ContextToken.Value*1e9, c.Sequence.Value*1e6, 100*first, 100*between, 100*whole)
		for what, off := range map[string]float64{"first token": first, "between tokens": between, "whole": whole} {
			if math.Abs(off) > 0.1 {
				t.Errorf("%d counters: %s is off by %+.1f %%", n, what, 100*off)
			}
		}
	}
}

// replayed returns the relative errors of the means when an engine serves recorded requests.
func replayed(p perf.Profile, calls []request) (first, between, whole float64) {
	slices.SortStableFunc(calls, func(a, b request) int { return cmp.Compare(a.Queued, b.Queued) })
	e := perf.New(p)
	firsts, lasts := make([]float64, len(calls)), make([]float64, len(calls))
	for next, done := 0, 0; done < len(calls); {
		at, busy := e.NextChange()
		if next < len(calls) {
			if due := perf.Instant((calls[next].Queued - calls[0].Queued) * 1e9); !busy || due <= at {
				for _, pr := range e.Step(due, nil) {
					done += note(pr, firsts, lasts)
				}
				e.Add(due, uint64(next), int64(calls[next].In), int64(calls[next].Out))
				next++
				continue
			}
		}
		for _, pr := range e.Step(at, nil) {
			done += note(pr, firsts, lasts)
		}
	}
	var got, want [3]float64
	for i, c := range calls {
		at := c.Queued - calls[0].Queued
		got[0], want[0] = got[0]+firsts[i]-at, want[0]+c.First-c.Queued
		got[1], want[1] = got[1]+(lasts[i]-firsts[i])/max(c.Out-1, 1), want[1]+(c.Last-c.First)/max(c.Out-1, 1)
		got[2], want[2] = got[2]+lasts[i]-at, want[2]+c.Last-c.Queued
	}
	return got[0]/want[0] - 1, got[1]/want[1] - 1, got[2]/want[2] - 1
}

func note(pr perf.Progress, firsts, lasts []float64) int {
	if pr.First {
		firsts[pr.ID] = float64(pr.At) / 1e9
	}
	if !pr.Done {
		return 0
	}
	lasts[pr.ID] = float64(pr.At) / 1e9
	return 1
}

// The run that memory bounds holds nearly all of it from its first seconds on, so that a step and its context cannot
// be told apart, and the fit says so instead of guessing.
func TestCountersOfAFullMemoryAreRefused(t *testing.T) {
	list := published(t, "RTX4090_Llama-3.1-8B", 41_408)
	for _, n := range []int{len(list) / 2, len(list) / 4} {
		var u *Uncovered
		if c, err := Fit(FromCounters(list[:n]), Span{Batch: 48, Block: 10}); !errors.As(err, &u) {
			t.Errorf("%d counters: %+v, %v", n, c, err)
		}
	}
}
