package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"forebay/fault"
)

// netHTTP is the client for TLS, HTTP/2 and proxies.
type netHTTP struct {
	cfg       Config
	base      *url.URL
	path      string
	transport *http.Transport

	mu     sync.Mutex
	calls  map[*netCall]struct{}
	closed bool
}

func newNetHTTP(cfg Config, u *url.URL) *netHTTP {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialWithin(cfg),
		TLSHandshakeTimeout:    cfg.Timeouts.Connect,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    cfg.MaxIdle,
		IdleConnTimeout:        cfg.IdleTimeout,
		MaxResponseHeaderBytes: maxHead,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	if cfg.Address.IsValid() {
		t.DialContext, t.Proxy = pinned(t.DialContext, cfg.Address), nil
	}
	return &netHTTP{
		cfg: cfg, base: u, path: strings.TrimRight(u.EscapedPath(), "/"),
		transport: t, calls: map[*netCall]struct{}{},
	}
}

// pinned dials the one address, whatever the name is.
func pinned(dial func(ctx context.Context, network, address string) (net.Conn, error), ip netip.Addr) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return dial(ctx, network, net.JoinHostPort(ip.String(), port))
	}
}

// dialWithin returns the dialer, bound to the connect phase.
func dialWithin(cfg Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	}
	if cfg.Timeouts.Connect <= 0 {
		return dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Connect)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// Close implements Client.
func (c *netHTTP) Close() error {
	c.mu.Lock()
	c.closed = true
	for call := range c.calls {
		call.cancel(errClientClosed)
	}
	c.mu.Unlock()
	c.transport.CloseIdleConnections()
	return nil
}

// errPhase is the cause with which a call's own timer cancels it.
var errPhase = errors.New("phase limit passed")

// Do implements Client.
func (c *netHTTP) Do(ctx context.Context, req *Request) (*Response, error) {
	if err := checkRequest(req); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	call := &netCall{client: c, outer: ctx, sent: lend(req), phases: newPhases(req.Timeouts.Over(c.cfg.Timeouts), req.Stream, time.Now())}
	inner, cancel := context.WithCancelCause(ctx)
	call.cancel = cancel
	if !c.enter(call) {
		cancel(nil)
		return nil, broken(errClientClosed, false)
	}
	hr, err := c.request(inner, req, call.sent)
	if err != nil {
		call.leave()
		return nil, fault.Wrap(fault.Internal, err, "")
	}
	call.arm(call.phases.start(time.Now()))
	res, err := c.transport.RoundTrip(hr)
	if err == nil && !strings.EqualFold(cmp.Or(res.Header.Get("Content-Encoding"), "identity"), "identity") {
		_ = res.Body.Close()
		err = framing("content encoding that was not asked for")
	}
	if err != nil {
		err = call.failed(err, false)
		call.leave()
		return nil, err
	}
	call.body = res.Body
	return &Response{Status: res.StatusCode, ContentLength: res.ContentLength, std: res.Header, body: call, phases: &call.phases}, nil
}

func (c *netHTTP) enter(call *netCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.calls[call] = struct{}{}
	}
	return !c.closed
}

func (c *netHTTP) request(ctx context.Context, req *Request, body *lent) (*http.Request, error) {
	target := c.base.Scheme + "://" + c.base.Host + c.path + req.Path
	hr, err := http.NewRequestWithContext(ctx, req.Method, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	if body.size > 0 {
		hr.ContentLength, hr.Body = body.size, body.reader()
		hr.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
	}
	hr.Header["Accept-Encoding"] = []string{"identity"}
	hr.Header["User-Agent"] = nil
	for _, f := range c.cfg.Header {
		hr.Header.Set(f.Name, f.Value)
	}
	for _, f := range req.Header {
		hr.Header.Set(f.Name, f.Value)
	}
	if req.Trace.Parent != "" {
		hr.Header.Set("Traceparent", req.Trace.Parent)
		if req.Trace.State != "" {
			hr.Header.Set("Tracestate", req.Trace.State)
		}
	}
	return hr, nil
}

// netCall is the body of a net/http response. Its timer stands for the deadline that
// the direct client has on its connection.
type netCall struct {
	client *netHTTP
	outer  context.Context //nolint:containedctx // the call
	cancel context.CancelCauseFunc
	timer  *time.Timer
	phases phases
	sent   *lent
	body   io.ReadCloser
	err    error
}

func (n *netCall) arm(deadline time.Time) {
	if n.timer != nil {
		n.timer.Stop()
		n.timer = nil
	}
	if !deadline.IsZero() {
		n.timer = time.AfterFunc(time.Until(deadline), func() { n.cancel(errPhase) })
	}
}

func (n *netCall) leave() {
	n.arm(time.Time{})
	n.cancel(nil)
	n.sent.back()
	n.client.mu.Lock()
	delete(n.client.calls, n)
	last := n.client.closed && len(n.client.calls) == 0
	n.client.mu.Unlock()
	if last { // an HTTP/2 connection is idle only now
		n.client.transport.CloseIdleConnections()
	}
}

func (n *netCall) failed(err error, inBody bool) error {
	switch {
	case n.outer.Err() != nil:
		return ended(n.outer)
	case errors.Is(err, errPhase) || isPhase(n):
		return n.phases.expired(time.Now(), err)
	case isTimeout(err) && !inBody:
		return timedOut(phaseConnect, err)
	}
	return broken(err, inBody)
}

// isPhase reports whether the call's own timer has fired; its timer is the only one to cancel with errPhase.
func isPhase(n *netCall) bool {
	return !n.phases.deadline.IsZero() && !time.Now().Before(n.phases.deadline)
}

func (n *netCall) end(err error) error {
	n.err = err
	_ = n.body.Close()
	n.leave()
	return err
}

func (n *netCall) read(p []byte) (int, error) {
	if n.err != nil {
		return 0, n.err
	}
	if n.phases.moved && n.phases.due(time.Now()) {
		n.arm(n.phases.deadline)
	}
	got, err := n.body.Read(p)
	if err == nil {
		return got, nil
	}
	if err != io.EOF { //nolint:errorlint // bare
		err = n.failed(err, true)
	}
	err = n.end(err)
	if got > 0 {
		return got, nil
	}
	return 0, err
}

func (n *netCall) ready(bool) (bool, error) { return false, nil }

func (n *netCall) within(d time.Duration) {
	if n.err == nil {
		n.phases.limit(time.Now().Add(d))
		n.arm(n.phases.deadline)
	}
}

func (n *netCall) drain() {
	if n.err != nil {
		return
	}
	n.phases.moved = false
	n.arm(time.Now().Add(drainFor))
	var sink [512]byte
	for seen := 0; seen < drainSize; {
		got, err := n.read(sink[:])
		if err != nil {
			return
		}
		seen += got
	}
}

func (n *netCall) close() error {
	if n.err == nil {
		_ = n.end(fault.New(fault.Canceled, "The response was closed."))
	}
	return nil
}
