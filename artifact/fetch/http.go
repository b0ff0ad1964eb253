package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"forebay/artifact"
	"forebay/fault"
	"forebay/internal/version"
)

// source is how a kind of place is asked.
type source struct {
	name string // for people: "the hub huggingface.co"
	// sign adds credentials to a request for the source itself; nil is none. It is not called for where that redirects to.
	sign func(*http.Request) error
	// refused explains an answer that is neither success nor worth another try; nil has the general words.
	refused func(*http.Response, string) error
}

const (
	maxRedirects = 5
	maxText      = 64 << 20 // of an answer that is read as text
	maxPause     = time.Minute
	leastRate    = 1 << 10 // bytes a second, below which a response is stalled
)

var errStalled = errors.New("the source has sent next to nothing for too long")

// do sends a request, follows its redirects, and returns a response of success, whose body must be closed. Its error is a
// *attemptError where another try may help.
func (f *Fetcher) do(ctx context.Context, s *source, method, address string, header http.Header) (*http.Response, error) {
	origin, err := url.Parse(address)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The address of "+s.name+" is invalid.")
	}
	at := origin
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, method, at.String(), http.NoBody)
		if err != nil {
			return nil, err
		}
		maps.Copy(req.Header, header)
		if s.sign != nil && sameOrigin(origin, at) {
			if err := s.sign(req); err != nil {
				return nil, err
			}
		}
		req.Header.Set("Accept-Encoding", "identity") // of what is stored; not signed, for proxies change it
		req.Header.Set("User-Agent", "forebay/"+version.String())
		res, err := f.o.Transport.RoundTrip(req)
		if err != nil {
			return nil, &attemptError{err: hideQuery(err)}
		}
		next := res.Header.Get("Location")
		if res.StatusCode < 300 || res.StatusCode > 399 || next == "" {
			return f.judge(s, res)
		}
		_ = res.Body.Close()
		if at, err = redirect(at, next); err != nil {
			return nil, err
		}
	}
	return nil, corrupt("%s redirects more than %d times.", s.name, maxRedirects)
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

// redirect is where a source sends us. It may not leave TLS, nor lead from the network to what only this machine can reach: its
// own ports, and the addresses at which clouds give out credentials.
func redirect(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil || to.Hostname() == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, corrupt("%s redirects to what is no address.", from.Host)
	}
	to.User = nil
	if from.Scheme == "https" && to.Scheme != "https" {
		return nil, corrupt("%s redirects from https to %s.", from.Host, to.Scheme)
	}
	if !artifact.IsLoopback(from.Hostname()) && inward(to.Hostname()) {
		return nil, corrupt("%s redirects to %s, which is an address of this machine.", from.Host, to.Hostname())
	}
	return to, nil
}

func inward(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && (ip.Unmap().IsLoopback() || ip.Unmap().IsLinkLocalUnicast() || ip.IsUnspecified())
}

// attemptError is a failure after which another try may help.
type attemptError struct {
	err   error
	after time.Duration // the source's own wish; 0 is none
}

func (e *attemptError) Error() string { return e.err.Error() }
func (e *attemptError) Unwrap() error { return e.err }

// hideQuery takes the signature of an address out of an error of the transport.
func hideQuery(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// judge returns a response of success, or what its status means.
func (f *Fetcher) judge(s *source, res *http.Response) (*http.Response, error) {
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusPartialContent {
		if e := res.Header.Get("Content-Encoding"); e != "" && e != "identity" {
			_ = res.Body.Close()
			return nil, corrupt("%s sends files encoded as %.32q, which was not asked for.", s.name, e)
		}
		return res, nil
	}
	b, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // for the words of an error
	_ = res.Body.Close()
	text := strings.ToValidUTF8(string(b), "")
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout, res.StatusCode >= 500:
		e := &attemptError{err: fmt.Errorf("%s answers %s", s.name, res.Status)}
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
			e.after = min(time.Duration(n)*time.Second, maxPause)
		}
		return nil, e
	case s.refused != nil:
		if err := s.refused(res, text); err != nil {
			return nil, err
		}
	}
	return nil, refused(s, res)
}

func refused(s *source, res *http.Response) error {
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.Newf(fault.Denied, "%s refuses access to the weights (%s).", s.name, res.Status)
	case http.StatusNotFound, http.StatusGone:
		return fault.Newf(fault.NotFound, "%s has no such weights.", s.name)
	default:
		return coded(fault.Unavailable, CodeUnreachable, nil, s.name+" answers "+res.Status+".")
	}
}

// attempts tries until it succeeds, fails for good, or has failed too often.
func (f *Fetcher) attempts(ctx context.Context, s *source, try func(context.Context) error) error {
	pause := f.o.Backoff
	for n := 1; ; n++ {
		err := f.watched(ctx, try)
		retry, ok := errors.AsType[*attemptError](err)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !ok:
			return err
		case n >= f.o.Attempts:
			return coded(fault.Unavailable, CodeUnreachable, err, fmt.Sprintf("%s cannot be reached, or does not send what it promised, in %d attempts: %v.", s.name, n, retry.err))
		}
		wait := max(retry.after, pause/2+rand.N(pause)) //nolint:gosec // so that those who failed together do not come back together
		pause = min(2*pause, maxPause/4)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// stallKey is where an attempt's watch is in its context.
type stallKey struct{}

// watch ends an attempt that brings next to nothing.
type watch struct {
	timer *time.Timer
	every time.Duration
	got   int64
}

// watched runs one attempt under a watch.
func (f *Fetcher) watched(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &watch{timer: time.AfterFunc(f.o.Stall, func() { cancel(errStalled) }), every: f.o.Stall}
	defer w.timer.Stop()
	err := try(context.WithValue(ctx, stallKey{}, w))
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return &attemptError{err: errStalled}
	}
	return err
}

// body is a response that keeps its attempt's watch quiet while enough comes. Its errors are attemptErrors.
type body struct {
	r io.Reader
	w *watch
}

func bodyOf(ctx context.Context, res *http.Response) *body {
	w, _ := ctx.Value(stallKey{}).(*watch) // nil is none
	return &body{res.Body, w}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.w != nil {
		if b.w.got += int64(n); b.w.got >= int64(b.w.every.Seconds()*leastRate) {
			b.w.got = 0
			b.w.timer.Reset(b.w.every)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &attemptError{err: hideQuery(err)}
	}
	return n, err
}

// text returns an answer that is read whole.
func (f *Fetcher) text(ctx context.Context, s *source, address string, header http.Header) (b []byte, err error) {
	err = f.attempts(ctx, s, func(ctx context.Context) error {
		r, err := f.do(ctx, s, http.MethodGet, address, header)
		if err != nil {
			return err
		}
		defer func() { _ = r.Body.Close() }()
		b, err = io.ReadAll(io.LimitReader(bodyOf(ctx, r), maxText+1))
		if len(b) > maxText {
			return corrupt("%s answers with more than %d bytes.", s.name, maxText)
		}
		return err
	})
	return b, err
}

// validator is what tells one content of an address from the next: a strong ETag, else the date of its change.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	if _, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		return h.Get("Last-Modified")
	}
	return ""
}
