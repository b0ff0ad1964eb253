package perf

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// record is what became of the sequences of a run.
type record struct {
	First, Last map[uint64]Instant
	Tokens      map[uint64]int64
	Set         []Progress // preemptions in order
}

func newRecord() *record {
	return &record{First: map[uint64]Instant{}, Last: map[uint64]Instant{}, Tokens: map[uint64]int64{}}
}

func (r *record) take(list []Progress) {
	for _, p := range list {
		switch {
		case p.Preempted:
			r.Set = append(r.Set, p)
			continue
		case p.First:
			r.First[p.ID] = p.At
		}
		if p.Done {
			r.Last[p.ID] = p.At
		}
		r.Tokens[p.ID] = p.Tokens
	}
}

// run steps the engine until it is idle.
func run(t testing.TB, e *Engine) *record {
	t.Helper()
	r := newRecord()
	for range 10_000_000 {
		at, ok := e.NextChange()
		if !ok {
			return r
		}
		r.take(e.Step(at, nil))
	}
	t.Fatal("the engine never became idle")
	return nil
}

// plain is an engine without limits that matter.
var plain = Profile{Step: 10 * milli, PrefillToken: 50 * micro, ContextToken: 3 * micro, Sequence: 200 * micro, MaxBatch: 8, Chunk: 4096, KV: 100_000}

// One sequence alone: the first token after step + prefill x prompt; the k-th further one
// takes step + sequence + context x (prompt + k).
func TestOneSequence(t *testing.T) {
	e := New(plain)
	e.Add(0, 1, 1000, 100)
	r := run(t, e)
	if want := Instant(10_000_000 + 50_000*1000); r.First[1] != want {
		t.Errorf("first token at %d, want %d", r.First[1], want)
	}
	if got, want := r.Last[1]-r.First[1], Instant(99*(10_000_000+200_000+3_000*1000)+3_000*99*100/2); got != want {
		t.Errorf("99 further tokens took %d, want %d", got, want)
	}
}

// A prompt longer than the budget of a step takes ceil(prompt / budget) steps.
func TestPromptIsReadInChunks(t *testing.T) {
	e := New(Profile{Step: milli, PrefillToken: micro, MaxBatch: 8, Chunk: 100, KV: 100_000})
	e.Add(0, 1, 1001, 1)
	r := run(t, e)
	if want := Instant(11*1_000_000 + 1001*1000); r.First[1] != want {
		t.Errorf("first token at %d, want %d", r.First[1], want)
	}
}

// Decoding sequences come before prompts in the budget of a step, and prompts in order of arrival.
func TestDecodingIsNotHeldUpByAPrompt(t *testing.T) {
	p := Profile{Step: milli, PrefillToken: micro, MaxBatch: 8, Chunk: 10, KV: 100_000}
	e := New(p)
	e.Add(0, 1, 10, 100)
	r := newRecord()
	at, _ := e.NextWake()
	r.take(e.Step(at, nil))
	e.Add(at, 2, 90, 1)
	e.Add(at, 3, 9, 1)
	for range 11 {
		at, _ = e.NextWake()
		r.take(e.Step(at, nil))
	}
	// The step under way at the arrival is followed by ten of 1 token decoded and 9 read, one of them for the third.
	if r.Tokens[1] != 12 || r.Tokens[2] != 1 || r.Tokens[3] != 0 {
		t.Fatalf("tokens %v", r.Tokens)
	}
	at, _ = e.NextWake()
	r.take(e.Step(at, nil))
	if r.Tokens[3] != 1 {
		t.Errorf("the third sequence has %d tokens", r.Tokens[3])
	}
}

// n sequences of long outputs together: n tokens a step.
func TestThroughputAtTheBatchLimit(t *testing.T) {
	e := New(Profile{Step: 10 * milli, Sequence: milli, MaxBatch: 16, Chunk: 1 << 30, KV: 1 << 30})
	e.Add(0, 99, 1, 1) // while it is answered the others come together
	for i := range uint64(64) {
		e.Add(0, i, 1, 1001)
	}
	r := run(t, e)
	var end Instant
	for _, at := range r.Last {
		end = max(end, at)
	}
	// Four waves, each of a step of 10 ms that reads and 1000 of 10 + 16 ms; the reading of
	// a wave falls into its own step, as the wave before it has ended.
	if want := Instant(10_000_000 + 4*(10_000_000+1000*26_000_000)); end != want {
		t.Errorf("ended at %d, want %d", end, want)
	}
}

