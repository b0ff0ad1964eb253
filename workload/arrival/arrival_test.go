package arrival

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func processes() map[string]struct {
	p         Process
	variation float64
} {
	out := map[string]struct {
		p         Process
		variation float64
	}{"Poisson": {Poisson(), 1}}
	for _, cv := range []float64{0.1, 0.5, 1, 2, 4} {
		out[fmt.Sprintf("Gamma %g", cv)] = struct {
			p         Process
			variation float64
		}{Gamma(cv), cv}
		out[fmt.Sprintf("Weibull %g", cv)] = struct {
			p         Process
			variation float64
		}{Weibull(cv), cv}
	}
	return out
}

// The gaps have the mean 1 and the variation that was asked for.
func TestMoments(t *testing.T) {
	for name, x := range processes() {
		const n = 400_000
		rng := rand.New(rand.NewPCG(1, 2))
		sum, square := 0.0, 0.0
		for range n {
			v := x.p.Next(rng)
			sum, square = sum+v, square+v*v
		}
		mean := sum / n
		cv := math.Sqrt(square/n-mean*mean) / mean
		if math.Abs(mean-1) > 5*x.variation/math.Sqrt(n) || math.Abs(cv/x.variation-1) > 0.05 {
			t.Errorf("%s: mean %.4f, variation %.4f", name, mean, cv)
		}
	}
}

// However short the time that one looks for, the calls that come are as many as its rate says; with a gap at the start as between calls, there would be more
// of bursts and fewer of a clock.
func TestStationary(t *testing.T) {
	for name, x := range processes() {
		const n, length = 100_000, 0.7
		rng := rand.New(rand.NewPCG(3, 4))
		count, square := 0.0, 0.0
		for range n {
			c := 0.0
			for at := x.p.First(rng); at < length; at += x.p.Next(rng) {
				c++
			}
			count, square = count+c, square+c*c
		}
		mean := count / n
		if off := 5 * math.Sqrt((square/n-mean*mean)/n); math.Abs(mean-length) > off {
			t.Errorf("%s: %.4f calls in %v, want as many within %.4f", name, mean, length, off)
		}
	}
}

// Two shapes of Weibull whose variations are known without his formula: the exponential one, and that whose gaps are squares of exponential ones, where the
// second moment is Gamma(5) = 24 and the mean Gamma(3) = 2.
func TestKnownShapesOfWeibull(t *testing.T) {
	for variation, shape := range map[float64]float64{1: 1, math.Sqrt(24.0/4 - 1): 0.5} {
		if p := Weibull(variation); math.Abs(p.shape-shape) > 1e-9 || math.Abs(p.scale*math.Gamma(1+1/shape)-1) > 1e-9 {
			t.Errorf("variation %v: %+v", variation, p)
		}
	}
	for _, cv := range []float64{Least, Most} {
		if p := Weibull(cv); math.Abs(variationOfWeibull(p.shape)/cv-1) > 1e-6 {
			t.Errorf("variation %v: %+v", cv, p)
		}
	}
}
