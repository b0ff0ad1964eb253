package fetch

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"forebay/fault"
)

func TestRedirect(t *testing.T) {
	for _, c := range []struct{ from, location, want string }{
		{"https://a.example/x", "https://user:pass@b.example/y?z", "https://b.example/y?z"},
		{"https://a.example/x", "/y", "https://a.example/y"},
		{"https://a.example/x", "http://b.example/y", ""},
		{"https://a.example/x", "file:///etc/passwd", ""},
		{"https://a.example/x", "https://", ""},
		{"https://a.example/x", "https://%zz", ""},
		{"https://a.example/x", "https://127.0.0.1/y", ""},
		{"https://a.example/x", "https://localhost/y", ""},
		{"https://a.example/x", "https://169.254.169.254/latest", ""},
		{"https://a.example/x", "https://[::ffff:127.0.0.1]/y", ""},
		{"http://127.0.0.1:1/x", "http://127.0.0.1:2/y", "http://127.0.0.1:2/y"},
	} {
		from, err := url.Parse(c.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := redirect(from, c.location)
		if e := fault.From(err); c.want == "" && (e == nil || e.Code != CodeCorrupt) || c.want != "" && (err != nil || to.String() != c.want) {
			t.Errorf("%s to %s: %v, %v", c.from, c.location, to, err)
		}
	}
}

// transport answers in place of the network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Credentials are for the origin alone: scheme, host and port.
func TestCredentialsStay(t *testing.T) {
	signed := map[string]bool{}
	f := New(Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
		signed[r.URL.String()] = r.Header.Get("Authorization") != ""
		next := map[string]string{"https://a.example/1": "/2", "https://a.example/2": "https://a.example:444/3", "https://a.example:444/3": "https://sub.a.example/4"}[r.URL.String()]
		res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
		if next != "" {
			res.StatusCode, res.Header = http.StatusFound, http.Header{"Location": {next}}
		}
		return res, nil
	})})
	s := &source{name: "a", sign: func(r *http.Request) error { r.Header.Set("Authorization", "secret"); return nil }}
	res, err := f.do(t.Context(), s, http.MethodGet, "https://a.example/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	for at, want := range map[string]bool{"https://a.example/1": true, "https://a.example/2": true, "https://a.example:444/3": false, "https://sub.a.example/4": false} {
		if got, ok := signed[at]; !ok || got != want {
			t.Errorf("%s: signed %v, asked %v", at, got, ok)
		}
	}
}

// trickle is a body that gives one byte each second, for ever.
type trickle struct{ r *http.Request }

func (b trickle) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = 'x'
		return 1, nil
	case <-b.r.Context().Done():
		return 0, b.r.Context().Err()
	}
}

func (trickle) Close() error { return nil }

// A source that is silent, or gives a byte now and then to keep us, is given up after the time that is said.
func TestSlowSources(t *testing.T) {
	for name, answer := range map[string]transport{
		"silent": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"trickle": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: trickle{r}, ContentLength: 1 << 20}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			synctest.Test(t, func(t *testing.T) {
				f := New(Options{Transport: answer, Attempts: 3})
				began := time.Now()
				_, err := f.Download(t.Context(), &File{Path: "x", Size: 1 << 20, url: "https://a.example/x", source: &source{name: "a"}}, path, func(int64) error { return nil })
				if e := fault.From(err); e == nil || e.Code != CodeUnreachable || !strings.Contains(e.Message, "next to nothing") {
					t.Error(err)
				}
				if took := time.Since(began); took < 90*time.Second || took > 93*time.Second {
					t.Errorf("three attempts of 30 s took %v", took)
				}
			})
		})
	}
}

// A source that is slow, and not too slow, is waited for.
func TestSteadySource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Transport: transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(&steady{n: 200}), ContentLength: 200 << 10}, nil
		}), Attempts: 1})
		if _, err := f.Download(t.Context(), &File{Path: "x", Size: 200 << 10, url: "https://a.example/x", source: &source{name: "a"}}, path, func(int64) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// steady gives 2 KiB every 1.5 seconds.
type steady struct{ n int }

func (b *steady) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, io.EOF
	}
	b.n -= 2
	time.Sleep(1500 * time.Millisecond)
	return copy(p, make([]byte, 2<<10)), nil
}

