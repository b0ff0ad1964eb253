package perf

// Progress is what one step did for one sequence.
type Progress struct {
	ID        uint64
	Tokens    int64 // produced so far
	Done      bool
	Preempted bool // set back; nothing it has produced is lost
}

// sequence is one call in the engine.
type sequence struct {
	id     uint64
	prompt int64 // tokens to read in all: the prompt, and after a preemption what was produced too
	read   int64
	want   int64
	made   int64
}

func (s *sequence) decoding() bool { return s.read == s.prompt }

// Engine is the state of one engine. It is not safe for concurrent use.
type Engine struct {
	p        Profile
	running  []sequence // in the order of their admission
	waiting  []sequence
	chunks   []int64 // prompt tokens that the step reads, by place in running
	busy     bool
	ends     Instant
	fraction int64 // picoseconds that did not make a nanosecond
}

// New returns an idle engine. The profile must be valid.
func New(p Profile) *Engine { return &Engine{p: p} }

// Load returns the sequences that run and that wait.
func (e *Engine) Load() (running, waiting int) { return len(e.running), len(e.waiting) }

// Add offers a sequence at now. One whose prompt and output do not fit into the memory at
// all is not taken.
func (e *Engine) Add(now Instant, id uint64, prompt, output int64) bool {
	prompt, output = max(prompt, 1), max(output, 1)
	if prompt+output > e.p.KV {
		return false
	}
	e.waiting = append(e.waiting, sequence{id: id, prompt: prompt, want: output})
	if !e.busy {
		e.begin(now)
	}
	return true
}

// Remove takes a sequence out (a call that was cancelled). The step under way keeps its length.
func (e *Engine) Remove(id uint64) {
	for i := range e.waiting {
		if e.waiting[i].id == id {
			e.waiting = append(e.waiting[:i], e.waiting[i+1:]...)
			return
		}
	}
	for i := range e.running {
		if e.running[i].id == id {
			e.running = append(e.running[:i], e.running[i+1:]...)
			if i < len(e.chunks) {
				e.chunks = append(e.chunks[:i], e.chunks[i+1:]...)
			}
			return
		}
	}
}

// NextWake returns the end of the step under way.
func (e *Engine) NextWake() (Instant, bool) { return e.ends, e.busy }

// Step ends the step under way if now has reached its end, appends what it did to out, and
// begins the next one. It is called at NextWake; called late, the next step begins late,
// as an engine does that was kept waiting.
func (e *Engine) Step(now Instant, out []Progress) []Progress {
	if !e.busy || now < e.ends {
		return out
	}
	kept := e.running[:0]
	for i := range e.running {
		s := e.running[i]
		if i < len(e.chunks) && e.chunks[i] > 0 {
			s.read += e.chunks[i]
			if !s.decoding() {
				kept = append(kept, s)
				continue
			}
		} else if !s.decoding() {
			kept = append(kept, s)
			continue
		}
		s.made++
		s.prompt++ // its own output is context from here on
		s.read++
		done := s.made >= s.want
		out = append(out, Progress{ID: s.id, Tokens: s.made, Done: done})
		if !done {
			kept = append(kept, s)
		}
	}
	e.running = kept
	out = e.preempt(out)
	e.begin(now)
	return out
}

// memory is the KV tokens held by running sequences.
func (e *Engine) memory() int64 {
	var n int64
	for i := range e.running {
		n += e.running[i].read
	}
	return n
}

// preempt sets back the newest sequences until the next step's tokens fit.
func (e *Engine) preempt(out []Progress) []Progress {
	for len(e.running) > 1 && e.memory()+int64(len(e.running)) > e.p.KV {
		last := len(e.running) - 1
		s := e.running[last]
		e.running = e.running[:last]
		s.read = 0
		e.waiting = append([]sequence{s}, e.waiting...)
		out = append(out, Progress{ID: s.id, Tokens: s.made, Preempted: true})
	}
	return out
}

// begin plans the next step: admits what fits, shares the chunk budget in order of
// arrival, and computes when the step ends.
func (e *Engine) begin(now Instant) {
	mem := e.memory()
	for len(e.waiting) > 0 && len(e.running) < e.p.MaxBatch {
		s := e.waiting[0]
		if len(e.running) > 0 && mem+s.prompt+1 > e.p.KV {
			break
		}
		mem += s.prompt
		e.running = append(e.running, s)
		e.waiting = e.waiting[1:]
	}
	e.chunks = e.chunks[:0]
	budget, prefill, context, decoding := e.p.Chunk, int64(0), int64(0), int64(0)
	for i := range e.running {
		s := &e.running[i]
		n := int64(0)
		if s.decoding() {
			decoding++
			context += s.read
		} else {
			n = min(s.prompt-s.read, budget)
			budget -= n
			prefill += n
		}
		e.chunks = append(e.chunks, n)
	}
	e.busy = len(e.running) > 0
	if !e.busy {
		return
	}
	ps := e.p.Step + e.p.PrefillToken*prefill + e.p.ContextToken*context + e.p.Sequence*decoding + e.fraction
	e.fraction = ps % 1000
	e.ends = now + Instant(ps/1000)
}
