package perf

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
}

// New returns an idle engine. The profile must be valid.
func New(p Profile) *Engine { return &Engine{p: p} }

// Load returns the number of sequences that run and that wait.
func (e *Engine) Load() (running, waiting int) {
	return len(e.running), len(e.waiting) + len(e.back)
}

// Memory returns the KV tokens that can still be taken, in whole blocks, and the most that can be held.
func (e *Engine) Memory() (free, limit int64) {
	return e.free() * e.p.block(), e.p.capacity() * e.p.block()
}

// Add offers a sequence at now; a prompt and an output of less than one token count as
// one. It returns false for a sequence that would not fit into the memory alone. Ids must be distinct.
func (e *Engine) Add(now Instant, id uint64, prompt, output int64) bool {
	prompt, output = max(prompt, 1), max(output, 1)
	if e.p.need(prompt, output) > e.p.capacity() {
		return false
	}
	e.waiting = append(e.waiting, sequence{id: id, total: prompt, want: output})
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
			if (*list)[j].id == id {
				*list = append((*list)[:j], (*list)[j+1:]...)
				e.alone = e.alone || i == 0
				return true
			}
		}
	}
	return false
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
	kept := e.running[:0]
	for i := range e.running {
		s := e.running[i]
		s.read += s.grow
		s.grow = 0
		if s.read == s.total {
			first := s.made == 0
			s.made += n
			s.total += n
			s.read += n - 1
			done := s.made >= s.want
			out = append(out, Progress{ID: s.id, At: e.started, Tokens: s.made, First: first, Done: done})
			if done {
				continue
			}
		}
		kept = append(kept, s)
	}
	e.running = kept
	return out
}

// begin plans the step that starts now: the running sequences in order, setting back
// the newest where memory ends, then whom the queue and the rest of the step's budget admit.
func (e *Engine) begin(out []Progress) []Progress {
	free, budget, before := e.free(), e.p.Chunk, len(out)
	for i := 0; i < len(e.running); i++ {
		s := &e.running[i]
		grow := min(s.total-s.read, budget)
		blocks := e.p.blocks(s.read+grow) - e.p.blocks(s.read)
		for blocks > free && len(e.running) > i {
			free += e.preempt()
			out = append(out, Progress{ID: e.back[len(e.back)-1].id, At: e.started, Tokens: e.back[len(e.back)-1].made, Preempted: true})
		}
		if len(e.running) > i {
			s.grow = grow
			free -= blocks
			budget -= grow
		}
	}
	if len(out) == before {
		e.admit(free, budget)
	}
	e.plan()
	return out
}

// preempt sets the newest sequence back to the head of the queue and returns the blocks it held.
func (e *Engine) preempt() int64 {
	last := len(e.running) - 1
	s := e.running[last]
	e.running = e.running[:last]
	held := e.p.blocks(s.read)
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
	return s != nil && budget > 0 && len(e.running) < e.p.MaxBatch && e.p.blocks(s.total) <= free
}

func (e *Engine) admit(free, budget int64) {
	for s := e.head(); e.admits(s, free, budget); s = e.head() {
		s.grow = min(s.total-s.read, budget)
		budget -= s.grow
		free -= e.p.blocks(s.read + s.grow)
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

// free is the memory that no running sequence holds, in blocks; what the step under way reads counts as held.
func (e *Engine) free() int64 {
	n := e.p.capacity()
	for i := range e.running {
		n -= e.p.blocks(e.running[i].read + e.running[i].grow)
	}
	return n
}
