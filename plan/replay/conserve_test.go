package replay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/capacity/scale"
	"forebay/internal/testenv"
	"forebay/perf"
	"forebay/workload"

	"pgregory.net/rapid"
)

// ledger counts what passes the scheduler, from its events and actions alone.
type ledger struct {
	slots int // of an engine of one's own that is full; 0 where nothing waits for engines

	now     capacity.Instant
	inside  int64 // calls that have come and not ended
	area    int64 // the integral of inside over time, ns
	stays   int64 // the sum of how long each call was inside, ns
	came    map[capacity.CallID]capacity.Instant
	first   map[capacity.CallID]capacity.Instant // the first token
	on      map[capacity.CallID]capacity.ReplicaID
	up      map[capacity.ReplicaID]bool
	running map[capacity.ReplicaID]int
	waiting int
	idle    string // where work was not conserved

	calls                           int64
	held, charged, refunded, excess int64
	firsts, wholes                  []time.Duration
}

func newLedger(s *Serving) *ledger {
	l := &ledger{
		came: map[capacity.CallID]capacity.Instant{}, first: map[capacity.CallID]capacity.Instant{}, on: map[capacity.CallID]capacity.ReplicaID{},
		up: map[capacity.ReplicaID]bool{}, running: map[capacity.ReplicaID]int{},
	}
	if s.Engines > 0 && !s.buys() {
		l.slots = min(s.Slots, s.Profile.MaxBatch)
	}
	return l
}

func (l *ledger) watch(now capacity.Instant, ev *capacity.Event, actions []capacity.Action) {
	l.area += l.inside * int64(now-l.now)
	l.now = now
	switch ev.Kind {
	case capacity.EventArrive:
		l.calls, l.inside, l.waiting = l.calls+1, l.inside+1, l.waiting+1
		l.came[ev.Call] = now
	case capacity.EventProgress, capacity.EventSettle:
		if _, ok := l.first[ev.Call]; !ok && ev.Output > 0 {
			l.first[ev.Call] = now
		}
		if ev.Kind == capacity.EventSettle {
			l.running[l.on[ev.Call]]--
		}
	case capacity.EventReplicaUp:
		l.up[ev.Replica] = true
	case capacity.EventReplicaDown:
		l.up[ev.Replica] = false
	default:
	}
	for i := range actions {
		l.take(&actions[i])
	}
	if l.slots == 0 || l.waiting == 0 {
		return
	}
	for r, up := range l.up {
		if up && l.running[r] < l.slots {
			l.idle = fmt.Sprintf("at %v %d calls wait while engine %d has %d of %d", time.Duration(now), l.waiting, r, l.running[r], l.slots)
		}
	}
}

func (l *ledger) take(a *capacity.Action) {
	switch {
	case a.Kind == capacity.ActionAdmit:
		l.waiting--
		l.running[a.Replica]++
		l.on[a.Call] = a.Replica
		l.held += a.Held
	case a.Kind.Terminal():
		if _, admitted := l.on[a.Call]; !admitted {
			l.waiting--
		}
		stay := int64(l.now - l.came[a.Call])
		l.inside, l.stays = l.inside-1, l.stays+stay
		if a.Kind == capacity.ActionSettled {
			l.charged, l.refunded, l.excess = l.charged+a.Charged, l.refunded+a.Refunded, l.excess+a.Debt
			l.firsts = append(l.firsts, time.Duration(l.first[a.Call]-l.came[a.Call]))
			l.wholes = append(l.wholes, time.Duration(stay))
		}
	}
}

// anyServing draws a way of serving.
func anyServing(t *rapid.T) Serving {
	s := Serving{MaxOutput: 4096, Burndown: rapid.SampledFrom([]int32{1000, 5000}).Draw(t, "burndown"), Profile: standIn}
	if rapid.Bool().Draw(t, "retries") {
		s.Retry = SDKStandard
	}
	kind := rapid.SampledFrom([]string{"on demand", "bought", "bought and on demand", "engines", "elastic engines", "bought and engines"}).Draw(t, "kind")
	rate := func() Rate {
		return Rate{rapid.Int64Range(1000, 200_000).Draw(t, "input"), rapid.Int64Range(1000, 100_000).Draw(t, "output")}
	}
	switch kind {
	case "bought and on demand", "bought", "bought and engines":
		s.Bought = rate()
		if rapid.Bool().Draw(t, "changes") {
			s.Later = []Change{{time.Minute, rate()}, {3 * time.Minute, rate()}}
		}
	}
	switch kind {
	case "on demand", "bought and on demand":
		s.OnDemand = true
		s.Quota = Quota{rapid.Int64Range(0, 300).Draw(t, "requests"), rapid.Int64Range(0, 1_000_000).Draw(t, "tokens")}
	case "engines", "elastic engines", "bought and engines":
		s.Profile, _ = perf.Named("llama-3.1-8b/rtx-4090")
		s.Engines, s.Slots = rapid.IntRange(1, 3).Draw(t, "engines"), rapid.IntRange(1, 12).Draw(t, "slots")
		s.MaxQueue = rapid.SampledFrom([]int32{5, 100_000}).Draw(t, "queue")
	}
	if kind == "elastic engines" {
		s.Elastic = &Elastic{Rules: scale.Rules{
			Min: rapid.Int32Range(0, 1).Draw(t, "min"), Max: int32(s.Engines), Start: 20 * time.Second, Follow: true,
			Idle: time.Duration(rapid.IntRange(0, 60).Draw(t, "idle")) * time.Second,
		}}
	}
	return s
}

