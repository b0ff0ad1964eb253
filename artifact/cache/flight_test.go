package cache

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/artifact/fetch"
	"forebay/fault"
)

// Those who ask at one time share one download, and each has its lease.
func TestSingleFlight(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/a", "a.bin")
	c := open(t, s, Options{})
	begun, finish := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.during = func(context.Context, string) error { once.Do(func() { close(begun) }); <-finish; return nil }
	const n = 20
	var wg sync.WaitGroup
	leases := make([]*Lease, n)
	var downloading sync.WaitGroup // all have seen that it is under way
	downloading.Add(n)
	for i := range n {
		wg.Go(func() {
			var seen sync.Once
			l, err := c.Open(t.Context(), r, func(p Progress) {
				if p.Phase == Downloading {
					seen.Do(downloading.Done)
				}
			})
			if err != nil {
				t.Error(err)
			}
			leases[i] = l
		})
	}
	<-begun
	downloading.Wait()
	close(finish)
	wg.Wait()
	if lists, downloads := s.count(); lists != 1 || downloads != 1 {
		t.Errorf("asked %d times, %d downloads", lists, downloads)
	}
	for i, l := range leases {
		if entries, err := c.Entries(t.Context()); err != nil || len(entries) != 1 || !entries[0].InUse {
			t.Errorf("%d leases are left, and it is %+v, %v", n-i, entries, err)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
	if entries, err := c.Entries(t.Context()); err != nil || entries[0].InUse {
		t.Errorf("%+v, %v", entries, err)
	}
}

// The download ends with the last who waits, and not before; the next goes on from there.
func TestCancel(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/a", "a.bin")
	c := open(t, s, Options{})
	begun, ended := make(chan struct{}), make(chan error, 1)
	s.during = func(ctx context.Context, _ string) error {
		close(begun)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	one, two := make(chan error), make(chan error)
	joined := make(chan struct{})
	go func() { _, err := c.Open(first, r, nil); one <- err }()
	<-begun
	go func() {
		var seen sync.Once
		_, err := c.Open(second, r, func(Progress) { seen.Do(func() { close(joined) }) })
		two <- err
	}()
	<-joined
	cancelFirst()
	if err := <-one; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case err := <-ended:
		t.Error("it ended with the first:", err)
	default:
	}
	cancelSecond()
	if err := <-two; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, errNobodyWaits) && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := kept(t, c); got != "a(partial)" {
		t.Error(got)
	}
	s.during = nil
	lease(t, c, r)
}

// Two programs with one folder share a download, too: the second waits, sees how far it has come, and finds it.
func TestTwoPrograms(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/a", "a.bin")
	dir := t.TempDir()
	one, two := open(t, s, Options{Dir: dir}), open(t, s, Options{Dir: dir})
	begun, finish := make(chan struct{}), make(chan struct{})
	s.during = func(context.Context, string) error { close(begun); <-finish; return nil }
	done := make(chan error)
	go func() {
		l, err := one.Open(t.Context(), r, nil)
		if err == nil {
			err = l.Release()
		}
		done <- err
	}()
	<-begun
	var seen sync.Once
	l, err := two.Open(t.Context(), r, func(p Progress) {
		if p.Phase == Waiting && p.Done == 500 && p.Total == 1000 {
			seen.Do(func() { close(finish) })
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-done, l.Release()); err != nil {
		t.Error(err)
	}
	if _, downloads := s.count(); downloads != 1 {
		t.Errorf("%d downloads", downloads)
	}
}

const (
	killDir = "FOREBAY_TEST_CACHE_DIR"
	killURL = "FOREBAY_TEST_CACHE_URL"
)

func realCache(t *testing.T, dir string) *Cache {
	return open(t, fetch.New(fetch.Options{Chunk: 1 << 10, Parallel: 2, Backoff: 1}), Options{Dir: dir})
}

// TestPullUntilKilled is the program that TestKill kills.
func TestPullUntilKilled(t *testing.T) {
	if os.Getenv(killDir) == "" {
		t.Skip("it is run by TestKill")
	}
	_, err := realCache(t, os.Getenv(killDir)).Open(t.Context(), mustRef(t, os.Getenv(killURL)), nil)
	t.Fatal("it must not end by itself:", err)
}

// A program is killed in the middle of a download. The next one takes up what is there, and the lock of the dead is no lock.
func TestKill(t *testing.T) {
	body := []byte(strings.Repeat("0123456789abcdef", 4<<10))
	var served, stalled atomic.Int64
	stuck := make(chan struct{})
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		if served.Add(1) > 20 && stalled.Add(1) <= 2 { // both ranges under way hang, so that nothing more is written
			if stalled.Load() == 2 {
				close(stuck)
			}
			<-hold
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(body)))
	}))
	defer server.Close()
	dir, url := t.TempDir(), server.URL+"/x.bin"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPullUntilKilled$")
	cmd.Env = append(os.Environ(), killDir+"="+dir, killURL+"="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.Contains(s.Text(), "must not end") {
				failed <- s.Text()
			}
		}
	}()
	select {
	case <-stuck:
	case text := <-failed:
		t.Fatal(text)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	close(hold)
	before := served.Load()
	c := realCache(t, dir)
	entries, err := c.Entries(t.Context())
	if err != nil || len(entries) != 1 || !entries[0].Partial || entries[0].InUse || entries[0].Bytes < 18<<10 {
		t.Fatalf("%+v, %v", entries, err)
	}
	l := lease(t, c, mustRef(t, url))
	reads(t, l, "x.bin", string(body))
	if again := served.Load() - before; again > 48 { // one to ask, and at most 47 of the 64 chunks
		t.Errorf("%d requests after the kill", again)
	}
}

// Many with few references at once, in two programs, with room for some: whoever holds a lease reads what it should.
func TestStorm(t *testing.T) {
	s := newShop()
	dir := t.TempDir()
	caches := []*Cache{open(t, s, Options{Dir: dir, Limit: 5500}), open(t, s, Options{Dir: dir, Limit: 5500})}
	refs := []string{"a", "b", "c"}
	for _, name := range refs {
		s.sell(t, "hf://org/"+name, name+".bin")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 12 {
				name := refs[(i+n*n)%3]
				l, err := caches[i%2].Open(t.Context(), mustRef(t, "hf://org/"+name), nil)
				if e := fault.From(err); err != nil && e.Code == CodeFull {
					continue // the others hold too much just now
				}
				if err != nil {
					t.Error(err)
					return
				}
				reads(t, l, name+".bin", s.files[name+".bin"])
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	entries, err := caches[0].Entries(t.Context())
	if err != nil || caches[0].size(entries) > 5500 {
		t.Error(entries, err)
	}
	for i := range entries {
		if entries[i].InUse {
			t.Errorf("%+v", entries[i])
		}
	}
}
