package process

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"forebay/engine"
	"forebay/fault"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func background() context.Context { return context.Background() }

type bench struct {
	*Launcher
	dir string
}

func setup(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	o := Options{Dir: filepath.Join(b.dir, "run"), Log: quiet()}
	for _, f := range change {
		f(&o)
	}
	var err error
	if b.Launcher, err = New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

// spec is one of this test program's own modes.
func (b *bench) spec(name, mode string) *engine.Spec {
	return &engine.Spec{
		Name: name, Command: []string{os.Args[0], "serve"}, LogDir: filepath.Join(b.dir, "logs"), Env: []string{modeVariable + "=" + mode},
		Health: engine.Health{Interval: time.Millisecond, StartTimeout: time.Minute, PingTimeout: 10 * time.Second},
	}
}

// start starts an instance that is stopped with the test.
func (b *bench) start(t *testing.T, spec *engine.Spec) engine.Instance {
	t.Helper()
	i, err := b.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(i) })
	return i
}

// kill ends an instance by force.
func kill(i engine.Instance) {
	ctx, cancel := context.WithCancel(background())
	cancel()
	_ = i.Stop(ctx)
}

func (b *bench) ready(t *testing.T, spec *engine.Spec) engine.Instance {
	t.Helper()
	i := b.start(t, spec)
	if err := i.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return i
}

func get(t *testing.T, i engine.Instance, path string) string {
	t.Helper()
	res, err := http.Get("http://" + i.Addr() + path) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (b *bench) log(t *testing.T, name string) string {
	t.Helper()
	out, err := os.ReadFile(logPath(filepath.Join(b.dir, "logs"), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// gone fails the test while something with the instance's mark runs.
func gone(t *testing.T, i engine.Instance) {
	t.Helper()
	list, err := marked()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.mark == i.(*instance).Mark {
			t.Errorf("process %d of the instance runs", p.pid)
		}
	}
}

func TestContract(t *testing.T) {
	t.Setenv("FOREBAY_SECRET", "not for replicas")
	b := setup(t, func(o *Options) { o.GPUs = []string{"GPU-a", "GPU-b"} })
	model := t.TempDir()
	spec := b.spec("one", "server")
	spec.ModelDir = model
	spec.Resources.GPUs = 1
	spec.Slots = 3
	spec.Command = append(spec.Command, "--model", "{model}/x.gguf", "--parallel", "{slots}")
	spec.Env = append(spec.Env, "OLLAMA_HOST={host}:{port}")
	i := b.ready(t, spec)
	host, port, err := net.SplitHostPort(i.Addr())
	if err != nil || host != "127.0.0.1" {
		t.Errorf("address %s", i.Addr())
	}
	env := strings.Split(get(t, i, "/env"), "\n")
	for _, want := range []string{"SAGEMAKER_BIND_TO_PORT=" + port, "PORT=" + port, "SM_MODEL_DIR=" + model, "CUDA_VISIBLE_DEVICES=GPU-a", "OLLAMA_HOST=127.0.0.1:" + port} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in\n%s", want, strings.Join(env, "\n"))
		}
	}
	if slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "FOREBAY_SECRET") }) {
		t.Error("a variable of the program itself came through")
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := i.Err(); err != nil {
		t.Errorf("it was stopped: %v", err)
	}
	if log := b.log(t, "one"); !strings.Contains(log, "serve --model "+model+"/x.gguf --parallel 3\n") || !strings.Contains(log, "asked to end") {
		t.Errorf("log %q", log)
	}
	gone(t, i)
	if entries, _ := os.ReadDir(filepath.Join(b.dir, "run", "instances")); len(entries) != 0 {
		t.Errorf("records are left: %v", entries)
	}
}

