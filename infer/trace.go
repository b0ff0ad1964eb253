package infer

import (
	"strings"
	"time"
)

// TraceContext is a place in a distributed trace, as the headers traceparent and tracestate of W3C
// Trace Context have it. The zero value is none.
type TraceContext struct{ Parent, State string }

// Bounds of the headers of a trace context, from the W3C recommendation; what is over them is dropped.
const (
	traceParentSize = 55
	maxTraceState   = 512
)

// NewTraceContext takes the headers as they came; the zero value for headers that are not of the
// recommendation's form.
func NewTraceContext(parent, state string) TraceContext {
	if len(parent) < traceParentSize || len(parent) > 2*traceParentSize || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return TraceContext{}
	}
	for _, c := range []byte(parent) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-' {
			return TraceContext{}
		}
	}
	if len(state) > maxTraceState || strings.ContainsFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) {
		state = ""
	}
	return TraceContext{parent, state}
}

// Trace follows one call on its road. A Request without one is not traced.
type Trace interface {
	// Waited tells of a wait for admission that has ended; err is why the call was not admitted.
	Waited(began time.Time, err error)
	// Attempt begins an attempt at an engine, and returns what to send it, so that its part of
	// the trace hangs below the attempt.
	Attempt(engine, provider string, req *Request) (TraceAttempt, TraceContext)
}

// TraceAttempt is an attempt under way.
type TraceAttempt interface {
	// End ends the attempt: with what was used, when the first token came (zero: never), and
	// why it failed.
	End(u Usage, first time.Time, err error)
}
