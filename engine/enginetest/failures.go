package enginetest

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
)

// begin sends the payloads of an answer up to and with the first word.
func begin(c *fakeupstream.Call) {
	for _, p := range c.Protocol.Stream([]string{"word"}, fakeupstream.SaidUsage) {
		c.Send(p)
		if strings.Contains(p.Data, "word") {
			return
		}
	}
}

// open sends the payloads of an answer in front of the first word.
func open(c *fakeupstream.Call) {
	for _, p := range c.Protocol.Stream([]string{"word"}, fakeupstream.SaidUsage) {
		if strings.Contains(p.Data, "word") {
			return
		}
		c.Send(p)
	}
}

// keepAlive shows that the server lives, and that the model says nothing, until the client leaves.
func keepAlive(c *fakeupstream.Call) {
	for {
		if c.Protocol.Idle != nil {
			c.Write(c.Protocol.Idle)
		}
		select {
		case <-time.After(time.Second):
		case <-c.Gone():
			return
		}
	}
}

// began pulls until the first word has come.
func began(t testing.TB, res *infer.Response) {
	t.Helper()
	for {
		ev, err := res.Next()
		if err != nil {
			t.Fatalf("before the first word: %v", err)
		}
		if ev.Text == "word" || strings.Contains(string(ev.Raw), "word") {
			return
		}
	}
}

func testBrokenStream(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		x.server.Handle(func(c *fakeupstream.Call) {
			begin(c)
			c.Write(p.Broken("out of memory"))
		})
		res := x.infer(t, req(t, true))
		began(t, res)
		_, err := pull(res)
		if e := wantKind(t, err, fault.StreamFailed); e.OriginalMessage != "out of memory" || e.OriginalStatus < 500 {
			t.Errorf("%+v", e)
		}
		_, err = res.Next()
		wantKind(t, err, fault.StreamFailed)
	})
}

func testTruncated(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		for _, cut := range []bool{false, true} {
			x.server.Handle(func(c *fakeupstream.Call) {
				begin(c)
				if cut {
					conn, _ := c.Conn()
					_ = conn.Close()
				}
			})
			res := x.infer(t, req(t, true))
			began(t, res)
			_, err := pull(res)
			wantKind(t, err, fault.StreamFailed)
		}
	})
}

// seize answers with raw bytes, and then runs what is to follow on the connection.
func seize(raw string, then func(conn net.Conn)) func(c *fakeupstream.Call) {
	return func(c *fakeupstream.Call) {
		conn, _ := c.Conn()
		defer conn.Close() //nolint:errcheck // test
		_, _ = conn.Write([]byte(raw))
		if then != nil {
			then(conn)
		}
	}
}

func testHalfClosed(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		halfClose := func(conn net.Conn) {
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = conn.Read(make([]byte, 1)) // until the client has hung up, too
		}
		for _, stream := range []bool{false, true} {
			for _, raw := range []string{"", "HTTP/1.1 200 OK\r\nContent-Ty"} {
				x.server.Handle(seize(raw, halfClose))
				_, err := x.client.Infer(t.Context(), req(t, stream))
				wantKind(t, err, fault.Unavailable)
			}
		}
		x.server.Handle(seize("HTTP/1.1 200 OK\r\nContent-Type: "+p.StreamType+"\r\nTransfer-Encoding: chunked\r\n\r\n", halfClose))
		_, err := attempt(t.Context(), x.client, req(t, true))
		wantKind(t, err, fault.StreamFailed)
		x.server.Handle(seize("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", halfClose))
		_, err = attempt(t.Context(), x.client, req(t, false))
		wantKind(t, err, fault.Unavailable)
	})
}

func testGarbage(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		x.server.Handle(seize("\x15\x03\x01\x00\x02\x02\x50", nil))
		_, err := x.client.Infer(t.Context(), req(t, true))
		wantKind(t, err, fault.Unavailable)
		for _, body := range []string{"", "<html>", `{"choices":[`, `"text"`, `[]`, "{}{}"} {
			x.server.Handle(func(c *fakeupstream.Call) { c.Respond(http.StatusOK, nil, []byte(body)) })
			_, err := attempt(t.Context(), x.client, req(t, false))
			wantKind(t, err, fault.Unavailable)
		}
		x.server.Handle(func(c *fakeupstream.Call) {
			begin(c)
			c.Write([]byte(s.Garbled))
		})
		res := x.infer(t, req(t, true))
		began(t, res)
		_, err = pull(res)
		wantKind(t, err, fault.StreamFailed)
	})
}