// Two sequences that do not fit together to their ends: the newer one is set back, loses
// nothing that it gave out, and reads again its share.
func TestNewestIsSetBack(t *testing.T) {
	for _, recompute := range []int64{permille, 0} {
		p := Profile{Step: milli, PrefillToken: micro, MaxBatch: 8, Chunk: 1000, KV: 160, Block: 16, Recompute: recompute}
		e := New(p)
		e.Add(0, 99, 1, 1)  // one step, in which both come
		e.Add(0, 1, 64, 48) // holds 111 in the end
		e.Add(0, 2, 64, 48)
		r := run(t, e)
		if len(r.Set) != 1 || r.Set[0].ID != 2 {
			t.Fatalf("set back: %+v", r.Set)
		}
		// Ten blocks: five for each until they hold 80. The 18th step needs a sixth for each.
		if s := r.Set[0]; s.Tokens != 17 {
			t.Errorf("set back after %d tokens, want 17", s.Tokens)
		}
		if r.Tokens[1] != 48 || r.Tokens[2] != 48 {
			t.Errorf("tokens %v", r.Tokens)
		}
		// It is admitted again when the first has ended: 48 steps. It has to read 64 + 17
		// tokens less the cached ones, in the same step, and produces 31 tokens.
		again := int64(64 + 17)
		if recompute == 0 {
			again = 1 // 80 tokens, five whole blocks, are found
		}
		want := Instant((1+48+31)*1_000_000 + (1+2*64+again)*1000)
		if recompute == 0 {
			want -= 1000 // one token to read is no different from decoding
		}
		if r.Last[2] != want {
			t.Errorf("recompute %d: ended at %d, want %d", recompute, r.Last[2], want)
		}
	}
}

func TestWhatCannotFitIsNotTaken(t *testing.T) {
	e := New(Profile{Step: milli, MaxBatch: 2, Chunk: 10, KV: 100})
	if e.Add(0, 1, 91, 11) {
		t.Error("101 tokens were taken into a memory of 100")
	}
	if !e.Add(0, 2, 90, 11) {
		t.Error("100 tokens and one that is not kept were not taken")
	}
	if r := run(t, e); r.Tokens[2] != 11 {
		t.Errorf("tokens %v", r.Tokens)
	}
}

func TestRemoveFreesMemoryAtOnce(t *testing.T) {
	e := New(Profile{Step: milli, MaxBatch: 2, Chunk: 100, KV: 100, Block: 10})
	e.Add(0, 1, 60, 10)
	e.Add(0, 2, 60, 10) // waits
	if r, w := e.Load(); r != 1 || w != 1 {
		t.Fatalf("%d run and %d wait", r, w)
	}
	if free, limit := e.Memory(); free != 40 || limit != 100 {
		t.Errorf("%d of %d free", free, limit)
	}
	if !e.Remove(1) || e.Remove(1) {
		t.Error("removing must succeed once")
	}
	if free, _ := e.Memory(); free != 100 {
		t.Errorf("%d free", free)
	}
	if r := run(t, e); r.Tokens[1] != 0 || r.Tokens[2] != 10 {
		t.Errorf("tokens %v", r.Tokens)
	}
}

// draw is a profile small enough that every limit is met, and a timetable.
func draw(t *rapid.T) (Profile, []arrival) {
	chunk := rapid.Int64Range(6, 64).Draw(t, "chunk")
	p := Profile{
		Step: rapid.Int64Range(0, 5*milli).Draw(t, "step"), PrefillToken: rapid.Int64Range(0, micro).Draw(t, "prefill"),
		ContextToken: rapid.Int64Range(0, 1000).Draw(t, "context"), Sequence: rapid.Int64Range(0, micro).Draw(t, "sequence"),
		MaxBatch: rapid.IntRange(1, 6).Draw(t, "batch"), Chunk: chunk, KV: rapid.Int64Range(40, 160).Draw(t, "kv"),
		Block: rapid.Int64Range(0, 8).Draw(t, "block"), Recompute: rapid.Int64Range(0, permille).Draw(t, "recompute"),
	}
	var list []arrival
	at := Instant(0)
	for i := range uint64(rapid.IntRange(1, 12).Draw(t, "calls")) {
		at += Instant(rapid.Int64Range(0, 20_000_000).Draw(t, "gap"))
		a := arrival{at: at, id: i, in: rapid.Int64Range(1, 40).Draw(t, "in"), out: rapid.Int64Range(1, 60).Draw(t, "out")}
		if rapid.IntRange(0, 4).Draw(t, "cancel") == 0 {
			a.leaves = at + Instant(rapid.Int64Range(0, 100_000_000).Draw(t, "stay"))
		}
		list = append(list, a)
	}
	return p, list
}

// arrival is a sequence that comes and, where leaves is set, is removed if it is still there.
type arrival struct {
	at, leaves Instant
	id         uint64
	in, out    int64
}

