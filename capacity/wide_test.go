package capacity

import (
	"math"
	"testing"
)

// A quotient that is too large saturates, and does not wrap as it is rounded up.
func TestRoundingUpDoesNotWrap(t *testing.T) {
	for _, c := range []struct {
		a    wide
		b    uint64
		want int64
	}{
		{wide{0, 6}, 3, 2},
		{wide{0, 7}, 3, 3},
		{wide{0, math.MaxInt64}, 1, math.MaxInt64},
		{wide{1, math.MaxUint64}, 2, math.MaxInt64}, // 2^64 - 1, and one more
		{wide{5, 0}, 2, math.MaxInt64},
	} {
		if got := c.a.divUp(c.b); got != c.want {
			t.Errorf("%v / %d is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
