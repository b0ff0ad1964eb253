// Package tinygguf writes small models with random weights in the GGUF format, version 3
// (llama architecture, a vocabulary of printable ASCII and the 256 byte tokens, F32), so
// that tests can drive a real engine without a download. The same parameters give the
// same bytes, and greedy decoding the same text. Byte and control tokens other
// than the end of text have zero output rows, so that the text is printable.
package tinygguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
)

// Params sizes a model. The zero value of a field means its default.
type Params struct {
	Width   int    // embedding width, 64
	Layers  int    // 2
	Heads   int    // 4
	Hidden  int    // feed-forward width, 192
	Context int    // tokens, 4096
	Seed    uint64 // 1
}

func (p Params) withDefaults() Params {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&p.Width, 64)
	set(&p.Layers, 2)
	set(&p.Heads, 4)
	set(&p.Hidden, 192)
	set(&p.Context, 4096)
	if p.Seed == 0 {
		p.Seed = 1
	}
	return p
}

// Value types of the format.
const (
	typeU32    = 4
	typeI32    = 5
	typeF32    = 6
	typeBool   = 7
	typeString = 8
	typeArray  = 9

	alignment = 32
	version   = 3
)

type tensor struct {
	name string
	dims []uint64 // fastest first
	data []float32
}

// vocabulary is the tokenizer's tables. The first printable token is at index plain.
type vocabulary struct {
	text  []string
	score []float32
	kind  []int32 // 1 normal, 2 unknown, 3 control, 6 byte
	plain int
}

const endOfText = 2

func newVocabulary() *vocabulary {
	v := &vocabulary{}
	add := func(text string, score float32, kind int32) {
		v.text, v.score, v.kind = append(v.text, text), append(v.score, score), append(v.kind, kind)
	}
	add("<unk>", 0, 2)
	add("<s>", 0, 3)
	add("</s>", 0, 3)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), 0, 6)
	}
	v.plain = len(v.text)
	add("\u2581", -1, 1) // the space of SentencePiece
	for c := '!'; c <= '~'; c++ {
		add(string(c), -float32(c), 1)
	}
	return v
}

// Write writes a model to w. It fails for sizes that make no model, and when w does.
func Write(w io.Writer, params Params) error {
	p := params.withDefaults()
	if min(p.Width, p.Layers, p.Heads, p.Hidden, p.Context) < 1 || p.Width%(2*p.Heads) != 0 {
		return fmt.Errorf("no model has these sizes: %+v (the width must be a multiple of twice the heads)", p)
	}
	voc := newVocabulary()
	tensors := weights(p, voc)
	e := &encoder{w: bufio.NewWriter(w)}
	e.header(p, voc, tensors)
	e.pad()
	for _, t := range tensors {
		e.put(t.data)
		e.pad()
	}
	if e.err != nil {
		return e.err
	}
	return e.w.Flush()
}

// weights draws the tensors. Their order is part of the format that seeds promise.
func weights(p Params, voc *vocabulary) []tensor {
	rnd := rand.New(rand.NewPCG(p.Seed, 7)) //nolint:gosec // weights need a seed, not secrecy
	normal := func(n int, std float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rnd.NormFloat64() * std)
		}
		return v
	}
	ones := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = 1
		}
		return v
	}
	d, f, n := p.Width, p.Hidden, len(voc.text)
	dd, ff, nn := uint64(d), uint64(f), uint64(n)
	std := 1 / math.Sqrt(float64(d))
	ts := []tensor{{"token_embd.weight", []uint64{dd, nn}, normal(n*d, 1)}}
	for l := range p.Layers {
		b := fmt.Sprintf("blk.%d.", l)
		ts = append(ts,
			tensor{b + "attn_norm.weight", []uint64{dd}, ones(d)},
			tensor{b + "attn_q.weight", []uint64{dd, dd}, normal(d*d, std)},
			tensor{b + "attn_k.weight", []uint64{dd, dd}, normal(d*d, std)},
			tensor{b + "attn_v.weight", []uint64{dd, dd}, normal(d*d, std)},
			tensor{b + "attn_output.weight", []uint64{dd, dd}, normal(d*d, std)},
			tensor{b + "ffn_norm.weight", []uint64{dd}, ones(d)},
			tensor{b + "ffn_gate.weight", []uint64{dd, ff}, normal(d*f, std)},
			tensor{b + "ffn_up.weight", []uint64{dd, ff}, normal(d*f, std)},
			tensor{b + "ffn_down.weight", []uint64{ff, dd}, normal(d*f, 1/math.Sqrt(float64(f)))},
		)
	}
	head := normal(n*d, 4*std)
	for i := range voc.plain {
		if i != endOfText {
			clear(head[i*d : (i+1)*d])
		}
	}
	return append(ts, tensor{"output_norm.weight", []uint64{dd}, ones(d)}, tensor{"output.weight", []uint64{dd, nn}, head})
}

