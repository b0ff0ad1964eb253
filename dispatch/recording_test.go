package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/capacity"
	"forebay/capacity/eventlog"
	"forebay/capacity/script"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

// recordTo makes a dispatcher record into a folder.
func recordTo(dir string, segment, total int64) func(*rig) {
	return func(r *rig) {
		r.rec = newRecorder(Recording{Dir: dir, SegmentBytes: segment, MaxBytes: total}, r.opts.Log)
	}
}

// unsteady is an engine that answers after some time, sooner or later, and often not at all.
func unsteady(seed uint64) func(context.Context, int, *infer.Request) (*infer.Response, error) {
	return func(ctx context.Context, n int, req *infer.Request) (*infer.Response, error) {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		d := time.Duration(r.IntN(1500)) * time.Millisecond
		switch {
		case r.IntN(5) == 0:
			if err := pause(ctx, d); err != nil {
				return nil, err
			}
			return nil, errDown
		case req.Stream:
			fails := 0
			if r.IntN(4) == 0 {
				fails = 2
			}
			return streaming(1+r.IntN(4), fails)(ctx, n, req)
		default:
			return after(d, infer.Usage{Input: r.Int64N(15), Output: r.Int64N(20)})(ctx, n, req)
		}
	}
}

// workload sends calls of several keys and tiers, of which some leave early, while an engine comes and goes and the
// configuration changes.
func workload(r *rig, calls int, ill *fake) {
	var wg sync.WaitGroup
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range calls {
		time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond)
		req := r.request()
		req.Caller.Key = fmt.Sprintf("key%d", rnd.IntN(3))
		req.Tier = []infer.Tier{infer.TierDefault, infer.TierPriority, infer.TierFlex, infer.TierBatch}[rnd.IntN(4)]
		req.Stream = rnd.IntN(3) == 0
		req.Facts.MaxTokens = rnd.Int64N(30)
		req.Facts.PrefixHash = rnd.Uint64N(5)
		if rnd.IntN(3) == 0 {
			req.Deadline = time.Now().Add(time.Duration(rnd.IntN(5000)) * time.Millisecond)
		}
		ctx, cancel := context.WithCancel(r.t.Context())
		if rnd.IntN(6) == 0 {
			ctx, cancel = context.WithTimeout(r.t.Context(), time.Duration(rnd.IntN(1000))*time.Millisecond)
		}
		wg.Go(func() {
			defer cancel()
			_, _ = r.do(ctx, req)
		})
		if i%50 == 49 {
			ill.setHealth([]error{errDown, nil}[i/50%2])
			r.top.Keys[1].Limits.TokensPerMinute = 2000 + rnd.Int64N(3000)
			r.top.Models[0].Bindings[0].Slots = 1 + rnd.Int32N(3)
			if err := r.Configure(r.top); err != nil {
				r.t.Error(err)
			}
		}
	}
	wg.Wait()
	synctest.Wait()
}

// A recorded run gives, fed to a State restored from the beginning of each segment, the actions that were taken live,
// byte for byte; and each segment leads to exactly the State with which the next begins.
func TestReplayOfALiveRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, b, c := &fake{answer: unsteady(1)}, &fake{answer: unsteady(2)}, &fake{answer: unsteady(3)}
		r := newRig(t, func(r *rig) {
			recordTo(dir, 20_000, 1<<20)(r)
			r.top.Models[0].Bindings[2].Standby = true
			r.top.Engines[1].ProbeEvery = time.Second
			r.top.Models[0].MaxQueue, r.top.Models[0].MaxWait = 12, 8*time.Second
			r.top.Accounts[0].Limits = identity.Limits{RequestsPerMinute: 400, TokensPerDay: 100_000}
			r.top.Keys = nil
			for i := range 3 {
				r.top.Keys = append(r.top.Keys, Scope{ID: fmt.Sprintf("key%d", i), Account: "acme", Limits: identity.Limits{
					TokensPerMinute: int64(3000 * (i + 1)), SpendPerDay: 1e9, Currency: "USD",
				}})
			}
		}, a, b, c)
		r.run()
		synctest.Wait()
		workload(r, 1500, b)
		if st := r.Recording(); st.Stopped != "" || st.Bytes < 60_000 {
			t.Errorf("%+v", st)
		}
	})
	files, err := filepath.Glob(filepath.Join(dir, "*.events"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d segments, %v", len(files), err)
	}
	kinds := map[string]int{}
	var reached []byte
	for _, name := range files {
		reached = replay(t, name, reached, kinds)
	}
	for _, want := range []string{
		"event arrive", "event settle", "event cancel", "event retry", "event freed", "event replica-down", "event replica-up", "event configure",
		"event progress", "action admit", "action reject", "action preempt", "action settled", "action cancelled", "action expired",
	} {
		if kinds[want] == 0 {
			t.Errorf("the workload has no %s", want)
		}
	}
}

