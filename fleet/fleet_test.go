package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"forebay/capacity/scale"
	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
)

// launcher starts instances that live in memory alone.
type launcher struct {
	mu      sync.Mutex
	running map[string]*instance
	started []string
	// takes is how long an instance takes to be ready, fails why it ends instead, room how many can run at once.
	takes time.Duration
	fails error
	room  int
	left  []engine.Left
}

type instance struct {
	l     *launcher
	name  string
	ready time.Time
	fails error
	done  chan struct{}
	once  sync.Once
	err   error
}

func (l *launcher) Start(_ context.Context, s *engine.Spec) (engine.Instance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.room > 0 && len(l.running) >= l.room {
		return nil, fault.New(fault.Overloaded, "No room.")
	}
	if s.Command[0] == "nowhere" {
		return nil, fault.New(fault.Invalid, "There is no program.")
	}
	i := &instance{l: l, name: s.Name, ready: time.Now().Add(l.takes), fails: l.fails, done: make(chan struct{})}
	l.running[s.Name] = i
	l.started = append(l.started, s.Name)
	return i, nil
}

func (l *launcher) Left() []engine.Left {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

func (l *launcher) Adopt(_ context.Context, name string) (engine.Instance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := &instance{l: l, name: name, done: make(chan struct{})}
	l.running[name] = i
	return i, nil
}

func (l *launcher) Discard(context.Context) error { return nil }

func (l *launcher) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.running))
}

func (l *launcher) any(t *testing.T) *instance {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range l.running {
		return i
	}
	t.Fatal("nothing runs")
	return nil
}

func (i *instance) Addr() string { return i.name }

func (i *instance) Ready(ctx context.Context) error {
	if i.fails != nil {
		i.end(i.fails)
		return i.fails
	}
	select {
	case <-time.After(time.Until(i.ready)):
		return nil
	case <-i.done:
		return fault.New(fault.ModelFailed, "ended")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (i *instance) Done() <-chan struct{}      { return i.done }
func (i *instance) Err() error                 { <-i.done; return i.err }
func (i *instance) Stop(context.Context) error { i.end(nil); return nil }

func (i *instance) end(err error) {
	i.once.Do(func() {
		i.l.mu.Lock()
		defer i.l.mu.Unlock()
		delete(i.l.running, i.name)
		i.err = err
		close(i.done)
	})
}

// client answers with its address when it is told to.
type client struct {
	addr string
	sick *atomic.Bool
}

func (c *client) Infer(context.Context, *infer.Request) (*infer.Response, error) {
	return infer.NewResponse(infer.Head{Model: c.addr}, infer.OneResult(&infer.Result{})), nil
}

func (c *client) Probe(context.Context) error {
	if c.sick.Load() {
		return fault.New(fault.Timeout, "silence")
	}
	return nil
}
func (c *client) Speaks(infer.Dialect) bool { return true }
func (c *client) Close() error              { return nil }

// world is a fleet with a launcher in memory and a scheduler that only writes down what it is told.
type world struct {
	*Fleet
	launcher *launcher
	sick     atomic.Bool

	mu    sync.Mutex
	pools []Pool
	fails int
}

func (w *world) seen() []Pool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pools
}

func run(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{launcher: &launcher{running: map[string]*instance{}, takes: 3 * time.Second}}
		w.Fleet = New(Options{
			Launcher: w.launcher, Log: slog.New(slog.DiscardHandler), LogDir: t.TempDir(),
			Image: func(name string) (Image, bool) {
				return Image{Command: []string{name}, Protocol: ProtocolContainer}, name != ""
			},
			Instance: func(name string) (engine.Resources, bool) {
				return engine.Resources{CPUMilli: 1000}, name == "ml.m5.large"
			},
			Dial: func(addr string, _ *Image) (engine.Client, error) { return &client{addr, &w.sick}, nil },
			Weights: func(ctx context.Context, ref string, progress func(done, total int64)) (string, func(), error) {
				progress(1, 4)
				select {
				case <-time.After(2 * time.Second):
				case <-ctx.Done():
					return "", nil, context.Cause(ctx)
				}
				return t.TempDir(), func() {}, nil
			},
			Apply: func(context.Context) error {
				pools := w.Pools()
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.fails > 0 {
					w.fails--
					return errors.New("not now")
				}
				w.pools = pools
				return nil
			},
		})
		test(t, w)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.Close(ctx)
		if n := w.launcher.names(); len(n) > 0 {
			t.Errorf("left running: %v", n)
		}
	})
}

