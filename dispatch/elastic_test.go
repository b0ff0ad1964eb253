package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/capacity/scale"
	"forebay/fault"
	"forebay/infer"
	"forebay/meter"
)

// yard has engines that take some time to come when they are wanted.
type yard struct {
	*rig
	takes time.Duration
	slots int32

	mu      sync.Mutex
	scaling *Scaling
	wants   []int32
	up      []*fake
}

// newYard serves the model with no engine to begin with.
func newYard(t *testing.T, s *Scaling) *yard {
	y := &yard{takes: 30 * time.Second, slots: s.Rules.Slots, scaling: s}
	rig := newRig(t, func(r *rig) {
		r.top.Models[0].Scaling, r.top.Models[0].Mode = s, meter.ModeServerless
		r.opts.Want = func(model string, n int32) {
			if model != modelID {
				t.Errorf("%s is wanted", model)
			}
			y.mu.Lock()
			defer y.mu.Unlock()
			y.wants = append(y.wants, n)
			if n > 0 {
				time.AfterFunc(y.takes, func() { y.set(t, int(n)) })
			} else {
				time.AfterFunc(time.Millisecond, func() { y.set(t, 0) })
			}
		}
	})
	y.mu.Lock()
	defer y.mu.Unlock()
	y.rig = rig
	return y
}

// scale has other rules from the next change of engines on.
func (y *yard) scale(s *Scaling) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.scaling = s
}

// set has so many engines there.
func (y *yard) set(t *testing.T, n int) {
	top := y.topology(n)
	if err := y.Configure(top); err != nil { // which may want more, or fewer
		t.Error(err)
	}
}

func (y *yard) topology(n int) Topology {
	y.mu.Lock()
	defer y.mu.Unlock()
	for len(y.up) < n {
		y.up = append(y.up, &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})})
	}
	y.up = y.up[:n]
	top := y.top
	top.Engines, top.Models = nil, append([]Model(nil), y.top.Models...)
	top.Models[0].Bindings, top.Models[0].Scaling = nil, y.scaling
	for i, f := range y.up {
		name := fmt.Sprintf("replica-%p", f)
		top.Engines = append(top.Engines, Engine{Name: name, Client: y.up[i]})
		top.Models[0].Bindings = append(top.Models[0].Bindings, Binding{Engine: name, Slots: y.slots})
	}
	return top
}

func (y *yard) wanted() []int32 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return append([]int32(nil), y.wants...)
}

// 200 calls arrive at once at zero: one wake, all are answered in their order, none is refused; then it goes to nothing again.
func TestBurstAtZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, &Scaling{Rules: scale.Rules{Max: 1, Slots: 4, Start: 30 * time.Second, Idle: 5 * time.Minute}, MaxHold: 2 * time.Minute})
		if w := y.wanted(); len(w) != 0 {
			t.Fatalf("wanted %v before a call", w)
		}
		begun := time.Now()
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 200 {
			req := y.request()
			wg.Go(func() {
				y.mustDo(req)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait() // it waits, and the next comes behind it
		}
		wg.Wait()
		if took := time.Since(begun); took != 80*time.Second {
			t.Errorf("took %v: 30 s to start, then 50 rounds of a second", took)
		}
		for at, i := range order {
			if at/4 != i/4 { // four at a time
				t.Fatalf("call %d was answered as number %d", i, at)
			}
		}
		if w := y.wanted(); len(w) != 1 || w[0] != 1 {
			t.Errorf("wanted %v, want one wake", w)
		}
		row := y.book.last(t)
		if row.Mode != meter.ModeServerless || row.Queue < 30*time.Second {
			t.Errorf("%s after %v", row.Mode, row.Queue)
		}
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if w := y.wanted(); len(w) != 2 || w[1] != 0 {
			t.Errorf("wanted %v, want nothing at rest", w)
		}
		if n := len(y.ids.replicas); n != 0 {
			t.Errorf("%d handles are left of engines that have gone", n)
		}
		y.mustDo(y.request()) // and back
	})
}

// Who cannot wait as long as a start takes is told so at once, with when it is worth coming again; who can is held so long at most.
func TestHeldCallsAreRefusedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, &Scaling{Rules: scale.Rules{Max: 1, Slots: 1, Start: 90 * time.Second, Idle: time.Hour}, MaxHold: 55 * time.Second, MaxHeld: 2})
		y.takes = 90 * time.Second
		begun := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			req := y.request()
			wg.Go(func() {
				_, err := y.do(t.Context(), req)
				wantKind(t, err, fault.NotReady)
				if e := fault.From(err); time.Since(begun) != 55*time.Second || e.RetryAfter != 35*time.Second || !e.RetryEstimated {
					t.Errorf("after %v, to come again after %v", time.Since(begun), e.RetryAfter)
				}
			})
		}
		synctest.Wait()
		_, err := y.do(t.Context(), y.request()) // a third one
		wantKind(t, err, fault.NotReady)
		if time.Since(begun) != 0 {
			t.Errorf("after %v", time.Since(begun))
		}
		wg.Wait()
		time.Sleep(time.Minute)
		y.mustDo(y.request())
		if w := y.wanted(); len(w) != 1 {
			t.Errorf("wanted %v", w)
		}
	})
}

// A client that leaves is forgotten, and its call is not made when the engine has come.
func TestLeavingWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, &Scaling{Rules: scale.Rules{Max: 1, Slots: 1, Start: 30 * time.Second, Idle: time.Hour}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := y.do(ctx, y.request())
		wantKind(t, err, fault.Timeout)
		time.Sleep(time.Minute)
		if y.mustDo(y.request()); y.up[0].count() != 1 {
			t.Errorf("%d calls reached the engine", y.up[0].count())
		}
	})
}

// The number that was set by hand is set once: the rules go on from there, however often the engines change.
func TestDesiredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Scaling{Rules: scale.Rules{Min: 1, Max: 5, Slots: 1, Start: time.Second}, Desired: 3, Generation: 1}
		y := newYard(t, s)
		time.Sleep(time.Minute)
		more := *s
		more.Rules.Min = 4
		y.scale(&more)
		y.set(t, 3)
		time.Sleep(time.Minute)
		again := more
		again.Desired, again.Generation = 5, 2
		y.scale(&again)
		y.set(t, 4)
		time.Sleep(time.Minute)
		if got := fmt.Sprint(y.wanted()); got != "[3 4 5]" {
			t.Errorf("wanted %s", got)
		}
		y.scale(nil)
		y.set(t, 5)
		y.mustDo(y.request())
	})
}
