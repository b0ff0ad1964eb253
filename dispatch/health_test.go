package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"forebay/fault"
	"forebay/infer"
)

// run starts the dispatcher's own goroutine; it ends with the test.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	r.t.Cleanup(func() { cancel(); <-done })
}

// Five failures in a row take an engine out. It is probed after a pause that doubles from one to thirty seconds, and comes
// back after a good probe.
func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: failing, health: errDown}
		r := newRig(t, nil, f)
		r.run()
		for range 2 { // three attempts each
			_, err := r.do(t.Context(), r.request())
			wantKind(t, err, fault.Unavailable)
		}
		if f.count() != breakerTrips {
			t.Fatalf("%d attempts reached the engine, it was to be taken out after %d", f.count(), breakerTrips)
		}
		if h := r.Health()[0]; h.Up || h.Failures != breakerTrips {
			t.Errorf("%+v", h)
		}
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.Unavailable)
		if f.count() != breakerTrips {
			t.Error("a call reached an engine that was taken out")
		}
		var at []time.Duration
		start := time.Now()
		for seen := 0; len(at) < 8; {
			time.Sleep(probeLoop)
			synctest.Wait()
			if f.mu.Lock(); f.probes > seen {
				seen = f.probes
				at = append(at, time.Since(start))
			}
			f.mu.Unlock()
		}
		for i, off := range []int{2, 4, 8, 16, 30, 30, 30} {
			if d, want := at[i+1]-at[i], time.Duration(off)*time.Second; d < want || d > want+2*probeLoop {
				t.Errorf("pause %d before a probe is %s, want about %d s", i, d, off)
			}
		}
		f.setHealth(nil)
		f.answer = after(0, infer.Usage{Input: 10})
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if h := r.Health()[0]; !h.Up || h.Failures != 0 {
			t.Errorf("%+v", h)
		}
		r.mustDo(r.request())
	})
}

// A success between failures starts the count again.
func TestFailuresMustBeInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.answer = func(ctx context.Context, n int, req *infer.Request) (*infer.Response, error) {
			if n%breakerTrips == 0 {
				return after(0, infer.Usage{Input: 10})(ctx, n, req)
			}
			return failing(ctx, n, req)
		}
		r := newRig(t, nil, f)
		for range 50 {
			_, _ = r.do(t.Context(), r.request())
			if !r.Health()[0].Up {
				t.Fatal("taken out")
			}
		}
	})
}

// A failed probe takes an engine out before a call finds out, and its calls fail over.
func TestAFailedProbeTakesAnEngineOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := &fake{answer: failing, health: errDown}, &fake{answer: after(0, infer.Usage{Input: 10})}
		r := newRig(t, func(r *rig) { r.top.Engines[0].ProbeEvery = 10 * time.Second }, bad, good)
		r.run()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if h := r.Health(); h[0].Up || !h[1].Up {
			t.Fatalf("%+v", h)
		}
		r.mustDo(r.request())
		if bad.count() != 0 || good.probes != 0 {
			t.Errorf("%d calls at the bad engine, %d probes of one that has no interval", bad.count(), good.probes)
		}
	})
}

// What waits when the last engine goes is refused rather than left to wait.
func TestWaitingCallsAreRefusedWhenTheLastEngineGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: after(20*time.Second, infer.Usage{Input: 10})}
		r := newRig(t, func(r *rig) { r.top.Engines[0].ProbeEvery = 5 * time.Second }, f)
		r.run()
		done := make(chan struct{})
		go func() { r.mustDo(r.request()); close(done) }()
		synctest.Wait()
		f.setHealth(errDown)
		start := time.Now()
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.Unavailable)
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("refused after %s", took)
		}
		<-done // the call that ran is not hurt
	})
}

// Calls under way under an earlier topology still tell of their engine's health.
func TestReconfigureWhileCallsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(ctx context.Context, _ int, _ *infer.Request) (*infer.Response, error) {
			if err := pause(ctx, 10*time.Second); err != nil {
				return nil, err
			}
			return nil, fault.New(fault.Timeout, "no answer")
		}}
		r := newRig(t, func(r *rig) { r.top.Models[0].Bindings[0].Slots = 10 }, f)
		r.run()
		done := make(chan error)
		for range breakerTrips {
			req := r.request()
			go func() { _, err := r.do(t.Context(), req); done <- err }()
		}
		synctest.Wait()
		for range 3 {
			if err := r.Configure(r.top); err != nil {
				t.Fatal(err)
			}
		}
		for range breakerTrips {
			wantKind(t, <-done, fault.Timeout)
		}
		if r.Health()[0].Up {
			t.Fatal("the failures went to a topology that is no more")
		}
		if err := r.Configure(r.top); err != nil {
			t.Fatal(err)
		}
		if r.Health()[0].Up {
			t.Error("a change of configuration closed the breaker")
		}
		f.answer = after(0, infer.Usage{Input: 10})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.mustDo(r.request())
	})
}

func TestABadTopologyChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: after(0, infer.Usage{Input: 10})})
		bad := r.top
		bad.Engines = nil
		bad.Models = append([]Model(nil), r.top.Models...)
		bad.Models = append(bad.Models, Model{ID: "n", Entry: model(), Bindings: []Binding{{Engine: "gone"}}})
		if err := r.Configure(bad); err == nil {
			t.Fatal("dangling references are taken")
		}
		r.mustDo(r.request())
		if r.current(r.world.Load().engines[0]) == nil {
			t.Error("the engines were changed")
		}
	})
}

// An engine that is removed finishes what it runs; a call that it was to retry goes elsewhere or is refused.
func TestAnEngineIsRemovedWhileItsCallRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, other := &fake{answer: after(10*time.Second, infer.Usage{Input: 10})}, &fake{answer: after(time.Second, infer.Usage{Input: 10})}
		r := newRig(t, nil, slow, other)
		done := make(chan struct{})
		go func() { r.mustDo(r.request()); close(done) }()
		synctest.Wait()
		next := r.top
		next.Engines = r.top.Engines[1:]
		next.Models = []Model{r.top.Models[0]}
		next.Models[0].Bindings = r.top.Models[0].Bindings[1:]
		if err := r.Configure(next); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.mustDo(r.request())
		}
		<-done
		if slow.count() != 1 || other.count() != 3 {
			t.Errorf("%d and %d calls", slow.count(), other.count())
		}
		if n := len(r.Health()); n != 1 {
			t.Errorf("%d engines", n)
		}
	})
}