func chat() *Variant {
	return &Variant{
		ID: "chat-1", Account: "000000000001", Endpoint: "chat", Name: "main", Container: Container{Image: "engine", Weights: "file:///m"},
		Rules: scale.Rules{Max: 4, Slots: 2, Idle: time.Minute},
	}
}

func (w *world) ensure(t *testing.T, v *Variant) {
	t.Helper()
	if err := w.Ensure(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// is holds how a variant stands against numbers.
func (w *world) is(t *testing.T, desired, ready, starting, stopping int32) Status {
	t.Helper()
	synctest.Wait()
	s, ok := w.Status("chat-1")
	if !ok || s.Desired != desired || s.Ready != ready || s.Starting != starting || s.Stopping != stopping {
		t.Errorf("%d desired, %d ready, %d starting, %d stopping (%v); want %d, %d, %d, %d", s.Desired, s.Ready, s.Starting, s.Stopping, ok, desired, ready, starting, stopping)
	}
	return s
}

func TestLifeOfAReplica(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.ensure(t, chat())
		w.is(t, 0, 0, 0, 0)
		if p := w.seen(); len(p) != 1 || p[0].Rules.Max != 4 || p[0].Rules.Start != defaultStart || len(p[0].Replicas) != 0 {
			t.Fatalf("%+v", p)
		}
		begun := time.Now()
		w.Want("chat-1", 1)
		time.Sleep(time.Second)
		s := w.is(t, 1, 0, 1, 0)
		if r := s.Replicas[0]; r.Phase != PhaseDownloading || r.Done != 1 || r.Total != 4 {
			t.Errorf("%+v", r)
		}
		time.Sleep(2 * time.Second)
		if r := w.is(t, 1, 0, 1, 0).Replicas[0]; r.Phase != PhaseStarting || r.Addr == "" || r.Log == "" {
			t.Errorf("%+v", r)
		}
		time.Sleep(2 * time.Second)
		s = w.is(t, 1, 1, 0, 0)
		line := s.Replicas[0].Timeline
		if line.Queued != begun || line.Downloading != begun || line.Starting.Sub(begun) != 2*time.Second || line.Ready.Sub(begun) != 5*time.Second {
			t.Errorf("%+v", line)
		}
		p := w.seen()[0]
		if len(p.Replicas) != 1 || p.Rules.Start != 5*time.Second {
			t.Errorf("%+v", p)
		}
		res, err := p.Replicas[0].Client.Infer(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Want("chat-1", 0)
		time.Sleep(time.Minute)
		w.is(t, 0, 0, 0, 1) // until its call has ended
		if len(w.seen()[0].Replicas) != 0 {
			t.Error("the scheduler was not told")
		}
		if _, err := p.Replicas[0].Client.Infer(t.Context(), nil); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("a late call: %v", err)
		}
		_, _ = res.Close(), res.Close()
		s = w.is(t, 0, 0, 0, 0)
		if r := s.Replicas[0]; r.Phase != PhaseEnded || r.Reason != "" || r.Timeline.FirstCall.Sub(begun) != 5*time.Second || r.Timeline.Ended.Sub(begun) != 65*time.Second {
			t.Errorf("%+v", r)
		}
	})
}

