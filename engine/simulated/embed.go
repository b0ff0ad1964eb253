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
		res.Embeddings = append(res.Embeddings, infer.Embedding{Floats: vector(e.hash(input, 0), size)})
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
