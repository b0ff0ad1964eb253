package perf

import "math/bits"

// Progress is what happened to one sequence. The entries of a Step are in order of time
// and, at one instant, of admission.
type Progress struct {
	ID        uint64
	At        Instant // of the last token, or of the preemption
	Tokens    int64   // produced so far
	First     bool    // the first token came at At
	Done      bool    // the last token came at At: the sequence has left
	Preempted bool    // set back; what it has given out stays given out
}

// sequence is one call in the engine.
type sequence struct {
	id    uint64
	total int64 // tokens known: the prompt and what was produced
	read  int64 // of those, the ones whose KV is held; in the queue, those found in the prefix cache
	grow  int64 // tokens that the step under way reads
	made  int64
	want  int64

	tellAt int64   // tokens made from which on its progress is reported again
	tellBy Instant // and the instant
}

// decodes reports whether all but the token produced last has been read.
func (s *sequence) decodes() bool { return s.made > 0 && s.total-s.read == 1 }

// Engine is the state of one engine. It is not safe for concurrent use.
type Engine struct {
	p       Profile
	running []sequence // in the order of their admission
	waiting []sequence // in the order of their arrival
	back    []sequence // preempted, ahead of those waiting; the last one is the head

	busy     bool
	started  Instant // of the step under way
	fraction int64   // ps of its start beyond started
	length   int64   // ps of it
	growth   int64   // ps by which each further step like it is longer than the one before
	alone    bool    // the next step differs: a prompt was read, or a sequence was removed

	left  int64 // blocks that no running sequence holds; what the step under way reads counts as held
	mask  int64 // block - 1 where that is a power of two, whose logarithm is shift; else -1
	shift uint8

	reportEvery  Instant
	reportTokens int64
}

// New returns an idle engine. The profile must be valid.
func New(p Profile) *Engine {
	e := &Engine{p: p, left: p.capacity(), mask: -1}
	if b := p.block(); b&(b-1) == 0 {
		e.mask, e.shift = b-1, uint8(bits.TrailingZeros64(uint64(b)))
	}
	return e
}

// Report makes Step say of a running sequence's tokens only after so many more of them, or so much time, since it was last said of it or since it was added. First and last
// tokens and preemptions are always reported. Zeros, as of a new engine, report every stretch.
func (e *Engine) Report(every Instant, tokens int64) { e.reportEvery, e.reportTokens = every, tokens }

// blocks returns the blocks that hold n tokens. It is Profile.blocks without a division where that can be.
func (e *Engine) blocks(n int64) int64 {
	if e.mask >= 0 {
		return (n + e.mask) >> e.shift
	}
	return e.p.blocks(n)
}

// Load returns the number of sequences that run and that wait.
func (e *Engine) Load() (running, waiting int) {
	return len(e.running), len(e.waiting) + len(e.back)
}

// Memory returns the KV tokens that can still be taken, in whole blocks, and the most that can be held.
func (e *Engine) Memory() (free, limit int64) {
	return e.left * e.p.block(), e.p.capacity() * e.p.block()
}

// Add offers a sequence at now; a prompt and an output of less than one token count as
// one. It returns false for a sequence that would not fit into the memory alone. Ids must be distinct.
func (e *Engine) Add(now Instant, id uint64, prompt, output int64) bool {
	prompt, output = max(prompt, 1), max(output, 1)
	if e.p.need(prompt, output) > e.p.capacity() {
		return false
	}
	e.waiting = append(e.waiting, sequence{id: id, total: prompt, want: output, tellAt: e.reportTokens, tellBy: now + e.reportEvery})
	if !e.busy {
		e.started, e.fraction = now, 0
		e.begin(nil)
	}
	return true
}

// Remove takes a sequence out, for a call that was cancelled, and frees its memory at
// once. The step under way keeps its length. It returns false for an id that is not there.
func (e *Engine) Remove(id uint64) bool {
	for i, list := range []*[]sequence{&e.running, &e.waiting, &e.back} {
		for j := range *list {
			if s := &(*list)[j]; s.id == id {
				if i == 0 {
					e.left += e.blocks(s.read + s.grow)
				}
				*list = append((*list)[:j], (*list)[j+1:]...)
				e.alone = e.alone || i == 0
				return true
			}
		}
	}
	return false
}

// Made returns how many tokens a sequence has produced; false for an id that is not there.
func (e *Engine) Made(id uint64) (int64, bool) {
	for _, list := range [][]sequence{e.running, e.waiting, e.back} {
		for i := range list {
			if list[i].id == id {
				return list[i].made, true
			}
		}
	}
	return 0, false
}

