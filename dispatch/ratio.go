package dispatch

import "sync/atomic"

// defaultBytesPerToken is what a model starts with before the first settled call: about
// four bytes of English text a token, the customary rule of thumb.
const defaultBytesPerToken = 4000 // thousandths of a byte

// ratio learns the bytes of prompt text per input token of one model from settled
// calls. Long prompts teach more than short ones, whose template tokens dominate. It is
// safe for concurrent use.
type ratio struct{ milli atomic.Int64 }

// minLearnTokens keeps prompts that are mostly template out of the average.
const minLearnTokens = 16

// estimate returns the input tokens to expect for textBytes of prompt and media tokens,
// at least 1.
func (r *ratio) estimate(textBytes, mediaTokens int64) int64 {
	per := r.milli.Load()
	if per == 0 {
		per = defaultBytesPerToken
	}
	return max(1, (textBytes*1000+per-1)/per+mediaTokens)
}

// learn moves the ratio one sixteenth of the way to what a settled call showed. Values
// outside a quarter byte to 64 bytes a token are engine errors, not text.
func (r *ratio) learn(textBytes, tokens int64) {
	if tokens < minLearnTokens || textBytes == 0 {
		return
	}
	seen := textBytes * 1000 / tokens
	if seen < 250 || seen > 64_000 {
		return
	}
	per := r.milli.Load()
	if per == 0 {
		r.milli.CompareAndSwap(0, seen)
		return
	}
	r.milli.CompareAndSwap(per, per+(seen-per)/16)
}
