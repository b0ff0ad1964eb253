package perf

import (
	"testing"

	"pgregory.net/rapid"
)

// run lets the engine work until it is idle and returns when each sequence gave its first and last token.
func run(t interface{ Fatalf(string, ...any) }, e *Engine) (first, last map[uint64]Instant, tokens int64) {
	first, last = map[uint64]Instant{}, map[uint64]Instant{}
	for range 1_000_000 {
		at, ok := e.NextWake()
		if !ok {
			return first, last, tokens
		}
		for _, p := range e.Step(at, nil) {
			if p.Preempted {
				continue
			}
			tokens++
			if p.Tokens == 1 {
				first[p.ID] = at
			}
			if p.Done {
				last[p.ID] = at
			}
		}
	}
	t.Fatalf("the engine never became idle")
	return nil, nil, 0
}

// One sequence alone: the first token after step + prefill x prompt, each further one
// after step + sequence + context x (what is held).
func TestOneSequence(t *testing.T) {
	p := Profile{Step: 10 * milli, PrefillToken: 50 * micro, Sequence: 200 * micro, MaxBatch: 8, Chunk: 4096, KV: 100_000}
	e := New(p)
	e.Add(0, 1, 1000, 100)
	first, last, _ := run(t, e)
	if want := Instant(10_000_000 + 50_000*1000); first[1] != want {
		t.Errorf("first token at %d, want %d", first[1], want)
	}
	if got, want := last[1]-first[1], Instant(99*(10_000_000+200_000)); got != want {
		t.Errorf("99 further tokens took %d, want %d", got, want)
	}
}

func TestPromptIsReadInChunks(t *testing.T) {
	e := New(Profile{Step: milli, PrefillToken: micro, MaxBatch: 8, Chunk: 100, KV: 100_000})
	e.Add(0, 1, 1000, 1)
	first, _, _ := run(t, e)
	if want := Instant(10*1_000_000 + 1000*1000); first[1] != want { // ten steps
		t.Errorf("first token at %d, want %d", first[1], want)
	}
}

// n sequences of long outputs together: n tokens a step.
func TestThroughputAtTheBatchLimit(t *testing.T) {
	p := Profile{Step: 10 * milli, Sequence: milli, MaxBatch: 16, Chunk: 1 << 30, KV: 1 << 30}
	e := New(p)
	for i := range 64 {
		e.Add(0, uint64(i), 1, 1000)
	}
	_, last, tokens := run(t, e)
	var end Instant
	for _, at := range last {
		end = max(end, at)
	}
	// Four waves of 1000 steps of 10 + 16 ms, but for the steps that read prompts.
	if want := Instant(4 * 1000 * 26_000_000); end > want || end < want-4*26_000_000 {
		t.Errorf("ended at %d, want about %d", end, want)
	}
	if tokens != 64*1000 {
		t.Errorf("%d tokens, want %d", tokens, 64*1000)
	}
}

// Whatever comes and goes, each sequence yields exactly the tokens it asked for, in order, and
// memory is never over its limit.
func TestTokensAreConserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Profile{
			Step: rapid.Int64Range(0, 5*milli).Draw(t, "step"), PrefillToken: rapid.Int64Range(0, micro).Draw(t, "prefill"),
			ContextToken: rapid.Int64Range(0, 1000).Draw(t, "context"), Sequence: rapid.Int64Range(0, micro).Draw(t, "sequence"),
			MaxBatch: rapid.IntRange(1, 6).Draw(t, "batch"), Chunk: rapid.Int64Range(1, 64).Draw(t, "chunk"), KV: rapid.Int64Range(40, 120).Draw(t, "kv"),
		}
		e := New(p)
		want := map[uint64]int64{}
		for i := range uint64(rapid.IntRange(1, 8).Draw(t, "calls")) {
			prompt, out := rapid.Int64Range(1, 20).Draw(t, "prompt"), rapid.Int64Range(1, 20).Draw(t, "out")
			if e.Add(0, i, prompt, out) {
				want[i] = out
			}
		}
		got := map[uint64]int64{}
		for range 100_000 {
			at, ok := e.NextWake()
			if !ok {
				break
			}
			if e.memory() > p.KV {
				t.Fatalf("%d tokens of memory held, the limit is %d", e.memory(), p.KV)
			}
			for _, pr := range e.Step(at, nil) {
				if pr.Preempted {
					continue
				}
				if pr.Tokens != got[pr.ID]+1 {
					t.Fatalf("sequence %d: token %d follows %d", pr.ID, pr.Tokens, got[pr.ID])
				}
				got[pr.ID] = pr.Tokens
			}
		}
		for id, n := range want {
			if got[id] != n {
				t.Fatalf("sequence %d gave %d tokens, want %d", id, got[id], n)
			}
		}
	})
}

func TestPublishedProfilesAreValid(t *testing.T) {
	for _, p := range Profiles {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.Source == "" {
			t.Errorf("%s has no source", p.Name)
		}
	}
}
