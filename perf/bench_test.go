package perf

import "testing"

// BenchmarkStep is a live engine's work per step at a full batch.
func BenchmarkStep(b *testing.B) {
	p, _ := Named("llama-3.1-8b/a100-80")
	e, id := New(p), uint64(0)
	var out []Progress
	b.ReportAllocs()
	for b.Loop() {
		for r, w := e.Load(); r+w < p.MaxBatch; r++ {
			at, _ := e.NextWake()
			e.Add(at, id, 500, 300)
			id++
		}
		at, _ := e.NextWake()
		out = e.Step(at, out[:0])
	}
}

// BenchmarkJump is a simulator's work per request, with about 40 of them in the engine.
func BenchmarkJump(b *testing.B) {
	p, _ := Named("llama-3.1-8b/rtx-pro-6000")
	e := New(p)
	var out []Progress
	var now Instant
	var id uint64
	const gap = 200_000_000
	b.ReportAllocs()
	for b.Loop() {
		for at, busy := e.NextChange(); busy && at <= now; at, busy = e.NextChange() {
			out = e.Step(at, out[:0])
		}
		out = e.Step(now, out[:0])
		e.Add(now, id, 1000, 300)
		id++
		now += gap
	}
}
