package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/config"
)

// pipes is a listener of in-memory connections, for tests in virtual time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// virtual runs f against a server in virtual time, over in-memory connections that dial opens.
func virtual(t *testing.T, change func(*config.Config), f func(t *testing.T, s *Server, dial func() net.Conn)) {
	t.Helper()
	c := testConfig(t)
	change(&c)
	synctest.Test(t, func(t *testing.T) {
		s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		srv := s.httpServer(false)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(s.doors.listen(l, false)) }()
		f(t, s, func() net.Conn {
			client, server := net.Pipe()
			l.conns <- server
			return client
		})
		time.Sleep(time.Second) // net/http gives a client half of one to read why it was refused
		synctest.Wait()
		if n := s.doors.Open(); n != 0 {
			t.Errorf("%d connections were left behind", n)
		}
		if n := s.front.budget.Used(); n != 0 {
			t.Errorf("%d body bytes were left behind", n)
		}
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// trickle sends bytes one a second until the other side has had enough, and returns what it
// answered and how long it took.
func trickle(t *testing.T, conn net.Conn, head string, pad byte) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	answered := make(chan string)
	go func() {
		b, _ := io.ReadAll(conn) // however it ends
		answered <- string(b)
	}()
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := conn.Write([]byte{pad}); err != nil {
			return <-answered, time.Since(began)
		}
		time.Sleep(time.Second)
	}
}

func TestSlowHeads(t *testing.T) {
	virtual(t, func(c *config.Config) { c.Server.HeaderTimeout = 7 * time.Second }, func(t *testing.T, _ *Server, dial func() net.Conn) {
		_, took := trickle(t, dial(), "POST "+chatPath+" HTTP/1.1\r\nHost: x\r\nX-Pad: ", 'x')
		if took < 7*time.Second || took > 9*time.Second {
			t.Errorf("a head that never ends was cut after %s", took)
		}
	})
}

func TestSlowBodies(t *testing.T) {
	for _, key := range []string{"", "the key"} { // who is refused unread is not waited for
		virtual(t, func(c *config.Config) { c.Server.BodyTimeout = time.Minute }, func(t *testing.T, s *Server, dial func() net.Conn) {
			if key != "" {
				key = s.creds.APIKey
			}
			got, took := trickle(t, dial(), "POST "+chatPath+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\nContent-Length: 100000\r\n\r\n", ' ')
			patience := time.Minute
			if key == "" {
				patience = 0
			}
			if took < patience || took > patience+linger+2*time.Second {
				t.Errorf("a body that never ends was cut after %s", took)
			}
			if key != "" && (!strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "server.body_timeout")) {
				t.Errorf("%s", got)
			}
		})
	}
}

// A client that reads nothing of its answer is cut, and a long answer to one that reads is not.
func TestSlowReaders(t *testing.T) {
	ask := func(s *Server, prompt string) string {
		body := `{"model":"` + haiku + `","stream":true,"max_tokens":2000,"messages":[{"role":"user","content":"` + prompt + `"}]}`
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, s.creds.APIKey, len(body), body)
	}
	change := func(c *config.Config) {
		c.Server.Stall, c.Server.BodyTimeout = 20*time.Second, 5*time.Second
		c.Server.KeepAlive = time.Hour // it would wait for the writer's mutex, which stops virtual time
		c.Engines["sim"] = config.Engine{Type: "simulated", Profile: "demo", Directives: true}
	}
	virtual(t, change, func(t *testing.T, s *Server, dial func() net.Conn) {
		conn := dial()
		if _, err := io.WriteString(conn, ask(s, "hi")); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if n := s.doors.Open() + s.dispatch.InFlight(); n != 0 {
			t.Errorf("%d connections and calls of a client that does not read", n)
		}
		_ = conn.Close()
	})
	virtual(t, change, func(t *testing.T, s *Server, dial func() net.Conn) {
		conn := dial()
		if _, err := io.WriteString(conn, ask(s, "[[slow:50]] hi")); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil || !strings.HasSuffix(string(b), "[DONE]\n\n") {
			t.Errorf("%v after %.300s", err, b)
		}
		_ = conn.Close()
	})
}

// The bytes of all bodies together are bounded, and a body that finds no room is told so.
func TestBodiesShareABudget(t *testing.T) {
	virtual(t, func(c *config.Config) { c.Server.Bodies = 100_000 }, func(t *testing.T, s *Server, dial func() net.Conn) {
		send := func(conn net.Conn, body string) {
			t.Helper()
			_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 60000\r\n\r\n%s", chatPath, s.creds.APIKey, body)
			if err != nil {
				t.Fatal(err)
			}
		}
		first, second := dial(), dial()
		send(first, "{")
		synctest.Wait() // it has its room, and waits for the rest
		send(second, "{")
		res, err := http.ReadResponse(bufio.NewReader(second), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(b), "large requests") || !strings.Contains(res.Header.Get("X-Forebay-Reason"), "server.body_budget") {
			t.Errorf("%d %v %s %v", res.StatusCode, res.Header, b, err)
		}
		_ = second.Close()
		_ = first.Close()
	})
}

// A head over its limit is refused by the HTTP server itself.
func TestLargeHeads(t *testing.T) {
	virtual(t, func(c *config.Config) { c.Server.HeaderLimit = 4096 }, func(t *testing.T, _ *Server, dial func() net.Conn) {
		conn := dial()
		go func() {
			_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Pad: "+strings.Repeat("x", 16<<10)+"\r\n\r\n") // it is cut off
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%+v", res)
		}
		_ = conn.Close()
	})
}
