package endpoint_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/endpoint"
	"forebay/fault"
	"forebay/fleet"
	"forebay/resource"
	"forebay/store"

	"pgregory.net/rapid"
)

const account = "000000000000"

// direct is a store of which nothing else is in force.
type direct struct{ s *store.Store }

func (d direct) View(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

func (d direct) Update(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

// machines is a fleet in memory: what it is asked for is up when the test says so.
type machines struct {
	mu   sync.Mutex
	want map[string]fleet.Variant
	up   map[string]int32
	fail map[string]string // by image: why it does not start
}

func (m *machines) Ensure(_ context.Context, v *fleet.Variant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v.Container.Image == "none" {
		return fault.New(fault.NotFound, "there is no image none")
	}
	m.want[v.ID] = *v
	return nil
}

func (m *machines) Remove(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.want, id)
	return nil
}

func (m *machines) Status(id string) (fleet.Status, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, wanted := m.want[id]
	if !wanted && m.up[id] == 0 {
		return fleet.Status{}, false
	}
	why, broken := m.fail[v.Container.Image]
	return fleet.Status{ID: id, Desired: v.Desired, Ready: m.up[id], Failed: broken, Reason: why}, true
}

// settle lets everything that is wanted come up, and what is not wanted go.
func (m *machines) settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.up)
	for id, v := range m.want {
		if _, broken := m.fail[v.Container.Image]; !broken {
			m.up[id] = v.Desired
		}
	}
}

// running lists what is up of an endpoint, with the number of instances.
func (m *machines) running(endpoint string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(m.up)) {
		if id, ours := strings.CutPrefix(id, account+"."+endpoint+"."); ours {
			out = append(out, fmt.Sprintf("%s:%d", id, m.up[account+"."+endpoint+"."+id]))
		}
	}
	return strings.Join(out, " ")
}

// fatal is what tests and properties have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// bench is a book with a clock and a fleet.
type bench struct {
	*endpoint.Book
	fatal
	name   string          // of the endpoint
	ctx    context.Context //nolint:containedctx // the life of one test
	store  *store.Store
	fleet  *machines
	now    time.Time
	health map[string]endpoint.Health
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return onStore(t.Context(), t, s)
}

func onStore(ctx context.Context, t fatal, s *store.Store) *bench {
	b := &bench{
		name: "chat", fatal: t, ctx: ctx, store: s, now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), health: map[string]endpoint.Health{},
		fleet: &machines{want: map[string]fleet.Variant{}, up: map[string]int32{}, fail: map[string]string{}},
	}
	b.restart()
	for _, image := range []string{"one", "two", "three", "none"} {
		if _, err := b.CreateModel(ctx, &resource.Creation{Account: account}, &endpoint.Model{Head: endpoint.Head{Name: image}, Container: endpoint.Container{Image: image}}); err != nil {
			t.Fatal(err)
		}
		b.config(image, endpoint.Variant{Name: "all", Model: image, Instance: "ml.m5.large", Count: 4, Weight: 1})
	}
	return b
}

// restart is a kill and a start: all that was in memory is gone.
func (b *bench) restart() {
	b.Book = endpoint.New(endpoint.Options{
		Store: direct{b.store}, Fleet: b.fleet, Region: "r", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.now },
		Health: func(id string) endpoint.Health { return b.health[id] },
	})
	if err := b.Load(b.ctx); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) config(name string, variants ...endpoint.Variant) {
	b.Helper()
	if _, err := b.CreateConfig(b.ctx, &resource.Creation{Account: account}, &endpoint.Config{Head: endpoint.Head{Name: name}, Variants: variants}); err != nil {
		b.Fatal(err)
	}
}

// settle lets everything happen that needs no time.
func (b *bench) settle() {
	for range 3 {
		b.Tend(b.ctx)
		b.fleet.settle()
	}
	b.Tend(b.ctx)
}

// after lets time pass.
func (b *bench) after(d time.Duration) {
	b.now = b.now.Add(d)
	b.settle()
}

