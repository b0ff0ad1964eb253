package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"forebay/engine"
	"forebay/fault"
)

func TestNamesWithSeveralAddresses(t *testing.T) {
	handle := func(_ int, p *peer) {
		for p.request() != nil {
			p.say(ok2)
		}
	}
	a := serve(t, handle)
	_, port, _ := strings.Cut(strings.TrimPrefix(a.url, "http://"), ":")
	ln, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("SKIPPED: no second loopback address: ", err)
	}
	b := &script{}
	b.accept(t, ln, handle)
	answers := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.2")}
	var mu sync.Mutex
	looked := make(chan struct{}, 100)
	c := open(t, Config{
		BaseURL: "http://replicas.test:" + port, Refresh: time.Nanosecond,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			select {
			case looked <- struct{}{}:
			default:
			}
			if answers == nil {
				return nil, errors.New("no such host")
			}
			return answers, nil
		},
	})
	for range 12 {
		if _, err := call(t.Context(), c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if a.conns.Load() != 1 || b.conns.Load() != 1 {
		t.Errorf("%d and %d connections", a.conns.Load(), b.conns.Load())
	}
	for _, next := range [][]netip.Addr{answers[2:], nil} { // one address leaves; then the name server fails
		mu.Lock()
		answers = next
		for len(looked) > 0 {
			<-looked
		}
		mu.Unlock()
		for len(looked) < 2 { // the second look-up begins after the first has taken effect
			if _, err := call(t.Context(), c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		p := c.(*direct).pool
		p.mu.Lock()
		if len(p.addrs) != 1 || p.addrs[0].key != "127.0.0.2:"+port || len(p.all) > 1 {
			t.Errorf("addresses %v, %d connections", p.addrs, len(p.all))
		}
		p.mu.Unlock()
	}
}

// piped runs a test in a bubble of virtual time, against a peer behind net.Pipe.
func piped(t *testing.T, cfg Config, handle func(n int, p *peer), test func(t *testing.T, c Client)) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		var n atomic.Int32 // dials may be made at once
		cfg.BaseURL = "http://engine.test"
		if cfg.Dial == nil {
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				id := int(n.Add(1))
				wg.Go(func() {
					defer theirs.Close() //nolint:errcheck // test
					handle(id, &peer{Conn: theirs, r: bufio.NewReader(theirs)})
				})
				return ours, nil
			}
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		test(t, c)
		_ = c.Close()
		wg.Wait()
	})
}

var phaseLimits = engine.Timeouts{Connect: time.Second, FirstToken: 10 * time.Second, BetweenTokens: 4 * time.Second, Total: 60 * time.Second}

var phaseCases = []struct {
	name     string
	stream   bool
	handle   func(n int, p *peer)
	phase    string
	from, to time.Duration
}{
	{"first token, no head", true, func(_ int, p *peer) { p.request(); p.gone() }, phaseFirst, 10 * time.Second, 10 * time.Second},
	{"first token, head only", true, func(_ int, p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\n\r\n")
		p.gone()
	}, phaseFirst, 10 * time.Second, 10 * time.Second},
	{"between tokens", true, func(_ int, p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\n\r\n")
		for range 5 {
			time.Sleep(3 * time.Second)
			p.say("token")
		}
		p.gone()
	}, phaseBetween, 19 * time.Second, 19500 * time.Millisecond},
	{"total, streaming", true, func(_ int, p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\n\r\n")
		for range 100 {
			time.Sleep(time.Second)
			if _, err := p.Write([]byte("token")); err != nil {
				return
			}
		}
	}, phaseTotal, 60 * time.Second, 60 * time.Second},
	{"total, in one piece", false, func(_ int, p *peer) { p.request(); p.gone() }, phaseTotal, 60 * time.Second, 60 * time.Second},
	{"total, half an answer", false, func(_ int, p *peer) {
		p.request()
		time.Sleep(30 * time.Second)
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")
		p.gone()
	}, phaseTotal, 60 * time.Second, 60 * time.Second},
	{"request not read", true, func(_ int, p *peer) { <-time.After(time.Hour); _ = p }, phaseFirst, 10 * time.Second, 10 * time.Second},
}

func TestPhases(t *testing.T) {
	for _, c := range phaseCases {
		for _, std := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/nethttp=%v", c.name, std), func(t *testing.T) {
				piped(t, Config{Timeouts: phaseLimits, NetHTTP: std}, c.handle, func(t *testing.T, cl Client) {
					start := time.Now()
					res, err := cl.Do(t.Context(), &Request{Method: "POST", Path: "/", Stream: c.stream, Body: [][]byte{[]byte("body")}})
					for err == nil {
						if _, err = res.Read(make([]byte, 100)); err == nil {
							res.Progress()
						}
					}
					e := wantKind(t, err, fault.Timeout)
					if took := time.Since(start); e.Code != c.phase || took < c.from || took > c.to {
						t.Errorf("%q after %v", e.Code, took)
					}
					if !strings.Contains(e.Message, c.phase) {
						t.Errorf("message %q", e.Message)
					}
					if res != nil {
						_ = res.Close()
					}
				})
			})
		}
	}
}

