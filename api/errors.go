package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forebay/fault"
)

// ErrorRow is how one kind of failure looks in one API.
type ErrorRow struct {
	Status int
	// Name is the error's name or type on the wire.
	Name string
	// Message stands in where the failure carries no message that may be shown.
	Message string
}

// ErrorTable is an API's complete answer to every kind of failure.
type ErrorTable [fault.NumKinds]ErrorRow

// Row returns the row and the message to show for e. The text of an internal error is
// never shown.
func (t *ErrorTable) Row(e *fault.Error) (ErrorRow, string) {
	row := t[e.Kind]
	if e.Kind == fault.Internal || e.Message == "" {
		return row, row.Message
	}
	return row, e.Message
}

// maxEcho bounds what is repeated of a caller's words.
const maxEcho = 256

// NameModel puts an unknown model into the words of an API. The format takes the id as the
// caller wrote it. Other errors stay as they are.
func NameModel(err error, format, id string) error {
	e := fault.From(err)
	if e.Kind != fault.UnknownModel {
		return err
	}
	named := *e
	named.Message = fmt.Sprintf(format, strings.ToValidUTF8(id[:min(len(id), maxEcho)], ""))
	return &named
}

// The response headers that explain a failure.
const (
	HeaderReason       = "X-Forebay-Reason"
	HeaderDropped      = "X-Forebay-Dropped"
	HeaderModelServed  = "X-Forebay-Model-Served"
	HeaderLane         = "X-Forebay-Lane"
	HeaderSpill        = "X-Forebay-Spill"
	HeaderRequestID    = "X-Request-Id"
	HeaderAmznID       = "X-Amzn-Requestid"
	headerRetryKind    = "X-Forebay-Retry"
	headerAmzRetry     = "X-Amz-Retry-After"
	headerRetryAfterMS = "Retry-After-Ms"
)

// SetErrorHeaders writes what helps a client to act on e: the waiting time in the three
// forms that clients read (seconds, and milliseconds by two names), and the reason.
func SetErrorHeaders(h http.Header, e *fault.Error) {
	if e.RetryAfter > 0 {
		ms := int64((e.RetryAfter + time.Millisecond - 1) / time.Millisecond)
		h.Set("Retry-After", strconv.FormatInt((ms+999)/1000, 10))
		h.Set(headerAmzRetry, strconv.FormatInt(ms, 10))
		h.Set(headerRetryAfterMS, strconv.FormatInt(ms, 10))
		kind := "exact"
		if e.RetryEstimated {
			kind = "estimate"
		}
		h.Set(headerRetryKind, kind)
	}
	if e.Reason != "" {
		h.Set(HeaderReason, HeaderValue(e.Reason))
	}
}

// maxHeaderValue bounds what we echo in a header.
const maxHeaderValue = 1024

// HeaderValue makes s safe as the value of a header: printable ASCII, bounded, so that
// nothing a client sent can inject a header line.
func HeaderValue(s string) string {
	if len(s) > maxHeaderValue {
		s = s[:maxHeaderValue]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
}