func TestFewerAndMore(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.ensure(t, chat())
		w.Want("chat-1", 2)
		time.Sleep(10 * time.Second)
		old := w.launcher.names()
		w.Want("chat-1", 4)
		time.Sleep(3 * time.Second)
		w.is(t, 4, 2, 2, 0)
		w.Want("chat-1", 2) // those that are not ready go first
		w.is(t, 2, 2, 0, 0)
		if got := w.launcher.names(); !slices.Equal(got, old) {
			t.Errorf("%v run, want %v", got, old)
		}
		if err := w.Remove(t.Context(), "chat-1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, ok := w.Status("chat-1"); ok || len(w.seen()) != 0 {
			t.Error("something is left")
		}
		if err := w.Remove(t.Context(), "chat-1"); err != nil {
			t.Errorf("again: %v", err)
		}
		w.Want("chat-1", 3) // too late
		w.ensure(t, chat())
		w.is(t, 0, 0, 0, 0)
	})
}

// A replica that dies is replaced; those that never come up end in failure, with the reason.
func TestCrashes(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		v := chat()
		v.Container.Weights = ""
		w.ensure(t, v)
		w.Want("chat-1", 1)
		time.Sleep(time.Hour)
		e := fault.New(fault.ModelFailed, "It ended.")
		e.OriginalMessage = "out of memory"
		w.launcher.any(t).end(e)
		s := w.is(t, 1, 0, 0, 0)
		if want := "It ended. Its last lines: out of memory"; s.Reason != want || s.Replicas[0].Reason != want {
			t.Errorf("%q", s.Reason)
		}
		if len(w.seen()[0].Replicas) != 0 {
			t.Error("the scheduler was not told")
		}
		time.Sleep(firstPause + 3*time.Second)
		if s := w.is(t, 1, 1, 0, 0); s.Reason != "" {
			t.Errorf("%q", s.Reason)
		}
		w.launcher.mu.Lock()
		w.launcher.fails = fault.New(fault.ModelFailed, "No such model.")
		w.launcher.mu.Unlock()
		w.launcher.any(t).end(e)
		before := len(w.launcher.started)
		time.Sleep(time.Hour)
		s = w.is(t, 1, 0, 0, 0)
		if n := len(w.launcher.started) - before; !s.Failed || n != maxCrashes-2 || s.Reason != "No such model." {
			t.Errorf("failed %v after %d attempts: %q", s.Failed, n, s.Reason)
		}
		if r := w.seen()[0].Rules; r.Max != 0 {
			t.Errorf("calls would wait: %+v", r)
		}
		w.launcher.mu.Lock()
		w.launcher.fails = nil
		w.launcher.mu.Unlock()
		w.ensure(t, v) // tries again
		time.Sleep(3 * time.Second)
		if s := w.is(t, 1, 1, 0, 0); s.Failed || w.seen()[0].Rules.Max != 4 {
			t.Errorf("%+v", s)
		}
	})
}

func TestHungReplicaIsReplaced(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.ensure(t, chat())
		w.Want("chat-1", 1)
		time.Sleep(time.Minute + time.Second) // between two probes
		old := w.launcher.names()
		w.sick.Store(true)
		time.Sleep(maxMissed*probeEvery - firstPause/2)
		synctest.Wait()
		w.sick.Store(false)
		if now := w.launcher.names(); len(now) != 0 {
			t.Errorf("%v runs", now)
		}
		time.Sleep(time.Minute)
		if now := w.launcher.names(); len(now) != 1 || slices.Equal(now, old) {
			t.Errorf("%v runs, it was %v", now, old)
		}
	})
}

func TestRoom(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.launcher.room = 1
		w.ensure(t, chat())
		w.Want("chat-1", 2)
		time.Sleep(time.Minute)
		if s := w.is(t, 2, 1, 1, 0); s.Reason != "No room." {
			t.Errorf("%q", s.Reason)
		}
		w.launcher.mu.Lock()
		w.launcher.room = 2
		w.launcher.mu.Unlock()
		time.Sleep(resourcesEvery + 3*time.Second)
		w.is(t, 2, 2, 0, 0)
	})
}

