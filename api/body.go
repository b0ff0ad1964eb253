package api

import (
	"errors"
	"io"
	"math/bits"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"forebay/fault"
)

// Budget bounds the bytes of request bodies that are in memory at one time, over all
// calls. It is safe for concurrent use.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of limit bytes; 0 or less means no bound.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Used returns the bytes held now.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.limit && b.limit > 0 {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) give(n int64) { b.used.Add(-n) }

// Buffers of bodies are pooled by size, a step being twice the one before: what a long stream lets go of (Drop) is
// no larger than about twice its body. Larger ones are left to the collector, or a burst of large bodies would pin
// memory for ever. They are an eighth over powers of two, because net/http's buffers of 2 and 4 KB, which live as long
// as their connection, would lie between them: what thousands of streams let go of would be holes and not pages to return.
const (
	smallestBuffer = 10 // 1 KB
	largestBuffer  = 16 // 64 KB
	// believedLength is the longest body that is given its room before it has come.
	believedLength = 256 << 10
	// unknownLength is the first room of other bodies.
	unknownLength = 8 << 10
)

var bodyPools [largestBuffer + 1]sync.Pool

// roomOf returns the size of the buffers of a class.
func roomOf(class int) int64 { return 9 << (class - 3) }

// buffer returns an empty buffer with room for n bytes at least.
func buffer(n int64) *[]byte {
	class := smallestBuffer
	for class <= largestBuffer && roomOf(class) < n {
		class++
	}
	if class <= largestBuffer {
		if b, ok := bodyPools[class].Get().(*[]byte); ok {
			return b
		}
		n = roomOf(class)
	}
	b := make([]byte, 0, n)
	return &b
}

// reuse gives a buffer of buffer back. One that is larger than its class, as that of a long body is, is none: the next body would be
// counted with the room of another.
func reuse(b *[]byte) {
	if class := bits.Len64(uint64(cap(*b))) - 1; class >= smallestBuffer && class <= largestBuffer && int64(cap(*b)) == roomOf(class) {
		*b = (*b)[:0]
		bodyPools[class].Put(b)
	}
}

// Body is a request body in a pooled buffer. It is valid until Release.
type Body struct {
	Bytes  []byte
	ref    *[]byte
	budget *Budget
	taken  int64
}

// ReadBody reads a request's body of at most limit bytes within the budget. A body over
// the limit is TooLarge, one that the budget cannot hold is Overloaded, one that breaks
// off is Malformed. The buffer grows as bytes arrive, so that a false Content-Length costs
// at most a buffer of believedLength bytes.
func ReadBody(r *http.Request, limit int64, budget *Budget) (*Body, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	b := &Body{budget: budget}
	first := int64(unknownLength)
	if r.ContentLength >= 0 && r.ContentLength < believedLength {
		first = r.ContentLength + 1 // so that the end is seen without another buffer
	}
	if err := b.grow(first); err != nil {
		return nil, err
	}
	for {
		if len(b.Bytes) == cap(b.Bytes) {
			if err := b.grow(2 * int64(cap(b.Bytes))); err != nil {
				b.Release()
				return nil, err
			}
		}
		n, err := r.Body.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		if int64(len(b.Bytes)) > limit {
			b.Release()
			return nil, tooLarge(limit)
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			b.Release()
			e := fault.Wrap(fault.Malformed, err, "The request body could not be read in full.")
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, e.WithReason("the body did not arrive within server.body_timeout")
			}
			return nil, e
		}
	}
}

// Release returns the buffer; Bytes must not be used afterwards. It may be called twice.
func (b *Body) Release() {
	if b.ref == nil {
		return
	}
	*b.ref = b.Bytes
	reuse(b.ref)
	b.ref, b.Bytes = nil, nil
	b.budget.give(b.taken)
	b.taken = 0
}

// Drop forgets the buffer without reusing it, while somebody may still read it: the
// collector frees it when nobody does. Long streams must not hold their request.
func (b *Body) Drop() {
	b.ref, b.Bytes = nil, nil
	b.budget.give(b.taken)
	b.taken = 0
}

func (b *Body) reserve(n int64) error {
	if !b.budget.take(n) {
		return fault.New(fault.Overloaded, "Too many large requests are in flight, please wait before trying again.").
			WithReason("the budget for request bodies in memory is used up; raise server.body_budget or send fewer large bodies at once")
	}
	b.taken += n
	return nil
}

// grow moves the body to a buffer for size bytes at least.
func (b *Body) grow(size int64) error {
	next := buffer(size)
	if err := b.reserve(int64(cap(*next) - cap(b.Bytes))); err != nil {
		reuse(next)
		return err
	}
	body := (*next)[:len(b.Bytes)]
	copy(body, b.Bytes)
	if b.ref != nil {
		*b.ref = b.Bytes
		reuse(b.ref)
	}
	b.ref, b.Bytes = next, body
	return nil
}

func tooLarge(limit int64) error {
	return fault.Newf(fault.TooLarge, "The request body is larger than the limit of %d bytes.", limit)
}
