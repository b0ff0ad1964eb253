package dispatch

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"forebay/engine"
	"forebay/fault"
)

// maxAttempts bounds the attempts of one call; the share of retries over all calls of a
// pool is bounded by the scheduler (capacity.Pool.RetryBudget).
const maxAttempts = 3

// retryable reports whether another replica, or the same one a little later, may well
// answer a call that failed with err before its first byte.
func retryable(err error) bool {
	var e *fault.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case fault.Unavailable, fault.Overloaded, fault.NotReady:
		return true
	case fault.ModelFailed, fault.StreamFailed:
		return e.OriginalStatus >= 500
	default:
		return false
	}
}

// hung reports whether the replica showed nothing for as long as it may. Another one may be well; the same one is not asked again.
func hung(err error) bool {
	e := fault.From(err)
	return e.Kind == fault.Timeout && (e.Code == engine.PhaseConnect || e.Code == engine.PhaseFirstToken)
}

// failsOver reports whether another lane may well answer a call that failed with err before its first byte, where the lane fails
// over: beside what a retry may help, an engine that is too slow, or does not let us in, or has not got the model.
func failsOver(err error) bool {
	switch fault.KindOf(err) {
	case fault.Timeout, fault.StreamFailed:
		return true
	case fault.ModelFailed:
		switch fault.From(err).OriginalStatus {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return true
		}
	}
	return false
}

// stale reports whether the attempt met the end of a connection that had been kept, so that the same replica may well answer the next one, at once.
func stale(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Kind == fault.Unavailable && e.Code == engine.StaleConnection
}

// blames reports whether err speaks against the replica's health.
func blames(err error) bool {
	if stale(err) {
		return false
	}
	switch k := fault.KindOf(err); k {
	case fault.Unavailable, fault.Timeout, fault.StreamFailed, fault.NotReady:
		return true
	case fault.ModelFailed:
		e := fault.From(err)
		return e.OriginalStatus >= 500
	default:
		return false
	}
}

// backoff is the pause before a retry: none before a first retry elsewhere, then full
// jitter below 100 ms doubled per attempt.
func backoff(attempt int, elsewhere bool) time.Duration {
	if elsewhere && attempt <= 1 {
		return 0
	}
	bound := 100 * time.Millisecond << min(attempt, 5)
	return rand.N(bound) //nolint:gosec // jitter needs no secrecy
}