func TestReadyWhenThePathAnswers200(t *testing.T) {
	b := setup(t)
	gate := filepath.Join(t.TempDir(), "gate")
	spec := b.spec("one", "gated")
	spec.Env = append(spec.Env, "GATE="+gate)
	i := b.start(t, spec)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := i.Ready(ctx); fault.KindOf(err) != fault.Canceled {
		t.Errorf("before: %v", err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCrashSaysWhy(t *testing.T) {
	b := setup(t)
	i := b.start(t, b.spec("one", "crash"))
	err := fault.From(i.Ready(t.Context()))
	<-i.Done()
	for _, e := range []*fault.Error{err, fault.From(i.Err())} {
		if e.Kind != fault.ModelFailed || !strings.Contains(e.Message, "exit status 3") || !strings.Contains(e.OriginalMessage, "line 29\n[31mno such model[0m") ||
			strings.Contains(e.OriginalMessage, "line 9\n") {
			t.Errorf("%v: %q", e, e.OriginalMessage)
		}
	}
	if _, err := b.Start(t.Context(), b.spec("one", "crash")); err != nil {
		t.Errorf("the name is free again: %v", err)
	}
}

func TestStartTimeout(t *testing.T) {
	b := setup(t)
	spec := b.spec("one", "sick")
	spec.Health.StartTimeout = 300 * time.Millisecond
	i := b.start(t, spec)
	if err := fault.From(i.Ready(t.Context())); err.Kind != fault.Timeout || !strings.Contains(err.Message, "300ms") {
		t.Errorf("%v", err)
	}
	select {
	case <-i.Done():
		t.Error("whether it is ended is for those who started it")
	default:
	}
}

func TestForceAfterTheGrace(t *testing.T) {
	b := setup(t)
	spec := b.spec("one", "stubborn")
	spec.StopGrace = 50 * time.Millisecond
	i := b.ready(t, spec)
	if err := i.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, i)
}

// A process that has left the group, and ignores requests, ends with the instance.
func TestNothingIsLeft(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		t.Run(how, func(t *testing.T) {
			b := setup(t)
			i := b.ready(t, b.spec("one", "family"))
			_, after, _ := strings.Cut(b.log(t, "one"), "child ")
			first, _, _ := strings.Cut(after, "\n")
			child, err := strconv.Atoi(first)
			if err != nil {
				t.Fatal(err)
			}
			if markOf(child) == "" {
				t.Fatal("the child does not run")
			}
			if how == "stop" {
				if err := i.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else if err := syscall.Kill(i.(*instance).PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-i.Done()
			if how == "kill" && fault.KindOf(i.Err()) != fault.ModelFailed {
				t.Errorf("it was killed: %v", i.Err())
			}
			gone(t, i)
		})
	}
}

func TestRefusals(t *testing.T) {
	b := setup(t, func(o *Options) { o.GPUs, o.Memory, o.CPUMilli = []string{"0"}, 1000, 2000 })
	plain := filepath.Join(b.dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	holder := b.spec("holder", "server")
	holder.Resources = engine.Resources{GPUs: 1, Memory: 600, CPUMilli: 500}
	first := b.ready(t, holder)
	for name, c := range map[string]struct {
		change func(*engine.Spec)
		kind   fault.Kind
	}{
		"no command":       {func(s *engine.Spec) { s.Command = nil }, fault.Invalid},
		"no such program":  {func(s *engine.Spec) { s.Command = []string{"/nowhere/engine"} }, fault.Invalid},
		"not a program":    {func(s *engine.Spec) { s.Command = []string{plain} }, fault.Invalid},
		"bad name":         {func(s *engine.Spec) { s.Name = "../x" }, fault.Invalid},
		"no model":         {func(s *engine.Spec) { s.ModelDir = "/nowhere" }, fault.Invalid},
		"taken name":       {func(s *engine.Spec) { s.Name = "holder" }, fault.Conflict},
		"more GPUs":        {func(s *engine.Spec) { s.Resources.GPUs = 2 }, fault.QuotaExceeded},
		"a used GPU":       {func(s *engine.Spec) { s.Resources.GPUs = 1 }, fault.Overloaded},
		"more memory":      {func(s *engine.Spec) { s.Resources.Memory = 1001 }, fault.QuotaExceeded},
		"used memory":      {func(s *engine.Spec) { s.Resources.Memory = 401 }, fault.Overloaded},
		"used processors":  {func(s *engine.Spec) { s.Resources.CPUMilli = 1501 }, fault.Overloaded},
		"negative numbers": {func(s *engine.Spec) { s.Resources.GPUs = -1 }, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			spec := b.spec("another", "server")
			c.change(spec)
			i, err := b.Start(t.Context(), spec)
			if fault.KindOf(err) != c.kind {
				t.Errorf("%v, want %v", err, c.kind)
			}
			if i != nil {
				kill(i)
			}
		})
	}
	kill(first)
	holder.Name = "heir"
	b.ready(t, holder) // what the first one had is free again
}

// Launchers that share nothing, on one narrow range, get different ports, until there are no more.
func TestPortsDoNotClash(t *testing.T) {
	narrow := func(o *Options) { o.FirstPort, o.LastPort = 19970, 19975 }
	a, b := setup(t, narrow), setup(t, narrow)
	occupied := 0
	for port := 19970; port <= 19975; port++ {
		if !isFree(port) { // by another program
			occupied++
		}
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:19972")
	if err == nil {
		defer ln.Close() //nolint:errcheck // test
		occupied++
	}
	seen := map[int]bool{}
	for n := 0; ; n++ {
		l := a
		if n%2 == 1 {
			l = b
		}
		l.mu.Lock()
		port, err := l.ports.take()
		l.mu.Unlock()
		if err != nil {
			if fault.KindOf(err) != fault.Overloaded || n > 6-occupied {
				t.Errorf("after %d of %d: %v", n, 6-occupied, err)
			}
			break
		}
		if seen[port] || port == 19972 && ln != nil {
			t.Errorf("port %d twice", port)
		}
		seen[port] = true
	}
	if len(seen) == 0 {
		t.Error("no port at all")
	}
}

func TestLogRotates(t *testing.T) {
	dir := t.TempDir()
	f, err := openLog(dir, "x", 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // test
	for _, text := range []string{"first line\n", "second line\n", "third line\n", "4\n"} {
		if _, err := out.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.rotate(); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{"x.log": "4\n", "x.log.1": "third line\n", "x.log.2": "second line\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", file, b, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x.log.3")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("more than two are kept: %v", err)
	}
}

// killed runs a program that starts instances, and kills it with signal 9 when they are ready.
func killed(t *testing.T, dir, mode, names string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), modeVariable+"=program", "DIR="+dir, "START="+mode, "NAMES="+names)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if id, err := identity(filepath.Join(dir, "run")); err == nil {
			_ = end(background(), func(p *found) bool { return p.owned(id) })
		}
	})
	var lines []string
	in := bufio.NewScanner(out)
	for range strings.FieldsSeq(names) {
		if !in.Scan() {
			t.Fatal("the program ended early:", lines, in.Err())
		}
		lines = append(lines, in.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	return lines
}

func TestAdoptedAfterAKill(t *testing.T) {
	dir := t.TempDir()
	addrs := killed(t, dir, "family", "kept dropped")
	l, err := New(Options{Dir: filepath.Join(dir, "run"), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	left := l.Left()
	if len(left) != 2 || left[0].Spec.Name != "dropped" || left[1].Spec.Name != "kept" || left[1].Addr != addrs[0] || left[1].Started.IsZero() {
		t.Fatalf("%+v, started at %v", left, addrs)
	}
	if _, err := l.Start(t.Context(), &left[1].Spec); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the name is taken: %v", err)
	}
	i, err := l.Adopt(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	defer kill(i)
	if err := l.Discard(t.Context()); err != nil {
		t.Error(err)
	}
	if err := i.Ready(t.Context()); err != nil || i.Addr() != addrs[0] {
		t.Errorf("%v at %s", err, i.Addr())
	}
	list, err := marked()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range list {
		if p.owned(l.id) {
			n++
			if p.mark != i.(*instance).Mark {
				t.Errorf("process %d was left to run", p.pid)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d processes of the adopted instance run, want 2", n)
	}
	if err := i.Stop(t.Context()); err != nil || i.Err() != nil {
		t.Error(err, i.Err())
	}
	gone(t, i)
	if log, err := os.ReadFile(logPath(filepath.Join(dir, "logs"), "kept")); err != nil || !strings.Contains(string(log), "asked to end") {
		t.Errorf("log %q, %v", log, err)
	}
	if len(l.Left()) != 0 {
		t.Errorf("left: %v", l.Left())
	}
}

// An adopted instance that ends by itself is noticed.
func TestAdoptedEnds(t *testing.T) {
	dir := t.TempDir()
	killed(t, dir, "server", "one")
	l, err := New(Options{Dir: filepath.Join(dir, "run"), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	i, err := l.Adopt(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(i.(*instance).PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-i.Done()
	if fault.KindOf(i.Err()) != fault.ModelFailed {
		t.Errorf("%v", i.Err())
	}
	gone(t, i)
}

// What ended between the two programs is not adopted, and its record goes.
func TestNotAdoptedWhenEnded(t *testing.T) {
	dir := t.TempDir()
	killed(t, dir, "server", "one")
	first, err := New(Options{Dir: filepath.Join(dir, "run"), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := follow(first.left["one"])
	if err != nil {
		t.Fatal(err)
	}
	if err := end(t.Context(), func(p *found) bool { return p.owned(first.id) }); err != nil {
		t.Fatal(err)
	}
	if err := w.wait(); err != nil {
		t.Fatal(err)
	}
	w.collect()
	if _, err := first.Adopt(t.Context(), "one"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	if err := first.Discard(t.Context()); err != nil {
		t.Error(err)
	}
	again, err := New(Options{Dir: filepath.Join(dir, "run"), Log: quiet()})
	if err != nil || len(again.Left()) != 0 {
		t.Errorf("%v left, %v", again.Left(), err)
	}
}
