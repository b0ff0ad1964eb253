package prove

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	values := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]time.Duration{0: 1, 0.1: 1, 0.11: 2, 0.5: 5, 0.99: 10, 1: 10} {
		if got := Quantile(values, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if got := Quantile(nil, 0.5); got != 0 {
		t.Errorf("the quantile of nothing is %d", got)
	}
}

// 59 is the textbook's number: the largest of 59 values is above the 95th percentile with 95 % confidence, that of 58 is not.
func TestUpperQuantileOfFew(t *testing.T) {
	values := make([]time.Duration, 59)
	for i := range values {
		values[i] = time.Duration(i)
	}
	if got, ok := UpperQuantile(values, 0.95); !ok || got != 58 {
		t.Errorf("of 59: %d, %v; want the largest", got, ok)
	}
	if _, ok := UpperQuantile(values[:58], 0.95); ok {
		t.Error("58 values gave a limit")
	}
}

// The limit lies above the true quantile in at least 95 % of samples, and not by far.
func TestUpperQuantileCovers(t *testing.T) {
	const trials, n = 2000, 1000
	random := rand.New(rand.NewPCG(3, 4))
	truth := time.Duration(-math.Log(1-0.99) * 1e6)
	covered, excess := 0, 0.0
	for range trials {
		values := make([]time.Duration, n)
		for i := range values {
			values[i] = time.Duration(random.ExpFloat64() * 1e6)
		}
		slices.Sort(values)
		limit, ok := UpperQuantile(values, 0.99)
		if !ok {
			t.Fatal("no limit")
		}
		if limit >= truth {
			covered++
		}
		excess += float64(limit)/float64(truth) - 1
	}
	if share := float64(covered) / trials; share < 0.94 || share > 0.99 {
		t.Errorf("the limit covers the truth in %.3f of samples", share)
	}
	if mean := excess / trials; mean < 0 || mean > 0.25 {
		t.Errorf("the limit lies %.2f above the truth in the mean", mean)
	}
}

// The ratio of two runs whose calls wait together in blocks: the limit covers the true ratio although calls are not independent.
func TestRatioCovers(t *testing.T) {
	const trials = 100
	random := rand.New(rand.NewPCG(5, 6))
	run := func(scale float64) []timed {
		var out []timed
		for second := range 60 {
			slow := 1 + random.Float64() // all calls of a second share it
			for i := range 20 {
				at := time.Duration(second)*time.Second + time.Duration(i)*time.Second/20
				out = append(out, timed{at, time.Duration(scale * slow * (1 + random.Float64()) * 1e6)})
			}
		}
		return out
	}
	covered := 0
	for range trials {
		pairs := []pair{{run(1), run(1.3)}, {run(1), run(1.3)}}
		if _, upper := ratio(pairs, 0.9); upper >= 1.3 {
			covered++
		}
	}
	if covered < 88 { // 95 expected; below 88 has a probability under 0.3 %
		t.Errorf("the limit covers the truth in %d of %d trials", covered, trials)
	}
}
