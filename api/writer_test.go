package api

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"forebay/fault"
)

// line is the connection of one response in memory. Like HTTP/2 it is broken when its write
// deadline passes, whether or not something is being written.
type line struct {
	mu     sync.Mutex // the deadline passes on a goroutine of its own
	header http.Header
	status int
	body   strings.Builder
	timer  *time.Timer
	broken bool
}

func (l *line) Header() http.Header { return l.header }
func (l *line) Flush()              {}

func (l *line) WriteHeader(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

func (l *line) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.body.Write(b)
}

// seen is what the client has: the status, the body, and whether the line broke.
func (l *line) seen() (status int, body string, broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status, l.body.String(), l.broken
}

func (l *line) SetWriteDeadline(at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(time.Until(at), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.broken = true
	})
	return nil
}

// serve runs a handler on a line in virtual time and waits until what it leaves has ended.
func serve(t *testing.T, handler func(w *Writer, l *line)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		l := &line{header: http.Header{}}
		w := NewWriter(l, 2*time.Minute)
		handler(w, l)
		w.Finish()
		if l.timer != nil {
			l.timer.Stop()
		}
	})
}

// An engine that is silent for longer than a client may take to read does not cost the client
// its stream, in either framing.
func TestSilentStreamsStay(t *testing.T) {
	for _, framing := range []Framing{FramingSSE, FramingEventStream} {
		serve(t, func(w *Writer, l *line) {
			w.Stream(framing, 15*time.Second, func() {})
			for range 3 {
				if err := w.Event("chunk", []byte(`{}`), true); err != nil {
					t.Fatal(err)
				}
				time.Sleep(59 * time.Minute) // virtual
			}
			if _, _, broken := l.seen(); broken {
				t.Errorf("framing %d: the stream was reset while the engine was silent", framing)
			}
		})
	}
}

// A server-sent event stream gets a comment after 15 s of silence, which also decides the status, and
// again after each further silence; an event stream has no comments and keeps its status open.
func TestKeepAlive(t *testing.T) {
	const comment = ": keep-alive\n\n"
	serve(t, func(w *Writer, l *line) {
		w.Stream(FramingSSE, 15*time.Second, func() { l.header.Set("Content-Type", "text/event-stream") })
		time.Sleep(15*time.Second - 1)
		synctest.Wait()
		if status, _, _ := l.seen(); status != 0 || w.Started() {
			t.Error("the status was sent before its time")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if status, body, _ := l.seen(); status != http.StatusOK || body != comment || l.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("after 15 s: %d %q %v", status, body, l.header)
		}
		time.Sleep(10 * time.Second)
		if err := w.Event("", []byte("a"), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if _, got, _ := l.seen(); got != comment+"data: a\n\n" {
			t.Errorf("an event did not start the silence anew: %q", got)
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if _, body, _ := l.seen(); strings.Count(body, comment) != 3 {
			t.Errorf("%q has not 3 comments", body)
		}
		w.Finish()
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, body, _ := l.seen(); strings.Count(body, comment) != 3 {
			t.Error("a comment behind the end")
		}
	})
	serve(t, func(w *Writer, l *line) {
		w.Stream(FramingEventStream, 15*time.Second, func() {})
		time.Sleep(time.Hour)
		synctest.Wait()
		if status, _, _ := l.seen(); status != 0 {
			t.Error("the status of an event stream was decided by silence")
		}
	})
}

// gone is a connection whose client has left: what is written fails with err.
type gone struct {
	line
	err error
}

func (g *gone) Write([]byte) (int, error) { return 0, g.err }

// A client that has left is no fault of ours, and an answer that does not keep to its own length is.
func TestWritesToAClientThatLeft(t *testing.T) {
	for err, want := range map[error]fault.Kind{syscall.EPIPE: fault.Canceled, os.ErrDeadlineExceeded: fault.Canceled, http.ErrContentLength: fault.Internal} {
		w := NewWriter(&gone{line: line{header: http.Header{}}, err: err}, 0)
		if got := w.Body(http.StatusOK, "text/plain", []byte("hello")); fault.KindOf(got) != want || !errors.Is(got, err) {
			t.Errorf("a body: %v is %v", err, got)
		}
		w = NewWriter(&gone{line: line{header: http.Header{}}, err: err}, 0)
		w.Stream(FramingSSE, 0, nil)
		if got := w.Raw([]byte("hello"), true); fault.KindOf(got) != want || !errors.Is(got, err) {
			t.Errorf("a stream: %v is %v", err, got)
		}
	}
}
