package perf

import "sort"

// span is the length in ps of n steps alike, the first of which is the one under way.
func (e *Engine) span(n int64) int64 { return n*e.length + e.growth*(n*(n-1)/2) }

// end is the instant at which the n-th step from now ends, if those before it are like the one under way.
func (e *Engine) end(n int64) Instant {
	return e.started + Instant((e.fraction+e.span(n))/psPerNs)
}

// The longest stretch of alike steps that is jumped over at once: keeps span far from the end of an int64.
const maxSpan = 1 << 61

// alike returns how many steps, from the one under way on, do nothing but give each
// running sequence a token, the last of which may also end some. After that many, the
// next step is planned anew.
func (e *Engine) alike() int64 {
	if e.alone || len(e.running) == 0 {
		return 1
	}
	free := e.left // less the blocks for a token each, which the next step takes before it admits
	n := e.running[0].want - e.running[0].made
	next := free
	for i := range e.running {
		s := &e.running[i]
		n = min(n, s.want-s.made)
		next -= e.blocks(s.total+1) - e.blocks(s.total)
	}
	if n <= 1 || e.admits(e.head(), next, e.p.Chunk-int64(len(e.running))) {
		return 1
	}
	if block := e.p.block(); free < (n/block+1)*int64(len(e.running)) {
		// Memory may end first: find the first number of further steps that does not fit.
		n = 1 + int64(sort.Search(int(n-1), func(k int) bool { return !e.fits(int64(k) + 1) }))
	}
	return max(1, min(n, maxSpan/max(e.length+e.growth*n, 1)))
}

// fits reports whether memory suffices for k steps after the one under way.
func (e *Engine) fits(k int64) bool {
	free := e.p.capacity()
	for i := range e.running {
		free -= e.blocks(e.running[i].total + k)
	}
	return free >= 0
}

// ended returns how many of the alike steps have ended by now; it is at least one.
func (e *Engine) ended(now Instant) int64 {
	n := e.alike()
	if e.end(n) <= now {
		return n
	}
	return int64(sort.Search(int(n), func(k int) bool { return e.end(int64(k)+1) > now }))
}
