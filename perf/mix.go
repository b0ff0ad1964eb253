package perf

import "math"

// Mix is the size of calls, in tokens. Less than one token counts as one.
type Mix struct{ Input, Output int64 }

func (m Mix) atLeastOne() Mix { return Mix{max(m.Input, 1), max(m.Output, 1)} }

// decoded is the tokens of an answer that steps of their own produce: the first comes with the last of the prompt.
func (m Mix) decoded() int64 { return m.Output - 1 }

// W returns the mean time that a sequence spends in the engine when n sequences like it
// are in the engine at all times: Among with others of the same size.
func (p *Profile) W(n int, in, out int64) (Instant, bool) {
	return p.Among(n, Mix{in, out}, Mix{in, out})
}

// Among returns the mean time that a call of a mix occupies a slot of an engine whose n-1 other
// slots are never empty: each holds a call of the mix others, replaced as it ends, their phases spread evenly. With n slots
// of calls alike the engine completes n / W of them per unit of time. It is false where the n calls do not fit into
// the batch or, at their full length, into the memory.
//
// Derivation, the mean field of the step time: a life of the others has K' steps, their prompts' chunks and one for each
// further token; where the prompts of n of them ask for more than the steps' budget, n x (in + out - 1) / Chunk, and what is
// beyond is waiting for the budget, first come first served, which a call among them waits as well. So the call has
//
//	K = ceil(in / budget) + (out - 1) + (K' - K'0)
//
// steps, in which each of the others advances by K / K' lives, each of a work of
//
//	w = PrefillToken x in + Sequence x (out - 1) + ContextToken x ((out - 1) x in + (out - 1) x out / 2)
//
// and the call by one life of its own:
//
//	W = K x Step + w + (n - 1) x w' x K / K'
func (p *Profile) Among(n int, m, others Mix) (Instant, bool) {
	m, others = m.atLeastOne(), others.atLeastOne()
	if n < 1 || n > p.MaxBatch {
		return 0, false
	}
	rest := int64(n) - 1
	if addSat(p.need(m.Input, m.Output), mulSat(rest, p.need(others.Input, others.Output))) > p.capacity() {
		return 0, false
	}
	plain, theirs := p.steps(n, others), p.steps(n, others)
	if all := divUp(mulSat(int64(n), addSat(others.Input, others.decoded())), p.Chunk); all > theirs {
		theirs = all
	}
	steps := addSat(p.steps(n, m), theirs-plain)
	ps := addSat(mulSat(steps, p.Step), p.work(m))
	ps = addSat(ps, mulDiv(mulSat(rest, p.work(others)), steps, theirs))
	return Instant(ps / psPerNs), true
}

// steps is how many steps a call takes beside n-1 others, if no prompt waits for the budget: of that, decoding sequences
// take at most n-1.
func (p *Profile) steps(n int, m Mix) int64 {
	budget := max(p.Chunk-int64(n-1), 1)
	return addSat(divUp(m.Input, budget), m.decoded())
}

// work is what a call adds to the steps that it is in, in ps.
func (p *Profile) work(m Mix) int64 {
	decode := m.decoded()
	context := addSat(mulSat(decode, m.Input), mulSat(decode, m.Output)/2) // in+1 ... in+out-1
	ps := addSat(mulSat(p.PrefillToken, m.Input), mulSat(p.Sequence, decode))
	return addSat(ps, mulSat(p.ContextToken, context))
}

// heavier reports whether calls of mix a make the steps that they are in longer than those of b do.
func (p *Profile) heavier(a, b Mix) bool {
	a, b = a.atLeastOne(), b.atLeastOne()
	return mulDiv(p.work(a), 1, p.steps(1, a)) > mulDiv(p.work(b), 1, p.steps(1, b))
}

// Fits returns how many calls of a mix run at once, by the batch and by the memory at their full length.
func (p *Profile) Fits(m Mix) int {
	m = m.atLeastOne()
	return int(min(int64(p.MaxBatch), p.capacity()/p.need(m.Input, m.Output)))
}

// beside returns the most slots, up to n, that are busy while a call of a mix runs beside others.
func (p *Profile) beside(n int, m, others Mix) int {
	m, others = m.atLeastOne(), others.atLeastOne()
	left := p.capacity() - p.need(m.Input, m.Output)
	if left < 0 {
		return 0
	}
	return int(min(int64(n), int64(p.MaxBatch), 1+left/p.need(others.Input, others.Output)))
}

// Rate is tokens a minute.
type Rate struct{ Input, Output int64 }

const minute Instant = 60_000_000_000

// Throughput is what an engine does whose n slots are never empty of calls of a mix: n / W calls. No queue in front
// of it is bounded at that rate; what can be promised beside a wait is what a Pool sells. It is zero where n calls do not fit.
func (p *Profile) Throughput(n int, m Mix) Rate {
	m = m.atLeastOne()
	w, ok := p.W(n, m.Input, m.Output)
	if !ok {
		return Rate{}
	}
	if w == 0 {
		return Rate{math.MaxInt64, math.MaxInt64}
	}
	return Rate{perMinute(n, m.Input, w), perMinute(n, m.Output, w)}
}

func perMinute(n int, tokens int64, w Instant) int64 {
	return mulSat(mulSat(int64(n), tokens), int64(minute)) / int64(w) // a product past int64 is past every real engine
}

// LongestStep bounds a step of an engine with n busy slots, whatever the calls are: a full chunk of prompts beside
// n - 1 decoding sequences over the whole memory. A call that comes finds at most this much of a step before its own begins.
func (p *Profile) LongestStep(n int) Instant {
	n = max(1, min(n, p.MaxBatch))
	ps := addSat(p.Step, mulSat(p.PrefillToken, p.Chunk-int64(n-1)))
	ps = addSat(ps, mulSat(p.Sequence, int64(n-1)))
	return Instant(addSat(ps, mulSat(p.ContextToken, p.KV)) / psPerNs)
}
