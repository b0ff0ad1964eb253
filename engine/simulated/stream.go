package simulated

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"forebay/fault"
	"forebay/infer"
)

// stream is the answer of one call, token by token as the batch produces them.
type stream struct {
	e     *Engine
	id    uint64
	req   *infer.Request
	plan  *plan
	ctx   context.Context //nolint:containedctx // the call's, for the waits in Next
	ready chan struct{}
	input int64

	made  int64 // steps done; guarded by the engine's mutex
	given int   // tokens handed on
	phase int
	ev    infer.Event
	close sync.Once
}

// The phases of a stream.
const (
	phaseStart = iota
	phaseBlock
	phaseTokens
	phaseBlockStop
	phaseStop
	phaseUsage
	phaseEnd
)

// Next implements infer.Events.
func (s *stream) Next() (*infer.Event, error) {
	s.ev = infer.Event{}
	ev := &s.ev
	switch s.phase {
	case phaseStart:
		if err := s.wait(1); err != nil {
			return nil, err
		}
		ev.Kind = infer.EventStart
		ev.Usage, ev.HasUsage = infer.Usage{Input: s.input}, true
	case phaseBlock:
		ev.Kind = infer.EventBlockStart
		if t := s.plan.tool; t != nil {
			ev.Block = infer.Block{Kind: infer.BlockToolUse, ToolID: t.ToolID, ToolName: t.ToolName}
		}
	case phaseTokens:
		return s.token()
	case phaseBlockStop:
		ev.Kind = infer.EventBlockStop
	case phaseStop:
		ev.Kind, ev.Stop, ev.StopText = infer.EventStop, s.plan.stop, s.plan.stopTxt
	case phaseUsage:
		ev.Kind, ev.Usage, ev.HasUsage = infer.EventUsage, s.usage(), true
	default:
		return nil, io.EOF
	}
	s.phase++
	return ev, nil
}

func (s *stream) token() (*infer.Event, error) {
	if s.plan.failAt >= 0 && s.given >= s.plan.failAt {
		return nil, s.plan.failure(fault.StreamFailed)
	}
	if err := s.wait(int64(s.given+1) * s.plan.slow); err != nil {
		return nil, err
	}
	s.ev.Kind, s.ev.Text, s.ev.Tokens = infer.EventDelta, s.plan.tokens[s.given], 1
	if s.plan.tool != nil {
		s.ev.Delta = infer.BlockToolUse
	}
	s.given++
	if s.given == len(s.plan.tokens) {
		s.phase++
	}
	return &s.ev, nil
}

// Ready reports whether the next event can be had without waiting.
func (s *stream) Ready() bool {
	if s.phase > phaseTokens {
		return s.phase < phaseEnd
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.made >= int64(s.given+1)*s.plan.slow
}

// wait returns when the batch has made n steps for the call.
func (s *stream) wait(n int64) error {
	for {
		s.e.mu.Lock()
		enough := s.made >= n
		s.e.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-s.ready:
		case <-s.ctx.Done():
			_ = s.Close()
			return fault.Wrap(fault.Canceled, context.Cause(s.ctx), "")
		case <-s.e.done:
			return fault.New(fault.Unavailable, "")
		}
	}
}

func (s *stream) usage() infer.Usage {
	return infer.Usage{Input: s.input, Output: int64(s.given)}
}

// Close implements infer.Events.
func (s *stream) Close() error {
	s.close.Do(func() { s.e.stop(s) })
	return nil
}

// whole is the answer of a call without streaming: the stream in one piece.
type whole struct {
	s       *stream
	choices int
	done    bool
}

// Next implements infer.Events.
func (w *whole) Next() (*infer.Event, error) {
	if w.done {
		return nil, io.EOF
	}
	w.done = true
	var text strings.Builder
	for {
		ev, err := w.s.Next()
		if err == io.EOF { //nolint:errorlint // our own stream returns it unwrapped
			break
		}
		if err != nil {
			return nil, err
		}
		if ev.Kind == infer.EventDelta {
			text.WriteString(ev.Text)
		}
	}
	p := w.s.plan
	block := infer.Block{Kind: infer.BlockText, Text: text.String()}
	if p.tool != nil {
		block = *p.tool
	}
	u := w.s.usage()
	res := &infer.Result{ID: w.s.req.ID, Model: w.s.req.UpstreamModel, Created: time.Now(), Usage: u}
	for range w.choices {
		res.Choices = append(res.Choices, infer.Choice{Content: []infer.Block{block}, Stop: p.stop, StopText: p.stopTxt})
	}
	res.Usage.Output *= int64(w.choices)
	return &infer.Event{Kind: infer.EventResult, Result: res, Usage: res.Usage, HasUsage: true}, nil
}

// Close implements infer.Events.
func (w *whole) Close() error { return w.s.Close() }
