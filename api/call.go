package api

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

// Call is one request at the front door, from the first header to the last byte. One
// goroutine owns it.
type Call struct {
	ID      string
	Started time.Time
	HTTP    *http.Request
	W       *Writer
	Log     *slog.Logger

	// Path and Query are as on the request line: nothing is decoded or cleaned, because
	// signatures and model ids depend on the exact form.
	Path  string
	Query string

	// Principal is nil until the caller has been authenticated, its signature included.
	Principal *identity.Principal
	// Claimed is the id of the existing key that a caller names who is not authenticated (yet).
	Claimed string
	Body    []byte
	// Prompt is the beginning of the body, where it is to be logged or traced; else "".
	Prompt string
	// Trace follows the call where it is traced; else nil.
	Trace infer.Trace
	// Witness is told what the call answers, where somebody wants to know; else nil.
	Witness Witness
	// Sent is called when the body has reached the engine and is not needed any more.
	Sent func()

	// Operation and Model are filled in as they become known, for logs and metrics.
	Operation string
	Model     string
	// Intent is what the operation wants, once it is known, for the row of a refused call.
	Intent *Intent
	// Handed says that the scheduler has taken the call over and will write its ledger row.
	Handed bool
}

// Context returns the request's context, which ends when the client leaves.
func (c *Call) Context() context.Context { return c.HTTP.Context() }

// Service is one API behind the front door.
type Service interface {
	// Name is the service's name in logs and metrics, and its signing name's family.
	Name() string
	// Serve answers the call. An error returned before a status was sent is written by Fail;
	// one returned later has been written into the stream already by Serve.
	Serve(c *Call) error
	// Fail writes a failure in the API's own form.
	Fail(c *Call, e *fault.Error)
}

// NewID returns a request id in the form of a time-ordered UUID (RFC 9562, version 7, with the
// fraction of the millisecond in rand_a, section 6.2 method 3). Ids that grow with time cost the
// ledger's index one page a group of rows; random ones touch a page a row.
func NewID(now time.Time) string {
	const hex = "0123456789abcdef"
	ns := uint64(max(now.UnixNano(), 0))
	ms, fraction := ns/1e6, ns%1e6<<12/1e6
	a := ms<<16 | 0x7000 | fraction
	b := rand.Uint64()&^(0xc<<60) | 0x8<<60 //nolint:gosec // ids need to be unique, not secret
	var out [36]byte
	pos := 0
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			out[pos] = '-'
			pos++
		}
		v := a
		if i >= 16 {
			v = b
		}
		out[pos] = hex[v>>(60-4*(i%16))&0xf]
		pos++
	}
	return string(out[:])
}

// SplitTarget divides a raw request target into path and query. A target in absolute
// form loses its scheme and authority.
func SplitTarget(target string) (path, query string) {
	if i := strings.Index(target, "://"); i >= 0 && !strings.HasPrefix(target, "/") {
		rest := target[i+3:]
		authority, _, _ := strings.Cut(rest, "/")
		authority, _, _ = strings.Cut(authority, "?") // a slash behind it is the query's
		if target = rest[len(authority):]; !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	path, query, _ = strings.Cut(target, "?")
	return path, query
}
