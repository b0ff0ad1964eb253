// Package perf is the model of an inference engine with continuous batching, in integers
// and without a clock: one step of the engine takes
//
//	Step + PrefillToken x prompt tokens read + ContextToken x tokens of context held + Sequence x sequences decoding
//
// and in it every running sequence that has read its prompt produces one token. Prompts
// are read in chunks under a budget, first come first served; sequences share a memory of
// KV tokens, and when it is full the newest is set back and reads again what it had.
// Source of the form: the four-coefficient model of the published engine simulators
// (Vidur, BLIS); of the figures: see Profiles.
//
// The simulated engine sleeps on it, and a simulator can jump on it: NextWake is the end of the step that runs.
package perf

import (
	"errors"
	"fmt"
	"slices"
)

// Instant is a moment in nanoseconds from any origin.
type Instant int64

// Profile is an engine with its coefficients, in picoseconds, so that microseconds of a
// fraction per token stay exact.
type Profile struct {
	Name   string
	Source string

	Step         int64 // ps per step, whatever it does
	PrefillToken int64 // ps per prompt token read
	ContextToken int64 // ps per token of context of the decoding sequences
	Sequence     int64 // ps per decoding sequence

	MaxBatch int   // sequences that run at once
	Chunk    int64 // prompt tokens read in one step at most
	KV       int64 // tokens that the memory holds
}

const (
	micro = 1_000_000     // ps
	milli = 1_000_000_000 // ps
)

// Profiles are engines with published coefficients, ordered by name. "instant" takes no
// time at all, for tests; "demo" is quick enough to watch.
var Profiles = []Profile{
	{Name: "demo", Source: "chosen to be pleasant to watch, not measured", Step: 18 * milli, PrefillToken: 40 * micro, Sequence: 60 * micro, MaxBatch: 64, Chunk: 2048, KV: 500_000},
	{Name: "instant", Source: "no engine: for tests", MaxBatch: 4096, Chunk: 1 << 40, KV: 1 << 40},
	{Name: "llama-2-7b/a10g", Source: "VTC artifact cost_profile.json, 16 points", Step: 16_300 * micro, PrefillToken: 213 * micro, ContextToken: 2_020_000, Sequence: 245 * micro, MaxBatch: 64, Chunk: 8192, KV: 10_000},
	{Name: "llama-3.1-8b/a100-80", Source: "BLIS defaults.yaml, vLLM 0.8.4", Step: 16_400 * micro, PrefillToken: 47_800_000, Sequence: 18 * micro, MaxBatch: 256, Chunk: 8192, KV: 400_000},
	{Name: "llama-3.1-8b/rtx-4090", Source: "LLMServingSim ground-truth runs, vLLM 0.19", Step: 16_300 * micro, PrefillToken: 85 * micro, ContextToken: 210_000, Sequence: 27 * micro, MaxBatch: 256, Chunk: 8192, KV: 41_408},
	{Name: "llama-3.1-8b/rtx-pro-6000", Source: "LLMServingSim ground-truth runs, vLLM 0.19", Step: 13_100 * micro, PrefillToken: 41_700_000, ContextToken: 52_000, Sequence: 61 * micro, MaxBatch: 256, Chunk: 8192, KV: 500_000},
	{Name: "llama-3.3-70b/4xh100", Source: "BLIS defaults.yaml, vLLM 0.8.4", Step: 12_600 * micro, PrefillToken: 76_400_000, Sequence: 67 * micro, MaxBatch: 256, Chunk: 8192, KV: 500_000},
}

// Named returns the profile with the name.
func Named(name string) (Profile, error) {
	for _, p := range Profiles {
		if p.Name == name {
			return p, nil
		}
	}
	var names []string
	for _, p := range Profiles {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return Profile{}, fmt.Errorf("no engine profile %q; there are %q", name, names)
}

// Validate refuses coefficients that cannot be an engine.
func (p *Profile) Validate() error {
	var errs []error
	if p.Step < 0 || p.PrefillToken < 0 || p.ContextToken < 0 || p.Sequence < 0 {
		errs = append(errs, errors.New("coefficients must not be negative"))
	}
	if p.MaxBatch < 1 || p.Chunk < 1 || p.KV < 1 {
		errs = append(errs, errors.New("batch, chunk and KV memory must be at least 1"))
	}
	return errors.Join(errs...)
}