// drive runs a timetable; next says when to step.
func drive(t interface{ Fatalf(string, ...any) }, e *Engine, list []arrival, next func(*Engine) (Instant, bool)) (*record, map[uint64]bool) {
	type event struct {
		at  Instant
		arr *arrival
		off bool
	}
	var events []event
	for i := range list {
		events = append(events, event{at: list[i].at, arr: &list[i]})
		if list[i].leaves > 0 {
			events = append(events, event{at: list[i].leaves, arr: &list[i], off: true})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	r, taken := newRecord(), map[uint64]bool{}
	for range 1_000_000 {
		at, busy := next(e)
		if len(events) > 0 && (!busy || events[0].at < at) {
			at = events[0].at
		} else if !busy {
			return r, taken
		}
		r.take(e.Step(at, nil))
		for len(events) > 0 && events[0].at == at {
			if ev := events[0]; ev.off {
				e.Remove(ev.arr.id)
			} else if e.Add(at, ev.arr.id, ev.arr.in, ev.arr.out) {
				taken[ev.arr.id] = true
			}
			events = events[1:]
		}
	}
	t.Fatalf("the engine never became idle")
	return nil, nil
}

func sameInstants(a, b map[uint64]Instant) bool {
	if len(a) != len(b) {
		return false
	}
	for id, at := range a {
		if b[id] != at {
			return false
		}
	}
	return true
}

// Whoever steps over many steps at once sees, to the nanosecond, what one sees who takes
// them one by one, and so does one who looks only when something arrives.
func TestJumpingEqualsStepping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, list := draw(t)
		stepped, _ := drive(t, New(p), list, (*Engine).NextWake)
		jumped, _ := drive(t, New(p), list, (*Engine).NextChange)
		far := func(e *Engine) (Instant, bool) {
			_, busy := e.NextWake()
			return 1 << 60, busy
		}
		late, _ := drive(t, New(p), list, far)
		for name, r := range map[string]*record{"jumping": jumped, "looking late": late} {
			if !sameInstants(stepped.First, r.First) || !sameInstants(stepped.Last, r.Last) || !slices.Equal(stepped.Set, r.Set) {
				t.Fatalf("%s differs:\n%+v\n%+v", name, stepped, r)
			}
		}
	})
}

// Whatever comes and goes, memory and batch stay within their limits, tokens come one by
// one and none twice, and whoever stays gets all that it asked for.
func TestTokensAreConserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, list := draw(t)
		tokens := map[uint64]int64{}
		p.Step = max(p.Step, micro) // so that no two steps end at one instant
		e := New(p)
		watch := func(e *Engine) (Instant, bool) {
			if free, _ := e.Memory(); free < 0 {
				t.Fatalf("%d tokens of memory free", free)
			}
			if n, _ := e.Load(); n > p.MaxBatch {
				t.Fatalf("%d sequences run, the limit is %d", n, p.MaxBatch)
			}
			at, busy := e.NextWake()
			for _, s := range e.running {
				if n := tokens[s.id]; s.made != n && s.made != n+1 {
					t.Fatalf("sequence %d: %d tokens follow %d", s.id, s.made, n)
				}
				tokens[s.id] = s.made
			}
			return at, busy
		}
		r, taken := drive(t, e, list, watch)
		for _, a := range list {
			_, done := r.Last[a.id]
			if taken[a.id] && a.leaves == 0 && (!done || r.Tokens[a.id] != a.out) {
				t.Fatalf("sequence %d gave %d tokens of %d", a.id, r.Tokens[a.id], a.out)
			}
			if r.Tokens[a.id] > a.out {
				t.Fatalf("sequence %d gave %d tokens of %d", a.id, r.Tokens[a.id], a.out)
			}
		}
	})
}

// With one sequence at a time, Poisson arrivals and equal work the engine is an M/D/1
// queue: the mean wait is rho / (2 (1 - rho)) services, by Pollaczek and Khinchine.
func TestSingleServerQueue(t *testing.T) {
	const service, calls, runs = 10_000_000, 20_000, 30
	for _, c := range []struct{ rho, wait float64 }{{0.5, 0.5}, {0.8, 2}} {
		rnd := rand.New(rand.NewPCG(1, 2))
		var sum float64
		for range runs {
			e := New(Profile{Step: 10 * milli, MaxBatch: 1, Chunk: 10, KV: 10})
			var at float64
			list := make([]arrival, calls)
			for i := range list {
				at += rnd.ExpFloat64() * service / c.rho
				list[i] = arrival{at: Instant(at), id: uint64(i), in: 1, out: 1}
			}
			r, _ := drive(t, e, list, (*Engine).NextChange)
			for _, a := range list {
				sum += float64(r.Last[a.id]-a.at)/service - 1
			}
		}
		if got := sum / (runs * calls); got < c.wait*0.97 || got > c.wait*1.03 {
			t.Errorf("load %.1f: mean wait %.3f services, want %.3f", c.rho, got, c.wait)
		}
	}
}
