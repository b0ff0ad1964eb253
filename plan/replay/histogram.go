package replay

import (
	"math/bits"
	"time"
)

// subBuckets divide each doubling of a time: a quantile is at most 1/64 above the true one.
const (
	subBits    = 6
	subBuckets = 1 << subBits
)

// Histogram counts times, in buckets that are at most 1/64 of their value wide. The zero value is empty.
type Histogram struct {
	counts []int64
	n, sum int64
	most   time.Duration
}

// Add counts one time; negative ones count as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	i := place(int64(d))
	for i >= len(h.counts) {
		h.counts = append(h.counts, 0)
	}
	h.counts[i]++
	h.n++
	h.sum += int64(d) / 1000
	h.most = max(h.most, d)
}

// place is the bucket of a value: exact below 64, and 64 to each doubling from there on.
func place(v int64) int {
	exp := bits.Len64(uint64(v)) - subBits - 1
	if exp <= 0 {
		return int(v)
	}
	return exp<<subBits + int(v>>exp)
}

// upper is the largest value of a bucket.
func upper(i int) int64 {
	if i < 2*subBuckets {
		return int64(i)
	}
	exp := i>>subBits - 1
	return (int64(i-exp<<subBits)+1)<<exp - 1
}

// Count returns how many times were counted.
func (h *Histogram) Count() int64 { return h.n }

// Mean returns their mean, to the microsecond; 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum/h.n) * time.Microsecond
}

// Above returns how many times may be longer than one: those of its bucket are counted as if they were.
func (h *Histogram) Above(d time.Duration) int64 {
	if d >= h.most {
		return 0
	}
	var n int64
	for i := place(int64(max(d, 0))); i < len(h.counts); i++ {
		n += h.counts[i]
	}
	return n
}

// Quantile returns the least time that a share of them, per mille, does not exceed, rounded up to the end of its bucket; 0 of none.
func (h *Histogram) Quantile(permille int64) time.Duration {
	rank := (h.n*permille + 999) / 1000
	if h.n == 0 {
		return 0
	}
	for i, c := range h.counts {
		if rank -= c; rank <= 0 {
			return min(time.Duration(upper(i)), h.most)
		}
	}
	return h.most
}