// standIn takes 20 ms a token, as many calls at once as come.
var standIn = perf.Profile{Name: "20 ms a token", Step: 20_000_000_000, MaxBatch: 1}

// Of every replay, whatever the way of serving: calls inside are their rate times their stay, as an integral over the clock that knows nothing of calls, and
// a sum over calls that knows nothing of the clock; no engine has room while a call waits for one; and what was held is what was charged and given back.
func TestT5Conservation(t *testing.T) {
	replays, calls := 0, int64(0)
	rapid.Check(t, func(t *rapid.T) {
		s := anyServing(t)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		rate := rapid.Float64Range(0.1, 10).Draw(t, "rate")
		n := rapid.IntRange(1, 300).Draw(t, "calls")
		traffic := func(yield func(workload.Request, error) bool) {
			at := time.Duration(0)
			for range n {
				at += time.Duration(rng.ExpFloat64() / rate * 1e9)
				q := workload.Request{At: at, Input: 1 + rng.Int64N(3000), Output: 1 + rng.Int64N(600), MaxOutput: 600 * rng.Int64N(3)}
				if !yield(q, nil) {
					return
				}
			}
		}
		l := newLedger(&s)
		r, err := (&run{serving: s, result: &Result{Reasons: map[string]int64{}}, again: map[capacity.CallID]*attempt{}, watch: l.watch}).through(t.Context(), traffic)
		if err != nil {
			t.Fatal(err)
		}
		l.hold(t, r, &s)
		replays, calls = replays+1, calls+r.Calls
	})
	testenv.Record(t, "T5", fmt.Sprintf("%d replays of random ways of serving, %d calls: the integral of calls inside is the sum of their stays, no engine has room while calls wait, tokens held are those charged and given back", replays, calls),
		"L = lambda W, work conservation, token conservation: exact")
}

// hold holds the result against the ledger.
func (l *ledger) hold(t *rapid.T, r *Result, s *Serving) {
	switch {
	case l.area != l.stays || l.inside != 0:
		t.Errorf("the integral of the calls inside is %d and the sum of their stays %d; %d are still inside", l.area, l.stays, l.inside)
	case l.idle != "":
		t.Error(l.idle)
	case l.held+l.excess != l.charged+l.refunded:
		t.Errorf("%d tokens held and %d charged above that, %d charged and %d given back", l.held, l.excess, l.charged, l.refunded)
	case l.charged != r.Input+r.Output*int64(s.Burndown)/1000:
		t.Errorf("%d tokens charged, of %d in and %d out", l.charged, r.Input, r.Output)
	case l.calls != r.Calls+r.Retries || r.Calls != r.Served+r.Refused || r.Served != int64(len(l.wholes)):
		t.Errorf("%d calls and %d tries again, %d came; %d served and %d refused, %d settled", r.Calls, r.Retries, l.calls, r.Served, r.Refused, len(l.wholes))
	case r.Refused == 0 && (r.Input != r.OfferedInput || r.Output != r.OfferedOutput):
		t.Errorf("%d and %d tokens offered, %d and %d served", r.OfferedInput, r.OfferedOutput, r.Input, r.Output)
	}
	if r.Retries > 0 {
		return // of these the result counts from the first try on, and the ledger each try by itself
	}
	for _, x := range []struct {
		what string
		got  *Histogram
		all  []time.Duration
	}{{"first token", &r.First, l.firsts}, {"whole answer", &r.Whole, l.wholes}} {
		slices.Sort(x.all)
		sum := time.Duration(0)
		for _, v := range x.all {
			sum += v
		}
		n := int64(len(x.all))
		if d := int64(sum) - int64(x.got.Mean())*n; n > 0 && (d < 0 || d > 2000*n) { // whole microseconds
			t.Errorf("mean time to the %s: %v, of %d calls %v in all", x.what, x.got.Mean(), n, sum)
		}
		for _, q := range []int{500, 950, 990, 1000} {
			if n == 0 {
				break
			}
			want := x.all[(len(x.all)*q+999)/1000-1]
			if got := x.got.Quantile(int64(q)); got < want || got > want+want/64 {
				t.Errorf("%s, quantile %d: %v, sorted %v", x.what, q, got, want)
			}
		}
	}
}
