package upstream

import (
	"errors"
	"io"
	"sync"
)

// lent is the memory of a request's body while net/http has it. The transport may go on
// reading a body after its response has come or its call has failed; back takes the memory out of
// its hands, so that the caller can use it for something else. It is safe for concurrent use.
type lent struct {
	mu    sync.Mutex
	parts [][]byte // nil when taken back
	size  int64
}

func lend(req *Request) *lent { return &lent{parts: req.Body, size: req.size()} }

// reader returns a body that reads the memory from its start.
func (l *lent) reader() io.ReadCloser { return &lentReader{lent: l} }

func (l *lent) back() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parts = nil
}

// lentReader belongs to one goroutine at a time. It has no WriteTo, with which the memory
// itself would be handed on.
type lentReader struct {
	lent *lent
	part int
	at   int   // in the part
	read int64 // of all
}

var errTakenBack = errors.New("the call is over")

// Read implements io.Reader.
func (r *lentReader) Read(p []byte) (int, error) {
	r.lent.mu.Lock()
	defer r.lent.mu.Unlock()
	if r.read == r.lent.size {
		return 0, io.EOF
	}
	if r.lent.parts == nil {
		return 0, errTakenBack
	}
	n := 0
	for n < len(p) && r.part < len(r.lent.parts) {
		k := copy(p[n:], r.lent.parts[r.part][r.at:])
		n, r.at = n+k, r.at+k
		if r.at == len(r.lent.parts[r.part]) {
			r.part, r.at = r.part+1, 0
		}
	}
	r.read += int64(n)
	return n, nil
}

// Close implements io.Closer.
func (*lentReader) Close() error { return nil }
