package api

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"forebay/fault"
	"forebay/wire/eventstream"
)

// Framing says how the events of a response are laid on the connection.
type Framing uint8

// The framings.
const (
	FramingNone        Framing = iota // one body
	FramingSSE                        // text/event-stream
	FramingEventStream                // application/vnd.amazon.eventstream
)

// deadlineEvery is how often a stream renews its write deadline: often enough that a
// slow reader is noticed, seldom enough to cost nothing.
const deadlineEvery = 5 * time.Second

// Writer owns the status, headers, keep-alive timer and framing of one response. Exactly
// one status is sent. It is safe for concurrent use, because the keep-alive timer and
// the handler both write; nothing else should.
type Writer struct {
	w  http.ResponseWriter
	rc *http.ResponseController

	mu       sync.Mutex
	framing  Framing
	status   int
	written  int64
	buf      []byte
	timer    *time.Timer
	every    time.Duration
	begin    func() // sets the headers when a keep-alive has to begin the response
	stall    time.Duration
	deadline time.Time
	guard    atomic.Pointer[time.Timer] // moves the deadline of a stream that is silent
	err      error
	dirty    bool // written but not flushed
}

// NewWriter returns the writer of one response. A client that takes longer than stall to
// read what was written is disconnected; zero means no bound.
func NewWriter(w http.ResponseWriter, stall time.Duration) *Writer {
	return &Writer{w: w, rc: http.NewResponseController(w), stall: stall}
}

// ReadBy bounds when the request's body has to be there; the zero time is no bound.
func (w *Writer) ReadBy(t time.Time) {
	_ = w.rc.SetReadDeadline(t) // not supported by in-memory connections of tests
}

// Header returns the response headers; changes after the status was sent have no effect.
func (w *Writer) Header() http.Header { return w.w.Header() }

// Status returns the status that was sent, 0 while none was.
func (w *Writer) Status() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Written returns the number of body bytes handed to the connection.
func (w *Writer) Written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written
}

// Body sends a whole response of one piece. It does nothing when a status was sent.
func (w *Writer) Body(status int, contentType string, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status != 0 {
		return w.err
	}
	w.stopTimer()
	h := w.w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.send(status)
	w.extendDeadline()
	n, err := w.w.Write(body)
	w.written += int64(n)
	w.dirty = true
	w.err = left(err)
	return w.err
}

// Stream prepares a response of many events. Nothing is sent yet, so that a failure
// before the first event can still choose the status. Where the framing has comments
// (SSE) and keepAlive is positive, the response begins by itself with a comment after
// that time, and repeats it whenever the line was silent for as long; begin is called
// before to set the headers.
func (w *Writer) Stream(framing Framing, keepAlive time.Duration, begin func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.framing, w.begin, w.every = framing, begin, keepAlive
	if framing == FramingSSE && keepAlive > 0 {
		w.timer = time.AfterFunc(keepAlive, w.keepAlive)
	}
	if framing == FramingEventStream && w.stall > 0 {
		w.guard.Store(time.AfterFunc(w.stall/2, w.watch))
	}
}

// watch moves the write deadline of a stream without comments while the engine is silent: an
// HTTP/2 stream is reset when its deadline passes, although nothing is being written. While
// something is, the lock is held and the deadline stays.
func (w *Writer) watch() {
	g := w.guard.Load()
	if g == nil {
		return
	}
	if w.mu.TryLock() {
		defer w.mu.Unlock()
		if w.err != nil {
			return
		}
		if w.status != 0 {
			w.extendDeadline()
		}
	}
	g.Reset(w.stall / 2)
}

// Prepare changes the headers of a response that has not begun; the keep-alive, which may
// begin it at any moment, waits meanwhile.
func (w *Writer) Prepare(f func(h http.Header)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		f(w.w.Header())
	}
}

// Started reports whether the status has been sent.
func (w *Writer) Started() bool { return w.Status() != 0 }

