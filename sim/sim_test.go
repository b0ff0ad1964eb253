package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/perf"

	"pgregory.net/rapid"
)

const (
	ms    = 1_000_000
	psMs  = 1_000_000_000
	later = Instant(3600 * 1000 * ms)
)

// server is an engine that serves one call at a time, 1 ms a token.
var server = perf.Profile{Step: psMs, MaxBatch: 1, Chunk: 1 << 20, KV: 1 << 40, Recompute: 1000}

// pool returns a scheduler with a pool of equal replicas, and these.
func pool(n int, slots int32, p perf.Profile) (*capacity.State, []Replica) {
	s := capacity.New()
	cfg := capacity.Config{
		Models: []capacity.Model{{ID: 1, MaxOutput: 4096}},
		Pools:  []capacity.Pool{{ID: 1, MaxQueue: math.MaxInt32}},
	}
	var replicas []Replica
	for i := range n {
		id := capacity.ReplicaID(i + 1)
		cfg.Replicas = append(cfg.Replicas, capacity.Replica{ID: id, Pool: 1, Slots: slots})
		replicas = append(replicas, Replica{ID: id, Profile: p})
	}
	s.Step(0, capacity.Event{Kind: capacity.EventConfigure, Config: &cfg}, nil)
	return s, replicas
}

func newCall(id int, tier capacity.Tier, input, output int64) *Call {
	c := &Call{Input: input, Output: output, Arrive: capacity.Event{
		Call: capacity.CallID(id), Account: 1, Principal: 1, Tier: tier, Input: input, MaxOutput: output,
	}}
	c.Arrive.SetLanes(capacity.Lane{Pool: 1, Model: 1})
	return c
}

// One call alone takes what the engine's formula says: a step that reads the prompt and gives the first token, and one for each further token.
func TestOneCall(t *testing.T) {
	p := perf.Profile{Step: 10 * psMs, PrefillToken: psMs / 20, Sequence: psMs / 5, MaxBatch: 8, Chunk: 4096, KV: 100_000, Recompute: 1000}
	s, replicas := pool(1, 8, p)
	var got []Outcome
	w := New(Options{Scheduler: s, Replicas: replicas, Done: func(o *Outcome) { got = append(got, *o) }})
	w.Offer(5*ms, newCall(1, 0, 1000, 11))
	if left := w.Run(0); left != 0 || len(got) != 1 {
		t.Fatalf("%d calls are left and %d ended", left, len(got))
	}
	o := got[0]
	if want := Instant(5*ms + (10+50)*ms); o.First != want {
		t.Errorf("first token at %d, want %d", o.First, want)
	}
	if want := o.First + 10*10_200_000; o.Ended != want {
		t.Errorf("ended at %d, want %d", o.Ended, want)
	}
	if o.Arrived != 5*ms || o.Admitted != 5*ms || o.Produced != 11 || o.Lost != 0 || o.Last.Charged != 1011 {
		t.Errorf("outcome %+v", o)
	}
}

// A call that can be stopped gives its slot to one of a higher tier, and starts again. What it lost is told apart.
func TestRecall(t *testing.T) {
	s, replicas := pool(1, 1, server)
	ended := map[capacity.CallID]Outcome{}
	w := New(Options{
		Scheduler: s, Replicas: replicas, CancelLatency: 3 * time.Millisecond,
		Done: func(o *Outcome) { ended[o.Call.Arrive.Call] = *o },
	})
	flex := newCall(1, capacity.TierFlex, 1, 100)
	flex.Arrive.Preemptible = true
	w.Offer(0, flex)
	w.Offer(40*ms, newCall(2, capacity.TierDefault, 1, 10))
	w.Run(0)
	if o := ended[2]; o.Admitted != 43*ms || o.Ended != 53*ms {
		t.Errorf("the higher call was admitted at %d and ended at %d", o.Admitted, o.Ended)
	}
	if o := ended[1]; o.Attempts != 2 || o.Lost != 40 || o.Produced != 100 || o.Ended != 153*ms || o.Last.Charged != 101 {
		t.Errorf("the lower call: %+v", o)
	}
}

// A client that leaves pays for what was produced.
func TestCancel(t *testing.T) {
	s, replicas := pool(1, 1, server)
	var got Outcome
	w := New(Options{Scheduler: s, Replicas: replicas, Done: func(o *Outcome) { got = *o }})
	w.Offer(0, newCall(1, 0, 5, 100))
	w.At(30*ms, capacity.Event{Kind: capacity.EventCancel, Call: 1})
	w.Run(0)
	if got.Last.Kind != capacity.ActionSettled || got.Produced != 30 || got.Last.Charged != 35 || got.Ended != 30*ms {
		t.Errorf("outcome %+v", got)
	}
}

