package dispatch

import "time"

// Breaker limits. Five failures in a row, without a success between them, is the
// customary trip point of circuit breakers; the pause doubles from one second to thirty.
const (
	breakerTrips    = 5
	breakerFirstOff = time.Second
	breakerMaxOff   = 30 * time.Second
)

// breaker watches the outcomes of one replica and says when it should be taken out. It
// decides nothing about placement: an open breaker reaches the scheduler as ReplicaDown.
// Guarded by the Dispatcher's mutex.
type breaker struct {
	failures int
	open     bool
	off      time.Duration
	retryAt  time.Time
}

// failed counts a failure that speaks against the replica and reports whether the
// breaker has just opened.
func (b *breaker) failed(now time.Time) bool {
	b.failures++
	if b.open || b.failures < breakerTrips {
		return false
	}
	b.trip(now)
	return true
}

// trip opens the breaker, or keeps it open for longer after a failed probe.
func (b *breaker) trip(now time.Time) {
	switch {
	case b.off == 0:
		b.off = breakerFirstOff
	case b.off < breakerMaxOff:
		b.off = min(2*b.off, breakerMaxOff)
	}
	b.open = true
	b.retryAt = now.Add(b.off)
}

// ok counts a success and reports whether the breaker has just closed.
func (b *breaker) ok() bool {
	closed := b.open
	*b = breaker{}
	return closed
}
