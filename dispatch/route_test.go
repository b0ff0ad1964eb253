package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/capacity"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"
)

// routed serves the route "r" over one lane for each engine, all of model m, and lets change set the rules.
func routed(change func(r *rig, lanes []Lane)) func(*rig) {
	return func(r *rig) {
		var lanes []Lane
		for _, e := range r.top.Engines {
			lanes = append(lanes, Lane{Name: "on-" + e.Name, Mode: meter.ModeOnDemand, Model: modelID, Engines: []string{e.Name}})
		}
		change(r, lanes)
		r.top.Routes = []Route{{Name: "r", Lanes: lanes}}
	}
}

// viaRoute makes a call of the route.
func (r *rig) viaRoute() *infer.Request {
	req := r.request()
	req.ModelAsked, req.Route = "r", "r"
	for i, l := range r.top.Routes[0].Lanes {
		req.Lanes = append(req.Lanes, infer.Lane{Number: i, Model: l.Model})
	}
	return req
}

func second() *fake { return &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 5})} }

// What exceeds an engine's quota goes on to the next lane before it is sent, and comes back when there is room again.
func TestSpillOverRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := second(), second()
		r := newRig(t, routed(func(r *rig, lanes []Lane) {
			r.top.Models[0].Bindings[0].Quota = identity.Limits{RequestsPerMinute: 2}
			lanes[0].Spill = capacity.SpillOverRate
		}), a, b)
		for range 3 {
			r.mustDo(r.viaRoute())
		}
		if a.count() != 2 || b.count() != 1 {
			t.Errorf("%d calls on a, %d on b", a.count(), b.count())
		}
		row := r.book.last(t)
		if row.Lane != 1 || row.Engine != "b" || row.Mode != meter.ModeOnDemand || row.ModelAsked != "r" || row.Model != modelID || len(row.Attempts) != 1 {
			t.Errorf("%+v", row)
		}
		time.Sleep(time.Minute)
		resp, err := r.Infer(t.Context(), r.viaRoute())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Close() }()
		if resp.Head.Lane != "on-a" || resp.Head.Spill != "" || resp.Head.Served != modelID {
			t.Errorf("%+v", resp.Head)
		}
	})
}

// Where several engines serve a lane, each gets no more than its quota; beyond all of them calls go on, or are refused until the first has room.
func TestQuotasOfEnginesBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := second(), second(), second()
		r := newRig(t, func(r *rig) {
			quota := func(i int, n int64) { r.top.Models[0].Bindings[i].Quota = identity.Limits{RequestsPerMinute: n} }
			quota(0, 1)
			quota(1, 3)
			two := []string{r.top.Engines[0].Name, r.top.Engines[1].Name}
			r.top.Routes = []Route{
				{Name: "r", Lanes: []Lane{
					{Name: "both", Mode: meter.ModeOnDemand, Model: modelID, Engines: two, Spill: capacity.SpillOverRate},
					{Name: "on-c", Mode: meter.ModeOnDemand, Model: modelID, Engines: []string{r.top.Engines[2].Name}},
				}},
			}
		}, a, b, c)
		for range 6 {
			r.mustDo(r.viaRoute())
		}
		if got := [3]int{a.count(), b.count(), c.count()}; got != [3]int{1, 3, 2} {
			t.Errorf("%v calls on the engines, want 1, 3 and 2", got)
		}
		if row := r.book.all()[5]; row.LaneName != "on-c" || !strings.HasPrefix(row.Spill, "both: over-rate (requests/min of engine b for ") {
			t.Errorf("%+v", row)
		}
		r.top.Routes[0].Lanes = r.top.Routes[0].Lanes[:1]
		if err := r.Configure(r.top); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t.Context(), r.viaRoute())
		wantKind(t, err, fault.Throttled)
		if e := fault.From(err); e.RetryAfter <= 0 || e.RetryAfter > 20*time.Second || !strings.Contains(e.Reason, "engine b") {
			t.Errorf("%+v", e)
		}
		time.Sleep(fault.From(err).RetryAfter)
		r.mustDo(r.viaRoute())
	})
}

