package reply

import (
	"io"
	"sync"

	"forebay/dialect"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
	"forebay/wire/scan"
)

// DefaultMaxBody bounds an answer in one piece, in bytes, where a client is not told otherwise.
const DefaultMaxBody = 64 << 20

// keepBuffer is the largest body buffer that is kept for the next call.
const keepBuffer = 64 << 10

var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// Whole reads the body of a call answered in one piece. What fails here has failed before
// the first byte, so a broken connection is Unavailable.
func Whole(res *upstream.Response, limit int64) (*Body, error) {
	p := bodies.Get().(*[]byte)
	b, err := res.ReadAll((*p)[:0], limit)
	_ = res.Close()
	*p = b
	body := &Body{buf: p, JSON: b}
	if err == nil {
		if err = body.look(); err == nil {
			return body, nil
		}
	}
	_ = body.Close()
	if e := fault.From(err); e.Kind == fault.StreamFailed {
		e = fault.Wrap(fault.Unavailable, e, e.Message)
		return nil, e
	}
	return nil, err
}

// look checks that a body is one JSON object, and takes down where its usage is and where it names its model: bodies may be
// large, and are read once.
func (b *Body) look() error {
	var s scan.Scanner
	s.Reset(b.JSON)
	var member []byte // at whose value the scanner is
	for first := true; ; first = false {
		t, err := s.Next()
		if err == nil && first && t.Kind != scan.ObjectStart {
			err = scan.ErrSyntax
		}
		switch {
		case err != nil:
			return fault.Wrap(fault.Unavailable, err, "The model's answer could not be understood.")
		case t.Kind == scan.End:
			return nil
		case t.Depth != 1:
		case t.Kind == scan.Key:
			member = scan.Text(b.JSON, t)
		default:
			b.member(member, t)
		}
	}
}

// member takes down a token that is a member's value, or the end of one. The first of a name counts.
func (b *Body) member(name []byte, t scan.Token) {
	switch string(name) {
	case "usage":
		switch ends := t.Kind == scan.ObjectEnd || t.Kind == scan.ArrayEnd; {
		case b.usage.End == 0:
			b.usage = infer.Span{Start: t.Start, End: t.End}
		case ends && !b.counted:
			b.usage.End = t.End
		}
		b.counted = b.counted || t.Kind != scan.ObjectStart && t.Kind != scan.ArrayStart
	case "model":
		if t.Kind == scan.String && b.ev.Model.End == 0 {
			b.ev.Model = infer.Span{Start: t.Start + 1, End: t.End - 1}
		}
	}
}

// Body is a whole answer and, as infer.Events, its one event.
type Body struct {
	JSON []byte // valid until Close
	buf  *[]byte
	ev   infer.Event
	sent bool

	usage   infer.Span // the member's value
	counted bool       // the whole of it has been seen
}

// Usage reads the usage that the body reports. Only that member is decoded: everything else in a body passes through.
func (b *Body) Usage(codec *dialect.Codec) (infer.Usage, bool) {
	v := b.JSON[b.usage.Start:b.usage.End]
	if codec.RawUsage == nil || len(v) == 0 {
		return infer.Usage{}, false
	}
	one := append(make([]byte, 0, len(v)+16), `{"usage":`...)
	return codec.RawUsage(append(append(one, v...), '}'))
}

// Raw makes the body the event of a call that passes through. Without usage it is decoded after all, to tell how much
// the model has written; what cannot be decoded passes through uncounted.
func (b *Body) Raw(u infer.Usage, ok bool, codec *dialect.Codec) infer.Events {
	b.ev = infer.Event{Kind: infer.EventResult, Raw: b.JSON, Usage: u, HasUsage: ok, Tokens: u.Output, Last: true, Model: b.ev.Model}
	if !ok && codec.DecodeResult != nil {
		if r, err := codec.DecodeResult(b.JSON); err == nil {
			b.ev.TextBytes = r.TextBytes()
		}
	}
	return b
}

// Next implements infer.Events.
func (b *Body) Next() (*infer.Event, error) {
	if b.buf == nil {
		return nil, fault.New(fault.Canceled, "The response was closed.")
	}
	if b.sent {
		return nil, io.EOF
	}
	b.sent = true
	return &b.ev, nil
}

// Ready implements the optional interface of infer.Response.
func (b *Body) Ready() bool { return !b.sent }

// Close implements infer.Events; it gives the buffer back.
func (b *Body) Close() error {
	if b.buf != nil {
		if cap(*b.buf) <= keepBuffer {
			bodies.Put(b.buf)
		}
		b.buf, b.JSON, b.ev.Raw = nil, nil, nil
	}
	return nil
}
