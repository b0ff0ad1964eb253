// Package engine defines the two ports to whatever runs a model: a Client speaks to
// something that has an address, a Launcher starts something that will have one. The
// implementations live in sub-packages and are named only by package server; the suite
// in enginetest is what each of them must pass.
//
// Clients never retry, never queue and never decide: a failure is returned as a
// *fault.Error and the scheduler turns it into an event. Cancelling the context, or
// closing the response, must stop the work at the engine within 100 ms.
package engine

import (
	"context"

	"forebay/infer"
)

// Client is a client of one replica or upstream. It is safe for concurrent use.
type Client interface {
	// Infer sends the call and returns when the engine has answered with a head (status and
	// headers). Where req.Dialect is one the engine Speaks and req.Body is set, the body
	// passes through with only the model name (and what the engine's documentation of
	// splices lists) replaced, and events carry Raw. Otherwise req.Chat or req.Embed is encoded in
	// the engine's dialect and events are canonical.
	//
	// Errors before the head: ModelFailed with the engine's status and message for 4xx,
	// Overloaded for 429, Unavailable for refused or broken connections and 5xx, Timeout for a phase limit,
	// Canceled when ctx ended. Errors of Next: StreamFailed, Timeout, Canceled.
	Infer(ctx context.Context, req *infer.Request) (*infer.Response, error)
	// Probe returns nil when the engine is able to answer calls.
	Probe(ctx context.Context) error
	// Speaks reports whether the engine takes bodies of the dialect as they are.
	Speaks(d infer.Dialect) bool
	// Close releases connections; calls under way fail.
	Close() error
}

// TokenCounter is implemented by clients whose engine counts input tokens exactly and cheaply.
type TokenCounter interface {
	CountTokens(ctx context.Context, req *infer.Request) (int64, error)
}

// Timeouts bounds the phases of a call. A request's own go before those of the engine
// (infer.Request.Timeouts); the configured default of Total is one hour.
type Timeouts = infer.Timeouts

// StaleConnection is the Code of an Unavailable whose request met the end of a connection that had been kept: the engine closed it as
// the request came. That says nothing against the engine's health, and another attempt makes a new connection.
const StaleConnection = "stale-connection"

// The phases of a call that end before anything has come, as the Code of a Timeout names them.
const (
	PhaseConnect    = "connect"
	PhaseFirstToken = "first-token"
)
