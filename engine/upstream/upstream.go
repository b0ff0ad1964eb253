package upstream

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
)

// Field is one header field.
type Field struct{ Name, Value string }

// Config describes one upstream.
type Config struct {
	// BaseURL is "http://host:port/prefix" or https; a request's Path is appended to it.
	BaseURL string
	// Header is sent with every request, after Host.
	Header   []Field
	Timeouts engine.Timeouts

	MaxIdle     int           // idle connections kept per address; 0 means 256
	IdleTimeout time.Duration // how long a connection may lie idle; 0 means 60 s
	Refresh     time.Duration // how often a name is looked up again (plain http only); 0 means 10 s

	// Address pins the name to one address: nothing is looked up. TLS and Host keep the name.
	Address netip.Addr
	// RootCAs verifies https servers; nil means the system's.
	RootCAs *x509.CertPool
	// NetHTTP forces net/http for plain http addresses too.
	NetHTTP bool
	// Dial replaces the dialer and, for plain http, Lookup the resolver, for tests and unusual networks.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Request is one call. Its memory must stay unchanged until Do has failed, or until the
// response was read to its end or closed.
type Request struct {
	Method string
	Path   string // appended to the base URL's path: raw, escaped, with query; begins with a slash
	Header []Field
	// Body is sent as the concatenation of its parts, so that a splice needs no copy.
	Body [][]byte
	// Stream says that the response is a stream of events, to which the token phases apply.
	Stream bool
	// Timeouts go before those of Config, each that is set.
	Timeouts engine.Timeouts
	// Resend lets the request be written once more when it met the end of a kept connection, as every GET is. It is for what the scheduler
	// does not know of; an attempt of a call is never made again in here.
	Resend bool
	// Trace is sent along as traceparent and tracestate.
	Trace infer.TraceContext
}

// Client sends requests to one upstream.
type Client interface {
	// Do returns when the response's head has come. Errors are of kind Unavailable (refused,
	// broken or malformed), Timeout or Canceled. A status of any value is a response.
	Do(ctx context.Context, req *Request) (*Response, error)
	// Close fails the calls under way and closes all connections.
	Close() error
}

// New returns the client for the address in cfg.
func New(cfg Config) (Client, error) {
	u, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("upstream address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("upstream address %q: want http://host or https://host", u.Redacted())
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("upstream address %q: credentials, query and fragment are not allowed", u.Redacted())
	}
	for _, f := range cfg.Header {
		if err := checkField(f); err != nil {
			return nil, err
		}
	}
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = 256
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Minute
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = 10 * time.Second
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		return nil, fmt.Errorf("proxy settings: %w", err)
	}
	if u.Scheme == "https" || proxy != nil && cfg.Dial == nil && !cfg.Address.IsValid() || cfg.NetHTTP {
		return newNetHTTP(cfg, u), nil
	}
	return newDirect(cfg, u), nil
}

// Response is an answer under way. Close must always be called; it may be called more
// than once, and closes the connection unless the body was read to its end.
type Response struct {
	Status        int
	ContentLength int64 // -1 when not known

	head string      // the raw header lines, of the direct client
	std  http.Header // of the net/http client
	body body

	phases *phases // of the call; the body enforces them
}

type body interface {
	read(p []byte) (int, error)
	// ready reports whether bytes can be read without waiting, after waiting for some if it is told to.
	ready(wait bool) (bool, error)
	within(d time.Duration)
	drain()
	close() error
}

// Header returns the first value of the named header, "" when absent.
func (r *Response) Header(name string) string {
	if r.std != nil {
		return r.std.Get(name)
	}
	rest := r.head
	for rest != "" {
		var line string
		line, rest, _ = strings.Cut(rest, "\r\n")
		key, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(key, name) {
			return strings.Trim(value, " \t")
		}
	}
	return ""
}

// Read reads from the body. It returns io.EOF at its end; other errors are of kind StreamFailed,
// Timeout or Canceled.
func (r *Response) Read(p []byte) (int, error) { return r.body.read(p) }

// Await returns when Read will not wait for more than framing, or with Read's error. While it waits, a connection of
// the direct client holds no buffer, so that thousands of streams may be silent at little cost.
func (r *Response) Await() error {
	_, err := r.body.ready(true)
	return err
}

// Buffered reports whether bytes of the body can be read without waiting.
func (r *Response) Buffered() bool {
	ready, _ := r.body.ready(false)
	return ready
}

// Progress tells that a token has come, which ends the first-token phase and starts
// the bound between tokens anew.
func (r *Response) Progress() { r.phases.progress() }

// Within bounds the rest of the body by a time from now, where the call's own limits leave
// it more. It is for bodies that are read to say why a call has failed.
func (r *Response) Within(d time.Duration) { r.body.within(d) }

// Drain is called after the protocol's own last event: it reads what may be left of the
// body's framing, for a bounded time and size, so that the connection can be used again.
func (r *Response) Drain() { r.body.drain() }

// Close releases the connection.
func (r *Response) Close() error { return r.body.close() }

// readStep bounds how much memory a Content-Length alone can claim.
const readStep = 1 << 20

// ReadAll appends the rest of the body to dst, which grows with what really comes.
// More than limit bytes are an error of kind ModelFailed.
func (r *Response) ReadAll(dst []byte, limit int64) ([]byte, error) {
	start := len(dst)
	if n := r.ContentLength; n > 0 && int64(cap(dst)-start) <= n {
		dst = append(make([]byte, 0, int64(start)+min(n, readStep, limit)+1), dst...)
	}
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.body.read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if int64(len(dst)-start) > limit {
			return dst[:start], fault.Newf(fault.ModelFailed, "The model's answer is larger than %d bytes.", limit)
		}
		if err != nil {
			if isEOF(err) {
				err = nil
			}
			return dst, err
		}
	}
}

// size returns the length of the body.
func (r *Request) size() int64 {
	var n int64
	for _, part := range r.Body {
		n += int64(len(part))
	}
	return n
}

// checkField rejects what could end a header line early or be read in two ways.
func checkField(f Field) error {
	if !validName(f.Name) || !validValue(f.Value) {
		return fmt.Errorf("header %q: not a valid name or value", f.Name)
	}
	if reserved(f.Name) {
		return fmt.Errorf("header %q is set by the client itself", f.Name)
	}
	return nil
}

// reserved reports whether a header frames the message or is about the connection.
func reserved(name string) bool {
	switch len(name) {
	case 2, 4, 7, 10, 14, 15, 17: // the lengths below
	default:
		return false
	}
	switch strings.ToLower(name) {
	case "te", "host", "trailer", "upgrade", "connection", "content-length", "accept-encoding", "transfer-encoding":
		return true
	default:
		return false
	}
}