// The head of the answer says which lane it came from, and why not from the one before.
func TestAnswersSayWhyTheySpilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, routed(func(r *rig, lanes []Lane) {
			r.top.Models[0].Bindings[0].Quota = identity.Limits{TokensPerMinute: 10}
			lanes[0].Spill = capacity.SpillOverRate
			lanes[1].Spill = capacity.FailOver
		}), second(), &fake{answer: failing}, second())
		resp, err := r.Infer(t.Context(), r.viaRoute())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Close() }()
		if h := resp.Head; h.Lane != "on-c" || h.Spill != "on-a: over-rate (tokens/min of engine a for ); on-b: failover" {
			t.Errorf("%+v", h)
		}
	})
}

// A lane that only spills over rate keeps its queue; one that spills over latency does not let calls wait beyond the bound: neither the last one,
// which is expected to, nor the one before, which has.
func TestSpillOverLatency(t *testing.T) {
	for _, x := range []struct {
		rule capacity.Spill
		on   [2]int
	}{{capacity.SpillOverRate, [2]int{4, 0}}, {capacity.SpillOverLatency, [2]int{2, 2}}} {
		synctest.Test(t, func(t *testing.T) {
			a, b := second(), second()
			r := newRig(t, routed(func(_ *rig, lanes []Lane) { lanes[0].Spill, lanes[0].MaxWait = x.rule, 200*time.Millisecond }), a, b)
			r.mustDo(r.viaRoute()) // from now on the scheduler knows how long a call takes
			for range 3 {
				go r.mustDo(r.viaRoute())
				synctest.Wait()
			}
			time.Sleep(time.Minute)
			if got := [2]int{a.count(), b.count()}; got != x.on {
				t.Errorf("%d: %v calls, want %v", x.rule, got, x.on)
			}
		})
	}
}

// Fail-over is a rule of its own: without it a broken engine is asked again, and nothing else.
func TestFailOver(t *testing.T) {
	for _, x := range []struct {
		name string
		err  error
		rule capacity.Spill
		kind fault.Kind // of the call, 0 for an answer
		on   [2]int
	}{
		{"down", errDown, capacity.FailOver, 0, [2]int{1, 1}},
		{"down, no rule", errDown, 0, fault.Unavailable, [2]int{3, 0}},
		{"down, another rule", errDown, capacity.SpillOverRate | capacity.SpillOverLatency, fault.Unavailable, [2]int{3, 0}},
		{"too slow", fault.New(fault.Timeout, ""), capacity.FailOver, 0, [2]int{1, 1}},
		{"throttles", fault.New(fault.Overloaded, ""), capacity.FailOver, 0, [2]int{1, 1}},
		{"the caller's fault", fault.New(fault.Invalid, ""), capacity.FailOver, fault.Invalid, [2]int{1, 0}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) { return nil, x.err }}, second()
				r := newRig(t, routed(func(_ *rig, lanes []Lane) { lanes[0].Spill = x.rule }), a, b)
				_, err := r.do(t.Context(), r.viaRoute())
				if x.kind != 0 {
					wantKind(t, err, x.kind)
				} else if err != nil {
					t.Error(err)
				}
				if got := [2]int{a.count(), b.count()}; got != x.on {
					t.Errorf("%v calls, want %v", got, x.on)
				}
				if rows := r.book.all(); len(rows) != 1 || len(rows[0].Attempts) != x.on[0]+x.on[1] {
					t.Errorf("%d rows, %+v", len(rows), rows[0].Attempts)
				}
			})
		})
	}
}

// A lane that no engine of is up is passed over at once.
func TestFailOverWithoutEngines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := second(), second()
		r := newRig(t, routed(func(_ *rig, lanes []Lane) { lanes[0].Spill = capacity.FailOver }), a, b)
		r.send(&capacity.Event{Kind: capacity.EventReplicaDown, Replica: r.world.Load().routes["r"].lanes[0].model.replicas[0].id})
		r.mustDo(r.viaRoute())
		if a.count() != 0 || b.count() != 1 {
			t.Errorf("%d and %d calls", a.count(), b.count())
		}
	})
}

