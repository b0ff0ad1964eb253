// Package upstream is the HTTP client that engine clients speak through: one Client per
// configured engine address, one call per Do.
//
// Plain http addresses are served by our own HTTP/1.1 client. net/http's client spends two
// goroutines and their hand-offs on each connection; here the caller's goroutine writes the
// request in one system call and reads the response itself (BenchmarkCall compares the
// two). https addresses and addresses behind a proxy are served by net/http
// (HTTP/2 included) behind the same interface. Neither follows redirects, decompresses,
// or makes an attempt of a call again (but see Connections).
//
// # Framing
//
// The HTTP/1.1 client reads only what cannot be read in two ways (RFC 9112): CRLF line
// ends, no folded lines, one Content-Length or one "Transfer-Encoding: chunked" but not
// both, no other transfer coding, bounded heads, chunk lines and trailers. Anything else
// fails the call and closes the connection.
//
// # Phases
//
// engine.Timeouts are enforced through the connection's deadline, without timers or
// goroutines of our own. Connect bounds the dial, Total the whole call. FirstToken and
// BetweenTokens apply to calls that stream, since a call answered in one piece sends
// nothing until the whole text is generated: FirstToken ends with the first
// Response.Progress, from which on BetweenTokens runs from one Progress to the next. The
// body of a failure is bounded by Response.Within instead.
// A deadline is moved only when it is due to be read against, and may therefore be up to one
// eighth late.
//
// # Connections
//
// Idle connections are kept per address, the last used first. Before a connection is used
// again it is checked for having been closed by the peer; when it turns out closed all the
// same, before a byte of the response and shortly after the request was written, the failure says so (engine.StaleConnection),
// the address's other idle connections are given up, and whether the call is tried again is the scheduler's matter. Only what the scheduler does not know of,
// probes and counts of tokens, is written once more, to a new connection. (net/http, where it serves, writes a request again of which
// nothing was written before.) A name with several addresses is used in turn, dead addresses are passed
// over, and the name is looked up again in the background.
//
// # Concurrency
//
// A Client is safe for concurrent use. A Response belongs to one goroutine at a time. The
// end of a call's context closes its connection, which unblocks every read and write and
// is what the engine sees as the client's leaving.
package upstream
