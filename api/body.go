package api

import (
	"errors"
	"io"
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

const (
	firstRead = 8 << 10
	// keepBuffer is the largest buffer that goes back to the pool; larger ones are left to the
	// collector, or a burst of large bodies would pin memory for ever.
	keepBuffer = 256 << 10
)

var bodyPool = sync.Pool{New: func() any { b := make([]byte, 0, firstRead); return &b }}

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
// at most a buffer of keepBuffer bytes.
func ReadBody(r *http.Request, limit int64, budget *Budget) (*Body, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	b := &Body{ref: bodyPool.Get().(*[]byte), budget: budget}
	b.Bytes = (*b.ref)[:0]
	if err := b.reserve(int64(cap(b.Bytes))); err != nil {
		b.Release()
		return nil, err
	}
	if r.ContentLength > int64(cap(b.Bytes)) && r.ContentLength <= keepBuffer {
		if err := b.grow(int(r.ContentLength) + 1); err != nil {
			b.Release()
			return nil, err
		}
	}
	for {
		if len(b.Bytes) == cap(b.Bytes) {
			if err := b.grow(2 * cap(b.Bytes)); err != nil {
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
	if cap(b.Bytes) <= keepBuffer {
		*b.ref = b.Bytes[:0]
		bodyPool.Put(b.ref)
	}
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

func (b *Body) grow(size int) error {
	if err := b.reserve(int64(size - cap(b.Bytes))); err != nil {
		return err
	}
	next := make([]byte, len(b.Bytes), size)
	copy(next, b.Bytes)
	b.Bytes = next
	return nil
}

func tooLarge(limit int64) error {
	return fault.Newf(fault.TooLarge, "The request body is larger than the limit of %d bytes.", limit)
}