func (b *bench) create(config string) {
	b.Helper()
	if _, err := b.Create(b.ctx, &resource.Creation{Account: account}, b.name, config, nil); err != nil {
		b.Fatal(err)
	}
	b.settle()
}

func (b *bench) update(config string, p *endpoint.Policy) {
	b.Helper()
	if _, err := b.UpdateConfig(b.ctx, account, b.name, config, p, endpoint.Retain{}); err != nil {
		b.Fatal(err)
	}
	b.settle()
}

func (b *bench) get() *endpoint.Endpoint {
	b.Helper()
	e, err := b.Get(b.ctx, account, b.name)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// is checks the status and what runs.
func (b *bench) is(status endpoint.Status, running string) {
	b.Helper()
	if e, got := b.get(), b.fleet.running(b.name); e.Status != status || got != running {
		b.Fatalf("%s (%s) with %q; want %s with %q", e.Status, e.Failure, got, status, running)
	}
}

// shares says how many of a thousand calls go where.
func (b *bench) shares() map[string]int {
	b.Helper()
	out := map[string]int{}
	for range 1000 {
		t, err := b.Route(account, b.name, "")
		if err != nil {
			b.Fatal(err)
		}
		out[strings.TrimPrefix(t.ID, account+"."+b.name+".")]++
	}
	return out
}

// near checks shares to one per cent.
func (b *bench) near(want map[string]int) {
	b.Helper()
	got := b.shares()
	for id, n := range got {
		if d := n - want[id]; d < -10 || d > 10 {
			b.Fatalf("calls went to %v, want %v", got, want)
		}
	}
}

func TestLife(t *testing.T) {
	b := newBench(t)
	if _, err := b.Create(b.ctx, &resource.Creation{Account: account}, "chat", "one", nil); err != nil {
		t.Fatal(err)
	}
	b.Tend(b.ctx)
	b.is(endpoint.Creating, "")
	if _, err := b.Route(account, "chat", ""); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a call while it is created: %v", err)
	}
	if err := b.Delete(b.ctx, account, "chat"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("deleted while it is created: %v", err)
	}
	b.settle()
	b.is(endpoint.InService, "all.1:4")
	if got, err := b.Route(account, "chat", "all"); err != nil || got.Variant != "all" || got.Container != "primary" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.Route(account, "chat", "other"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a variant that is not there: %v", err)
	}
	// What was deployed needs its model and its configuration no more.
	if err := b.DeleteModel(b.ctx, account, "one"); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteConfig(b.ctx, account, "one"); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.settle()
	b.is(endpoint.InService, "all.1:4")
	if err := b.Delete(b.ctx, account, "chat"); err != nil {
		t.Fatal(err)
	}
	b.Tend(b.ctx)
	b.is(endpoint.Deleting, "all.1:4")
	b.settle()
	if _, err := b.Get(b.ctx, account, "chat"); fault.KindOf(err) != fault.NotFound || b.fleet.running(b.name) != "" {
		t.Errorf("%v, and %q is left", err, b.fleet.running(b.name))
	}
}

