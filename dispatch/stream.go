package dispatch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"forebay/capacity"
	"forebay/fault"
	"forebay/infer"
	"forebay/meter"
)

// How often the scheduler is told of tokens produced.
const (
	progressTokens = 256
	progressEvery  = time.Second
)

// stream is the response of an attempt that has begun: it counts tokens, tells the
// scheduler of progress, and before its last event settles the call and writes its row.
type stream struct {
	c      *call
	resp   *infer.Response
	first  *infer.Event
	cancel context.CancelFunc
	began  time.Time

	tokens   int64 // output tokens seen
	reported int64
	next     time.Time     // when progress is due whatever the count
	ended    bool          // the row is written, only io.EOF or err follow
	row      *meter.Record // written, and not yet in the metrics
	err      error

	close sync.Once
}

// Next implements infer.Events.
func (s *stream) Next() (*infer.Event, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.ended {
		return s.after()
	}
	ev, err := s.first, error(nil)
	s.first = nil
	if ev == nil {
		ev, err = s.resp.Next()
	}
	switch {
	case errors.Is(err, io.EOF):
		s.err = s.finish(nil)
		return s.after()
	case err != nil:
		s.err = s.failed(err)
		return nil, s.err
	}
	s.count(ev)
	if ev.Last || ev.Kind == infer.EventResult {
		s.ended = true
		if s.err = s.finish(nil); s.err != nil {
			return nil, s.err
		}
	}
	return ev, nil
}

// after ends the stream and releases the engine. That comes only here, because the last
// event lives in the engine's buffers until the client has got it.
func (s *stream) after() (*infer.Event, error) {
	if s.err == nil {
		s.err = io.EOF
	}
	_ = s.resp.Close()
	s.cancel()
	s.measure()
	return nil, s.err
}

// measure counts the call in the metrics, once: behind its last event, because the client waits for that.
func (s *stream) measure() {
	if rec := s.row; rec != nil {
		s.row = nil
		s.c.d.measured(rec)
	}
}

// unreported reports whether a usage stands for none: an engine that does not count says nothing, or only zeros.
func unreported(u *infer.Usage) bool {
	return u.Estimated && u.Input == 0 && u.Output == 0 && u.CacheRead == 0 && u.CacheWrite == 0
}

// uncounted returns the bytes of an answer in one piece whose tokens the engine has not counted.
func uncounted(ev *infer.Event) int64 {
	switch {
	case ev.Result != nil && unreported(&ev.Usage):
		return ev.Result.TextBytes()
	case ev.HasUsage:
		return 0
	default:
		return ev.TextBytes
	}
}

func (s *stream) count(ev *infer.Event) {
	s.tokens += ev.Tokens
	if n := uncounted(ev); n > 0 {
		s.tokens += s.c.model.ratio.estimate(n, 0)
	}
	if ev.HasUsage && ev.Usage.Output > s.tokens {
		s.tokens = ev.Usage.Output
	}
	if s.tokens-s.reported < progressTokens {
		if s.tokens == s.reported || time.Now().Before(s.next) {
			return
		}
	}
	s.reported, s.next = s.tokens, time.Now().Add(progressEvery)
	s.c.d.send(&capacity.Event{
		Kind: capacity.EventProgress, Call: s.c.id, Output: s.tokens, Delivered: s.c.req.Stream,
	})
}

// failed ends the call after an error behind the first byte.
func (s *stream) failed(err error) error {
	if fault.KindOf(err) == fault.Internal {
		err = fault.Wrap(fault.StreamFailed, err, "")
	}
	if blames(err) {
		s.c.d.replicaFailed(s.c.replica, err)
	}
	_ = s.resp.Close()
	s.cancel()
	_ = s.finish(err)
	s.measure()
	return err
}

// finish settles the call and writes its row, once. Its error says that the row could
// not be written; outcome is the call's own failure, nil for success.
func (s *stream) finish(outcome error) error {
	var err error
	s.close.Do(func() { err = s.conclude(outcome) })
	return err
}

func (s *stream) conclude(outcome error) error {
	c := s.c
	u, known := s.resp.Usage()
	if known = known && !unreported(&u); !known {
		u = infer.Usage{Input: c.asked.input, Output: s.tokens, Estimated: true}
	} else {
		if !u.Estimated {
			c.model.ratio.learn(c.req.Facts.TextBytes, u.Input+u.CacheRead+u.CacheWrite-c.req.Facts.MediaUnits)
		}
		if outcome != nil && s.tokens > u.Output { // the engine's last report came before the end
			u.Output, u.Estimated = s.tokens, true
		}
	}
	if outcome == nil {
		c.d.replicaOK(c.replica)
	}
	lines := c.price(u)
	c.settle(u, c.spent(&lines))
	c.attempted(s.began, u, outcome)
	var err error
	s.row, err = c.record(u, lines, outcome)
	return err
}

// Close implements infer.Events. A response closed before its end is a client that left:
// the engine is stopped and what it produced so far is settled.
func (s *stream) Close() error {
	s.cancel()
	err := s.resp.Close()
	s.close.Do(func() { _ = s.conclude(fault.New(fault.Canceled, "")) })
	s.measure()
	return err
}

// Ready reports whether the next event can be had without waiting.
func (s *stream) Ready() bool { return s.first != nil || s.resp.Ready() }
