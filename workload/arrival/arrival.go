// Package arrival draws the times between calls: those of calls that come independently of each other, and of calls that come in bursts.
//
// A process is stationary and has a rate of one: who wants another rate, or one that changes, stretches its time. Draws depend on the generator alone
// that is passed in.
package arrival

import (
	"math"
	"math/rand/v2"
)

// Process is a stationary renewal process: times between arrivals are drawn independently from one distribution, whose mean is 1. The zero value is the
// Poisson process.
type Process struct {
	kind         kind
	shape, scale float64
}

type kind uint8

const (
	poisson kind = iota
	gamma
	weibull
)

// The coefficients of variation that a process can have: from nearly a clock's to bursts beyond any in the traces that are published.
const (
	Least = 0.1
	Most  = 20.0
)

// Poisson is the process of calls that come independently of each other.
func Poisson() Process { return Process{} }

// Gamma is a process whose times between arrivals have Gamma's distribution with that coefficient of variation, their standard deviation over their mean,
// which lies between Least and Most: 1 is the Poisson process, more are bursts.
func Gamma(variation float64) Process {
	square := variation * variation
	return Process{gamma, 1 / square, square}
}

// Weibull is Gamma with Weibull's distribution, whose long gaps are longer.
func Weibull(variation float64) Process {
	low, high := 0.05, 20.0 // the variation falls with the shape
	for range 100 {
		if k := (low + high) / 2; variationOfWeibull(k) > variation {
			low = k
		} else {
			high = k
		}
	}
	return Process{weibull, low, 1 / math.Gamma(1+1/low)}
}

// variationOfWeibull is that of a shape k: sqrt(Gamma(1 + 2/k) / Gamma(1 + 1/k)^2 - 1).
func variationOfWeibull(k float64) float64 {
	a, _ := math.Lgamma(1 + 2/k)
	b, _ := math.Lgamma(1 + 1/k)
	return math.Sqrt(math.Expm1(a - 2*b))
}

// Next draws the time from one arrival to the next.
func (p Process) Next(rng *rand.Rand) float64 {
	switch p.kind {
	case gamma:
		return p.scale * gammaOf(rng, p.shape)
	case weibull:
		return p.scale * math.Pow(rng.ExpFloat64(), 1/p.shape)
	default:
		return rng.ExpFloat64()
	}
}

// First draws the time from any moment, at which one begins to look, to the first arrival from then on. A moment falls into a gap in proportion to its length, and
// anywhere in it: so the expected number of arrivals in a time is that time, however short it is (Cox, Renewal Theory, 1962, section 5.3).
func (p Process) First(rng *rand.Rand) float64 {
	switch p.kind {
	case gamma: // a gap that is drawn in proportion to its length has the shape and one more
		return p.scale * gammaOf(rng, p.shape+1) * rng.Float64()
	case weibull: // and here the power of it has Gamma's distribution, of the shape 1 + 1/k
		return p.scale * math.Pow(gammaOf(rng, 1+1/p.shape), 1/p.shape) * rng.Float64()
	default:
		return rng.ExpFloat64()
	}
}

// gammaOf draws from Gamma's distribution of that shape and scale 1 (Marsaglia, Tsang, ACM Trans. Math. Softw. 26, 2000).
func gammaOf(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gammaOf(rng, shape+1) * math.Pow(1-rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if u := 1 - rng.Float64(); math.Log(u) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