// What does not start fails, says why, leaves nothing behind, and can only be deleted.
func TestFailedCreation(t *testing.T) {
	for _, image := range []string{"two", "none"} {
		b := newBench(t)
		b.fleet.fail["two"] = "exit status 1"
		b.create(image)
		b.is(endpoint.Failed, "")
		if e := b.get(); !strings.HasPrefix(e.Failure, "The primary container for production variant all did not start: ") {
			t.Errorf("%s", e.Failure)
		}
		if _, err := b.UpdateConfig(b.ctx, account, "chat", "one", nil, endpoint.Retain{}); fault.KindOf(err) != fault.Conflict {
			t.Errorf("updated: %v", err)
		}
		if err := b.Delete(b.ctx, account, "chat"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if _, err := b.Get(b.ctx, account, "chat"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("still there: %v", err)
		}
	}
}

func TestAllAtOnce(t *testing.T) {
	b := newBench(t)
	b.create("one")
	if _, err := b.UpdateConfig(b.ctx, account, "chat", "two", nil, endpoint.Retain{}); err != nil {
		t.Fatal(err)
	}
	b.Tend(b.ctx)
	b.near(map[string]int{"all.1": 1000}) // until all is up
	if _, err := b.UpdateConfig(b.ctx, account, "chat", "one", nil, endpoint.Retain{}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("updated while it is updated: %v", err)
	}
	b.settle()
	b.is(endpoint.InService, "all.2:4")
	b.near(map[string]int{"all.2": 1000})
}

func TestCanary(t *testing.T) {
	b := newBench(t)
	b.create("one")
	canary := &endpoint.Policy{Routing: endpoint.Canary, Size: endpoint.Size{Percent: true, Value: 10}, WaitSeconds: 60, TerminationSeconds: 60, Alarms: []string{"errors>5%"}}
	b.update("two", canary)
	b.is(endpoint.Updating, "all.1:4 all.2:4")
	b.near(map[string]int{"all.1": 900, "all.2": 100})
	b.after(time.Minute)
	b.near(map[string]int{"all.2": 1000})
	b.after(time.Minute)
	b.is(endpoint.Updating, "all.1:4 all.2:4") // what is old is kept for a minute
	b.after(time.Minute)
	b.is(endpoint.InService, "all.2:4")

	b.update("three", canary)
	b.health[account+".chat.all.3"] = endpoint.Health{Calls: 100, Failed: 6}
	b.after(time.Second)
	b.is(endpoint.InService, "all.2:4")
	if e := b.get(); !strings.Contains(e.Failure, "errors>5%") || e.Config != "two" {
		t.Errorf("%+v", e)
	}
	b.near(map[string]int{"all.2": 1000})
}

// What is new and does not start takes nothing away from what there is.
func TestUpdateThatFails(t *testing.T) {
	b := newBench(t)
	b.create("one")
	b.fleet.fail["two"] = "exit status 1"
	for _, p := range []*endpoint.Policy{nil, {Routing: endpoint.Rolling, Size: endpoint.Size{Value: 1}}} {
		b.update("two", p)
		b.is(endpoint.InService, "all.1:4")
		if e := b.get(); e.Config != "one" || !strings.Contains(e.Failure, "exit status 1") {
			t.Errorf("%+v", e)
		}
	}
	b.update("none", nil)
	b.is(endpoint.InService, "all.1:4")
	b.update("three", &endpoint.Policy{LimitSeconds: 60})
	b.is(endpoint.InService, "all.5:4")
}

func TestRolling(t *testing.T) {
	b := newBench(t)
	b.create("one")
	rolling := &endpoint.Policy{Routing: endpoint.Rolling, Size: endpoint.Size{Value: 2}, WaitSeconds: 60, Alarms: []string{"latency>1s"}}
	b.update("two", rolling)
	b.is(endpoint.Updating, "all.1:2 all.2:2")
	b.near(map[string]int{"all.1": 500, "all.2": 500})
	b.after(time.Minute)
	b.is(endpoint.Updating, "all.1:1 all.2:4")
	b.near(map[string]int{"all.2": 1000})
	b.after(time.Minute)
	b.is(endpoint.InService, "all.2:4")

	b.update("three", rolling)
	b.health[account+".chat.all.3"] = endpoint.Health{Calls: 10, Latency: 11 * time.Second}
	b.after(time.Second)
	b.is(endpoint.InService, "all.2:4")
}

func TestWeightsAndCounts(t *testing.T) {
	b := newBench(t)
	b.config("both", endpoint.Variant{Name: "a", Model: "one", Instance: "i", Count: 1, Weight: 3}, endpoint.Variant{Name: "b", Model: "two", Instance: "i", Count: 1, Weight: 1})
	b.create("both")
	b.near(map[string]int{"a.1": 750, "b.1": 250})
	if _, err := b.Resize(b.ctx, account, "chat", []endpoint.Resize{{Variant: "a", Weight: new(1.0)}, {Variant: "b", Count: new(int32(3))}}); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.is(endpoint.InService, "a.1:1 b.1:3")
	b.near(map[string]int{"a.1": 500, "b.1": 500})
	for name, c := range map[string]struct {
		to   endpoint.Resize
		want fault.Kind
	}{
		"not there":  {endpoint.Resize{Variant: "c"}, fault.Invalid},
		"none":       {endpoint.Resize{Variant: "a", Count: new(int32(0))}, fault.Invalid},
		"absurd":     {endpoint.Resize{Variant: "a", Count: new(int32(1 << 30))}, fault.QuotaExceeded},
		"serverless": {endpoint.Resize{Variant: "a", Concurrency: new(int32(3))}, fault.Invalid},
	} {
		if _, err := b.Resize(b.ctx, account, "chat", []endpoint.Resize{c.to}); err == nil || fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		b.is(endpoint.InService, "a.1:1 b.1:3")
	}
}

func TestAlarms(t *testing.T) {
	for name, ok := range map[string]bool{
		"errors>5%": true, "errors>0%": true, "latency>250ms": true, "errors>5": false, "errors>100%": false, "latency>0s": false, "latency<5s": false, "cpu": false, "errors>NaN%": false,
	} {
		if _, err := endpoint.ParseAlarm(name); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whenever the program is killed, and whatever then is left of what it ran, an endpoint comes to where it was to be, and nothing else runs.
func TestKilledAnywhere(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	onStore(t.Context(), t, s)
	var checks atomic.Int32 // each with an endpoint of its own
	rapid.Check(t, func(r *rapid.T) {
		b := &bench{
			name: fmt.Sprintf("chat%d", checks.Add(1)), fatal: r, ctx: t.Context(), store: s, now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), health: map[string]endpoint.Health{},
			fleet: &machines{want: map[string]fleet.Variant{}, up: map[string]int32{}, fail: map[string]string{}},
		}
		b.restart()
		disturb := func() {
			for range rapid.IntRange(0, 6).Draw(r, "steps") {
				switch rapid.SampledFrom([]string{"tend", "settle", "kill", "lose", "wait"}).Draw(r, "what") {
				case "tend":
					b.Tend(b.ctx)
				case "settle":
					b.fleet.settle()
				case "kill":
					b.restart()
				case "lose": // the processes went with the program
					clear(b.fleet.want)
					clear(b.fleet.up)
					b.restart()
				case "wait":
					b.now = b.now.Add(time.Minute)
				}
			}
		}
		finish := func() {
			for range 20 {
				b.after(time.Minute)
			}
		}
		if _, err := b.Create(b.ctx, &resource.Creation{Account: account}, b.name, "one", nil); err != nil {
			r.Fatal(err)
		}
		disturb()
		finish()
		b.is(endpoint.InService, "all.1:4")
		p := rapid.SampledFrom([]*endpoint.Policy{
			nil,
			{Routing: endpoint.Canary, Size: endpoint.Size{Value: 1}, WaitSeconds: 60},
			{Routing: endpoint.Linear, Size: endpoint.Size{Percent: true, Value: 30}},
			{Routing: endpoint.Rolling, Size: endpoint.Size{Value: 1}, WaitSeconds: 60},
		}).Draw(r, "policy")
		if _, err := b.UpdateConfig(b.ctx, account, b.name, "two", p, endpoint.Retain{}); err != nil {
			r.Fatal(err)
		}
		disturb()
		if bad := rapid.Bool().Draw(r, "bad"); bad && b.get().Status == endpoint.Updating {
			b.fleet.fail["two"] = "exit status 1"
			disturb()
			delete(b.fleet.fail, "two") // seen or not
		}
		disturb()
		finish()
		if b.get().Config == "two" {
			b.is(endpoint.InService, "all.2:4")
		} else {
			b.is(endpoint.InService, "all.1:4")
		}
		if err := b.Delete(b.ctx, account, b.name); err != nil {
			r.Fatal(err)
		}
		disturb()
		finish()
		if _, err := b.Get(b.ctx, account, b.name); fault.KindOf(err) != fault.NotFound || b.fleet.running(b.name) != "" {
			r.Fatalf("%v, and %q is left", err, b.fleet.running(b.name))
		}
	})
}
