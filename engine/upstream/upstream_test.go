package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"forebay/engine"
	"forebay/fault"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" { // the fuzzing engine has goroutines of its own
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// script serves raw connections: the function gets the number of the connection (from 1) and its peer.
type script struct {
	url   string
	conns atomic.Int32
	wg    sync.WaitGroup
}

func serve(t *testing.T, handle func(n int, p *peer)) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{url: "http://" + ln.Addr().String()}
	s.accept(t, ln, handle)
	return s
}

func (s *script) accept(t *testing.T, ln net.Listener, handle func(n int, p *peer)) {
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1))
			s.wg.Go(func() {
				defer c.Close() //nolint:errcheck // test
				handle(n, &peer{Conn: c, r: bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); s.wg.Wait() })
}

type peer struct {
	net.Conn
	r *bufio.Reader
}

// request reads one request; nil at the end of the connection.
func (p *peer) request() *http.Request {
	r, err := http.ReadRequest(p.r)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

func (p *peer) say(format string, args ...any) { _, _ = fmt.Fprintf(p.Conn, format, args...) }

// gone waits until the client has closed the connection.
func (p *peer) gone() { _, _ = io.Copy(io.Discard, p.r) }

const ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func open(t *testing.T, cfg Config) Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func call(ctx context.Context, c Client, body string) (string, error) {
	return ask(ctx, c, &Request{Method: "POST", Path: "/", Body: [][]byte{[]byte(body)}})
}

func ask(ctx context.Context, c Client, req *Request) (string, error) {
	res, err := c.Do(ctx, req)
	if err != nil {
		return "", err
	}
	defer res.Close() //nolint:errcheck // test
	b, err := res.ReadAll(nil, 64<<20)
	return string(b), err
}

func wantKind(t *testing.T, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Fatalf("got %v, want %v", err, kind)
	}
	return fault.From(err)
}

