package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"forebay/engine"
	"forebay/fault"
)

const (
	// staleWindow is how soon after the request a reused connection must have turned out
	// closed to have been closed before. Later the engine had the request and died of it.
	staleWindow = time.Second
	// sendBase and sendRate bound the writing of a large body.
	sendBase = 30 * time.Second
	sendRate = 256 << 10 // bytes/s
	// drainFor and drainSize bound how long Drain waits for the end of the framing.
	drainFor  = 20 * time.Millisecond
	drainSize = 16 << 10
	// answerFor is how long an answer is waited for after the request could not be written.
	answerFor = 100 * time.Millisecond
)

var errStale = errors.New("connection was closed by the peer")

// direct is the HTTP/1.1 client for plain http.
type direct struct {
	cfg    Config
	pool   *pool
	path   string // of the base URL, without a slash at the end
	prefix string // header lines of every request
}

func newDirect(cfg Config, u *url.URL) *direct {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	d := &direct{cfg: cfg, pool: newPool(cfg, u.Hostname(), port), path: strings.TrimRight(u.EscapedPath(), "/")}
	var b strings.Builder
	b.WriteString("Host: " + u.Host + "\r\nAccept-Encoding: identity\r\n")
	for _, f := range cfg.Header {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	d.prefix = b.String()
	return d
}

// Close implements Client.
func (d *direct) Close() error {
	d.pool.close()
	return nil
}

// Do implements Client.
func (d *direct) Do(ctx context.Context, req *Request) (*Response, error) {
	if err := checkRequest(req); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	ph := newPhases(req.Timeouts.Over(d.cfg.Timeouts), req.Stream, time.Now())
	for fresh := false; ; fresh = true {
		c, err := d.pool.get(ctx, fresh, ph.total)
		if err != nil {
			return nil, err
		}
		x := &exchange{ctx: ctx, conn: c, phases: ph}
		x.stop = context.AfterFunc(ctx, c.abort)
		err = x.begin(req, d.path, d.prefix)
		if err == nil {
			return &x.resp, nil
		}
		x.finish(false)
		if err != errStale { //nolint:errorlint // returned bare by begin
			return nil, err
		}
		d.pool.forget(c.addr)
		if !req.Resend && req.Method != http.MethodGet {
			e := broken(err, false)
			e.Code = engine.StaleConnection
			return nil, e
		}
	}
}

// checkRequest guards against a path or header that would split the request or frame it anew.
func checkRequest(req *Request) error {
	if req.Path == "" || req.Path[0] != '/' {
		return fault.Newf(fault.Internal, "request path %q", req.Path)
	}
	for i := range len(req.Path) {
		if c := req.Path[i]; c <= ' ' || c >= 0x7f {
			return fault.Newf(fault.Internal, "request path %q", req.Path)
		}
	}
	for _, f := range req.Header {
		if !validName(f.Name) || !validValue(f.Value) || reserved(f.Name) {
			return fault.Newf(fault.Internal, "request header %q", f.Name)
		}
	}
	if !validValue(req.Trace.Parent) || !validValue(req.Trace.State) {
		return fault.New(fault.Internal, "request trace context")
	}
	return nil
}

// exchange is one request and its response on a connection.
type exchange struct {
	resp    Response
	ctx     context.Context //nolint:containedctx // the exchange is the call
	conn    *conn           // nil when finished
	stop    func() bool
	phases  phases
	decoder decoder
	partial bool  // the request was not written in full
	keep    bool  // the connection may be used again
	err     error // sticky, once the body has ended or failed
}

// begin writes the request and reads the response's head.
func (x *exchange) begin(req *Request, path, prefix string) error {
	c := x.conn
	c.acquire()
	sent := time.Now()
	_ = c.nc.SetDeadline(x.phases.start(sent)) // a failure shows in the write
	size := req.size()
	if size > inlineBody {
		_ = c.nc.SetWriteDeadline(x.phases.within(sent, sendBase+time.Duration(size/sendRate)*time.Second))
	}
	if err := c.write(req, path, prefix); err != nil {
		return x.refused(err, req.Method, sent)
	}
	if size > inlineBody {
		_ = c.nc.SetReadDeadline(x.phases.start(time.Now()))
	}
	return x.readHead(req.Method, sent)
}

// refused handles a request that could not be written in full. The engine may have answered
// before it hung up (413, 401), and that answer is worth more than the broken pipe.
func (x *exchange) refused(cause error, method string, sent time.Time) error {
	if x.ctx.Err() == nil && isHangup(cause) {
		_ = x.conn.nc.SetReadDeadline(time.Now().Add(answerFor))
		x.partial = true
		err := x.readHead(method, sent)
		if err == nil {
			if x.conn != nil {
				_ = x.conn.nc.SetReadDeadline(x.phases.deadline)
			}
			return nil
		}
		if err == errStale { //nolint:errorlint // returned bare
			return err
		}
	}
	if isTimeout(cause) && x.ctx.Err() == nil {
		if now := time.Now(); x.phases.deadline.IsZero() || now.Before(x.phases.deadline) {
			return timedOut(phaseSend, cause)
		}
	}
	return x.failed(cause, false)
}

func (x *exchange) readHead(method string, sent time.Time) error {
	c := x.conn
	c.r, c.w = 0, 0
	for interim := 0; ; {
		end, err := x.fillHead(sent)
		if err != nil {
			return err
		}
		raw := c.buf[c.r : c.r+end]
		h, err := parseHead(raw)
		if err == nil && h.encoded {
			err = framing("content encoding that was not asked for")
		}
		if err == nil && (h.status == 101 || interim >= maxInterim) {
			err = framing("interim response")
		}
		if err != nil {
			return x.failed(err, false)
		}
		c.r += end
		if h.status < 200 {
			interim++
			continue
		}
		x.resp = Response{
			Status: h.status, ContentLength: h.length, body: x, phases: &x.phases,
			head: string(raw[h.fields : end-2]),
		}
		x.decoder = bodyOf(&h, method)
		x.keep = !x.partial && !h.close && (h.minor == 1 || h.alive) && x.decoder.state != bodyUntilClose
		if x.decoder.state == bodyDone {
			x.resp.ContentLength = 0
			x.keep = x.keep && (method == "HEAD" || h.status == 304 || h.length <= 0 && !h.chunked)
			x.end(io.EOF)
		}
		return nil
	}
}

// fillHead reads until a whole head lies at conn.r and returns its length.
func (x *exchange) fillHead(sent time.Time) (int, error) {
	c := x.conn
	line := 0
	for {
		end, next, err := headEnd(c.buf[c.r:c.w], line)
		if err != nil {
			return 0, x.failed(err, false)
		}
		if end > 0 {
			return end, nil
		}
		line = next
		nothing := c.r == 0 && c.w == 0
		if err := c.fill(); err != nil {
			if nothing && c.reused && isHangup(err) && x.ctx.Err() == nil && time.Since(sent) < staleWindow && !c.pool.isClosed() {
				return 0, errStale
			}
			if isEOF(err) {
				err = io.ErrUnexpectedEOF
			}
			return 0, x.failed(err, false)
		}
	}
}

// failed classifies what went wrong on the connection.
func (x *exchange) failed(err error, inBody bool) error {
	switch {
	case x.ctx.Err() != nil:
		return ended(x.ctx)
	case isTimeout(err):
		return x.phases.expired(time.Now(), err)
	}
	return broken(err, inBody)
}

// finish gives the connection back or closes it. The abort that the context may already
// have started decides, too: once it runs, the connection is lost.
func (x *exchange) finish(keep bool) {
	c := x.conn
	if c == nil {
		return
	}
	x.conn = nil
	if x.stop() && keep && c.r == c.w {
		c.pool.put(c)
		return
	}
	c.pool.discard(c)
}

// end makes err the body's last word.
func (x *exchange) end(err error) {
	x.err = err
	x.finish(err == io.EOF && x.keep) //nolint:errorlint // bare
}

func (x *exchange) buffered() bool { return x.conn != nil && x.conn.r < x.conn.w }

func (x *exchange) ready(wait bool) (bool, error) {
	if x.err == nil && wait && !x.buffered() {
		if err := x.more(); err != nil {
			return false, err
		}
	}
	return x.buffered(), x.err
}

func (x *exchange) close() error {
	if x.err == nil {
		x.end(fault.New(fault.Canceled, "The response was closed."))
	}
	return nil
}

func (x *exchange) read(p []byte) (int, error) {
	if x.err != nil {
		return 0, x.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n, err := x.take(p); n > 0 || err != nil {
			return n, err
		}
		if len(p) >= bufferSize && !x.buffered() && x.decoder.plain() {
			if n, err := x.past(p); n > 0 || err != nil {
				return n, err
			}
		} else if err := x.more(); err != nil {
			return 0, err
		}
	}
}

// take copies body bytes that are at hand into p, out of as many chunks as fit.
func (x *exchange) take(p []byte) (int, error) {
	c, n := x.conn, 0
	for n < len(p) {
		used, data, err := x.decoder.step(c.buf[c.r:c.w], len(p)-n)
		c.r += used
		n += copy(p[n:], data)
		if err != nil {
			return n, x.decoded(err, n)
		}
		if len(data) == 0 {
			break
		}
	}
	return n, nil
}

// past reads an unframed body into p, past the connection's buffer.
func (x *exchange) past(p []byte) (int, error) {
	if x.decoder.state == bodyLength {
		p = p[:min(int64(len(p)), x.decoder.left)]
	}
	x.move()
	n, err := x.conn.nc.Read(p)
	_, _, _ = x.decoder.step(p[:n], n)
	if n > 0 {
		return n, nil
	}
	return 0, x.readFailed(err)
}

// decoded records what the decoder said; bytes found before it are delivered first.
func (x *exchange) decoded(err error, n int) error {
	if err != io.EOF { //nolint:errorlint // bare
		err = broken(err, true)
	}
	x.end(err)
	if n > 0 {
		return nil
	}
	return err
}

// move sets the deadline anew when an event has come since.
func (x *exchange) move() {
	if x.phases.moved && x.phases.due(time.Now()) {
		_ = x.conn.nc.SetReadDeadline(x.phases.deadline) // a failure shows in the read
	}
}

// more reads from the connection into its buffer.
func (x *exchange) more() error {
	x.move()
	if err := x.conn.fill(); err != nil {
		return x.readFailed(err)
	}
	return nil
}

func (x *exchange) readFailed(err error) error {
	if isEOF(err) {
		if x.decoder.state == bodyUntilClose && x.ctx.Err() == nil {
			x.end(io.EOF)
			return io.EOF
		}
		err = io.ErrUnexpectedEOF
	}
	err = x.failed(err, true)
	x.end(err)
	return err
}

func (x *exchange) within(d time.Duration) {
	if x.err == nil {
		x.phases.limit(time.Now().Add(d))
		_ = x.conn.nc.SetReadDeadline(x.phases.deadline) // a failure shows in the read
	}
}

func (x *exchange) drain() {
	if x.err != nil || !x.keep {
		return
	}
	deadline := time.Now().Add(drainFor)
	if !x.phases.deadline.IsZero() && x.phases.deadline.Before(deadline) {
		deadline = x.phases.deadline
	}
	x.phases.moved = false
	_ = x.conn.nc.SetReadDeadline(deadline)
	var sink [512]byte
	for seen := 0; seen < drainSize; {
		n, err := x.read(sink[:])
		if err != nil {
			return
		}
		seen += n
	}
}
