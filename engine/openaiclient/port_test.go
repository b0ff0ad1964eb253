package openaiclient

import (
	"context"
	"testing"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
)

// server is a client together with the slow engine behind it, as Port wants one.
type served struct {
	*Client
	server *fakeupstream.Server
}

func (s *served) Close() error {
	err := s.Client.Close()
	s.server.Close()
	return err
}

// TestPort runs the part of the suite that is for engines without an upstream.
func TestPort(t *testing.T) {
	enginetest.Port(t, func(t testing.TB) engine.Client {
		s := fakeupstream.Piped(fakeupstream.OpenAI)
		s.Handle(func(c *fakeupstream.Call) {
			words := []string{"slow", "words", "over", "seconds"}
			if !c.Streams() {
				c.Respond(200, nil, c.Protocol.Whole(words, fakeupstream.SaidUsage))
				return
			}
			for _, p := range c.Protocol.Stream(words, fakeupstream.SaidUsage) {
				if wait(c, time.Second) != nil {
					return
				}
				c.Send(p)
			}
			c.End()
		})
		c, err := New(Config{Upstream: upstream.Config{BaseURL: s.URL, Dial: s.Dial}})
		if err != nil {
			t.Fatal(err)
		}
		return &served{c, s}
	})
}

// wait waits, unless the client leaves.
func wait(c *fakeupstream.Call, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.Gone():
		return context.Canceled
	case <-t.C:
		return nil
	}
}
