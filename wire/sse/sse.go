// Package sse reads server-sent events (WHATWG HTML, section 9.2). It is on the path of
// every streamed token, so a reader allocates nothing per event: what it returns is valid
// until the next call.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Bounds of one event.
const (
	// MaxEvent bounds the data of one event; a model's largest legitimate event is an
	// image of a few megabytes.
	MaxEvent = 16 << 20
	readSize = 16 << 10
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

// Reader reads the events of a stream. It is not safe for concurrent use.
type Reader struct {
	r    *bufio.Reader
	name []byte
	data []byte
	long []byte // a line that outgrew the buffer

	begun bool // the first line has been read
}

// NewReader returns a reader of the events of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, readSize)} }

// NewReaderSize is NewReader with a read buffer of n bytes, for sources that buffer themselves.
func NewReaderSize(r io.Reader, n int) *Reader { return &Reader{r: bufio.NewReaderSize(r, n)} }

// Reset makes the reader read the events of r from now on, so that readers can be pooled.
// What a large event left behind is given up.
func (r *Reader) Reset(src io.Reader) {
	r.r.Reset(src)
	r.begun = false
	for _, b := range []*[]byte{&r.name, &r.data, &r.long} {
		if *b = (*b)[:0]; cap(*b) > keepSize {
			*b = nil
		}
	}
}

// Buffered reports whether an event with data lies in the buffer in full, so that Next will
// not wait. It may report false although Next would not.
func (r *Reader) Buffered() bool {
	b, _ := r.r.Peek(r.r.Buffered())
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

// line returns the next line without its end (LF or CR LF; a lone CR, which the standard allows and nobody sends, is not an end).
func (r *Reader) line() ([]byte, error) {
	r.long = r.long[:0]
	for {
		chunk, err := r.r.ReadSlice('\n')
		if err == nil && len(r.long) == 0 {
			return trimEnd(chunk), nil
		}
		if len(r.long)+len(chunk) > MaxEvent {
			return nil, ErrTooLong
		}
		r.long = append(r.long, chunk...)
		switch {
		case err == nil:
			return trimEnd(r.long), nil
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return nil, err
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