func TestRefusals(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.ensure(t, chat())
		for name, c := range map[string]struct {
			change func(*Variant)
			kind   fault.Kind
		}{
			"no image":        {func(v *Variant) { v.Container.Image = "" }, fault.Invalid},
			"no ID":           {func(v *Variant) { v.ID = "../x" }, fault.Invalid},
			"bad rules":       {func(v *Variant) { v.Rules.Min = 5 }, fault.Invalid},
			"no such type":    {func(v *Variant) { v.Instance = "ml.p9.metal" }, fault.Invalid},
			"another content": {func(v *Variant) { v.Container.Env = []string{"A=b"} }, fault.Conflict},
			"other slots":     {func(v *Variant) { v.Rules.Slots = 3 }, fault.Conflict},
		} {
			v := chat()
			c.change(v)
			if err := w.Ensure(t.Context(), v); fault.KindOf(err) != c.kind {
				t.Errorf("%s: %v", name, err)
			}
		}
		v := chat()
		v.ID, v.Container.Image = "chat-2", "nowhere"
		w.ensure(t, v)
		w.Want("chat-2", 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s, _ := w.Status("chat-2"); !s.Failed || !strings.Contains(s.Reason, "no program") || len(s.Replicas) != 1 {
			t.Errorf("what cannot be started is not tried again: %+v", s)
		}
	})
}

func TestSchedule(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		v := chat()
		when, err := scale.ParseSchedule("at(2000-01-01T06:00:00)", time.UTC) // the bubble's clock begins at midnight
		if err != nil {
			t.Fatal(err)
		}
		two := int32(2)
		v.Schedules = []Scheduled{{Name: "morning", When: when, Min: &two}}
		w.ensure(t, v)
		time.Sleep(6*time.Hour - time.Second)
		if r := w.seen()[0].Rules; r.Min != 0 {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if r := w.seen()[0].Rules; r.Min != 2 || r.Max != 4 {
			t.Errorf("%+v", r)
		}
	})
}

func TestAdopted(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.launcher.left = []engine.Left{
			{Spec: engine.Spec{Name: "chat-1-a", Labels: map[string]string{labelVariant: "chat-1"}}},
			{Spec: engine.Spec{Name: "other", Labels: map[string]string{labelVariant: "other-1"}}},
		}
		w.ensure(t, chat())
		time.Sleep(5 * time.Second)
		w.is(t, 1, 1, 0, 0)
		if p := w.seen()[0]; p.Desired != 1 || p.Generation != 1 || len(p.Replicas) != 1 || p.Replicas[0].Name != "chat-1-a" {
			t.Errorf("%+v", p)
		}
		if n := w.launcher.names(); !slices.Equal(n, []string{"chat-1-a"}) {
			t.Errorf("%v", n)
		}
	})
}

// What cannot be applied is applied again, and a replica is not stopped before the scheduler knows.
func TestApplyIsTriedAgain(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.ensure(t, chat())
		w.Want("chat-1", 1)
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.fails = 3
		w.mu.Unlock()
		w.Want("chat-1", 0)
		time.Sleep(2 * again)
		w.is(t, 0, 0, 0, 1)
		time.Sleep(2 * again)
		w.is(t, 0, 0, 0, 0)
	})
}

func TestChanges(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ch := w.Changes(ctx)
		w.ensure(t, chat())
		if id := <-ch; id != "chat-1" {
			t.Error(id)
		}
		w.Want("chat-1", 1)
		for {
			<-ch
			if s, _ := w.Status("chat-1"); s.Ready == 1 {
				break
			}
		}
		cancel()
		for range ch {
		}
	})
}

// Variants at rest start nothing and are not looked at.
func TestAtRest(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for i := range 1000 {
			v := chat()
			v.ID = fmt.Sprintf("e%d", i)
			if err := w.Ensure(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(w.seen()) != 1000 || len(w.launcher.started) != 0 {
			t.Errorf("%d pools, %d started", len(w.seen()), len(w.launcher.started))
		}
	})
}
