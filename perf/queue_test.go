package perf

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func queueOf(n int64, load float64) *queue {
	q := newQueue(int64(math.Round(load * (1 << loadBits))))
	for range n {
		q.add()
	}
	return q
}

func probability(q *queue) float64 { return float64(q.waits()) / (1 << oneBits) }

// Erlang's delay formula against published values, to all their digits.
func TestErlangC(t *testing.T) {
	for _, c := range []struct {
		n    int64
		a    float64
		want float64
	}{
		{1, 0.8, 0.800000},
		{2, 1.6, 0.711111},
		{5, 4, 0.554113},
		{10, 8, 0.409180},
		{20, 18, 0.550769},
		{50, 45, 0.363864},
	} {
		if got := probability(queueOf(c.n, c.a)); math.Abs(got-c.want) > 2e-6 { // the load is rounded to 2^-20
			t.Errorf("%d servers, load %v: P(wait) = %.7f, want %.6f", c.n, c.a, got, c.want)
		}
	}
}

// Where waits are impossible to see, there are none; the recursion neither overflows nor comes back.
func TestErlangCFarFromLoad(t *testing.T) {
	q := queueOf(1000, 3)
	if q.waits() != 0 || q.quantile(1e9, permille, 1) != 0 || q.mean(1e9, permille) != 0 {
		t.Errorf("%d slots for a load of 3 let calls wait: %d", q.n, q.waits())
	}
	if big := probability(queueOf(100_000, 99_900)); big < 0.6 || big > 0.8 { // Halfin-Whitt: b = 0.316, P = 1/(1+b*Phi(b)/phi(b)) = 0.66
		t.Errorf("P(wait) of 100000 servers with a load of 99900 is %v", big)
	}
}

// M/D/1: a mean wait of rho / (2 (1 - rho)) service times; M/M/c: P / (c - a).
func TestMeanWait(t *testing.T) {
	for _, c := range []struct {
		n         int64
		a         float64
		variation int64
		want      float64
	}{
		{1, 0.5, 0, 0.5},
		{1, 0.8, 0, 2},
		{1, 0.9, 0, 4.5},
		{1, 0.5, 1000, 1},
		{1, 0.8, 1000, 4},
		{2, 1.6, 1000, 0.711111 / 0.4},
		{50, 45, 1000, 0.363864 / 5},
	} {
		if got := float64(queueOf(c.n, c.a).mean(1e9, c.variation)) / 1e9; math.Abs(got/c.want-1) > 1e-4 {
			t.Errorf("%+v: mean wait %v", c, got)
		}
	}
}

// The logarithm agrees with the C library's to the tenth digit.
func TestLn(t *testing.T) {
	for _, x := range []float64{1, 1.0000001, 1.5, 2, math.E, 3, 10, 99.5, 4096, 1e6} {
		if got := float64(ln(int64(x*(1<<oneBits)))) / (1 << oneBits); math.Abs(got-math.Log(x)) > 1e-9 {
			t.Errorf("ln %v = %.12f, want %.12f", x, got, math.Log(x))
		}
	}
}

// first come, first served, with n servers: the waits of many calls, call by call.
func waits(r *rand.Rand, n int, load float64, service func() float64, calls int) []float64 {
	free := make([]float64, n)
	out := make([]float64, 0, calls)
	now := 0.0
	for range calls {
		now += r.ExpFloat64() / load
		at := 0
		for i := range free {
			if free[i] < free[at] {
				at = i
			}
		}
		begin := max(now, free[at])
		out = append(out, begin-now)
		free[at] = begin + service()
	}
	slices.Sort(out)
	return out
}

// Quantiles against a simulation that knows nothing of the formula. Exponential times must agree; for others the
// formula is an approximation, whose error is stated in the documentation.
func TestWaitQuantilesAgreeWithASimulation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const calls = 400_000
	for _, c := range []struct {
		name      string
		variation int64
		service   func() float64
		allowed   float64 // relative error, beside a hundredth of a service time
	}{
		{"exponential", 1000, r.ExpFloat64, 0.08},
		{"constant", 0, func() float64 { return 1 }, 0.15},
		{"two lengths", 3000, func() float64 { // balanced means: 3/4 of the time constant is spread 3
			if r.Float64() < 0.8535533905932737 {
				return r.ExpFloat64() / (2 * 0.8535533905932737)
			}
			return r.ExpFloat64() / (2 * 0.1464466094067263)
		}, 0.35}, // with many servers the formula errs high
	} {
		for _, k := range []struct {
			n    int
			load float64
		}{{1, 0.7}, {4, 3}, {16, 13}, {64, 58}} {
			got := waits(r, k.n, k.load, c.service, calls)
			q := queueOf(int64(k.n), k.load)
			for _, beyond := range []int64{50_000, 10_000} {
				want := got[calls-1-int(beyond)*calls/million]
				have := float64(q.quantile(1e9, c.variation, beyond)) / 1e9
				if diff := math.Abs(have - want); diff > c.allowed*want+0.02 {
					t.Errorf("%s, %d servers at %v, all but %d of a million: %.4f, the simulation shows %.4f", c.name, k.n, k.load, beyond, have, want)
				}
			}
		}
	}
}
