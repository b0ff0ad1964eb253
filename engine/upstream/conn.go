package upstream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// bufferSize is a connection's buffer while it is in use; an idle one has none.
const bufferSize = 8 << 10

// inlineBody is the largest body that is copied behind its head instead of being written from where it lies.
const inlineBody = 4 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// conn is one connection. Between get and put it belongs to one call.
type conn struct {
	nc   net.Conn
	pool *pool
	addr *address

	raw   syscall.RawConn // nil when the connection is no socket
	peek  func(fd uintptr) bool
	quiet bool // result of peek
	read  func(fd uintptr) bool
	got   int // results of read
	fault error

	abort     func() // closes the connection; safe at any time
	idleSince time.Time
	reused    bool

	fixed *[bufferSize]byte // from the pool
	buf   []byte            // fixed, or a larger one for a large head
	r, w  int               // unread bytes are buf[r:w]

	vector net.Buffers
}

// acquire gives the connection a buffer.
func (c *conn) acquire() {
	c.fixed = buffers.Get().(*[bufferSize]byte)
	c.buf, c.r, c.w = c.fixed[:], 0, 0
}

func (c *conn) release() {
	if c.fixed != nil {
		buffers.Put(c.fixed)
	}
	c.fixed, c.buf, c.vector, c.r, c.w = nil, nil, nil, 0, 0
}

// alive reports whether an idle connection is still open and silent.
func (c *conn) alive() bool {
	if c.raw == nil {
		return true
	}
	if c.nc.SetDeadline(time.Time{}) != nil { // an old deadline would fail the look
		return false
	}
	c.quiet = false
	return c.raw.Read(c.peek) == nil && c.quiet
}

func (c *conn) peekFD(fd uintptr) bool {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	c.quiet = n <= 0 && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK))
	return true
}

// write sends the request: prefix is the client's own header lines.
func (c *conn) write(req *Request, path, prefix string) error {
	size := req.size()
	b := c.buf[:0]
	b = append(b, req.Method...)
	b = append(b, ' ')
	b = append(b, path...)
	b = append(b, req.Path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = append(b, prefix...)
	for _, f := range req.Header {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	if req.Trace.Parent != "" {
		b = append(append(append(b, "traceparent: "...), req.Trace.Parent...), "\r\n"...)
		if req.Trace.State != "" {
			b = append(append(append(b, "tracestate: "...), req.Trace.State...), "\r\n"...)
		}
	}
	if len(req.Body) > 0 || req.Method == http.MethodPost {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, size, 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	if size <= inlineBody {
		for _, part := range req.Body {
			b = append(b, part...)
		}
		_, err := c.nc.Write(b)
		return err
	}
	c.vector = append(append(make(net.Buffers, 0, 1+len(req.Body)), b), req.Body...)
	_, err := c.vector.WriteTo(c.nc)
	return err
}

// fill reads more bytes behind the unread ones. It may move them.
func (c *conn) fill() error {
	if c.r == c.w && c.raw != nil {
		return c.refill()
	}
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) {
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		} else {
			c.buf = append(c.buf, make([]byte, len(c.buf))...) // parse.go's bounds stop this
		}
	}
	n, err := c.nc.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// refill reads into an empty buffer, which the connection gives away while there is nothing to read.
func (c *conn) refill() error {
	c.r, c.w = 0, 0
	c.got, c.fault = 0, nil
	if err := c.raw.Read(c.read); err != nil {
		return err
	}
	c.w = c.got
	if c.got == 0 && c.fault == nil {
		return io.EOF
	}
	return c.fault
}

// readFD is one attempt to read; false waits until the socket can be read.
func (c *conn) readFD(fd uintptr) bool {
	if c.fixed == nil {
		c.acquire()
	}
	for {
		n, err := syscall.Read(int(fd), c.buf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			c.release()
			return false
		case err != nil:
			c.fault = os.NewSyscallError("read", err)
		default:
			c.got = n
		}
		return true
	}
}
