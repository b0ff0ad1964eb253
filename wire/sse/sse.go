// Package sse reads server-sent events (WHATWG HTML, section 9.2). It is on the path of
// every streamed token, so a reader allocates nothing per event: what it returns is valid
// until the next call.
package sse

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Bounds of one event.
const (
	// MaxEvent bounds the data of one event; a model's largest legitimate event is an
	// image of a few megabytes.
	MaxEvent = 16 << 20
	readSize = 8 << 10
	// keepSize is the largest buffer that Reset leaves a reader.
	keepSize = 64 << 10
)

// ErrTooLong is returned for an event over MaxEvent.
var ErrTooLong = errors.New("server-sent event over 16 MiB")

// Event is one event. Both fields are valid until the next call of Next.
type Event struct {
	Name []byte
	Data []byte
}

// Awaiter is a source that can wait for its next bytes without a buffer to put them in.
type Awaiter interface {
	// Await returns when Read will not wait, or with the error that Read would give.
	Await() error
}

var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// Reader reads the events of a stream. It is not safe for concurrent use. While it waits for a source
// that is an Awaiter, with nothing read that is not delivered, it holds no read buffer.
type Reader struct {
	src   io.Reader
	await Awaiter // src, or nil
	buf   *[readSize]byte
	r, w  int   // unread bytes are buf[r:w]
	err   error // of the last read, to be told when all bytes are
	name  []byte
	data  []byte
	long  []byte // a line that outgrew the buffer

	begun bool // the first line has been read
}

// NewReader returns a reader of the events of r.
func NewReader(r io.Reader) *Reader {
	s := new(Reader)
	s.Reset(r)
	return s
}

// Reset makes the reader read the events of src from now on, so that readers can be pooled.
// What a large event left behind is given up.
func (r *Reader) Reset(src io.Reader) {
	r.release()
	r.src, r.err, r.begun = src, nil, false
	r.await, _ = src.(Awaiter)
	for _, b := range []*[]byte{&r.name, &r.data, &r.long} {
		if *b = (*b)[:0]; cap(*b) > keepSize {
			*b = nil
		}
	}
}

func (r *Reader) release() {
	if r.buf != nil {
		buffers.Put(r.buf)
	}
	r.buf, r.r, r.w = nil, 0, 0
}

// unread returns the bytes that are in the buffer.
func (r *Reader) unread() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf[r.r:r.w]
}

// fill reads more behind the unread bytes, for which there must be room; it may move them.
func (r *Reader) fill() error {
	if r.err != nil {
		return r.err
	}
	if r.r == r.w && r.await != nil {
		r.release()
		if r.err = r.await.Await(); r.err != nil {
			return r.err
		}
	}
	if r.buf == nil {
		r.buf = buffers.Get().(*[readSize]byte) // the pool's own
	}
	if r.r > 0 {
		r.w, r.r = copy(r.buf[:], r.buf[r.r:r.w]), 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// Buffered reports whether an event with data lies in the buffer in full, so that Next will
// not wait. It may report false although Next would not.
func (r *Reader) Buffered() bool {
	b := r.unread()
	for data := false; ; {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return false
		}
		line := trimEnd(b[:i+1])
		if len(line) == 0 && data {
			return true
		}
		data = data || bytes.HasPrefix(line, dataField)
		b = b[i+1:]
	}
}

var (
	dataField = []byte("data:")
	byteOrder = []byte("\xEF\xBB\xBF") // a byte order mark, which may begin a stream
)

// Next returns the next event that has data. Comments and events without data are
// passed over. At the end it is io.EOF; an event that the end cuts off is discarded, as
// the standard demands.
func (r *Reader) Next() (Event, error) {
	r.name, r.data = r.name[:0], r.data[:0]
	seen := false
	for {
		line, err := r.line()
		if err != nil {
			return Event{}, err
		}
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, byteOrder)
		}
		if len(line) == 0 {
			if seen {
				return Event{Name: r.name, Data: r.data}, nil
			}
			r.name = r.name[:0]
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "data":
			if seen {
				r.data = append(r.data, '\n')
			}
			seen = true
			if len(r.data)+len(value) > MaxEvent {
				return Event{}, ErrTooLong
			}
			r.data = append(r.data, value...)
		case "event":
			r.name = append(r.name[:0], value...)
		}
	}
}

// line returns the next line without its end (LF or CR LF; a lone CR, which the standard allows and nobody sends, is not
// an end). It is valid until the next call.
func (r *Reader) line() ([]byte, error) {
	r.long = r.long[:0]
	for {
		b := r.unread()
		i := bytes.IndexByte(b, '\n')
		if i < 0 && len(b) < readSize {
			if err := r.fill(); err != nil {
				return nil, err
			}
			continue
		}
		if i >= 0 {
			b = b[:i+1]
		}
		r.r += len(b)
		if i >= 0 && len(r.long) == 0 {
			return trimEnd(b), nil
		}
		if len(r.long)+len(b) > MaxEvent {
			return nil, ErrTooLong
		}
		if r.long = append(r.long, b...); i >= 0 {
			return trimEnd(r.long), nil
		}
	}
}

func trimEnd(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}