// The wait that a source asks for is kept.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := New(Options{Transport: transport(func(*http.Request) (*http.Response, error) {
			n++
			res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("text"))}
			if n == 1 {
				res.StatusCode, res.Header, res.Body = http.StatusTooManyRequests, http.Header{"Retry-After": {"20"}}, http.NoBody
			}
			return res, nil
		})})
		began := time.Now()
		b, err := f.text(t.Context(), &source{name: "a"}, "https://a.example/x", nil)
		if err != nil || string(b) != "text" || time.Since(began) != 20*time.Second {
			t.Errorf("%q after %v, %v", b, time.Since(began), err)
		}
	})
}

// A disk that fills up in the middle is told as such, and what is there is used when there is room again.
func TestFullDisk(t *testing.T) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Skip("SKIPPED: A FULL DISK CANNOT BE PLAYED HERE:", err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
	served := 0
	s := httptest.NewServer(serially(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		if a, b, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); ok && a != b {
			served++
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})))
	t.Cleanup(s.Close)
	f := New(Options{Chunk: 1 << 10, Parallel: 1, Attempts: 1})
	l, err := f.List(t.Context(), mustRef(t, s.URL+"/x"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x")
	full := syscall.ENOSPC
	n := int64(0)
	_, err = f.Download(t.Context(), &l.Files[0], path, func(d int64) error {
		if n += d; n > 8<<10 {
			return &os.PathError{Op: "write", Path: path, Err: full}
		}
		return nil
	})
	if e := fault.From(err); e == nil || e.Kind != fault.Unavailable || e.Code != fault.CodeStorage {
		t.Fatal(err)
	}
	// The same by the system: the file cannot grow to its size.
	limit := old
	limit.Cur = 4 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	_, err = f.Download(t.Context(), &l.Files[0], path+"2", func(int64) error { return nil })
	if serr := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); serr != nil {
		t.Fatal(serr)
	}
	if e := fault.From(err); e == nil || e.Code != fault.CodeStorage {
		t.Error(err)
	}
	served = 0
	if _, err := f.Download(t.Context(), &l.Files[0], path, func(int64) error { return nil }); err != nil || served != 8 {
		t.Errorf("%d of 16 chunks were brought again, %v", served, err)
	}
}

// Whatever a journal has become, it says of no chunk that it is there unless a whole line says so.
func FuzzJournal(f *testing.F) {
	file := &File{Size: 100, Validator: `"x"`, Sums: Sums{}}
	dir := f.TempDir()
	j, err := openJournal(filepath.Join(dir, "seed"), file, 10)
	if err != nil {
		f.Fatal(err)
	}
	for _, i := range []int{3, 9} {
		if err := j.record(i); err != nil {
			f.Fatal(err)
		}
	}
	_ = j.close()
	seed, err := os.ReadFile(filepath.Join(dir, "seed"+journalSuffix))
	if err != nil {
		f.Fatal(err)
	}
	head := seed[:bytes.IndexByte(seed, '\n')+1]
	for _, b := range [][]byte{seed, seed[:len(seed)-1], seed[4:], append(bytes.Clone(seed), "10\n-1\n"...), append(bytes.Clone(seed), 0, 0, 0)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := errors.Join(os.WriteFile(path+journalSuffix, b, 0o600), os.WriteFile(path+partSuffix, make([]byte, 100), 0o600)); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(path, file, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = j.close() }()
		rest, ours := bytes.CutPrefix(b, head)
		for i := range j.chunks() {
			line := []byte(string(rune('0'+i)) + "\n")
			if j.has(i) && (!ours || !bytes.Contains(append([]byte("\n"), rest...), line)) {
				t.Fatalf("%q has %d", b, i)
			}
		}
		if j.done() > 100 {
			t.Fatal(j.done())
		}
	})
}
