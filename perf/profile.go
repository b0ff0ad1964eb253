package perf

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Instant is a moment, or a duration, in nanoseconds.
type Instant int64

// Profile is an engine with its coefficients.
type Profile struct {
	Name   string
	Source string // where the coefficients were published

	Step         int64 // ps per step, whatever it does: the weights are read once
	PrefillToken int64 // ps per prompt token read
	ContextToken int64 // ps per token of context held by the decoding sequences
	Sequence     int64 // ps per decoding sequence

	MaxBatch  int   // sequences that run at once (vLLM: max_num_seqs)
	Chunk     int64 // tokens of one step, decoded and read (vLLM: max_num_batched_tokens)
	KV        int64 // tokens that the memory holds
	Block     int64 // tokens of a block of memory; 0 means 1
	Recompute int64 // thousandths of a preempted sequence's tokens that are read again; the rest is found in the prefix cache

	Measured Range // where the coefficients were measured
}

// Range is where coefficients were measured. What is outside of it is a guess. A member of zero is not known.
type Range struct {
	Least   int   `json:"least,omitzero"`   // sequences that decoded at once, at least
	Most    int   `json:"most,omitzero"`    // and at most
	Prompt  int64 `json:"prompt,omitzero"`  // tokens of the longest prompt
	Context int64 `json:"context,omitzero"` // tokens of context that the sequences of a step held together
}

func (r *Range) valid() bool {
	return r.Least >= 0 && r.Most >= 0 && r.Prompt >= 0 && r.Context >= 0 && (r.Most == 0 || r.Least <= r.Most)
}

// Slots are how many calls of a mix an engine is given at once, so that it stays where its coefficients were measured: at most MaxBatch, and those that
// fit into the memory at their full length.
func (p *Profile) Slots(m Mix) int {
	m = m.atLeastOne()
	n := p.Fits(m)
	if p.Measured.Most > 0 {
		n = min(n, p.Measured.Most)
	}
	if c := p.Measured.Context; c > 0 {
		n = int(min(int64(n), c/addSat(m.Input, m.Output/2))) // calls are half way through their answers in the mean
	}
	return n
}

// Covers says in which way calls of a mix are outside of where the coefficients were measured, however few there are at once; nil for within, or where
// that is not known.
func (p *Profile) Covers(m Mix) error {
	m = m.atLeastOne()
	switch r := &p.Measured; {
	case r.Prompt > 0 && m.Input > r.Prompt:
		return fmt.Errorf("the coefficients of %s were measured with prompts of up to %d tokens, and the mean one here has %d", p.Name, r.Prompt, m.Input)
	case r.Context > 0 && addSat(m.Input, m.Output/2) > r.Context:
		return fmt.Errorf("the coefficients of %s were measured with up to %d tokens of context, and a mean call here has %d", p.Name, r.Context, addSat(m.Input, m.Output/2))
	}
	return nil
}

const (
	micro = 1_000_000     // ps
	milli = 1_000_000_000 // ps

	permille = 1000
	psPerNs  = 1000
)

// The longest step that a profile may describe: an hour, far below where an int64 of picoseconds ends.
const maxStep = 3600 * 1000 * milli

// Validate refuses what cannot be an engine, and coefficients that are a degenerate fit.
func (p *Profile) Validate() error {
	var errs []error
	if p.Step < 0 || p.PrefillToken < 0 || p.ContextToken < 0 || p.Sequence < 0 {
		errs = append(errs, errors.New("coefficients must not be negative"))
	}
	if p.MaxBatch < 1 || p.Chunk < 1 || p.KV < 1 || p.Block < 0 {
		errs = append(errs, errors.New("batch, chunk and KV memory must be at least 1"))
	}
	if p.Chunk < int64(p.MaxBatch) {
		errs = append(errs, fmt.Errorf("a step of %d tokens has no room for a batch of %d sequences", p.Chunk, p.MaxBatch))
	}
	if p.Recompute < 0 || p.Recompute > permille {
		errs = append(errs, errors.New("the share recomputed must be between 0 and 1000 thousandths"))
	}
	if !p.Measured.valid() {
		errs = append(errs, errors.New("the range that the coefficients were measured in ends before it begins, or is negative"))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if p.Step < p.PrefillToken || p.Step < p.Sequence || p.Step < p.ContextToken {
		return errors.New("a step costs less than one token or sequence in it, although it reads all weights: the coefficients are a degenerate fit")
	}
	longest := addSat(addSat(p.Step, mulSat(p.PrefillToken, p.Chunk)), addSat(mulSat(p.ContextToken, p.KV), mulSat(p.Sequence, int64(p.MaxBatch))))
	if longest > maxStep {
		return errors.New("the longest possible step is over an hour")
	}
	return nil
}

// block is the size of a block of memory.
func (p *Profile) block() int64 { return max(p.Block, 1) }

// blocks returns the blocks that hold n tokens.
func (p *Profile) blocks(n int64) int64 { return divUp(n, p.block()) }

// capacity is the memory in blocks.
func (p *Profile) capacity() int64 { return p.KV / p.block() }

// need is what a sequence holds at most, in blocks: its last token is given out and not kept.
func (p *Profile) need(prompt, output int64) int64 { return p.blocks(addSat(prompt, output-1)) }

func divUp(a, b int64) int64 { return a/b + min(a%b, 1) }

// mulSat multiplies what is not negative, and stays at the largest value where it would overflow.
func mulSat(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(lo)
}

func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// mulDiv returns a x b / c, rounded up, of what is not negative; it stays at the largest value where that would overflow.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return math.MaxInt64
	}
	q, r := bits.Div64(hi, lo, uint64(c))
	if q >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(q) + int64(min(r, 1))
}
