package reply

import (
	"errors"
	"io"
	"slices"
	"sync"

	"forebay/dialect"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
	"forebay/wire/sse"
)

// Source takes payloads out of a response's framing. A payload is valid until the next
// call. Next returns io.EOF where the response ends.
type Source interface {
	Next() (name string, payload []byte, err error)
	Buffered() bool
	Close()
}

// Note is what a payload that passes through means.
type Note struct {
	End    bool // the protocol's end mark, which is not for the client
	Ends   bool // the last payload of the protocol, which is for the client
	Last   bool // nothing for the client comes after it
	Hold   bool // likely the last for the client; kept back until the next payload is known
	Silent bool // not for the client: usage that it did not ask for

	Tokens   int64
	Usage    infer.Usage
	HasUsage bool
	// Payload replaces the payload when a documented splice changed it.
	Payload []byte
}

// Rules say how a stream is read: Look for calls that pass through, Decoder for others.
type Rules struct {
	Look    func(name string, payload []byte) (Note, error)
	Decoder dialect.StreamDecoder
	// Trailing says that payloads may follow the one that completes the stream; it then
	// ends with the response.
	Trailing bool
}

// Stream is a stream under way; it implements infer.Events.
type Stream struct {
	res   *upstream.Response
	src   Source
	rules Rules
	err   error // sticky
	over  bool  // the protocol's end has been seen
	shut  bool

	ev       infer.Event
	usage    infer.Usage
	hasUsage bool

	note    Note // of the payload that was pulled last
	holding bool // hold.payload is kept back
	pending bool // hold.next was pulled to release it
	hold    *hold

	events []infer.Event // decoded and not yet delivered
	next   int
}

// hold is what a stream needs near its end, and not while it waits for the events before.
type hold struct {
	payload []byte // likely the last for the client
	name    string
	tokens  int64

	next     []byte // the payload behind it
	nextName string
	nextNote Note
}

// NewStream returns the events of res, whose payloads come from src.
func NewStream(res *upstream.Response, src Source, rules Rules) *Stream {
	return &Stream{res: res, src: src, rules: rules}
}

// Next implements infer.Events.
func (s *Stream) Next() (*infer.Event, error) {
	if s.rules.Look != nil {
		return s.nextRaw()
	}
	return s.nextDecoded()
}

// Ready implements the optional interface of infer.Response.
func (s *Stream) Ready() bool {
	return s.err == nil && (s.pending || s.next < len(s.events) || s.over || s.src.Buffered())
}

// Close implements infer.Events. Before the stream's end it cancels the call; behind it,
// whether Next has told of it or not, the connection is kept if its framing ends now, too.
func (s *Stream) Close() error {
	if s.shut {
		return nil
	}
	if s.over && (s.err == nil || isEOF(s.err)) {
		s.res.Drain()
	}
	if s.err == nil {
		s.err = fault.New(fault.Canceled, "The response was closed.")
	}
	s.shut = true
	s.src.Close()
	return s.res.Close()
}

// pull returns the next payload, and leaves its note in s.note: thousands of goroutines wait below this frame, which is
// to be small.
func (s *Stream) pull() (name string, payload []byte, err error) {
	if s.pending {
		s.pending = false
		s.note = s.hold.nextNote
		return s.hold.nextName, s.hold.next, nil
	}
	if name, payload, err = s.src.Next(); err != nil {
		return "", nil, err
	}
	if err = s.look(name, payload); s.note.Payload != nil {
		payload = s.note.Payload
	}
	return name, payload, err
}

func (s *Stream) look(name string, payload []byte) (err error) {
	s.note, err = s.rules.Look(name, payload)
	if s.note.Tokens > 0 {
		s.res.Progress()
	}
	return err
}

func (s *Stream) nextRaw() (*infer.Event, error) {
	for s.err == nil {
		if s.over {
			return nil, s.finish()
		}
		name, payload, err := s.pull()
		if err != nil {
			return nil, s.fail(err)
		}
		if ev := s.pass(name, payload); ev != nil {
			return ev, nil
		}
	}
	return nil, s.err
}

// pass returns the event that a payload with the note s.note leads to, nil for none.
func (s *Stream) pass(name string, payload []byte) *infer.Event {
	note := &s.note
	s.merge(note)
	switch {
	case note.End:
		s.over = true
		if s.holding {
			return s.let(true)
		}
	case note.Silent:
		if !s.holding {
			return s.event(infer.EventUsage, "", nil, 0)
		}
	case s.holding:
		s.pending, s.hold.next, s.hold.nextName, s.hold.nextNote = true, payload, name, *note
		return s.let(false)
	case note.Hold:
		s.keep(name, payload, note.Tokens)
	default:
		s.over = note.Ends
		ev := s.event(infer.EventRaw, name, payload, note.Tokens)
		ev.Last, ev.HasUsage = note.Last || note.Ends, note.HasUsage
		return ev
	}
	return nil
}

