package purchase

import (
	"math"
	"math/bits"

	"forebay/fault"
)

// wide is a number of 128 bits, none below zero. One that grows beyond them stays marked as lost.
type wide struct {
	hi, lo uint64
	lost   bool
}

// product is a x b of numbers that are not negative.
func product(a, b int64) wide {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return wide{hi: hi, lo: lo}
}

func (w wide) times(n int64) wide {
	hi, lo := bits.Mul64(w.lo, uint64(n))
	over, top := bits.Mul64(w.hi, uint64(n))
	top, carry := bits.Add64(top, hi, 0)
	return wide{hi: top, lo: lo, lost: w.lost || over != 0 || carry != 0}
}

func (w wide) plus(o wide) wide {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	hi, carry := bits.Add64(w.hi, o.hi, carry)
	return wide{hi: hi, lo: lo, lost: w.lost || o.lost || carry != 0}
}

// less is w - o, and zero where o is the larger.
func (w wide) less(o wide) wide {
	if w.cmp(o) <= 0 {
		return wide{lost: w.lost || o.lost}
	}
	lo, borrow := bits.Sub64(w.lo, o.lo, 0)
	hi, _ := bits.Sub64(w.hi, o.hi, borrow)
	return wide{hi: hi, lo: lo, lost: w.lost || o.lost}
}

// cmp is -1, 0 or 1 as w is smaller than o, equal, or larger.
func (w wide) cmp(o wide) int {
	switch {
	case w.hi != o.hi && w.hi < o.hi, w.hi == o.hi && w.lo < o.lo:
		return -1
	case w == o:
		return 0
	case w.hi == o.hi && w.lo == o.lo:
		return 0
	}
	return 1
}

// over divides by a positive number and rounds half to even.
func (w wide) over(den int64) (int64, error) {
	if w.lost || w.hi >= uint64(den) {
		return 0, errRange()
	}
	q, r := bits.Div64(w.hi, w.lo, uint64(den))
	if rest := uint64(den) - r; r > rest || r == rest && q&1 == 1 {
		q++
	}
	if q > math.MaxInt64 {
		return 0, errRange()
	}
	return int64(q), nil
}

// down divides by a positive number and rounds down.
func (w wide) down(den int64) (int64, error) {
	if w.lost || w.hi >= uint64(den) {
		return 0, errRange()
	}
	q, _ := bits.Div64(w.hi, w.lo, uint64(den))
	if q > math.MaxInt64 {
		return 0, errRange()
	}
	return int64(q), nil
}

// float is about w.
func (w wide) float() float64 { return float64(w.hi)*0x1p64 + float64(w.lo) }

func errRange() error {
	return fault.New(fault.Invalid, "an amount of money is beyond nine billion of its currency: look for a price or a volume in the wrong unit")
}