func testNotAStream(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		x.server.Handle(func(c *fakeupstream.Call) { c.Respond(http.StatusOK, nil, p.Whole(words, fakeupstream.SaidUsage)) })
		_, err := x.client.Infer(t.Context(), req(t, true))
		wantKind(t, err, fault.Unavailable)
		x.server.Handle(func(c *fakeupstream.Call) {
			c.Respond(http.StatusOK, nil, []byte(`{"error":{"message":"no such model"}}`))
		})
		_, err = x.client.Infer(t.Context(), req(t, true))
		if e := wantKind(t, err, fault.ModelFailed); e.OriginalMessage != "no such model" {
			t.Errorf("%+v", e)
		}
	})
}

// atOnce is how long cancelling may take, in virtual time.
const atOnce = 100 * time.Millisecond

// testCancelBefore cancels a call that waits for its head. The bubble cannot end before the upstream
// has seen the client leave.
func testCancelBefore(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		for _, stream := range []bool{false, true} {
			bubble(t, s, p, engine.Timeouts{}, func(t *testing.T, x *setting) {
				left := make(chan time.Time, 1)
				x.server.Handle(func(c *fakeupstream.Call) {
					<-c.Gone()
					left <- time.Now()
				})
				ctx, cancel := context.WithCancel(t.Context())
				var at time.Time
				time.AfterFunc(time.Second, func() { at = time.Now(); cancel() })
				_, err := x.client.Infer(ctx, req(t, stream))
				wantKind(t, err, fault.Canceled)
				if d := time.Since(at); d > atOnce {
					t.Errorf("the caller waited %v", d)
				}
				if d := (<-left).Sub(at); d > atOnce {
					t.Errorf("the engine worked on for %v", d)
				}
			})
		}
	})
}

func testCancelWithin(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		bubble(t, s, p, engine.Timeouts{}, func(t *testing.T, x *setting) {
			left := hold(x)
			ctx, cancel := context.WithCancel(t.Context())
			res, err := x.client.Infer(ctx, req(t, true))
			if err != nil {
				t.Fatal(err)
			}
			began(t, res)
			var at time.Time
			time.AfterFunc(time.Second, func() { at = time.Now(); cancel() })
			_, err = pull(res)
			wantKind(t, err, fault.Canceled)
			if d := (<-left).Sub(at); d > atOnce || time.Since(at) > atOnce {
				t.Errorf("the engine worked on for %v", d)
			}
			_, _ = res.Close(), res.Close()
		})
	})
}

// hold lets the upstream begin an answer and then hang until the client has left.
func hold(x *setting) <-chan time.Time {
	left := make(chan time.Time, 1)
	x.server.Handle(func(c *fakeupstream.Call) {
		begin(c)
		<-c.Gone()
		left <- time.Now()
	})
	return left
}

func testCloseResponse(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		bubble(t, s, p, engine.Timeouts{}, func(t *testing.T, x *setting) {
			left := hold(x)
			res, err := x.client.Infer(t.Context(), req(t, true))
			if err != nil {
				t.Fatal(err)
			}
			began(t, res)
			at := time.Now()
			_, _ = res.Close(), res.Close()
			if d := (<-left).Sub(at); d > atOnce {
				t.Errorf("the engine worked on for %v", d)
			}
			if _, err := res.Next(); err == nil {
				t.Error("an event after Close")
			}
		})
	})
}

