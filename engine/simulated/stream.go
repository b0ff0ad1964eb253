package simulated

import (
	"context"
	"errors"
	"io"
	"time"

	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
)

// stream is the answer of one call, token by token as the batch produces them. Its
// choices take turns.
type stream struct {
	e       *Engine
	req     *infer.Request
	plan    *plan
	ctx     context.Context //nolint:containedctx // the call's, for the waits in Next
	detach  func() bool     // ends the watch over ctx
	ready   chan struct{}   // there may be something to hand on
	input   int64
	choices []choice
	left    bool // taken out of the batch; guarded by the engine's mutex

	limits infer.Timeouts // of the engine and of the call
	began  time.Time
	moved  time.Time // when the last event was handed on; zero before the first

	closed  bool // like all below for the caller's goroutine alone
	started bool
	turn    int
	ended   int // choices that have been handed on to their ends
	usage   bool
	ev      infer.Event
}

// choice is one sequence of the batch and what of it was handed on.
type choice struct {
	of     *stream
	index  int
	answer *answer
	id     uint64
	made   int64 // steps done; guarded by the engine's mutex
	seen   int64 // the value of made last looked at
	given  int   // tokens handed on
	part   int   // of the answer, whose turn it is
	at     int   // tokens of the part handed on
	phase  phase
}

// phase is what of a choice comes next.
type phase int

const (
	phaseBlock phase = iota
	phaseTokens
	phaseBlockStop
	phaseStop
	phaseEnd
)

// Next implements infer.Events.
func (s *stream) Next() (*infer.Event, error) {
	for {
		switch {
		case s.closed:
			return nil, fault.New(fault.Canceled, "")
		case s.usage:
			return nil, io.EOF
		case s.ended == len(s.choices):
			s.usage = true
			s.ev = infer.Event{Kind: infer.EventUsage, Usage: s.used(), HasUsage: true}
			return &s.ev, nil
		}
		if s.some() {
			s.moved = time.Now()
			if !s.started {
				s.started = true
				s.ev = infer.Event{Kind: infer.EventStart, Usage: infer.Usage{Input: s.input}, HasUsage: true}
				return &s.ev, nil
			}
			return s.step()
		}
		if err := s.wait(); err != nil {
			return nil, err
		}
	}
}

// Ready reports whether the next event can be had without waiting.
func (s *stream) Ready() bool {
	return !s.closed && !s.usage && (s.ended == len(s.choices) || s.some())
}

// some moves the turn to the next choice that has something to hand on.
func (s *stream) some() bool {
	for range s.choices {
		if s.can(&s.choices[s.turn]) {
			return true
		}
		s.turn = (s.turn + 1) % len(s.choices)
	}
	return false
}

func (s *stream) can(c *choice) bool {
	if c.phase > phaseTokens {
		return c.phase != phaseEnd
	}
	if s.fails(c) {
		return true
	}
	need := int64(c.given+1) * s.plan.slow
	if c.seen < need {
		s.e.mu.Lock()
		c.seen = c.made
		s.e.mu.Unlock()
	}
	return c.seen >= need
}

// fails reports whether it is time for the failure that was asked for.
func (s *stream) fails(c *choice) bool {
	return c.phase == phaseTokens && s.plan.failAt >= 0 && c.given >= min(s.plan.failAt, c.answer.tokens())
}

// step hands on what comes next of the choice whose turn it is.
func (s *stream) step() (*infer.Event, error) {
	c := &s.choices[s.turn]
	s.ev = infer.Event{Choice: c.index, Index: c.part}
	ev := &s.ev
	//exhaustive:enforce
	switch c.phase {
	case phaseBlock:
		p := &c.answer.parts[c.part]
		ev.Kind, ev.Block = infer.EventBlockStart, p.block
		c.phase++
		if len(p.tokens) == 0 && s.plan.failAt < 0 {
			c.phase++
		}
		return ev, nil
	case phaseTokens:
		if s.fails(c) {
			s.leave()
			return nil, failed(fault.StreamFailed, s.plan.status, told)
		}
		p := &c.answer.parts[c.part]
		ev.Kind, ev.Text, ev.Tokens, ev.Delta = infer.EventDelta, p.tokens[c.at], 1, p.block.Kind
		c.given++
		if c.at++; c.at == len(p.tokens) && (s.plan.failAt < 0 || c.part < len(c.answer.parts)-1) {
			c.phase++
		}
	case phaseBlockStop:
		ev.Kind = infer.EventBlockStop
		if c.part, c.at = c.part+1, 0; c.part < len(c.answer.parts) {
			c.phase = phaseBlock
		} else {
			c.phase++
		}
	case phaseStop:
		ev.Kind, ev.Index, ev.Stop, ev.StopText = infer.EventStop, 0, c.answer.stop, c.answer.stopTxt
		c.phase++
		s.ended++
	case phaseEnd: // some never gives the turn to one that has ended
	}
	s.turn = (s.turn + 1) % len(s.choices)
	return ev, nil
}

// wait returns when the batch may have more for the call.
func (s *stream) wait() error {
	at, phase := s.deadline()
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-s.ready:
		return nil
	case <-due:
		s.leave()
		f := fault.New(fault.Timeout, "The model did not answer within the "+phase+" time limit.")
		f.Code = phase
		return f
	case <-s.ctx.Done():
		return canceled(s.ctx)
	case <-s.e.done:
		if !s.started {
			return fault.New(fault.Unavailable, "")
		}
		return fault.New(fault.StreamFailed, "")
	}
}

// deadline is when the call's wait is over, and by which of its limits; zero for never.
func (s *stream) deadline() (at time.Time, phase string) {
	if t := s.limits.Total; t > 0 {
		at, phase = s.began.Add(t), "total"
	}
	wait, from, name := s.limits.FirstToken, s.began, engine.PhaseFirstToken
	if s.started {
		wait, from, name = s.limits.BetweenTokens, s.moved, "between-tokens"
	}
	if d := from.Add(wait); s.req.Stream && wait > 0 && (at.IsZero() || d.Before(at)) {
		at, phase = d, name
	}
	return at, phase
}

// signal wakes the caller's goroutine if it waits.
func (s *stream) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// leave takes the call out of the batch.
func (s *stream) leave() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if !s.left {
		s.left = true
		s.e.drop(s)
	}
}

// used is what was read and handed on so far.
func (s *stream) used() infer.Usage {
	u := infer.Usage{Input: s.input}
	for i := range s.choices {
		u.Output += int64(s.choices[i].given)
	}
	return u
}

// Close implements infer.Events.
func (s *stream) Close() error {
	s.closed = true
	s.detach()
	s.leave()
	return nil
}

// whole is the answer of a call without streaming: the stream in one piece.
type whole struct {
	s    *stream
	done bool
	ev   infer.Event
}

// Next implements infer.Events.
func (w *whole) Next() (*infer.Event, error) {
	if w.done {
		return nil, io.EOF
	}
	for {
		_, err := w.s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	w.done = true
	s := w.s
	res := &infer.Result{ID: s.req.ID, Model: s.req.UpstreamModel, Created: time.Now(), Usage: s.used()}
	for i := range s.choices {
		a := s.choices[i].answer
		res.Choices = append(res.Choices, infer.Choice{Content: a.content(), Stop: a.stop, StopText: a.stopTxt})
	}
	w.ev = infer.Event{Kind: infer.EventResult, Result: res, Usage: res.Usage, HasUsage: true}
	return &w.ev, nil
}

// Close implements infer.Events.
func (w *whole) Close() error { return w.s.Close() }
