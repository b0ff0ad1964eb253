// Package fakeupstream is a scripted model server for tests: OpenAI chat completions,
// Anthropic Messages or Bedrock, over loopback or, for tests in virtual time, over pipes.
//
// A Server answers each call with the function given to Handle, which is shown the call as
// it arrived and says what goes back, byte by byte where it likes. Say is the
// short form: words, streamed or in one piece as the call asks.
package fakeupstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"forebay/infer"
)

// Payload is one payload of a stream, with its event name where the protocol has one.
type Payload struct{ Name, Data string }

// Protocol is how a family of servers frames and words its answers.
type Protocol struct {
	Name string
	// StreamType is the Content-Type of streams.
	StreamType string
	// Frame puts a payload into the stream's framing.
	Frame func(p Payload) []byte
	// End follows the last payload; nil when the last payload itself ends the stream.
	End []byte
	// Streams reports whether a call asks for a stream.
	Streams func(path string, body []byte) bool
	// Stream and Whole are the answer with the words and the usage.
	Stream func(words []string, u infer.Usage) []Payload
	Whole  func(words []string, u infer.Usage) []byte
	// Error is the body of an error response; its status and, for Bedrock, name go along.
	Error func(status int, message string) (http.Header, []byte)
	// Opens says that a stream may open before its first token is there: what Stream has
	// in front of the first word carries nothing that the model wrote.
	Opens bool
	// Idle is what a server sends to keep a stream alive that has nothing to say; nil for nothing.
	Idle []byte
	// Broken is a frame that reports an error within a stream.
	Broken func(message string) []byte
}

// Server is a running fake.
type Server struct {
	URL string
	// Dial connects to the server; use it as upstream.Config.Dial where Piped made the server.
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Protocol *Protocol

	mu      sync.Mutex
	handle  func(c *Call)
	calls   []*Call
	conns   int
	server  *http.Server
	serving sync.WaitGroup
}

// New starts a server on a loopback port; it ends with the test.
func New(tb testing.TB, p *Protocol) *Server {
	tb.Helper()
	return Listen(tb, p, "127.0.0.1:0")
}

// Listen is New on an address of the caller's choice.
func Listen(tb testing.TB, p *Protocol, at string) *Server {
	tb.Helper()
	ln, err := net.Listen("tcp", at)
	if err != nil {
		tb.Fatal(err)
	}
	s := start(p, ln)
	s.URL = "http://" + ln.Addr().String()
	tb.Cleanup(s.Close)
	return s
}

// Piped starts a server that is reached by Dial only, so that it can live in a synctest
// bubble. The caller closes it before the bubble ends.
func Piped(p *Protocol) *Server {
	ln := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s := start(p, ln)
	s.URL = "http://engine.test"
	s.Dial = ln.dial
	return s
}

func start(p *Protocol, ln net.Listener) *Server {
	s := &Server{Protocol: p}
	s.server = &http.Server{ //nolint:gosec // a test's server
		Handler: http.HandlerFunc(s.serve),
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateNew {
				s.mu.Lock()
				s.conns++
				s.mu.Unlock()
			}
		},
	}
	s.Say("Hello", " world", "!")
	s.serving.Go(func() { _ = s.server.Serve(ln) })
	return s
}

// Close ends the server and waits for calls under way.
func (s *Server) Close() {
	_ = s.server.Close()
	s.serving.Wait()
}

// Handle sets what answers the calls from now on.
func (s *Server) Handle(f func(c *Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = f
}

// SaidUsage is the usage that Say reports.
var SaidUsage = infer.Usage{Input: 11, Output: 3, CacheRead: 5}

// Say answers the calls from now on with the words, one payload each.
func (s *Server) Say(words ...string) {
	s.Handle(func(c *Call) {
		if !c.Streams() {
			c.Respond(http.StatusOK, nil, c.Protocol.Whole(words, SaidUsage))
			return
		}
		for _, p := range c.Protocol.Stream(words, SaidUsage) {
			c.Send(p)
		}
		c.End()
	})
}

// Refuse answers the calls from now on with an error.
func (s *Server) Refuse(status int, message string, header http.Header) {
	s.Handle(func(c *Call) {
		h, body := c.Protocol.Error(status, message)
		maps.Copy(h, header)
		c.Respond(status, h, body)
	})
}

// Calls returns the calls so far, in the order of their arrival.
func (s *Server) Calls() []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Call(nil), s.calls...)
}

// Conns returns how many connections have been accepted.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := &Call{
		Protocol: s.Protocol, Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header, Body: body,
		w: w, ctx: r.Context(),
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	handle := s.handle
	s.serving.Add(1) // Close waits for calls under way, which http.Server does not
	s.mu.Unlock()
	defer s.serving.Done()
	handle(c)
}

// Call is one call as it arrived, and the way to answer it.
type Call struct {
	Protocol *Protocol
	Method   string
	Target   string // path and query as on the wire
	Host     string
	Header   http.Header
	Body     []byte

	w       http.ResponseWriter
	ctx     context.Context //nolint:containedctx // ends when the client leaves
	started bool
}

// Streams reports whether the call asks for a stream.
func (c *Call) Streams() bool { return c.Protocol.Streams(c.Target, c.Body) }

// Tell sets a header of the answer, which has not begun.
func (c *Call) Tell(name, value string) { c.w.Header().Set(name, value) }

// Respond sends a whole answer.
func (c *Call) Respond(status int, header http.Header, body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	maps.Copy(h, header)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// Start sends the head of a stream.
func (c *Call) Start() {
	if !c.started {
		c.started = true
		c.w.Header().Set("Content-Type", c.Protocol.StreamType)
		c.w.WriteHeader(http.StatusOK)
		c.w.(http.Flusher).Flush()
	}
}

// Send sends a payload of a stream.
func (c *Call) Send(p Payload) { c.Write(c.Protocol.Frame(p)) }

// Write sends bytes of a stream as they are.
func (c *Call) Write(b []byte) {
	c.Start()
	_, _ = c.w.Write(b)
	c.w.(http.Flusher).Flush()
}

// End sends the protocol's end of a stream.
func (c *Call) End() {
	if c.Protocol.End != nil {
		c.Write(c.Protocol.End)
	}
}

// Gone is closed when the client has left.
func (c *Call) Gone() <-chan struct{} { return c.ctx.Done() }

// Conn takes the connection over, to answer with any bytes; the caller closes it.
func (c *Call) Conn() (net.Conn, *bufio.ReadWriter) {
	conn, rw, err := c.w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err) // HTTP/1.1 connections can always be taken over
	}
	return conn, rw
}

// pipes is a listener of in-memory connections.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// sseFrame frames a payload as a server-sent event.
func sseFrame(p Payload) []byte {
	var b bytes.Buffer
	if p.Name != "" {
		b.WriteString("event: " + p.Name + "\n")
	}
	for line := range strings.SplitSeq(p.Data, "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteString("\n")
	return b.Bytes()
}