func TestConnectionIsReused(t *testing.T) {
	s := serve(t, func(_ int, p *peer) {
		for p.request() != nil {
			p.say(ok2)
		}
	})
	c := open(t, Config{BaseURL: s.url})
	for range 20 {
		if b, err := call(t.Context(), c, "x"); b != "ok" || err != nil {
			t.Fatal(b, err)
		}
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestRequestOnTheWire(t *testing.T) {
	got := make(chan *http.Request, 1)
	s := serve(t, func(_ int, p *peer) {
		got <- p.request()
		p.say(ok2)
	})
	c := open(t, Config{BaseURL: s.url + "/base/", Header: []Field{{"Authorization", "Bearer k"}}})
	big := strings.Repeat("abcdefgh", 1<<17)
	res, err := c.Do(t.Context(), &Request{
		Method: "POST", Path: "/v1/a%2Fb?x=%20", Header: []Field{{"X-Id", "7"}},
		Body: [][]byte{[]byte("{"), []byte(big), []byte("}")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	r := <-got
	body, _ := io.ReadAll(r.Body)
	if r.RequestURI != "/base/v1/a%2Fb?x=%20" || r.Header.Get("X-Id") != "7" || r.Header.Get("Authorization") != "Bearer k" ||
		r.Host != strings.TrimPrefix(s.url, "http://") || r.ContentLength != int64(len(big)+2) || string(body) != "{"+big+"}" {
		t.Errorf("%s %v %s %d", r.RequestURI, r.Header, r.Host, r.ContentLength)
	}
}

func TestNothingSplitsARequest(t *testing.T) {
	c := open(t, Config{BaseURL: "http://127.0.0.1:1"})
	for _, r := range []*Request{
		{Method: "GET", Path: "/a b"},
		{Method: "GET", Path: "/\r\nX: y"},
		{Method: "GET", Path: "x"},
		{Method: "GET"},
		{Method: "GET", Path: "/", Header: []Field{{"A", "b\r\nC: d"}}},
		{Method: "GET", Path: "/", Header: []Field{{"A b", "c"}}},
		{Method: "GET", Path: "/", Header: []Field{{"content-length", "5"}}},
		{Method: "GET", Path: "/", Header: []Field{{"Transfer-Encoding", "chunked"}}},
		{Method: "GET", Path: "/", Header: []Field{{"Host", "other"}}},
	} {
		_, err := c.Do(t.Context(), r)
		wantKind(t, err, fault.Internal)
	}
	for _, cfg := range []Config{
		{BaseURL: "ftp://x"},
		{BaseURL: "http://"},
		{BaseURL: "http://u:p@x"},
		{BaseURL: "http://x?y"},
		{BaseURL: "://"},
		{BaseURL: "http://x", Header: []Field{{"A", "\n"}}},
		{BaseURL: "http://x", Header: []Field{{"content-length", "1"}}},
	} {
		if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%v: %v", cfg.BaseURL, err)
		}
	}
}

func TestStaleConnection(t *testing.T) {
	for _, c := range []struct {
		name   string
		resend bool
		conns  int32
		kind   fault.Kind // of the second request; 0 for success
		first  func(p *peer)
		then   func(p *peer)
	}{
		{"closed while idle", false, 2, 0, func(p *peer) { p.request(); p.say(ok2) }, func(p *peer) { p.request(); p.say(ok2) }},
		{
			"closed as the call came", false, 1, fault.Unavailable,
			func(p *peer) { p.request(); p.say(ok2); p.request() },
			func(*peer) {},
		},
		{
			"closed as the request came", true, 2, 0,
			func(p *peer) { p.request(); p.say(ok2); p.request() },
			func(p *peer) { p.request(); p.say(ok2) },
		},
		{
			"the new one closes too", true, 2, fault.Unavailable,
			func(p *peer) { p.request(); p.say(ok2); p.request() },
			func(p *peer) { p.request() },
		},
		{
			"closed within the answer", true, 1, fault.Unavailable,
			func(p *peer) { p.request(); p.say(ok2); p.request(); p.say("H") },
			func(*peer) {},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed := make(chan struct{})
			s := serve(t, func(n int, p *peer) {
				if n == 1 {
					c.first(p)
					_ = p.Close()
					close(closed)
					return
				}
				c.then(p)
			})
			cl := open(t, Config{BaseURL: s.url})
			if _, err := call(t.Context(), cl, "1"); err != nil {
				t.Fatal(err)
			}
			if c.name == "closed while idle" {
				<-closed
			}
			b, err := ask(t.Context(), cl, &Request{Method: "POST", Path: "/", Body: [][]byte{[]byte("2")}, Resend: c.resend})
			if stale := c.name == "closed as the call came"; err != nil && (fault.From(err).Code == engine.StaleConnection) != stale {
				t.Errorf("code %q", fault.From(err).Code)
			}
			if c.kind == 0 && (b != "ok" || err != nil) || c.kind != 0 && fault.KindOf(err) != c.kind || s.conns.Load() != c.conns {
				t.Errorf("%q, %v, %d connections", b, err, s.conns.Load())
			}
		})
	}
}

func TestNewConnectionIsNotTriedAgain(t *testing.T) {
	s := serve(t, func(_ int, p *peer) { p.request() })
	_, err := call(t.Context(), open(t, Config{BaseURL: s.url}), "x")
	wantKind(t, err, fault.Unavailable)
	if s.conns.Load() != 1 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

func TestBytesBehindAResponseAreNotTheNextOne(t *testing.T) {
	s := serve(t, func(n int, p *peer) {
		for p.request() != nil {
			if n == 1 {
				p.say(ok2 + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			} else {
				p.say(ok2)
			}
		}
	})
	c := open(t, Config{BaseURL: s.url})
	for range 3 {
		if b, err := call(t.Context(), c, "x"); b != "ok" || err != nil {
			t.Fatal(b, err)
		}
	}
	if s.conns.Load() != 2 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

func TestBytesOnAnIdleConnectionAreNotTheNextResponse(t *testing.T) {
	idle, written := make(chan struct{}), make(chan struct{})
	s := serve(t, func(n int, p *peer) {
		p.request()
		p.say(ok2)
		if n == 1 {
			<-idle
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			close(written)
			p.gone()
		}
	})
	c := open(t, Config{BaseURL: s.url})
	for i := range 2 {
		if b, err := call(t.Context(), c, "x"); b != "ok" || err != nil {
			t.Fatal(b, err)
		}
		if i == 0 {
			close(idle)
			<-written
		}
	}
}

func TestHostileUpstream(t *testing.T) {
	interim := "HTTP/1.1 100 Continue\r\n\r\n"
	long := strings.Repeat("y", 100_000)
	for _, c := range []struct {
		name, say, body string
		before, after   fault.Kind
	}{
		{"interim", interim + "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok2, "ok", 0, 0},
		{"too many interim", strings.Repeat(interim, maxInterim+1) + ok2, "", fault.Unavailable, 0},
		{"switching protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "", fault.Unavailable, 0},
		{"encoded", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", "", fault.Unavailable, 0},
		{"identity", "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", "ok", 0, 0},
		{"garbage", "\x00\x01\x02", "", fault.Unavailable, 0},
		{"huge head", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 1<<20), "", fault.Unavailable, 0},
		{"large head", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 40_000) + "\r\nContent-Length: 2\r\n\r\nok", "ok", 0, 0},
		{"head cut", "HTTP/1.1 200 OK\r\nContent-Le", "", fault.Unavailable, 0},
		{"body cut", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", "ok", 0, fault.StreamFailed},
		{"chunk cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", "ok", 0, fault.StreamFailed},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "ok", 0, fault.StreamFailed},
		{"negative chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-5\r\n", "ok", 0, fault.StreamFailed},
		{"until close", "HTTP/1.1 200 OK\r\n\r\n" + long, long, 0, 0},
		{"long", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + long, long, 0, 0},
		{"one long chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + long + "\r\n0\r\n\r\n", long, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(_ int, p *peer) { p.request(); p.say("%s", c.say) })
			cl := open(t, Config{BaseURL: s.url})
			res, err := cl.Do(t.Context(), &Request{Method: "POST", Path: "/", Body: [][]byte{[]byte("x")}})
			if c.before != 0 {
				wantKind(t, err, c.before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := res.ReadAll(nil, 1<<20)
			if string(b) != c.body || c.after != 0 && fault.KindOf(err) != c.after || c.after == 0 && err != nil {
				t.Errorf("%.50q, %v", b, err)
			}
			if _, again := res.Read(make([]byte, 1)); (err == nil) != errors.Is(again, io.EOF) {
				t.Errorf("read again: %v", again)
			}
			_, _ = res.Close(), res.Close()
		})
	}
}

func TestAnswerBeforeTheRequestIsRead(t *testing.T) {
	s := serve(t, func(_ int, p *peer) {
		_, _ = p.r.ReadString('\n')
		p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		_ = p.Conn.(*net.TCPConn).CloseWrite()
		p.gone()
	})
	c := open(t, Config{BaseURL: s.url})
	b, err := call(t.Context(), c, strings.Repeat("x", 8<<20))
	if b != "big" || err != nil {
		t.Error(b, err)
	}
}

// A connection on which the request was not written in full has no further use, whatever
// the answer says.
func TestAnswerWithoutABodyBeforeTheRequestIsRead(t *testing.T) {
	c := open(t, Config{BaseURL: "http://engine.test", Dial: func(context.Context, string, string) (net.Conn, error) {
		return &deaf{answer: []byte("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")}, nil
	}})
	res, err := c.Do(t.Context(), &Request{Method: "POST", Path: "/", Body: [][]byte{make([]byte, 1<<20)}})
	if err != nil || res.Status != 413 {
		t.Fatal(res, err)
	}
	_ = res.Close()
	if n := len(c.(*direct).pool.all); n != 0 {
		t.Errorf("%d connections are kept", n)
	}
}

// deaf is a connection whose peer takes no request and has answered all the same.
type deaf struct {
	net.Conn
	answer []byte
}

func (d *deaf) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func (d *deaf) Read(p []byte) (int, error) {
	n := copy(p, d.answer)
	if d.answer = d.answer[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (*deaf) SetDeadline(time.Time) error      { return nil }
func (*deaf) SetReadDeadline(time.Time) error  { return nil }
func (*deaf) SetWriteDeadline(time.Time) error { return nil }
func (*deaf) Close() error                     { return nil }

func TestLimitOfReadAll(t *testing.T) {
	s := serve(t, func(_ int, p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n%s", strings.Repeat("x", 100_000))
		p.gone()
	})
	c := open(t, Config{BaseURL: s.url})
	res, err := c.Do(t.Context(), &Request{Method: "GET", Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	_, err = res.ReadAll(nil, 50_000)
	wantKind(t, err, fault.ModelFailed)
}

// both runs a test against the direct client and net/http with TLS and HTTP/2.
func both(t *testing.T, h http.HandlerFunc, test func(t *testing.T, c Client)) {
	t.Run("direct", func(t *testing.T) {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		test(t, open(t, Config{BaseURL: s.URL}))
	})
	t.Run("tls", func(t *testing.T) {
		s := httptest.NewUnstartedServer(h)
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		test(t, open(t, Config{BaseURL: s.URL, RootCAs: roots}))
	})
}

func TestCancelReachesTheUpstream(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		left, entered := make(chan struct{}, 1), make(chan struct{}, 1)
		both(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if inBody {
				_, _ = w.Write([]byte("first"))
				w.(http.Flusher).Flush()
			}
			entered <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
		}, func(t *testing.T, c Client) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if !inBody {
				go func() { <-entered; cancel() }()
			}
			res, err := c.Do(ctx, &Request{Method: "POST", Path: "/", Stream: true, Body: [][]byte{[]byte("x")}})
			if err == nil {
				buf := make([]byte, 10)
				if n, err := res.Read(buf); n != 5 || err != nil {
					t.Fatal(n, err)
				}
				cancel()
				_, err = res.Read(buf)
				wantKind(t, err, fault.Canceled)
				_ = res.Close()
				<-entered
			} else {
				wantKind(t, err, fault.Canceled)
			}
			<-left
		})
	}
}

func TestCloseOfTheResponseReachesTheUpstream(t *testing.T) {
	left := make(chan struct{})
	both(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("first"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		left <- struct{}{}
	}, func(t *testing.T, c Client) {
		res, err := c.Do(t.Context(), &Request{Method: "POST", Path: "/", Stream: true})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Close()
		<-left
		if _, err := res.Read(make([]byte, 1)); fault.KindOf(err) != fault.Canceled {
			t.Error(err)
		}
	})
}

func TestCloseFailsCallsUnderWay(t *testing.T) {
	both(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("first"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c Client) {
		res, err := c.Do(t.Context(), &Request{Method: "POST", Path: "/", Stream: true})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = res.Read(make([]byte, 5))
		time.AfterFunc(time.Millisecond, func() { _ = c.Close() })
		_, err = res.Read(make([]byte, 5))
		wantKind(t, err, fault.StreamFailed)
		_ = res.Close()
		_, err = c.Do(t.Context(), &Request{Method: "POST", Path: "/"})
		wantKind(t, err, fault.Unavailable)
	})
}

func TestManyAtOnce(t *testing.T) {
	both(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	}, func(t *testing.T, c Client) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for j := range 50 {
					want := strings.Repeat(fmt.Sprint(i, ":", j, ";"), 1+i*100)
					if got, err := call(t.Context(), c, want); got != want || err != nil {
						t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestRefused(t *testing.T) {
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	addr := ln.Addr().String()
	_ = ln.Close()
	for _, std := range []bool{false, true} {
		_, err := call(t.Context(), open(t, Config{BaseURL: "http://" + addr, NetHTTP: std}), "x")
		if e := wantKind(t, err, fault.Unavailable); strings.Contains(e.Message, "127") {
			t.Errorf("the message tells the address: %q", e.Message)
		}
	}
}

func TestAllocations(t *testing.T) {
	answer := []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 2000 {
		answer = append(answer, "c8\r\n"+strings.Repeat("x", 200)+"\r\n"...)
	}
	answer = append(answer, "0\r\n\r\n"...)
	c := open(t, Config{BaseURL: answerAll(t, answer), Timeouts: engine.Timeouts{BetweenTokens: time.Minute}})
	res, err := c.Do(t.Context(), &Request{Method: "POST", Path: "/", Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	buf := make([]byte, 200)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := res.Read(buf); err != nil {
			t.Fatal(err)
		}
		res.Progress()
	}); n != 0 {
		t.Errorf("%v allocations per chunk", n)
	}
}