// replay checks one segment and returns the snapshot to which it leads. before is that of the one before, nil for the first.
func replay(t *testing.T, name string, before []byte, kinds map[string]int) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if before != nil && !bytes.Equal(before, log.Snapshot()) {
		t.Errorf("%s begins with another state than that to which the one before leads", name)
	}
	s, err := capacity.Restore(log.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	err = eventlog.Replay(log, func(rec *eventlog.Record, actions []capacity.Action, same bool) error {
		if rec.Name != "" {
			return nil
		}
		if !same {
			t.Fatalf("%s: %s gives %+v", name, script.FormatEvent(&rec.Event), actions)
		}
		if again := s.Step(rec.Now, rec.Event, nil); !slices.Equal(again, actions) {
			t.Fatalf("%s: %s gives %+v and %+v", name, script.FormatEvent(&rec.Event), again, actions)
		}
		kinds["event "+rec.Event.Kind.String()]++
		for i := range actions {
			kinds["action "+actions[i].Kind.String()]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Snapshot(nil)
}

// The oldest segments make room for the newest, also those of an earlier run.
func TestSegmentsAreBoundedTogether(t *testing.T) {
	dir := t.TempDir()
	var first string
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, recordTo(dir, 4000, 12_000), &fake{answer: after(0, infer.Usage{Input: 10})})
			r.run()
			synctest.Wait()
			for range 400 {
				r.mustDo(r.request())
			}
		})
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var total int64
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
		}
		if total > 14_000 || len(entries) < 2 || entries[0].Name() == first {
			t.Errorf("%d bytes in %d segments from %s on", total, len(entries), entries[0].Name())
		}
		first = entries[0].Name()
	}
}

// A disk that cannot be written ends the recording with a reason, and no call notices.
func TestRecordingThatFailsHurtsNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, recordTo(filepath.Join(file, "events"), 0, 0), &fake{answer: after(0, infer.Usage{Input: 10})})
		r.run()
		synctest.Wait()
		r.mustDo(r.request())
		if st := r.Recording(); !strings.Contains(st.Stopped, "not a directory") || r.rec.on {
			t.Errorf("%+v", st)
		}
	})
}

// A disk that is too slow ends it likewise, with bounded memory.
func TestRecordingThatCannotKeepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, recordTo(t.TempDir(), 1<<40, 0), &fake{answer: after(0, infer.Usage{Input: 10})})
		r.mu.Lock()
		r.rec.on, r.rec.most = true, 1<<16
		r.beginSegment() // and nobody writes
		for r.rec.on && r.rec.waiting <= 1<<17 {
			r.step(&capacity.Event{Kind: capacity.EventTick})
		}
		r.mu.Unlock()
		if st := r.Recording(); st.Stopped == "" || r.rec.parts != nil {
			t.Errorf("%+v, %d bytes wait", st, r.rec.waiting)
		}
		r.mustDo(r.request())
	})
}

// Nothing is recorded unless it was asked for.
func TestNoRecordingByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) {
			return nil, fault.Wrap(fault.Overloaded, errors.New("busy"), "")
		}})
		r.run()
		_, _ = r.do(t.Context(), r.request())
		if r.Recording() != nil {
			t.Error("there is a recording")
		}
	})
}
