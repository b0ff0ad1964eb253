package simulated

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"forebay/infer"
)

// The size of a vector where the request does not say it, and the largest.
const (
	dimensions    = 1024
	maxDimensions = 1 << 14
)

// embed returns unit vectors that depend on the input and the seed alone. It takes no time.
func (e *Engine) embed(req *infer.Request) *infer.Result {
	size := int64(dimensions)
	if d := req.Embed.Dimensions; d != nil && *d > 0 {
		size = min(*d, maxDimensions)
	}
	res := &infer.Result{ID: req.ID, Model: req.UpstreamModel, Created: time.Now(), Usage: infer.Usage{Input: countInput(req)}}
	add := func(input string) {
		v := vector(e.hash(input, 0), size)
		res.Embeddings = append(res.Embeddings, infer.Embedding{Floats: v, ByType: quantized(v, req.Embed.Types)})
	}
	for _, text := range req.Embed.Inputs {
		add(text)
	}
	for _, tokens := range req.Embed.Tokens {
		var b []byte
		for _, t := range tokens {
			b = binary.LittleEndian.AppendUint64(b, uint64(t))
		}
		add(string(b))
	}
	for i := range req.Embed.Images {
		add(string(req.Embed.Images[i].Data) + req.Embed.Images[i].URI)
	}
	return res
}

// quantized are the vector's components in a byte each, the largest at the end of the range.
func quantized(v []float32, types []string) map[string][]float32 {
	out := map[string][]float32{}
	for _, t := range types {
		offset := float32(0)
		switch t {
		case "int8":
		case "uint8":
			offset = 128
		default:
			continue
		}
		var peak float32
		for _, x := range v {
			peak = max(peak, x, -x)
		}
		q := make([]float32, len(v))
		for i, x := range v {
			q[i] = float32(math.Round(float64(x/peak*127))) + offset
		}
		out[t] = q
	}
	return out
}

// vector is a unit vector: normally distributed components point in every direction alike.
func vector(seed uint64, size int64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // numbers, not secrets
	v := make([]float32, size)
	var sum float64
	for i := range v {
		x := r.NormFloat64()
		v[i] = float32(x)
		sum += x * x
	}
	norm := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= norm
	}
	return v
}
