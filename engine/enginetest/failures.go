package enginetest

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest/fakeupstream"
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
