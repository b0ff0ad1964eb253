package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// watcher is an output that can be waited on.
type watcher struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newWatcher() *watcher { return &watcher{more: make(chan struct{}, 1)} }

func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	select {
	case w.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// await returns when the text has come.
func (w *watcher) await(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(w.String(), text) {
		select {
		case <-w.more:
		case <-t.Context().Done():
			t.Fatalf("%q never came:\n%s", text, w)
		}
	}
}

func TestHangupReadsTheFileAgain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "forebay.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("logging: {level: info}\n")
	hangup := make(chan os.Signal)
	ctx, stop := context.WithCancel(t.Context())
	out, errs := newWatcher(), newWatcher()
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, []string{"up", "--quiet", "--config", file, "--listen", "127.0.0.1:0", "--data-dir", dir}, Streams{
			In: strings.NewReader(""), Out: out, Err: errs, Hangup: func() <-chan os.Signal { return hangup },
		})
	}()
	out.await(t, "Try, in another shell")
	write("quotas: lots\nledgr: {}\n")
	hangup <- syscall.SIGHUP
	errs.await(t, "the new configuration is refused, the old one stays")
	if text := errs.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "forebay.yaml:1: quotas") || !strings.Contains(text, "forebay.yaml:2: ledgr") {
		t.Errorf("not one line with both faults: %s", text)
	}
	write("server: {region: eu-west-1}\nlogging: {level: info}\n")
	hangup <- syscall.SIGHUP
	errs.await(t, "some changes wait for a restart")
	if text := errs.String(); !strings.Contains(text, "the configuration was read again") || !strings.Contains(text, "server.region") {
		t.Errorf("%s", text)
	}
	write("logging: {level: error}\n")
	hangup <- syscall.SIGHUP
	hangup <- syscall.SIGHUP // taken only when the first is done
	if text := errs.String(); strings.Count(text, "read again") != 1 {
		t.Errorf("the level did not change: %s", text)
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d: %s", code, errs)
	}
}
