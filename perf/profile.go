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