func testPhases(t *testing.T, s *Setup) {
	limits := engine.Timeouts{FirstToken: 10 * time.Second, BetweenTokens: 4 * time.Second, Total: time.Minute}
	hang := func(c *fakeupstream.Call) { <-c.Gone() }
	for _, c := range []struct {
		name, code string
		stream     bool
		handle     func(c *fakeupstream.Call)
		from, to   time.Duration
	}{
		{"first token, no head", "first-token", true, hang, 10 * time.Second, 10 * time.Second},
		{"first token, head", "first-token", true, func(c *fakeupstream.Call) { c.Start(); hang(c) }, 10 * time.Second, 10 * time.Second},
		{"between tokens", "between-tokens", true, func(c *fakeupstream.Call) {
			time.Sleep(9 * time.Second)
			begin(c)
			hang(c)
		}, 13 * time.Second, 13500 * time.Millisecond},
		{"first token, kept alive", "first-token", true, func(c *fakeupstream.Call) { c.Start(); keepAlive(c) }, 10 * time.Second, 10 * time.Second},
		{"first token, opened early", "first-token", true, func(c *fakeupstream.Call) {
			c.Start()
			if c.Protocol.Opens {
				open(c)
			}
			keepAlive(c)
		}, 10 * time.Second, 10 * time.Second},
		{"between tokens, kept alive", "between-tokens", true, func(c *fakeupstream.Call) {
			begin(c)
			keepAlive(c)
		}, 4 * time.Second, 4500 * time.Millisecond},
		{"total of a stream", "total", true, func(c *fakeupstream.Call) {
			for range 100 {
				begin(c)
				time.Sleep(time.Second)
			}
		}, time.Minute, time.Minute},
		{"total of a whole answer", "total", false, hang, time.Minute, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
				bubble(t, s, p, limits, func(t *testing.T, x *setting) {
					x.server.Handle(c.handle)
					start := time.Now()
					_, err := attempt(t.Context(), x.client, req(t, c.stream))
					e := wantKind(t, err, fault.Timeout)
					if took := time.Since(start); e.Code != c.code || took < c.from || took > c.to {
						t.Errorf("%s after %v", e.Code, took)
					}
				})
			})
		})
	}
}

// testConnect dials an engine that takes no connection.
func testConnect(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, _ *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		synctest.Test(t, func(t *testing.T) {
			silent := func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			c := s.New(t, upstream.Config{BaseURL: "http://engine.test", Timeouts: engine.Timeouts{Connect: 3 * time.Second, Total: time.Minute}, Dial: silent})
			defer c.Close() //nolint:errcheck // test
			start := time.Now()
			_, err := c.Infer(t.Context(), req(t, true))
			if e := wantKind(t, err, fault.Timeout); e.Code != "connect" || time.Since(start) != 3*time.Second {
				t.Errorf("%q after %v", e.Code, time.Since(start))
			}
		})
	})
}

// testSlowFailure has an engine refuse with a body that never ends: the status alone says
// that the call may go elsewhere, and it must not wait as long as an answer may take.
func testSlowFailure(t *testing.T, s *Setup) {
	const soon = 5 * time.Second
	drip := func(head string) func(c *fakeupstream.Call) {
		return seize("HTTP/1.1 "+head+"\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", func(conn net.Conn) {
			for _, err := conn.Write([]byte(" ")); err == nil; _, err = conn.Write([]byte(" ")) {
				time.Sleep(time.Second)
			}
		})
	}
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		bubble(t, s, p, engine.Timeouts{Total: time.Hour}, func(t *testing.T, x *setting) {
			for _, stream := range []bool{false, true} {
				x.server.Handle(drip("503 Service Unavailable"))
				start := time.Now()
				_, err := x.client.Infer(t.Context(), req(t, stream))
				if e := wantKind(t, err, fault.Unavailable); e.OriginalStatus != http.StatusServiceUnavailable || time.Since(start) > soon {
					t.Errorf("%d after %v", e.OriginalStatus, time.Since(start))
				}
			}
			x.server.Handle(drip("200 OK")) // no stream although one was asked for
			start := time.Now()
			_, err := x.client.Infer(t.Context(), req(t, true))
			wantKind(t, err, fault.Unavailable)
			if took := time.Since(start); took > soon {
				t.Errorf("after %v", took)
			}
		})
	})
}

func testCloseClient(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		bubble(t, s, p, engine.Timeouts{}, func(t *testing.T, x *setting) {
			left := hold(x)
			res, err := x.client.Infer(t.Context(), req(t, true))
			if err != nil {
				t.Fatal(err)
			}
			began(t, res)
			time.AfterFunc(time.Second, func() { _ = x.client.Close() })
			_, err = pull(res)
			wantKind(t, err, fault.StreamFailed, fault.Canceled)
			<-left
			_ = res.Close()
			_, err = x.client.Infer(t.Context(), req(t, true))
			wantKind(t, err, fault.Unavailable)
		})
	})
}
