package prove

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// confidence is that of every limit of this package, one-sided.
const confidence = 0.95

// Quantile returns the q-quantile of values, which must be in ascending order: the smallest value that at least the share q of them
// does not exceed. It is 0 of none.
func Quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	k := int(math.Ceil(q * float64(len(values))))
	return values[min(max(k, 1), len(values))-1]
}

// UpperQuantile returns an upper confidence limit of the q-quantile of what values, in ascending order, were drawn from independently. It is false where
// there are too few values for one.
//
// The k-th of n values lies above the q-quantile when fewer than k of them lie below it, the number of which is binomial: k is the least with
// P(Bin(n, q) < k) >= 0.95. Source: Conover, "Practical Nonparametric Statistics", section 3.2.
func UpperQuantile(values []time.Duration, q float64) (time.Duration, bool) {
	n := len(values)
	below := 0.0
	for k := range n {
		below += math.Exp(logBinomial(n, k, q))
		if below >= confidence {
			return values[k], true // the (k+1)-th
		}
	}
	return 0, false
}

// logBinomial is the logarithm of P(Bin(n, q) = k).
func logBinomial(n, k int, q float64) float64 {
	return logChoose(n, k) + float64(k)*math.Log(q) + float64(n-k)*math.Log1p(-q)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// timed is a value with the moment, since the start of its run, to which it belongs.
type timed struct {
	at    time.Duration
	value time.Duration
}

// block is the length of the stretches that the bootstrap draws: longer than the queues of these experiments remember.
const block = 5 * time.Second

// pair is one paired run: the same reserved arrivals alone, and among other load.
type pair struct{ alone, loaded []timed }

// ratio returns the q-quantile of all loaded runs over that of all alone, and its upper confidence limit from a bootstrap: runs are drawn as
// pairs, blocks of time inside each, with replacement. Source: Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 8.
func ratio(pairs []pair, q float64) (point, upper float64) {
	const draws = 1000
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a limit that can be computed again
	alone, loaded := newWeighted(len(pairs)), newWeighted(len(pairs))
	for i, p := range pairs {
		alone.add(i, p.alone)
		loaded.add(i, p.loaded)
	}
	alone.sort()
	loaded.sort()
	point = over(loaded.quantile(q), alone.quantile(q))
	ratios := make([]float64, draws)
	for i := range ratios {
		alone.forget()
		loaded.forget()
		for range pairs {
			run := random.IntN(len(pairs))
			alone.draw(random, run)
			loaded.draw(random, run)
		}
		ratios[i] = over(loaded.quantile(q), alone.quantile(q))
	}
	slices.Sort(ratios)
	return point, ratios[int(confidence*draws)]
}

func over(a, b time.Duration) float64 {
	if b == 0 {
		return math.Inf(1)
	}
	return float64(a) / float64(b)
}

// weighted are the values of several runs, each with the number of times that its block was drawn.
type weighted struct {
	values []inBlock // in descending order
	size   [][]int   // values by run and block
	times  [][]int   // drawn
	total  int
}

type inBlock struct {
	value      time.Duration
	run, block int
}

func newWeighted(runs int) *weighted {
	return &weighted{size: make([][]int, runs), times: make([][]int, runs)}
}

func (w *weighted) add(run int, values []timed) {
	for _, v := range values {
		b := int(v.at / block)
		for len(w.size[run]) <= b {
			w.size[run] = append(w.size[run], 0)
			w.times[run] = append(w.times[run], 1)
		}
		w.size[run][b]++
		w.values = append(w.values, inBlock{v.value, run, b})
		w.total++
	}
}

func (w *weighted) sort() {
	slices.SortFunc(w.values, func(a, b inBlock) int { return cmp.Compare(b.value, a.value) })
}

func (w *weighted) forget() {
	w.total = 0
	for _, t := range w.times {
		clear(t)
	}
}

// draw draws as many blocks of a run as it has.
func (w *weighted) draw(random *rand.Rand, run int) {
	for range w.size[run] {
		b := random.IntN(len(w.size[run]))
		w.times[run][b]++
		w.total += w.size[run][b]
	}
}

// quantile is Quantile of what was drawn.
func (w *weighted) quantile(q float64) time.Duration {
	above := w.total - max(int(math.Ceil(q*float64(w.total))), 1) // values beyond the one sought
	for _, v := range w.values {
		if above -= w.times[v.run][v.block]; above < 0 {
			return v.value
		}
	}
	return 0
}

func sorted(values []timed) []time.Duration {
	out := make([]time.Duration, len(values))
	for i, v := range values {
		out[i] = v.value
	}
	slices.Sort(out)
	return out
}
