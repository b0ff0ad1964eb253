package infer

import (
	"io"
	"time"
)

// StopReason says why a choice ended.
type StopReason string

// The stop reasons, named as Converse names them.
const (
	StopEndTurn        StopReason = "end_turn"
	StopToolUse        StopReason = "tool_use"
	StopMaxTokens      StopReason = "max_tokens"
	StopSequence       StopReason = "stop_sequence"
	StopGuardrail      StopReason = "guardrail_intervened"
	StopFiltered       StopReason = "content_filtered"
	StopRefusal        StopReason = "refusal"
	StopContextWindow  StopReason = "model_context_window_exceeded"
	StopMalformedTools StopReason = "malformed_tool_use"
)

// EventKind says which fields of an Event are used.
type EventKind uint8

// The event kinds of a stream, in the order in which they come: Start, then per block
// BlockStart, Delta..., BlockStop, then Stop, then Usage. A stream of pass-through
// events has kind EventRaw throughout and may carry usage. A call without streaming
// yields one EventResult.
const (
	EventStart EventKind = iota
	EventBlockStart
	EventDelta
	EventBlockStop
	EventStop
	EventUsage
	EventRaw
	EventResult
)

// Event is one step of a response. Events are reused: an Event and every slice in it
// are valid until the next call of Next.
type Event struct {
	Kind   EventKind
	Choice int // index of the choice, 0 unless N > 1
	Index  int // index of the content block within the choice

	// Block describes the block that starts (kind, tool id and name).
	Block Block
	// Text is the delta of a text or thinking block, or a fragment of a tool's JSON input.
	Text      string
	Delta     BlockKind // BlockText, BlockThinking, BlockToolUse, BlockRedacted
	Signature string    // of a thinking block, when the delta carries it
	Citation  *Citation // of the text block; the event has no text then
	Logprobs  []byte    // the engine's logprobs JSON of this delta, OpenAI form

	Stop     StopReason
	StopText string // the stop sequence that matched
	// Fields is a JSON object of the members that Chat.ResponseFields asked for, where the engine
	// gave them; with EventStop.
	Fields []byte

	// Usage is cumulative; the last one stands. HasUsage is set where the event carries one.
	Usage    Usage
	HasUsage bool
	// Tokens is the number of output tokens that came with this event, as far as the
	// engine client can tell (1 per content event when it cannot).
	Tokens int64

	// Raw is the engine's own payload (the JSON of one SSE data line or one chunk, or the
	// whole body for EventResult) when the call passes through; Name is its SSE event name.
	Raw  []byte
	Name string
	// Model is where a raw EventResult names its model, without the quotes; zero where it does not, or nobody has looked.
	Model Span
	// TextBytes is the length of what the model has written in a raw EventResult without usage.
	TextBytes int64
	// Last marks the engine's final raw event, to which closing metrics may be spliced.
	Last bool

	Result *Result // EventResult when the call does not pass through
}

// Span is a part of a payload, in bytes from its start.
type Span struct{ Start, End int }

// Result is a whole answer in no particular dialect.
type Result struct {
	ID         string
	Model      string // as the engine reports it
	Created    time.Time
	Choices    []Choice
	Embeddings []Embedding
	Usage      Usage
	Fields     []byte // see Event.Fields
}

// TextBytes is the length of what the model has written.
func (r *Result) TextBytes() (n int64) {
	for i := range r.Choices {
		for j := range r.Choices[i].Content {
			b := &r.Choices[i].Content[j]
			n += int64(len(b.Text) + len(b.ToolName) + len(b.ToolInput))
		}
	}
	return n
}

// Choice is one alternative of a Result.
type Choice struct {
	Content  []Block
	Stop     StopReason
	StopText string
	Logprobs []byte // the engine's logprobs JSON, OpenAI form
}

// Embedding is one vector. Floats is set unless only other types were asked for.
type Embedding struct {
	Floats []float32
	ByType map[string][]float32 // "binary", "int8", ... in the family's own number ranges
}

// Events is a pull of events. Next returns io.EOF after the last one; every other error
// is a failure after the first byte. Close cancels what still runs and may be called more
// than once. The methods are called by one goroutine at a time; to interrupt a Next that
// waits, cancel the context of the call.
type Events interface {
	Next() (*Event, error)
	Close() error
}

// Head is known before the first event.
type Head struct {
	RequestID string // the engine's own id of the call
	Model     string // the model as the engine names it
	Replica   string // which replica answered
	Tier      Tier   // the tier that served
	Latency   string // the performance configuration that served, LatencyStandard or LatencyOptimized; "" where nobody has told
	Served    string // the catalogue's id of the model that served
	// Lane is the lane of the route that served, "" without a route; Spill says which lanes the call has left before, and why.
	Lane  string
	Spill string
	// PassThrough says that events carry Raw in the request's dialect.
	PassThrough bool
	// Simulated says that no real model produced the answer.
	Simulated bool
	// Dropped lists features of the request that were not honoured, for x-forebay-dropped.
	Dropped []string
	// Opaque describes the answer to a call whose dialect is DialectOpaque.
	Opaque *Opaque
}

// Response is an answer under way. Close releases the engine and must always be called;
// it cancels what still runs. After Next has returned io.EOF the final usage is in Usage.
type Response struct {
	Head   Head
	Events Events

	usage Usage
	seen  bool
}

// NewResponse returns a response over events.
func NewResponse(head Head, events Events) *Response {
	return &Response{Head: head, Events: events}
}

// Next returns the next event, io.EOF at the end. It remembers the last usage that passed.
func (r *Response) Next() (*Event, error) {
	ev, err := r.Events.Next()
	if err != nil {
		return nil, err
	}
	if ev.HasUsage {
		r.count(ev)
	}
	return ev, nil
}

// count is apart from Next, below which thousands of goroutines wait for events: its frame would be part of theirs.
//
//go:noinline
func (r *Response) count(ev *Event) {
	ev.Usage = ev.Usage.Bounded()
	r.usage, r.seen = ev.Usage, true
}

// Close cancels what still runs and releases the engine. It may be called more than once.
func (r *Response) Close() error { return r.Events.Close() }

// Ready reports whether the next event can be had without waiting, as far as the engine
// client can tell, so that a writer may send several events at once.
func (r *Response) Ready() bool {
	b, ok := r.Events.(interface{ Ready() bool })
	return ok && b.Ready()
}

// Usage returns the last usage an event carried, and whether there was one.
func (r *Response) Usage() (Usage, bool) { return r.usage, r.seen }

// EventSlice is a fixed sequence of events, for answers known in full.
type EventSlice struct {
	List []Event
	next int
}

// Next implements Events.
func (s *EventSlice) Next() (*Event, error) {
	if s.next >= len(s.List) {
		return nil, io.EOF
	}
	s.next++
	return &s.List[s.next-1], nil
}

// Close implements Events.
func (s *EventSlice) Close() error { return nil }

// OneResult returns the events of a call that was answered in one piece.
func OneResult(res *Result) Events {
	return &EventSlice{List: []Event{{Kind: EventResult, Result: res, Usage: res.Usage, HasUsage: true}}}
}