// keep holds a payload back.
func (s *Stream) keep(name string, payload []byte, tokens int64) {
	if s.hold == nil {
		s.hold = new(hold)
	}
	h := s.hold
	h.payload, h.name, h.tokens = append(h.payload[:0], payload...), name, tokens
	s.holding = true
}

// let delivers the payload that was held.
func (s *Stream) let(last bool) *infer.Event {
	s.holding = false
	ev := s.event(infer.EventRaw, s.hold.name, s.hold.payload, s.hold.tokens)
	ev.Last = last
	return ev
}

// event sets the members that a stream that passes through uses, one by one: literals would lie on the stack
// in full, and thousands of goroutines wait below this frame.
func (s *Stream) event(kind infer.EventKind, name string, raw []byte, tokens int64) *infer.Event {
	ev := &s.ev
	ev.Kind, ev.Name, ev.Raw, ev.Tokens, ev.Last = kind, name, raw, tokens, false
	ev.Usage, ev.HasUsage = s.usage, s.hasUsage
	return ev
}

// merge keeps the larger counts: protocols report input at the start and output at the end.
func (s *Stream) merge(n *Note) {
	if !n.HasUsage {
		return
	}
	s.hasUsage = true
	s.usage = infer.Usage{
		Input: max(s.usage.Input, n.Usage.Input), Output: max(s.usage.Output, n.Usage.Output),
		CacheRead: max(s.usage.CacheRead, n.Usage.CacheRead), CacheWrite: max(s.usage.CacheWrite, n.Usage.CacheWrite),
		Reasoning: max(s.usage.Reasoning, n.Usage.Reasoning),
	}
}

func (s *Stream) nextDecoded() (*infer.Event, error) {
	for s.err == nil {
		if s.next < len(s.events) {
			s.next++
			return &s.events[s.next-1], nil
		}
		if s.over && !s.rules.Trailing {
			return nil, s.finish()
		}
		name, payload, err := s.src.Next()
		if isEOF(err) && s.rules.Decoder.Complete() {
			return nil, s.finish()
		}
		if err != nil {
			return nil, s.fail(err)
		}
		s.next = 0
		if s.events, err = s.rules.Decoder.Decode(name, payload, s.events[:0]); err != nil {
			return nil, s.fail(err)
		}
		if slices.ContainsFunc(s.events, written) {
			s.res.Progress()
		}
		s.over = s.rules.Decoder.Complete()
	}
	return nil, s.err
}

// written reports whether an event is of what the model wrote. The opening of a stream and
// of a block, usage and pings come without a token.
func written(ev infer.Event) bool {
	return ev.Kind == infer.EventDelta || ev.Kind == infer.EventBlockStop || ev.Kind == infer.EventStop
}

func isEOF(err error) bool { return err == io.EOF } //nolint:errorlint // sources return the bare value

// finish ends the stream well.
func (s *Stream) finish() error {
	s.over, s.err = true, io.EOF
	_ = s.Close()
	return s.err
}

func (s *Stream) fail(err error) error {
	var e *fault.Error
	switch {
	case errors.As(err, &e):
		s.err = e
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.err = fault.New(fault.StreamFailed, "The model's answer ended early.")
	default:
		s.err = fault.Wrap(fault.StreamFailed, err, "The model's answer could not be understood.")
	}
	_ = s.Close()
	return s.err
}

var readers = sync.Pool{New: func() any { return sse.NewReader(nil) }}

// SSE returns the payloads of server-sent events.
func SSE(res *upstream.Response) Source {
	r := readers.Get().(*sse.Reader)
	r.Reset(res)
	return &events{r: r, res: res}
}

type events struct {
	r   *sse.Reader
	res *upstream.Response
}

func (e *events) Next() (string, []byte, error) {
	if e.r == nil {
		return "", nil, io.ErrClosedPipe
	}
	ev, err := e.r.Next()
	if err != nil {
		return "", nil, err
	}
	return intern(ev.Name), ev.Data, nil
}

func (e *events) Buffered() bool { return e.r != nil && e.r.Buffered() }

func (e *events) Close() {
	if e.r != nil {
		e.r.Reset(nil)
		readers.Put(e.r)
		e.r = nil
	}
}

// intern returns an event's name without allocating for those that streams are made of.
func intern(name []byte) string {
	switch string(name) {
	case "":
		return ""
	case "content_block_delta":
		return "content_block_delta"
	case "content_block_start":
		return "content_block_start"
	case "content_block_stop":
		return "content_block_stop"
	case "message_start":
		return "message_start"
	case "message_delta":
		return "message_delta"
	case "message_stop":
		return "message_stop"
	case "ping":
		return "ping"
	}
	return string(name)
}