// The rest of a body that says why a call has failed is waited for only so long, and a limit
// of the call that ends earlier stays.
func TestWithin(t *testing.T) {
	for _, c := range []struct {
		stream     bool
		within, at time.Duration
	}{{false, 2 * time.Second, 2 * time.Second}, {true, 2 * time.Second, 2 * time.Second}, {true, time.Minute, 10 * time.Second}} {
		for _, std := range []bool{false, true} {
			piped(t, Config{Timeouts: phaseLimits, NetHTTP: std}, func(_ int, p *peer) {
				p.request()
				p.say("HTTP/1.1 500 Oh\r\nContent-Length: 50\r\n\r\nslo")
				for _, err := p.Write([]byte("o")); err == nil; _, err = p.Write([]byte("o")) {
					time.Sleep(700 * time.Millisecond)
				}
			}, func(t *testing.T, cl Client) {
				start := time.Now()
				res, err := cl.Do(t.Context(), &Request{Method: "POST", Path: "/", Stream: c.stream})
				if err != nil {
					t.Fatal(err)
				}
				res.Within(c.within)
				b, err := res.ReadAll(nil, 1<<10)
				wantKind(t, err, fault.Timeout)
				if took := time.Since(start); took != c.at || !strings.HasPrefix(string(b), "slo") {
					t.Errorf("%q after %v, want %v", b, took, c.at)
				}
				_ = res.Close()
				res.Within(time.Second)
			})
		}
	}
}

func TestConnectLimit(t *testing.T) {
	silent := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	piped(t, Config{Timeouts: engine.Timeouts{Connect: 2 * time.Second}, Dial: silent}, nil, func(t *testing.T, c Client) {
		start := time.Now()
		_, err := call(t.Context(), c, "x")
		if e := wantKind(t, err, fault.Timeout); e.Code != phaseConnect || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// No more than dialsAtOnce connections are being made at one time; the wait for one's turn is a part of the time to connect.
func TestDialsAtOnce(t *testing.T) {
	const calls = dialsAtOnce + 20
	for _, x := range []struct {
		takes time.Duration
		fail  int // calls that have no connection when the limit of two seconds is reached
		last  time.Duration
	}{{500 * time.Millisecond, 0, time.Second}, {1500 * time.Millisecond, 20, 2 * time.Second}, {time.Minute, calls, 2 * time.Second}} {
		var under, most atomic.Int64
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			if n := under.Add(1); n > most.Load() { // a race could only be lost by a smaller number
				most.Store(n)
			}
			defer under.Add(-1)
			select {
			case <-time.After(x.takes):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			ours, theirs := net.Pipe()
			go func() {
				p := &peer{Conn: theirs, r: bufio.NewReader(theirs)}
				p.request()
				p.say(ok2)
				_ = theirs.Close()
			}()
			return ours, nil
		}
		piped(t, Config{Timeouts: engine.Timeouts{Connect: 2 * time.Second}, Dial: dial}, nil, func(t *testing.T, c Client) {
			start := time.Now()
			var wg sync.WaitGroup
			var failed atomic.Int64
			for range calls {
				wg.Go(func() {
					if _, err := call(t.Context(), c, "x"); err != nil {
						failed.Add(1)
						if e := wantKind(t, err, fault.Timeout); e.Code != phaseConnect {
							t.Errorf("%v", err)
						}
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); int(failed.Load()) != x.fail || took != x.last || most.Load() != dialsAtOnce {
				t.Errorf("dials of %v: %d failed, %d at once, after %v", x.takes, failed.Load(), most.Load(), took)
			}
		})
	}
}

func TestDeadlineOfTheCaller(t *testing.T) {
	piped(t, Config{}, func(_ int, p *peer) { p.request(); p.gone() }, func(t *testing.T, c Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := call(ctx, c, "x")
		wantKind(t, err, fault.Timeout)
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	piped(t, Config{IdleTimeout: 10 * time.Second, MaxIdle: 2}, func(_ int, p *peer) {
		for p.request() != nil {
			time.Sleep(time.Second)
			p.say(ok2)
		}
	}, func(t *testing.T, c Client) {
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := call(t.Context(), c, "x"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		idle := func() int {
			p := c.(*direct).pool
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.all) != len(p.addrs[0].idle) {
				t.Errorf("%d known, %d idle", len(p.all), len(p.addrs[0].idle))
			}
			return len(p.all)
		}
		if n := idle(); n != 2 {
			t.Errorf("%d idle", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := idle(); n != 0 {
			t.Errorf("%d idle after the limit", n)
		}
	})
}

func TestDrain(t *testing.T) {
	for _, c := range []struct {
		late  time.Duration
		conns int
	}{{drainFor / 2, 1}, {drainFor * 2, 3}} {
		conns := 0
		piped(t, Config{}, func(n int, p *peer) {
			conns = n
			for p.request() != nil {
				p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndone\r\n")
				time.Sleep(c.late)
				p.say("0\r\n\r\n")
			}
		}, func(t *testing.T, cl Client) {
			for range 3 {
				res, err := cl.Do(t.Context(), &Request{Method: "POST", Path: "/", Stream: true})
				if err != nil {
					t.Fatal(err)
				}
				if n, err := res.Read(make([]byte, 4)); n != 4 || err != nil {
					t.Fatal(n, err)
				}
				res.Drain()
				_ = res.Close()
			}
		})
		if conns != c.conns {
			t.Errorf("an end %v late: %d connections", c.late, conns)
		}
	}
}
