// Package fault is the vocabulary of failures: one Error type whose Kind says what
// went wrong in Forebay's own terms. Each API owns one complete table from Kind to
// the name, status and wording its clients expect; nothing else turns an error into
// a response. An error that is not a *Error is Internal: it is logged, and its text
// is never shown to a client.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind classifies a failure. The zero value is Internal, so that a forgotten
// classification is hidden from clients rather than shown.
type Kind uint8

// The kinds. Every API's table covers all of them; a test of each API loops to NumKinds.
const (
	// Internal is a fault of Forebay itself. Its message is not shown to clients.
	Internal Kind = iota
	// Malformed is input that could not be parsed at all (JSON syntax, wrong types).
	Malformed
	// Invalid is input that parsed and breaks a rule of the operation.
	Invalid
	// UnknownModel is a model id that resolves to nothing.
	UnknownModel
	// NotFound is a named resource (ARN, job, key) that does not exist.
	NotFound
	// UnknownOperation is a path, target or method that no operation answers to.
	UnknownOperation
	// Unsupported is a known operation or feature that this model or server does not serve.
	Unsupported
	// TooLarge is a body, header or field over its stated bound.
	TooLarge
	// MissingAuth is a request without credentials.
	MissingAuth
	// IncompleteAuth is an Authorization header that is malformed.
	IncompleteAuth
	// UnknownKey is a well-formed credential that names no live key.
	UnknownKey
	// BadSignature is a signature that does not match, or a scope that is wrong.
	BadSignature
	// Expired is a signature or presigned request outside its window, or an expired key.
	Expired
	// Denied is an authenticated caller without permission for the action or model.
	Denied
	// Conflict is a name or idempotence token already used differently.
	Conflict
	// QuotaExceeded is an account's limit on things it may own (not a rate).
	QuotaExceeded
	// Throttled is a rate limit (requests or tokens per minute) of the caller.
	Throttled
	// BudgetExceeded is a spend limit or a calendar-day token counter that is used up.
	BudgetExceeded
	// Overloaded is contention for capacity, not the caller's own quota.
	Overloaded
	// NotReady is a model that is starting and could not be waited for.
	NotReady
	// Timeout is a model that took longer than the configured phase limit.
	Timeout
	// ModelFailed is an error answered by the model or engine before the first byte.
	ModelFailed
	// StreamFailed is an error of the model or engine after the first byte.
	StreamFailed
	// Unavailable is no healthy replica, or a ledger that cannot be written.
	Unavailable
	// Canceled is a client that went away. It is never written to a client.
	Canceled

	// NumKinds is the number of kinds, for tests that demand complete tables.
	NumKinds
)

var kindNames = [NumKinds]string{
	"internal", "malformed", "invalid", "unknown_model", "not_found", "unknown_operation", "unsupported",
	"too_large", "missing_auth", "incomplete_auth", "unknown_key", "bad_signature", "expired", "denied",
	"conflict", "quota_exceeded", "throttled", "budget_exceeded", "overloaded", "not_ready", "timeout",
	"model_failed", "stream_failed", "unavailable", "canceled",
}

// String returns the kind's stable lower-case name, used on the ledger and as a metric label.
func (k Kind) String() string {
	if k < NumKinds {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// Error is a classified failure. The zero fields mean "not known". It is a value to
// return, not to mutate after it has been returned.
type Error struct {
	Kind Kind
	// Code refines Kind where an API's table distinguishes cases of one kind
	// ("tokens", "requests", "missing_required_parameter"); empty otherwise.
	Code string
	// Param is the member of the request that is at fault, its path as the API writes paths; empty where it is none, or not known.
	Param string
	// Message is safe to show to the client, and in the wording the real service uses where it is known.
	Message string
	// Reason is Forebay's own explanation for x-forebay-reason; safe to show.
	Reason string
	// RetryAfter is how long the caller should wait; 0 means unknown.
	RetryAfter time.Duration
	// RetryEstimated marks RetryAfter as an estimate (contention) rather than exact (own quota).
	RetryEstimated bool
	// OriginalStatus and OriginalMessage carry the model's own answer for ModelFailed and StreamFailed.
	OriginalStatus  int
	OriginalMessage string

	cause error
}

// New returns an Error of the kind with a message that may be shown to the client.
func New(kind Kind, message string) *Error { return &Error{Kind: kind, Message: message} }

// Newf is New with formatting.
func Newf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap classifies cause. The cause is for logs and errors.Is; message is what a client may see.
func Wrap(kind Kind, cause error, message string) *Error {
	return &Error{Kind: kind, Message: message, cause: cause}
}

// CodeStorage is the Code of an Unavailable whose cause is a disk that takes nothing more.
const CodeStorage = "storage"

// Storage is the failure of a change, or of a question, because the disk is full or fails.
func Storage(cause error) *Error {
	e := Wrap(Unavailable, cause, "The disk of the server's data directory is full or fails; nothing was changed.")
	e.Code = CodeStorage
	e.Reason = "see `forebay doctor`"
	return e
}

// Error returns kind, message and cause, for logs.
func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// WithReason returns a copy of e that carries Forebay's own explanation.
func (e *Error) WithReason(format string, args ...any) *Error {
	c := *e
	c.Reason = fmt.Sprintf(format, args...)
	return &c
}

// From returns err as an *Error. What is not classified becomes Internal with
// err as its cause and no message. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, cause: err}
}

// KindOf returns the kind of err; Internal for what is not classified.
func KindOf(err error) Kind {
	if e := From(err); e != nil {
		return e.Kind
	}
	return Internal
}
