// Package containerclient speaks to containers by the SageMaker contract: GET /ping says whether one can answer, POST /invocations takes and
// returns bytes of any type, in one piece or as they come. What they mean is between the caller and the container: nothing is looked into, converted, spliced or counted.
//
// A status of 4xx or 5xx is the container's own answer and comes back as ModelFailed with that status and its text, but for 429 (Overloaded) and 503
// (Unavailable), by which it says that another replica may do better.
package containerclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"forebay/engine"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
)

// DefaultMaxBody bounds an answer in one piece: the 25 MB of a real-time endpoint.
const DefaultMaxBody = 25 << 20

// Config describes a container.
type Config struct {
	Upstream upstream.Config
	Ping     string // the path of its probe; "" means /ping
	Invoke   string // the path of calls; "" means /invocations
	MaxBody  int64  // of an answer in one piece, in bytes; 0 means DefaultMaxBody
	// Answers are the header fields of the container that come back with an answer.
	Answers []string
}

// Client implements engine.Client.
type Client struct {
	cfg Config
	up  upstream.Client
}

var _ engine.Client = (*Client)(nil)

// New returns a client of the container.
func New(cfg Config) (*Client, error) {
	if cfg.Ping == "" {
		cfg.Ping = "/ping"
	}
	if cfg.Invoke == "" {
		cfg.Invoke = "/invocations"
	}
	for _, p := range []string{cfg.Ping, cfg.Invoke} {
		if !strings.HasPrefix(p, "/") {
			return nil, fmt.Errorf("path %q: it begins with a slash", p)
		}
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	up, err := upstream.New(cfg.Upstream)
	return &Client{cfg: cfg, up: up}, err
}

// Close implements engine.Client.
func (c *Client) Close() error { return c.up.Close() }

// Speaks implements engine.Client.
func (c *Client) Speaks(d infer.Dialect) bool { return d == infer.DialectOpaque }

// Probe implements engine.Client: the contract wants status 200.
func (c *Client) Probe(ctx context.Context) error {
	res, err := c.up.Do(ctx, &upstream.Request{Method: http.MethodGet, Path: c.cfg.Ping})
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		return failure(res)
	}
	_, err = res.ReadAll(nil, maxText) // to its end, so that the connection is kept
	_ = res.Close()
	return err
}

// Infer implements engine.Client.
func (c *Client) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if req.Dialect != infer.DialectOpaque || req.Opaque == nil {
		return nil, fault.New(fault.Unsupported, "The endpoint's container takes its own bodies alone, through InvokeEndpoint.")
	}
	header, err := fields(req)
	if err != nil {
		return nil, err
	}
	res, err := c.up.Do(ctx, &upstream.Request{
		Method: http.MethodPost, Path: c.cfg.Invoke, Header: header, Body: [][]byte{req.Body}, Stream: req.Stream, Timeouts: req.Timeouts, Trace: req.Propagate,
	})
	if err != nil {
		return nil, err
	}
	if res.Status < 200 || res.Status > 299 {
		return nil, failure(res)
	}
	head := infer.Head{Model: req.UpstreamModel, PassThrough: true, Opaque: c.describe(res)}
	if req.Stream {
		return infer.NewResponse(head, &chunks{res: res}), nil
	}
	body, err := res.ReadAll(nil, c.cfg.MaxBody)
	_ = res.Close()
	if err != nil {
		if e := fault.From(err); e.Kind == fault.StreamFailed { // nothing of it has gone out
			return nil, fault.Wrap(fault.Unavailable, e, e.Message)
		}
		return nil, err
	}
	return infer.NewResponse(head, &infer.EventSlice{List: []infer.Event{{Kind: infer.EventResult, Raw: body, Last: true}}}), nil
}

// fields are the headers of a call.
func fields(req *infer.Request) ([]upstream.Field, error) {
	out := []upstream.Field{{Name: "Content-Type", Value: req.Opaque.ContentType}, {Name: "Accept", Value: req.Opaque.Accept}}
	for _, h := range req.Opaque.Header {
		out = append(out, upstream.Field(h))
	}
	if req.ID != "" {
		out = append(out, upstream.Field{Name: "X-Request-Id", Value: req.ID})
	}
	kept := out[:0]
	for _, f := range out {
		switch {
		case f.Value == "":
			continue
		case strings.ContainsAny(f.Value, "\r\n\x00"):
			return nil, fault.Newf(fault.Invalid, "The value of %s is not one of a header.", f.Name)
		}
		kept = append(kept, f)
	}
	return kept, nil
}

// describe is what the caller is to know of an answer beside its bytes.
func (c *Client) describe(res *upstream.Response) *infer.Opaque {
	out := &infer.Opaque{ContentType: res.Header("Content-Type")}
	for _, name := range c.cfg.Answers {
		if v := res.Header(name); v != "" {
			out.Header = append(out.Header, infer.Header{Name: name, Value: v})
		}
	}
	return out
}

// maxText bounds what is read of a refusal.
const maxText = 64 << 10

// failure is a container's refusal.
func failure(res *upstream.Response) *fault.Error {
	res.Within(engine.DefaultPingTimeout)
	text, err := res.ReadAll(nil, maxText)
	_ = res.Close()
	if fault.KindOf(err) == fault.Canceled && err != nil {
		return fault.From(err)
	}
	kind, message := fault.ModelFailed, "The model answered with an error."
	switch {
	case res.Status == http.StatusTooManyRequests:
		kind, message = fault.Overloaded, "The model is overloaded."
	case res.Status == http.StatusServiceUnavailable || res.Status < 400:
		kind, message = fault.Unavailable, "The model is unavailable."
	}
	e := fault.New(kind, message)
	e.OriginalStatus, e.OriginalMessage = res.Status, strings.ToValidUTF8(string(text), "\uFFFD")
	return e
}

// chunks is an answer as it comes.
type chunks struct {
	res *upstream.Response
	buf []byte
	err error
	ev  infer.Event
}

// chunkSize bounds the bytes of one event.
const chunkSize = 32 << 10

// Next implements infer.Events.
func (s *chunks) Next() (*infer.Event, error) {
	for s.err == nil {
		if s.err = s.res.Await(); s.err != nil {
			break
		}
		if s.buf == nil {
			s.buf = make([]byte, chunkSize)
		}
		var n int
		n, s.err = s.res.Read(s.buf)
		if n == 0 {
			continue
		}
		s.res.Progress()
		s.ev = infer.Event{Kind: infer.EventRaw, Raw: s.buf[:n]}
		return &s.ev, nil
	}
	if errors.Is(s.err, io.EOF) {
		return nil, io.EOF
	}
	return nil, s.err
}

// Ready says whether bytes are there.
func (s *chunks) Ready() bool { return s.err == nil && s.res.Buffered() }

// Close implements infer.Events.
func (s *chunks) Close() error {
	if s.err == nil {
		s.err = fault.New(fault.Canceled, "The response was closed.")
	}
	return s.res.Close()
}
