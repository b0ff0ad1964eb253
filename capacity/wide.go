package capacity

import (
	"math"
	"math/bits"
)

// wide is an unsigned 128-bit integer. Sums saturate and differences stop at 0, so that limits and
// amounts up to MaxTokens never wrap.
type wide struct{ hi, lo uint64 }

var maxWide = wide{math.MaxUint64, math.MaxUint64}

func (a wide) add(b wide) wide {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, c := bits.Add64(a.hi, b.hi, c)
	if c != 0 {
		return maxWide
	}
	return wide{hi, lo}
}

func (a wide) sub(b wide) wide {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, c := bits.Sub64(a.hi, b.hi, c)
	if c != 0 {
		return wide{}
	}
	return wide{hi, lo}
}

func (a wide) less(b wide) bool { return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo) }

func (a wide) zero() bool { return a.hi|a.lo == 0 }

func (a wide) min(b wide) wide {
	if b.less(a) {
		return b
	}
	return a
}

func (a wide) max(b wide) wide {
	if a.less(b) {
		return b
	}
	return a
}

func mul(a, b uint64) wide {
	hi, lo := bits.Mul64(a, b)
	return wide{hi, lo}
}

// div returns a/b rounded down, and the remainder; it saturates. b must not be 0.
func (a wide) div(b uint64) (q, rem uint64) {
	if a.hi >= b {
		return math.MaxUint64, 0
	}
	return bits.Div64(a.hi, a.lo, b)
}

// divUp returns a/b rounded up, at most math.MaxInt64. b must not be 0.
func (a wide) divUp(b uint64) int64 {
	q, rem := a.div(b)
	if rem != 0 && q < math.MaxInt64 {
		q++
	}
	return int64(min(q, math.MaxInt64))
}

// amount clamps a count of the outside world into [0, MaxTokens].
func amount(x int64) int64 { return max(0, min(x, MaxTokens)) }

// sum adds two amounts, saturating at MaxTokens.
func sum(a, b int64) int64 {
	if a > MaxTokens-b {
		return MaxTokens
	}
	return a + b
}

// product multiplies two amounts, saturating at MaxTokens.
func product(a, b int64) int64 {
	p := mul(uint64(a), uint64(b))
	if p.hi != 0 || p.lo > uint64(MaxTokens) {
		return MaxTokens
	}
	return int64(p.lo)
}

// perMille returns x*rate/1000 rounded up, saturating at MaxTokens.
func perMille(x int64, rate int32) int64 {
	return min(mul(uint64(x), uint64(rate)).divUp(1000), MaxTokens)
}