// Event writes one event. For SSE name may be empty; for an event stream it is the
// member's name and contentType JSON. With flush the event leaves at once; without, it
// waits for a later flush, because more is ready to follow.
func (w *Writer) Event(name string, payload []byte, flush bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frame(name, payload)
	return w.emit(w.buf, flush)
}

// frame lays an event into the buffer. It is not inlined so that its frame is gone when net/http
// writes the head, which takes three kilobytes of stack.
//
//go:noinline
func (w *Writer) frame(name string, payload []byte) {
	if w.framing == FramingEventStream {
		w.buf = eventstream.AppendEvent(w.buf[:0], name, "application/json", payload)
		return
	}
	w.buf = appendSSE(w.buf[:0], name, payload)
}

// Raw writes bytes that are framed already (an exception frame, a closing line).
func (w *Writer) Raw(framed []byte, flush bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.emit(framed, flush)
}

// Open sends the head of a stream.
func (w *Writer) Open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.start()
		w.dirty = true
	}
	return w.flush()
}

// Flush sends what Event left waiting.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flush()
}

// Finish stops the keep-alive. It must be called when the handler is done with the stream.
func (w *Writer) Finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopTimer()
	w.every = 0
	if g := w.guard.Swap(nil); g != nil {
		g.Stop()
	}
	if w.status != 0 && w.dirty {
		_ = w.flush()
	}
}

func (w *Writer) emit(b []byte, flush bool) error {
	if w.err != nil {
		return w.err
	}
	w.start()
	w.extendDeadline()
	n, err := w.w.Write(b)
	w.written += int64(n)
	w.dirty = true
	if err != nil {
		w.err = left(err)
		return w.err
	}
	if w.timer != nil {
		w.timer.Reset(w.every)
	}
	if flush {
		return w.flush()
	}
	return nil
}

// left is the failure of a write: the client has gone, or does not read. What is wrong with the answer itself is ours.
func left(err error) error {
	if err == nil || errors.Is(err, http.ErrContentLength) || errors.Is(err, http.ErrBodyNotAllowed) {
		return err
	}
	return fault.Wrap(fault.Canceled, err, "")
}

func (w *Writer) flush() error {
	if w.err == nil && w.dirty {
		w.dirty = false
		w.err = left(w.rc.Flush())
	}
	return w.err
}

// start sends the status of a stream, once.
func (w *Writer) start() {
	if w.status != 0 {
		return
	}
	if w.begin != nil {
		w.begin()
	}
	w.send(http.StatusOK)
}

func (w *Writer) send(status int) {
	w.status = status
	w.w.WriteHeader(status)
}

func (w *Writer) keepAlive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil || w.err != nil { // stopped while this waited for the lock
		return
	}
	if w.emit([]byte(": keep-alive\n\n"), true) == nil {
		w.timer.Reset(w.every)
	}
}

func (w *Writer) stopTimer() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

func (w *Writer) extendDeadline() {
	if w.stall <= 0 {
		return
	}
	now := time.Now()
	if until := now.Add(w.stall); until.Sub(w.deadline) >= deadlineEvery {
		w.deadline = until
		_ = w.rc.SetWriteDeadline(until) // not supported by in-memory writers of tests
	}
}

// appendSSE frames a payload without line breaks, which JSON texts of engines never hold;
// one that does is split into several data lines as the format demands.
func appendSSE(dst []byte, name string, payload []byte) []byte {
	if name != "" {
		dst = append(dst, "event: "...)
		dst = append(dst, name...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	if bytes.IndexByte(payload, '\n') < 0 && bytes.IndexByte(payload, '\r') < 0 {
		dst = append(dst, payload...)
		return append(dst, '\n', '\n')
	}
	for _, c := range payload {
		if c == '\n' {
			dst = append(dst, "\ndata: "...)
			continue
		}
		if c != '\r' {
			dst = append(dst, c)
		}
	}
	return append(dst, '\n', '\n')
}
