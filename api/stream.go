package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"forebay/dialect"
	"forebay/fault"
	"forebay/infer"
)

// run hands a request to the scheduler. From here on the scheduler writes the ledger row.
func run(c *Call, g *Gateway, req *infer.Request) (*infer.Response, error) {
	c.Handed = true
	resp, err := g.Infer(c.Context(), req)
	if err != nil {
		refusedWith(c, req)
	}
	return resp, err
}

// Whole runs a call without streaming and answers with one body. The API's own headers, if it has any, are set
// by also, which may be nil.
func Whole(c *Call, g *Gateway, req *infer.Request, d infer.Dialect, head dialect.Head, also func(resp *infer.Response)) error {
	resp, err := run(c, g, req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Close() }()
	served(c, &head, req, resp)
	body, err := wholeBody(resp, d, head)
	if err != nil {
		return err
	}
	if c.Witness != nil {
		c.Witness.Answer(body)
		used(c.Witness, resp)
	}
	Answer(c.W.Header(), &resp.Head)
	if also != nil {
		also(resp)
	}
	if err := c.W.Body(http.StatusOK, "application/json", body); err != nil {
		return err
	}
	if c.HTTP.ProtoMajor > 1 {
		return nil // the stream ends with the handler, and a flush would only make a frame more of it
	}
	return c.W.Flush() // the client need not wait for what the server does behind the answer
}

// wholeBody reads the answer of a call without streaming as a body of the dialect: the
// engine's own bytes when they passed through, or else the encoded result.
func wholeBody(resp *infer.Response, d infer.Dialect, head dialect.Head) ([]byte, error) {
	ev, err := resp.Next()
	if err != nil {
		return nil, err
	}
	if ev.Kind != infer.EventResult {
		return nil, fault.Newf(fault.Internal, "event of kind %d in the answer of a call without streaming", ev.Kind)
	}
	if ev.Raw != nil {
		return nameTier(restoreModel(ev.Raw, head.Model, ev.Model), d, head.Tier), nil
	}
	codec, ok := dialect.Get(d)
	if !ok {
		return nil, fault.Newf(fault.Internal, "no dialect %q", d)
	}
	return codec.EncodeResult(head, ev.Result)
}

// EventStream lays a streamed answer on the connection.
type EventStream struct {
	Framing     Framing
	ContentType string
	Dialect     infer.Dialect
	Head        dialect.Head
	// Model is the name to restore in raw events, as the client asked for it.
	Model string
	// EventName gives raw and encoded events another name than their own ("chunk" on Bedrock).
	EventName func(name string) string
	// Wrap turns a payload into the frame's payload; nil leaves it.
	Wrap func(dst, payload []byte) []byte
	// Close is called before the last payload leaves, to splice closing metrics into it.
	Close func(resp *infer.Response, payload []byte) []byte
	// Headers sets what the API tells of an answer in headers; nil tells nothing more.
	Headers   func(h http.Header, head *infer.Head)
	Done      []byte // written after the last event
	KeepAlive time.Duration
	// Failure writes an error that came after the status.
	Failure func(w *Writer, e *fault.Error)

	witness Witness // nil where nobody wants to know
}

// Serve runs the call and writes its events. An error before the status was sent is returned for the
// service to answer; a later one is written into the stream.
func (st *EventStream) Serve(c *Call, g *Gateway, req *infer.Request) error {
	c.W.Stream(st.Framing, st.KeepAlive, func() {
		h := c.W.Header()
		h.Set("Content-Type", st.ContentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no") // nginx must not hold events back
	})
	defer c.W.Finish()
	resp, err := run(c, g, req)
	if err != nil {
		return st.fail(c, err)
	}
	defer func() { _ = resp.Close() }()
	if st.witness = c.Witness; st.witness != nil {
		defer used(st.witness, resp)
	}
	c.W.Prepare(func(h http.Header) {
		Answer(h, &resp.Head)
		if st.Headers != nil {
			st.Headers(h, &resp.Head)
		}
	})
	served(c, &st.Head, req, resp)
	if resp.Head.PassThrough {
		// The head goes out from here, with the first event at hand, because net/http takes three kilobytes of
		// stack for it: below the frames that write events it would double the stack of every stream.
		if err = c.W.Open(); err == nil {
			err = st.passThrough(c.W, resp)
		}
	} else {
		err = st.encode(c.W, resp)
	}
	if err != nil {
		return st.fail(c, err)
	}
	if st.Done != nil {
		return c.W.Raw(st.Done, true)
	}
	return c.W.Flush()
}

func (st *EventStream) fail(c *Call, err error) error {
	if c.W.Started() {
		if e := fault.From(err); e.Kind != fault.Canceled {
			st.Failure(c.W, e)
		}
	}
	return err
}

// passThrough writes the engine's own payloads.
func (st *EventStream) passThrough(w *Writer, resp *infer.Response) error {
	var scratch []byte
	for {
		ev, err := resp.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if ev.Raw == nil {
			continue // what Forebay asked for and the client did not (the usage chunk)
		}
		payload := nameTier(restoreModel(ev.Raw, st.Model, modelNear(ev.Raw)), st.Dialect, st.Head.Tier)
		if ev.Last && st.Close != nil {
			payload = st.Close(resp, payload)
		}
		if scratch, err = st.write(w, scratch, ev.Name, payload, !resp.Ready()); err != nil {
			return err
		}
	}
}

// encode writes canonical events in the dialect.
func (st *EventStream) encode(w *Writer, resp *infer.Response) error {
	codec, ok := dialect.Get(st.Dialect)
	if !ok || codec.NewStreamEncoder == nil {
		return fault.Newf(fault.Internal, "dialect %q has no streams", st.Dialect)
	}
	enc := codec.NewStreamEncoder(st.Head)
	var scratch []byte
	var werr error
	flush := true
	emit := func(name string, payload []byte) {
		if werr == nil {
			scratch, werr = st.write(w, scratch, name, payload, flush)
		}
	}
	for {
		ev, err := resp.Next()
		if errors.Is(err, io.EOF) {
			return st.finish(w, resp, enc)
		}
		if err != nil {
			return err
		}
		flush = !resp.Ready()
		if err := enc.Encode(ev, emit); err != nil {
			return err
		}
		if werr != nil {
			return werr
		}
	}
}

// finish writes what ends the stream. The last payload gets the closing metrics.
func (st *EventStream) finish(w *Writer, resp *infer.Response, enc dialect.StreamEncoder) error {
	type payload struct {
		name string
		body []byte
	}
	var last []payload
	enc.Finish(func(name string, body []byte) { last = append(last, payload{name, bytes.Clone(body)}) })
	for i, p := range last {
		if i == len(last)-1 && st.Close != nil {
			p.body = st.Close(resp, p.body)
		}
		if _, err := st.write(w, nil, p.name, p.body, i == len(last)-1); err != nil {
			return err
		}
	}
	return nil
}

func (st *EventStream) write(w *Writer, scratch []byte, name string, payload []byte, flush bool) ([]byte, error) {
	if st.witness != nil {
		st.witness.Event(name, payload)
	}
	if st.EventName != nil {
		name = st.EventName(name)
	}
	if st.Wrap != nil {
		scratch = st.Wrap(scratch[:0], payload)
		payload = scratch
	}
	return scratch, w.Event(name, payload, flush)
}

// Unescape decodes percent escapes of one path segment, leaving it as it is when they are malformed.
func Unescape(segment string) string {
	s, err := url.PathUnescape(segment)
	if err != nil {
		return segment
	}
	return s
}
