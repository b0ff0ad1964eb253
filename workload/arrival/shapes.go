package arrival

import "math"

// LeastShape and MostShape bound the shapes of distributions: of smaller ones the mean cannot be computed.
const (
	LeastShape = 0.01
	MostShape  = 1e6
)

// GammaOfShape is a process whose times between arrivals have Gamma's distribution of a shape from LeastShape to MostShape.
func GammaOfShape(shape float64) Process { return Process{gamma, shape, 1 / shape} }

// WeibullOfShape is GammaOfShape with Weibull's distribution.
func WeibullOfShape(shape float64) Process {
	return Process{weibull, shape, 1 / math.Gamma(1+1/shape)}
}

// Variation is the coefficient of variation of the times between arrivals.
func (p Process) Variation() float64 {
	switch p.kind {
	case gamma:
		return 1 / math.Sqrt(p.shape)
	case weibull:
		return variationOfWeibull(p.shape)
	default:
		return 1
	}
}