// A budget bounds what spills, and nothing else; who is refused by it is told when the lane before has room again.
func TestBudgetOfWhatSpills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := second(), second()
		// A call holds 10 x 1,000 + 20 x 2,000 nano-dollars and costs 10 x 1,000 + 5 x 2,000.
		r := newRig(t, routed(func(r *rig, lanes []Lane) {
			r.top.Models[0].Bindings[0].Quota = identity.Limits{RequestsPerMinute: 1}
			lanes[0].Spill = capacity.SpillOverRate
			lanes[1].Budget = &Budget{Nano: 70_000, Currency: "USD", Period: PeriodDay, Zone: time.UTC}
		}), a, b)
		for range 3 {
			r.mustDo(r.viaRoute())
		}
		_, err := r.do(t.Context(), r.viaRoute())
		wantKind(t, err, fault.Throttled)
		e := fault.From(err)
		if left := time.Minute - 3*time.Second; e.RetryAfter > left || e.RetryAfter < left-time.Second || e.RetryEstimated || !strings.Contains(e.Reason, "budget") {
			t.Errorf("%+v", e)
		}
		if a.count() != 1 || b.count() != 2 {
			t.Errorf("%d and %d calls", a.count(), b.count())
		}
		time.Sleep(time.Minute)
		r.mustDo(r.viaRoute())
		if a.count() != 2 {
			t.Error("the lane before the budget is closed, too")
		}
		var charged int64
		for _, row := range r.book.all() {
			charged += row.Charge.Total()
		}
		if charged != 4*20_000 {
			t.Errorf("charged %d", charged)
		}
	})
}

// A call is made ready for a lane before it is sent there, and only for those where it is.
func TestCallsAreMadeReadyForTheirLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, routed(func(_ *rig, lanes []Lane) {
			lanes[0].Spill, lanes[1].Spill = capacity.FailOver, capacity.FailOver
		}), &fake{answer: failing}, second(), second())
		var entered []int
		lanes := func(fails int) *infer.Request {
			req := r.viaRoute()
			for i := range req.Lanes {
				req.Lanes[i].Enter = func() error {
					if entered = append(entered, i); i == fails {
						return fault.New(fault.Unsupported, "this model takes no pictures")
					}
					return nil
				}
			}
			return req
		}
		r.mustDo(lanes(-1))
		if !slices.Equal(entered, []int{0, 1}) {
			t.Errorf("entered %v", entered)
		}
		entered = nil
		once := lanes(-1)
		once.Lanes[0].Entered = true
		r.mustDo(once)
		if !slices.Equal(entered, []int{1}) {
			t.Errorf("entered %v once more", entered)
		}
		_, err := r.do(t.Context(), lanes(1))
		wantKind(t, err, fault.Unsupported)
		if row := r.book.last(t); row.Lane != 1 || row.Charge.Total() != 0 {
			t.Errorf("%+v", row)
		}
	})
}

func TestRoutesThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, second())
		r.top.Routes = []Route{
			{Name: "empty"},
			{Name: "dangling", Lanes: []Lane{{Name: "x", Mode: meter.ModeOnDemand, Model: "nothing"}}},
			{Name: "long", Lanes: slices.Repeat([]Lane{{Mode: meter.ModeOnDemand, Model: modelID}}, capacity.MaxLanes+1)},
		}
		err := r.Configure(r.top)
		for _, want := range []string{"route empty has 0 lanes", `there is no model "nothing"`, "route long has 5 lanes"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// A route that goes while a call looks it up is a configuration that changed, not an unknown model.
func TestARouteThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, routed(func(_ *rig, lanes []Lane) { lanes[0].Spill = capacity.FailOver }), second(), second())
		req := r.viaRoute()
		without := r.top
		without.Routes = nil
		if err := errors.Join(r.Configure(without)); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t.Context(), req)
		wantKind(t, err, fault.Unavailable)
		if p := r.world.Load().pools; len(p) != 1 {
			t.Errorf("%d pools are left", len(p))
		}
	})
}