// encoder writes little-endian values and remembers the first error.
type encoder struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (e *encoder) put(v any) {
	if e.err == nil {
		e.err = binary.Write(e.w, binary.LittleEndian, v)
		e.n += int64(binary.Size(v))
	}
}

func (e *encoder) str(s string) {
	e.put(uint64(len(s)))
	e.put([]byte(s))
}

func (e *encoder) pad() {
	if rest := e.n % alignment; rest != 0 {
		e.put(make([]byte, alignment-rest))
	}
}

func (e *encoder) key(name string, typ uint32) {
	e.str(name)
	e.put(typ)
}

func (e *encoder) array(name string, elem uint32, n int) {
	e.key(name, typeArray)
	e.put(elem)
	e.put(uint64(n))
}

const chatTemplate = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"

func (e *encoder) header(p Params, voc *vocabulary, tensors []tensor) {
	texts := [][2]string{
		{"general.architecture", "llama"},
		{"general.name", "tiny-random"},
		{"tokenizer.ggml.model", "llama"},
		{"tokenizer.ggml.pre", "default"},
		{"tokenizer.chat_template", chatTemplate},
	}
	numbers := []struct {
		key   string
		value int
	}{
		{"general.file_type", 0},
		{"general.alignment", alignment},
		{"llama.block_count", p.Layers},
		{"llama.context_length", p.Context},
		{"llama.embedding_length", p.Width},
		{"llama.feed_forward_length", p.Hidden},
		{"llama.attention.head_count", p.Heads},
		{"llama.attention.head_count_kv", p.Heads},
		{"llama.rope.dimension_count", p.Width / p.Heads},
		{"llama.vocab_size", len(voc.text)},
		{"tokenizer.ggml.unknown_token_id", 0},
		{"tokenizer.ggml.bos_token_id", 1},
		{"tokenizer.ggml.eos_token_id", endOfText},
	}
	flags := []struct {
		key   string
		value bool
	}{{"tokenizer.ggml.add_bos_token", true}, {"tokenizer.ggml.add_space_prefix", false}}

	const others = 4 // the epsilon and the three tables below
	e.put([]byte("GGUF"))
	e.put(uint32(version))
	e.put(uint64(len(tensors)))
	e.put(uint64(len(texts) + len(numbers) + len(flags) + others))
	for _, t := range texts {
		e.key(t[0], typeString)
		e.str(t[1])
	}
	for _, n := range numbers {
		e.key(n.key, typeU32)
		e.put(uint32(n.value))
	}
	for _, f := range flags {
		e.key(f.key, typeBool)
		e.put(f.value)
	}
	e.key("llama.attention.layer_norm_rms_epsilon", typeF32)
	e.put(float32(1e-5))
	e.tables(voc)
	e.index(tensors)
}

func (e *encoder) tables(voc *vocabulary) {
	e.array("tokenizer.ggml.tokens", typeString, len(voc.text))
	for _, t := range voc.text {
		e.str(t)
	}
	e.array("tokenizer.ggml.scores", typeF32, len(voc.score))
	e.put(voc.score)
	e.array("tokenizer.ggml.token_type", typeI32, len(voc.kind))
	e.put(voc.kind)
}

// index writes the names, shapes and offsets of the tensors.
func (e *encoder) index(tensors []tensor) {
	const f32 = 0
	var offset uint64
	for _, t := range tensors {
		e.str(t.name)
		e.put(uint32(len(t.dims)))
		e.put(t.dims)
		e.put(uint32(f32))
		e.put(offset)
		offset += (uint64(len(t.data))*4 + alignment - 1) / alignment * alignment
	}
}
