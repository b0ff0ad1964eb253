package trace

import (
	"math"
	"math/rand/v2"
	"time"

	"forebay/workload"
	"forebay/workload/rows"
)

// spread makes calls of windows: as many as each has, at even chances over its length. A window is as long as it is to the next row; the
// last one, and one before a gap, is as long as those before it.
type spread struct {
	random *rand.Rand
	held   stamped // the window whose end is not known yet
	any    bool
	grain  time.Duration // the shortest distance between two rows
	left   float64       // part of a call that the windows so far had more than they got
	gaps   rows.Gaps     // times without a window
	added  int64         // rows of windows that another row has told of
}

func (s *spread) begin(seed uint64) { s.random = rand.New(rand.NewPCG(seed, 0)) } //nolint:gosec // traffic

// window takes the next window, and hands on the calls of the one before. rate says that a window's number is calls a minute.
func (s *spread) window(w stamped, rate bool, yield func(workload.Request, error) bool) bool {
	ok := true
	if rate {
		w.calls = -w.calls // per minute: known when its length is
	}
	if s.any && w.at == s.held.at {
		s.held.add(&w)
		s.added++
		return true
	}
	if s.any {
		length := time.Duration(w.at - s.held.at)
		if length > 0 && (s.grain == 0 || length < s.grain) {
			s.grain = length
		}
		const gap = 2 // windows are never twice as long as the shortest one
		if length >= gap*s.grain {
			length = s.grain
			s.gaps.Miss(s.held.at+int64(length), w.at)
		}
		ok = s.calls(length, yield)
	}
	s.held, s.any = w, true
	return ok
}

// add takes in what another row tells of the same window, as of another model or metric.
func (s *stamped) add(o *stamped) {
	s.calls += o.calls
	if s.shared {
		s.totals.Input, s.totals.Cached, s.totals.Output = s.totals.Input+o.totals.Input, s.totals.Cached+o.totals.Cached, s.totals.Output+o.totals.Output
	}
}

// end hands on the calls of the last window.
func (s *spread) end(yield func(workload.Request, error) bool) bool {
	if !s.any {
		return true
	}
	s.any = false
	return s.calls(s.grain, yield)
}

func (s *spread) calls(length time.Duration, yield func(workload.Request, error) bool) bool {
	number := s.held.calls
	if number < 0 {
		number *= -length.Minutes()
	}
	s.left += number
	n := int64(s.left)
	s.left -= float64(n)
	if n == 0 {
		return true
	}
	return s.handOn(n, length, yield)
}

// handOn yields the calls, with the window's tokens in equal parts if it has them. Their places are the order statistics of n even ones: of k
// that are left in what is left of the window, the first is beyond a part x with the chance (1-x)^k.
func (s *spread) handOn(n int64, length time.Duration, yield func(workload.Request, error) bool) bool {
	q := s.held.totals
	at := 0.0
	for i := range n {
		at += (1 - at) * (1 - math.Pow(1-s.random.Float64(), 1/float64(n-i)))
		c := q
		c.At = time.Duration(s.held.at) + time.Duration(at*float64(length))
		if s.held.shared {
			c.Input, c.Cached, c.Output = part(q.Input, n, i), part(q.Cached, n, i), part(q.Output, n, i)
		}
		if !yield(c, nil) {
			return false
		}
	}
	return true
}

// part is the i-th of n parts of a total, which add up to it.
func part(total, n, i int64) int64 {
	each, rest := total/n, total%n
	if i < rest {
		return each + 1
	}
	return each
}
