package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/artifact"
	"forebay/artifact/fetch"
	"forebay/fault"
)

// weights are bytes without a pattern, so that a piece in the wrong place is noticed.
func weights(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func sha(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// site serves one file as the standard library does, ranges and validators included, but for what a test breaks.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	body     []byte
	etag     string
	requests []*http.Request // as they came
	served   atomic.Int64    // bytes of bodies
	// breaks answers in place of the site, if it returns true.
	breaks func(w http.ResponseWriter, r *http.Request, n int) bool
}

func serve(t *testing.T, body []byte) *site {
	s := &site{body: body, etag: `"one"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	n, body, etag, breaks := len(s.requests), s.body, s.etag, s.breaks
	s.mu.Unlock()
	w = &counting{w, &s.served}
	if breaks != nil && breaks(w, r, n) {
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// change replaces the file by another.
func (s *site) change(body []byte, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.etag = body, etag
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

const chunkSize = 4 << 10

func fetcher(o fetch.Options) *fetch.Fetcher {
	o.Chunk, o.Backoff = chunkSize, time.Nanosecond
	if o.Attempts == 0 {
		o.Attempts = 3
	}
	return fetch.New(o)
}

func ref(t *testing.T, s string) artifact.Ref {
	t.Helper()
	r, err := artifact.ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func list(t *testing.T, f *fetch.Fetcher, s string) *fetch.Listing {
	t.Helper()
	l, err := f.List(t.Context(), ref(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tally adds up what a download tells.
type tally struct{ n atomic.Int64 }

func (c *tally) grown(n int64) error { c.n.Add(n); return nil }

// get downloads a file that must come as it is.
func get(t *testing.T, f *fetch.Fetcher, file *fetch.File, want []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	var c tally
	sum, err := f.Download(t.Context(), file, path, c.grown)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) || sum != sha(want) || c.n.Load() != int64(len(want)) {
		t.Errorf("%d bytes, told %d, sum %s, %v; want %d", len(got), c.n.Load(), sum, err, len(want))
	}
	onlyThere(t, path)
}

// onlyThere checks that beside a path nothing is left.
func onlyThere(t *testing.T, path string) {
	t.Helper()
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 || names[0].Name() != filepath.Base(path) {
		t.Errorf("left: %v, %v", names, err)
	}
}

func wantCode(t *testing.T, err error, kind fault.Kind, code, words string) {
	t.Helper()
	if e := fault.From(err); e == nil || e.Kind != kind || e.Code != code || !strings.Contains(e.Message, words) {
		t.Errorf("want %v %s %q, have %v", kind, code, words, err)
	}
}

func TestWeb(t *testing.T) {
	body := weights(10*chunkSize+17, 1)
	s := serve(t, body)
	f := fetcher(fetch.Options{})
	l := list(t, f, s.URL+"/a/model.gguf?x=1")
	if len(l.Files) != 1 || l.Folder || l.Files[0].Path != "model.gguf" || l.Files[0].Size != int64(len(body)) || l.Files[0].Validator != `"one"` || l.Identity == "" {
		t.Fatalf("%+v", l)
	}
	get(t, f, &l.Files[0], body)
	if n := s.count(); n != 12 { // one to ask, eleven ranges
		t.Errorf("%d requests", n)
	}
	pinned := list(t, f, s.URL+"/a/model.gguf#sha256="+sha(body))
	get(t, f, &pinned.Files[0], body)
	if !pinned.Pinned.Pinned() || !strings.HasPrefix(pinned.Identity, "sha256:") {
		t.Errorf("%+v", pinned)
	}
}

// Sources that cannot do what makes downloads fast are served in one go.
func TestPlainSources(t *testing.T) {
	body := weights(3*chunkSize+5, 2)
	for name, breaks := range map[string]func(http.ResponseWriter, *http.Request, int) bool{
		"no ranges": func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("ETag", `"one"`)
			_, _ = w.Write(body)
			return true
		},
		"no length": func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Transfer-Encoding", "chunked")
			_, _ = w.Write(body)
			return true
		},
		"no ranges any more": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n == 1 {
				return false
			}
			w.Header().Set("ETag", `"one"`)
			_, _ = w.Write(body)
			return true
		},
		"no validator": func(_ http.ResponseWriter, r *http.Request, n int) bool {
			if n > 1 && r.Header.Get("Range") != "" {
				t.Error("ranges of what may change in between")
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, body)
			s.breaks = breaks
			if name == "no validator" {
				s.etag = ""
			}
			f := fetcher(fetch.Options{})
			get(t, f, &list(t, f, s.URL+"/x").Files[0], body)
		})
	}
	empty := serve(t, nil)
	f := fetcher(fetch.Options{})
	get(t, f, &list(t, f, empty.URL+"/x").Files[0], nil)
}

// What a killed download has brought is not brought again, whole chunks and what the journal says of them alone.
func TestResume(t *testing.T) {
	body := weights(20*chunkSize, 3)
	s := serve(t, body)
	f := fetcher(fetch.Options{Parallel: 2})
	file := &list(t, f, s.URL+"/x").Files[0]
	path := filepath.Join(t.TempDir(), "file")
	ctx, cancel := context.WithCancel(t.Context())
	var c tally
	_, err := f.Download(ctx, file, path, func(n int64) error {
		if c.n.Add(n); c.n.Load() >= 7*chunkSize {
			cancel()
		}
		return nil
	})
	if err == nil || c.n.Load() < 4*chunkSize || c.n.Load()%chunkSize != 0 {
		t.Fatalf("%d bytes, %v", c.n.Load(), err)
	}
	// As a kill leaves it: a line of the journal is cut off, and says nothing.
	j, err := os.OpenFile(path+".journal", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.WriteString("1"); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	had := c.n.Load()
	s.served.Store(0)
	var again tally
	sum, err := fetcher(fetch.Options{}).Download(t.Context(), file, path, again.grown)
	if err != nil || sum != sha(body) || again.n.Load() != int64(len(body)) {
		t.Fatal(sum, again.n.Load(), err)
	}
	if got := s.served.Load(); got != int64(len(body))-had {
		t.Errorf("%d bytes were served again, of which %d were there", got, had)
	}
	onlyThere(t, path)
}

// A file that was replaced in between is not put together from two.
func TestChanged(t *testing.T) {
	body := weights(8*chunkSize, 4)
	for name, etag := range map[string]string{"other tag": `"two"`, "weak tag": `W/"two"`} {
		s := serve(t, body)
		f := fetcher(fetch.Options{Parallel: 1})
		file := &list(t, f, s.URL+"/x").Files[0]
		path := filepath.Join(t.TempDir(), "file")
		var c tally
		_, err := f.Download(t.Context(), file, path, func(n int64) error {
			if c.n.Add(n); c.n.Load() == 3*chunkSize {
				s.change(weights(8*chunkSize, 5), etag)
			}
			return nil
		})
		wantCode(t, err, fault.Unavailable, fetch.CodeChanged, "another file")
		if names, err := os.ReadDir(filepath.Dir(path)); len(names) != 0 || err != nil || c.n.Load() < 0 {
			t.Errorf("%s: left: %v, %v", name, names, err)
		}
	}
}

// Sources that lie, and what is left of it.
func TestLies(t *testing.T) {
	body := weights(4*chunkSize, 6)
	partial := func(w http.ResponseWriter, contentRange string, b []byte) bool {
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Range", contentRange)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(b)
		return true
	}
	for name, c := range map[string]struct {
		breaks func(w http.ResponseWriter, r *http.Request) bool
		code   string
		words  string
		left   bool
	}{
		"another range": {
			breaks: func(w http.ResponseWriter, _ *http.Request) bool {
				return partial(w, fmt.Sprintf("bytes 1-%d/%d", chunkSize, len(body)), body[1:chunkSize+1])
			}, code: fetch.CodeCorrupt, words: "was asked for", left: true,
		},
		"another size": {
			breaks: func(w http.ResponseWriter, _ *http.Request) bool {
				return partial(w, fmt.Sprintf("bytes 0-%d/%d", chunkSize-1, len(body)+1), body[:chunkSize])
			}, code: fetch.CodeCorrupt, words: "was asked for", left: true,
		},
		"no range": {
			breaks: func(w http.ResponseWriter, _ *http.Request) bool { return partial(w, "bytes */9", nil) },
			code:   fetch.CodeCorrupt, words: "which is none", left: true,
		},
		"too much": {
			breaks: func(w http.ResponseWriter, r *http.Request) bool {
				var a, b int
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
				w.(*counting).ResponseWriter.Header().Set("Transfer-Encoding", "chunked")
				return partial(w, fmt.Sprintf("bytes %d-%d/%d", a, b, len(body)), append(bytes.Clone(body[a:b+1]), 'x'))
			}, code: fetch.CodeCorrupt, words: "more than", left: true,
		},
		"cut for ever": {
			breaks: func(w http.ResponseWriter, r *http.Request) bool {
				var a, b int
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a, &b)
				w.Header().Set("Content-Length", strconv.Itoa(b-a+1))
				return partial(w, fmt.Sprintf("bytes %d-%d/%d", a, b, len(body)), body[a:a+1])
			}, code: fetch.CodeUnreachable, words: "3 attempts", left: true,
		},
		"encoded": {
			breaks: func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Encoding", "gzip")
				return false
			}, code: fetch.CodeCorrupt, words: "encoded", left: true,
		},
		"errors for ever": {
			breaks: func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true },
			code:   fetch.CodeUnreachable, words: "502", left: true,
		},
		"a redirect for ever": {
			breaks: func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "/x", http.StatusFound)
				return true
			},
			code: fetch.CodeCorrupt, words: "redirects more than", left: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, body)
			f := fetcher(fetch.Options{})
			file := &list(t, f, s.URL+"/x").Files[0]
			s.breaks = func(w http.ResponseWriter, r *http.Request, _ int) bool { return c.breaks(w, r) }
			path := filepath.Join(t.TempDir(), "file")
			var told tally
			_, err := f.Download(t.Context(), file, path, told.grown)
			wantCode(t, err, fault.Unavailable, c.code, c.words)
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Error("the file has its name:", err)
			}
			if _, err := os.Stat(path + ".part"); (err == nil) != c.left || told.n.Load() != 0 {
				t.Errorf("left: %v; told %d", err, told.n.Load())
			}
		})
	}
	s := serve(t, body)
	f := fetcher(fetch.Options{})
	path := filepath.Join(t.TempDir(), "file")
	var told tally
	_, err := f.Download(t.Context(), &list(t, f, s.URL+"/x#sha256="+sha([]byte("other"))).Files[0], path, told.grown)
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt, "checksum")
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) > 0 {
		t.Error("a wrong file was left", names, err)
	}
}

// What fails once is tried again from where it was.
func TestTransientFailures(t *testing.T) {
	body := weights(3*chunkSize, 7)
	s := serve(t, body)
	f := fetcher(fetch.Options{Parallel: 1})
	l := list(t, f, s.URL+"/x")
	s.served.Store(0)
	s.breaks = func(w http.ResponseWriter, r *http.Request, n int) bool {
		switch n {
		case 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case 3: // the first chunk, cut after 100 bytes
			w.Header().Set("ETag", `"one"`)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", chunkSize-1, len(body)))
			w.Header().Set("Content-Length", strconv.Itoa(chunkSize))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body[:100])
			return true
		case 4:
			if got := r.Header.Get("Range"); got != fmt.Sprintf("bytes=100-%d", chunkSize-1) {
				t.Errorf("begun again at %s", got)
			}
		}
		return false
	}
	get(t, f, &l.Files[0], body)
	if s.served.Load() != int64(len(body)) {
		t.Errorf("%d bytes were served of %d", s.served.Load(), len(body))
	}
}

func TestLocal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bucket", "a", "x.gguf")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := fetcher(fetch.Options{Objects: &artifact.Objects{Root: dir}})
	for in, folder := range map[string]bool{path: false, filepath.Dir(path): true, "s3://bucket/a/x.gguf": false, "s3://bucket/a": true} {
		if l := list(t, f, in); l.Local == "" || l.Folder != folder || len(l.Files) != 0 {
			t.Errorf("%s: %+v", in, l)
		}
	}
	for _, in := range []string{filepath.Join(dir, "none"), "s3://bucket/none"} {
		if _, err := f.List(t.Context(), ref(t, in)); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", in, err)
		}
	}
	if sum, err := fetch.Verify(t.Context(), path, sha([]byte("x"))); err != nil || sum != sha([]byte("x")) {
		t.Error(sum, err)
	}
	_, err := fetch.Verify(t.Context(), path, sha(nil))
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt, "checksum")
}