// Whatever the quotas and rules of the lanes: each call of a burst is served by the first lane that has room for it among those that
// it may reach, and refused by the last of these otherwise.
func TestBurstsFillLanesInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		quotas, rules := make([]int64, 3), make([]capacity.Spill, 3)
		for i := range quotas {
			quotas[i] = rnd.Int64N(4) // 0 is no limit
			rules[i] = []capacity.Spill{0, capacity.SpillOverRate, capacity.SpillOverLatency, capacity.FailOver}[rnd.IntN(4)]
		}
		synctest.Test(t, func(t *testing.T) {
			engines := []*fake{instantly(), instantly(), instantly()}
			r := newRig(t, routed(func(r *rig, lanes []Lane) {
				for i := range lanes {
					r.top.Models[0].Bindings[i].Quota.RequestsPerMinute = quotas[i]
					lanes[i].Spill = rules[i]
				}
			}), engines...)
			used := make([]int, 3)
			for range 12 {
				at := 0
				for quotas[at] > 0 && int64(used[at]) == quotas[at] && rules[at] == capacity.SpillOverRate && at < 2 {
					at++
				}
				refused := quotas[at] > 0 && int64(used[at]) == quotas[at]
				if !refused {
					used[at]++
				}
				_, err := r.do(t.Context(), r.viaRoute())
				if row := r.book.last(t); (err != nil) != refused || row.Lane != at {
					t.Fatalf("quotas %v, rules %v, used %v: %v in lane %d, want lane %d", quotas, rules, used, err, row.Lane, at)
				}
			}
			for i, f := range engines {
				if f.count() != used[i] {
					t.Errorf("quotas %v, rules %v: %d calls on engine %d, want %d", quotas, rules, f.count(), i, used[i])
				}
			}
		})
	}
}

func instantly() *fake { return &fake{answer: after(0, infer.Usage{Input: 10, Output: 5})} }

// A call is under every limit that applies, so that it does not get to a lane whose limits it could not hold beside the others'.
func TestMoreLimitsThanACallCanHold(t *testing.T) {
	all := identity.Limits{RequestsPerMinute: 1000, TokensPerMinute: 1e6, TokensPerDay: 1e9, SpendPerDay: 1e12, SpendPerMonth: 1e12, Currency: "USD"}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, second())
		r.top.Keys[0].Limits, r.top.Accounts[0].Limits = all, all
		r.top.Teams = []Scope{{ID: "team", Account: "acme", Limits: all}}
		r.top.Accounts[0].Models = map[string]identity.Limits{}
		var lanes []Lane
		for i := range capacity.MaxLanes {
			m := r.top.Models[0]
			m.ID = modelID + strings.Repeat("+", i+1)
			r.top.Models = append(r.top.Models, m)
			r.top.Accounts[0].Models[m.ID] = all
			lanes = append(lanes, Lane{Name: m.ID, Mode: meter.ModeOnDemand, Model: m.ID, Spill: capacity.SpillOverRate})
		}
		r.top.Routes = []Route{{Name: "r", Lanes: lanes}}
		if err := r.Configure(r.top); err != nil {
			t.Fatal(err)
		}
		for team, want := range map[string]int{"team": 2, "": 3} { // three counters of each scope, and of each model
			req := r.viaRoute()
			req.Caller.Team = team
			var arrival capacity.Event
			c := r.take(req)
			if err := c.prepare(&arrival); err != nil || len(c.lanes) != want || int(arrival.NumLanes) != want {
				t.Errorf("team %q: %d lanes, %v; want %d", team, len(c.lanes), err, want)
			}
			r.mustDo(req)
		}
	})
}
