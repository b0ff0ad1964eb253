package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"forebay/engine"
	"forebay/fault"
)

// Phases of a call, as they are named in messages.
const (
	phaseConnect = engine.PhaseConnect
	phaseSend    = "send"
	phaseFirst   = engine.PhaseFirstToken
	phaseBetween = "between-tokens"
	phaseTotal   = "total"
)

var errClientClosed = errors.New("upstream client closed")

func isEOF(err error) bool { return err == io.EOF } //nolint:errorlint // our readers return the bare value

// broken returns the failure of a connection: Unavailable while there is no head,
// StreamFailed after it.
func broken(err error, inBody bool) *fault.Error {
	if inBody {
		return fault.Wrap(fault.StreamFailed, err, "The connection to the model broke off.")
	}
	return fault.Wrap(fault.Unavailable, err, "The model cannot be reached.")
}

func timedOut(phase string, err error) *fault.Error {
	e := fault.Wrap(fault.Timeout, err, "The model did not answer within the "+phase+" time limit.")
	e.Code = phase
	return e
}

// ended returns the failure of a call whose context has ended.
func ended(ctx context.Context) *fault.Error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return timedOut(phaseTotal, cause)
	}
	return fault.Wrap(fault.Canceled, cause, "The call was canceled.")
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// isHangup reports that the peer had closed the connection.
func isHangup(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.ErrClosedPipe)
}

// phases keeps the time limits of one call.
type phases struct {
	total          time.Time // zero: none
	first, between time.Duration
	begun          bool // the first token has come
	moved          bool // a token has come since the deadline was set
	deadline       time.Time
}

func newPhases(t engine.Timeouts, stream bool, now time.Time) phases {
	var p phases
	if t.Total > 0 {
		p.total = now.Add(t.Total)
	}
	if stream {
		p.first, p.between = t.FirstToken, t.BetweenTokens
	}
	return p
}

func (p *phases) progress() { p.begun, p.moved = true, true }

// start sets the deadline of the wait for the first token.
func (p *phases) start(now time.Time) time.Time {
	p.deadline = p.within(now, p.first)
	return p.deadline
}

// limit makes t the only limit from now on, unless there is an earlier one.
func (p *phases) limit(t time.Time) {
	if p.deadline.IsZero() || t.Before(p.deadline) {
		p.deadline = t
	}
	p.total, p.between, p.moved = p.deadline, 0, false
}

// due reports whether the deadline must be moved before the next wait, and sets it. It
// gives an eighth more than asked, so that a fast stream moves its deadline seldom.
func (p *phases) due(now time.Time) bool {
	p.moved = false
	if left := p.deadline.Sub(now); p.between > 0 && left >= p.between && left <= p.between+p.between/8 {
		return false
	}
	d := p.within(now, p.between+p.between/8)
	if d.Equal(p.deadline) {
		return false
	}
	p.deadline = d
	return true
}

func (p *phases) within(now time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return p.total
	}
	if t := now.Add(d); p.total.IsZero() || t.Before(p.total) {
		return t
	}
	return p.total
}

// expired returns the error for a deadline that has passed.
func (p *phases) expired(now time.Time, err error) *fault.Error {
	switch {
	case !p.total.IsZero() && !now.Before(p.total):
		return timedOut(phaseTotal, err)
	case p.begun:
		return timedOut(phaseBetween, err)
	}
	return timedOut(phaseFirst, err)
}
