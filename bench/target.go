package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is one server under load, started as a process of its own so that its memory
// and processor time can be told apart from those of the load generator.
type target struct {
	name  string
	args  []string // command line; nil when somebody else runs it
	url   string   // of chat completions
	ready string   // answers without a 5xx when it can be used
	pprof string   // address of its profiles; "" for none
	cmd   *exec.Cmd
}

func (t *target) start(ctx context.Context) error {
	if t.args == nil {
		return nil
	}
	t.cmd = exec.CommandContext(ctx, t.args[0], t.args[1:]...) //nolint:gosec // our own binaries
	t.cmd.Stderr = os.Stderr
	t.cmd.Cancel = func() error { return t.cmd.Process.Signal(syscall.SIGTERM) }
	t.cmd.WaitDelay = 10 * time.Second
	if err := t.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", t.name, err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if t.answers(ctx) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s did not become ready at %s", t.name, t.ready)
}

func (t *target) answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.ready, http.NoBody)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode < http.StatusInternalServerError // the floor wants a key and a body
}

// cpu returns the processor time the target has used so far; 0 where it is not known.
func (t *target) cpu() time.Duration {
	if t.cmd == nil {
		return 0
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(t.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick
}

// rss returns the resident memory of the target in bytes; 0 where it is not known.
func (t *target) rss() int64 {
	if t.cmd == nil {
		return 0
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(t.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// peakWhile samples the resident memory while f runs and returns the highest value.
func (t *target) peakWhile(f func()) int64 {
	done := make(chan struct{})
	peak := make(chan int64, 1)
	go func() {
		top := t.rss()
		for {
			select {
			case <-done:
				peak <- max(top, t.rss())
				return
			case <-time.After(50 * time.Millisecond):
				top = max(top, t.rss())
			}
		}
	}()
	f()
	close(done)
	return <-peak
}

func (t *target) stop() {
	if t.cmd == nil {
		return
	}
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	_ = t.cmd.Wait()
}

// profileDuring takes a processor profile of the middle of a load and, when it is over, one of
// allocations since the start. The function it returns waits for both.
func (t *target) profileDuring(dir string, l *load) (stop func()) {
	if dir == "" || t.pprof == "" || l.Once {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.profile(dir, l.Name, fmt.Sprintf("profile?seconds=%d", max(1, int(l.Duration.Seconds())-1)))
	}()
	return func() {
		<-done
		t.profile(dir, l.Name, "allocs")
	}
}

// profile writes one profile to a file of the folder; what fails is told and leaves none.
func (t *target) profile(dir, phase, what string) {
	if dir == "" || t.pprof == "" {
		return
	}
	kind, _, _ := strings.Cut(what, "?")
	res, err := http.Get("http://" + t.pprof + "/debug/pprof/" + what) //nolint:noctx // a measuring tool, ended with its target
	if err == nil {
		var b []byte
		if b, err = io.ReadAll(res.Body); err == nil {
			err = os.WriteFile(filepath.Join(dir, t.name+"-"+phase+"-"+kind+".pprof"), b, 0o600)
		}
		_ = res.Body.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
	}
}
