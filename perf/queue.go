package perf

import (
	"math"
	"math/bits"
)

// queue is the wait in front of n slots: Erlang's delay formula, in binary fixed point.
//
// With a = calls per unit of time x mean service time, the inverse of Erlang's loss probability follows the recursion
//
//	X(0) = 1, X(n) = 1 + n/a x X(n-1)
//
// which is stable (Jagerman, Bell System Technical Journal 53, 1974), and the probability that a call waits is
//
//	C = n / ((n - a) X + a)
//
// Of those that wait, the waits are taken as exponential with the mean
//
//	W / (n - a) x (1 + v) / 2
//
// where v is the squared coefficient of variation of the service times: exact for v = 1 (Erlang), the
// Pollaczek-Khinchine mean for n = 1, the Allen-Cunneen approximation of the mean for all others (Allen, Probability,
// Statistics, and Queueing Theory, 1990, section 5.2), and in heavy traffic the exact form of the tail (Koellerstroem,
// Journal of Applied Probability 11, 1974). Arrivals are taken as Poisson; bursts are bounded elsewhere, by the bucket's depth.
type queue struct {
	a    int64 // offered load, with loadBits
	n    int64
	x    int64 // the inverse of the loss probability, with oneBits
	none bool  // X has left the fixed point: fewer than one call in four million is lost, and waits are nothing
}

const (
	loadBits = 20
	oneBits  = 40

	million = 1_000_000
)

// The most slots that are looked at.
const maxSlots = 1 << 20

func newQueue(a int64) *queue { return &queue{a: max(a, 1), x: 1 << oneBits} }

// add puts one more slot behind the queue.
func (q *queue) add() {
	q.n++
	if q.none {
		return
	}
	if next := addSat(mulDiv(q.n<<loadBits, q.x, q.a), 1<<oneBits); next < math.MaxInt64>>1 {
		q.x = next
	} else {
		q.none = true
	}
}

// free is n - a, with loadBits. The queue is stable where it is positive.
func (q *queue) free() int64 { return q.n<<loadBits - q.a }

// waits is the probability that a call waits, with oneBits. The queue must be stable.
func (q *queue) waits() int64 {
	if q.none {
		return 0
	}
	return min(1<<oneBits, mulDiv(q.n<<loadBits, 1<<oneBits, addSat(mulDiv(q.free(), q.x, 1<<oneBits), q.a)))
}

// mean is the mean wait of all calls, with service times of mean w and a squared coefficient of variation in thousandths.
func (q *queue) mean(w Instant, variation int64) Instant {
	return Instant(mulDiv(q.spread(w, variation), q.waits(), q.free()<<(oneBits-loadBits)))
}

// quantile is the wait that all but so many millionths of the calls stay within.
func (q *queue) quantile(w Instant, variation, beyond int64) Instant {
	c := q.waits()
	if c <= beyond<<oneBits/million {
		return 0
	}
	return Instant(mulDiv(q.spread(w, variation), ln(mulDiv(c, million, beyond)), q.free()<<(oneBits-loadBits)))
}

func (q *queue) spread(w Instant, variation int64) int64 {
	return mulDiv(int64(w), permille+variation, 2*permille)
}

// ln is the natural logarithm of a number of at least 1, both with oneBits.
func ln(x int64) int64 {
	const ln2 = 762_123_384_786 // of 2, with oneBits
	whole := bits.Len64(uint64(x)) - 1 - oneBits
	m := uint64(x)
	if whole >= 0 {
		m >>= whole
	}
	log := int64(whole) << oneBits
	for bit := int64(1) << (oneBits - 1); bit > 0; bit >>= 1 { // the digits of log2, by squaring
		hi, lo := bits.Mul64(m, m)
		m = hi<<(64-oneBits) | lo>>oneBits
		if m >= 2<<oneBits {
			m >>= 1
			log += bit
		}
	}
	return mulDiv(max(log, 0), ln2, 1<<oneBits)
}