// NextWake returns the end of the step under way, and false when the engine is idle.
func (e *Engine) NextWake() (Instant, bool) { return e.end(1), e.busy }

// NextChange returns the end of the first step, from the one under way on, at which
// more happens than a token for each running sequence: a first token, a last one, a
// preemption or an admission.
func (e *Engine) NextChange() (Instant, bool) {
	if !e.busy {
		return 0, false
	}
	return e.end(e.alike()), true
}

// Step carries out every step that has ended by now, each at its own time, and appends
// what they did to out: one entry per sequence and stretch between two changes.
func (e *Engine) Step(now Instant, out []Progress) []Progress {
	for e.busy && e.end(1) <= now {
		n := int64(1)
		if e.end(2) <= now {
			n = e.ended(now)
		}
		ps := e.fraction + e.span(n)
		e.started += Instant(ps / psPerNs)
		e.fraction = ps % psPerNs
		out = e.produce(n, out)
		out = e.begin(out)
	}
	return out
}

// produce applies n steps, the first of which is the one under way.
func (e *Engine) produce(n int64, out []Progress) []Progress {
	kept := 0
	for i := range e.running {
		s := &e.running[i]
		e.left += e.blocks(s.read + s.grow)
		s.read += s.grow
		s.grow = 0
		if s.read == s.total {
			first := s.made == 0
			s.made += n
			s.total += n
			s.read += n - 1
			done := s.made >= s.want
			if first || done || s.made >= s.tellAt || e.started >= s.tellBy {
				s.tellAt, s.tellBy = s.made+e.reportTokens, e.started+e.reportEvery
				out = append(out, Progress{ID: s.id, At: e.started, Tokens: s.made, First: first, Done: done})
			}
			if done {
				continue
			}
		}
		e.left -= e.blocks(s.read)
		if kept != i {
			e.running[kept] = *s
		}
		kept++
	}
	e.running = e.running[:kept]
	return out
}

// begin plans the step that starts now: the running sequences in order, setting back
// the newest where memory ends, then whom the queue and the rest of the step's budget admit.
func (e *Engine) begin(out []Progress) []Progress {
	budget, before := e.p.Chunk, len(out)
	for i := 0; i < len(e.running); i++ {
		s := &e.running[i]
		grow := min(s.total-s.read, budget)
		blocks := e.blocks(s.read+grow) - e.blocks(s.read)
		for blocks > e.left && len(e.running) > i {
			e.left += e.preempt()
			out = append(out, Progress{ID: e.back[len(e.back)-1].id, At: e.started, Tokens: e.back[len(e.back)-1].made, Preempted: true})
		}
		if len(e.running) > i {
			s.grow = grow
			e.left -= blocks
			budget -= grow
		}
	}
	if len(out) == before {
		e.admit(budget)
	}
	e.plan()
	return out
}

// preempt sets the newest sequence back to the head of the queue and returns the blocks it held.
func (e *Engine) preempt() int64 {
	last := len(e.running) - 1
	s := e.running[last]
	e.running = e.running[:last]
	held := e.blocks(s.read)
	s.read = s.read * (permille - e.p.Recompute) / permille / e.p.block() * e.p.block()
	e.back = append(e.back, s)
	return held
}

// head returns the head of the queue, or nil.
func (e *Engine) head() *sequence {
	if n := len(e.back); n > 0 {
		return &e.back[n-1]
	}
	if len(e.waiting) > 0 {
		return &e.waiting[0]
	}
	return nil
}

// admits reports whether the queue's head may join, which needs room for all that it has to read.
func (e *Engine) admits(s *sequence, free, budget int64) bool {
	return s != nil && budget > 0 && len(e.running) < e.p.MaxBatch && e.blocks(s.total) <= free
}

func (e *Engine) admit(budget int64) {
	for s := e.head(); e.admits(s, e.left, budget); s = e.head() {
		s.grow = min(s.total-s.read, budget)
		budget -= s.grow
		e.left -= e.blocks(s.read + s.grow)
		e.running = append(e.running, *s)
		if n := len(e.back); n > 0 {
			e.back = e.back[:n-1]
		} else {
			e.waiting = e.waiting[1:]
		}
	}
}

// plan computes the length of the step that begins.
func (e *Engine) plan() {
	var prefill, context, decoding int64
	for i := range e.running {
		s := &e.running[i]
		if s.decodes() {
			decoding++
			context += s.read + s.grow
		} else {
			prefill += s.grow
		}
	}
	e.busy = len(e.running) > 0
	e.alone = prefill > 0
	e.growth = e.p.ContextToken * decoding
	e.length = e.p.Step + e.p.PrefillToken*prefill + e.p.ContextToken*context + e.p.Sequence*decoding
}