// A client that leaves while its call is being recalled is done with it, and owes nothing.
func TestClientLeavesDuringRecall(t *testing.T) {
	s, list := pool(1, 1, server)
	ended := map[capacity.CallID]Outcome{}
	w := New(Options{Scheduler: s, Replicas: list, CancelLatency: 10 * time.Millisecond, Done: func(o *Outcome) { ended[o.Call.Arrive.Call] = *o }})
	lent := newCall(1, capacity.TierFlex, 1, 100)
	lent.Arrive.Preemptible = true
	w.Offer(0, lent)
	w.Offer(20*ms, newCall(2, capacity.TierDefault, 1, 10))
	w.At(25*ms, capacity.Event{Kind: capacity.EventCancel, Call: 1})
	if left := w.Run(0); left != 0 {
		t.Fatalf("%d calls never ended", left)
	}
	if o := ended[1]; o.Last.Kind != capacity.ActionSettled || o.Produced != 0 || o.Lost == 0 {
		t.Errorf("the call that was recalled: %+v", o)
	}
	if o := ended[2]; o.Admitted != 30*ms || o.Produced != 10 {
		t.Errorf("the call that recalled it: %+v", o)
	}
}

// Whatever happens, each call ends exactly once, what it is charged for was produced once, and the same calls give the same run.
func TestEveryCallEndsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas := rapid.IntRange(1, 3).Draw(t, "replicas")
		p := perf.Profile{
			Step: psMs, PrefillToken: psMs / 100, Sequence: psMs / 50, MaxBatch: rapid.IntRange(1, 4).Draw(t, "batch"), Chunk: 64,
			KV: rapid.Int64Range(60, 400).Draw(t, "kv"), Recompute: 1000,
		}
		type timed struct {
			at   Instant
			call *Call
			gone Instant
		}
		var calls []timed
		for i := range rapid.IntRange(1, 40).Draw(t, "calls") {
			c := newCall(i+1, capacity.Tier(rapid.IntRange(1, 5).Draw(t, "tier")), rapid.Int64Range(1, 50).Draw(t, "in"), rapid.Int64Range(1, 50).Draw(t, "out"))
			c.Arrive.Account = capacity.AccountID(rapid.IntRange(1, 3).Draw(t, "account"))
			c.Arrive.Preemptible = rapid.Bool().Draw(t, "preemptible")
			x := timed{at: Instant(rapid.IntRange(0, 500).Draw(t, "at")) * ms, call: c}
			if rapid.IntRange(0, 9).Draw(t, "leaves") == 0 {
				x.gone = x.at + Instant(rapid.IntRange(0, 100).Draw(t, "after"))*ms
			}
			calls = append(calls, x)
		}
		slots := int32(rapid.IntRange(1, 6).Draw(t, "slots"))
		once := func() string {
			s, list := pool(replicas, slots, p)
			ended := map[capacity.CallID]int{}
			var log []string
			w := New(Options{Scheduler: s, Replicas: list, CancelLatency: time.Millisecond, Done: func(o *Outcome) {
				ended[o.Call.Arrive.Call]++
				log = append(log, fmt.Sprint(o.Call.Arrive.Call, o.Last, o.Arrived, o.Admitted, o.First, o.Ended, o.Produced, o.Lost))
				if o.Last.Kind == capacity.ActionSettled && o.Produced > o.Call.Output {
					t.Errorf("call %d produced %d of %d tokens", o.Call.Arrive.Call, o.Produced, o.Call.Output)
				}
			}})
			for _, x := range calls {
				w.Offer(x.at, x.call)
				if x.gone != 0 {
					w.At(x.gone, capacity.Event{Kind: capacity.EventCancel, Call: x.call.Arrive.Call})
				}
			}
			if left := w.Run(later); left != 0 {
				t.Fatalf("%d calls never ended", left)
			}
			for _, x := range calls {
				if n := ended[x.call.Arrive.Call]; n != 1 {
					t.Errorf("call %d ended %d times", x.call.Arrive.Call, n)
				}
			}
			return fmt.Sprint(log)
		}
		if a, b := once(), once(); a != b {
			t.Errorf("two runs differ:\n%s\n%s", a, b)
		}
	})
}

// A run's events, fed to a fresh scheduler, give the same actions.
func TestReplay(t *testing.T) {
	type step struct {
		now     Instant
		ev      capacity.Event
		actions []capacity.Action
	}
	var steps []step
	s, replicas := pool(2, 4, perf.Profile{Step: 10 * psMs, PrefillToken: psMs / 20, Sequence: psMs / 5, MaxBatch: 8, Chunk: 512, KV: 10_000, Recompute: 1000})
	before := s.Snapshot(nil)
	w := New(Options{Scheduler: s, Replicas: replicas, Observe: func(now Instant, ev *capacity.Event, actions []capacity.Action) {
		steps = append(steps, step{now, *ev, slices.Clone(actions)})
	}})
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		w.Offer(Instant(random.Int64N(60_000))*ms, newCall(i+1, capacity.Tier(1+random.IntN(5)), 1+random.Int64N(2000), 1+random.Int64N(300)))
	}
	w.Run(0)
	again, err := capacity.Restore(before)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range steps {
		if got := again.Step(x.now, x.ev, nil); !slices.Equal(got, x.actions) {
			t.Fatalf("step %d, %v: %v, was %v", i, x.ev.Kind, got, x.actions)
		}
	}
}
