package dispatch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"
)

// memory is a ledger in memory. It is History too.
type memory struct {
	mu   sync.Mutex
	rows []*meter.Record
}

func (m *memory) Append(_ context.Context, r *meter.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = append(m.rows, r)
	return nil
}

func (m *memory) Healthy() error { return nil }

func (m *memory) Charges(_ context.Context, since, _ time.Time, f func(meter.Charge)) error {
	for _, r := range m.rows {
		if !r.Arrived.Before(since) && r.Outcome != meter.OutcomeRefused {
			f(meter.Charge{
				Account: r.Account, Team: r.Team, Key: r.Key, Model: r.Model, At: r.Arrived, Requests: 1, Input: r.Input, Output: r.Output,
				Money: r.Charge.Total(), Currency: r.Charge.Currency(),
			})
		}
	}
	return nil
}

// spent is the money of all rows.
func (m *memory) spent() (nano int64, answered int) {
	for _, r := range m.rows {
		nano += r.Charge.Total()
		if r.Outcome == meter.OutcomeOK {
			answered++
		}
	}
	return nano, answered
}

// worker is an engine that takes a second and produces as much as it may.
type worker struct{ output int64 }

func (w *worker) Infer(ctx context.Context, _ *infer.Request) (*infer.Response, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	u := infer.Usage{Input: 10, Output: w.output}
	return infer.NewResponse(infer.Head{}, infer.OneResult(&infer.Result{Usage: u})), nil
}
func (*worker) Probe(context.Context) error { return nil }
func (*worker) Speaks(infer.Dialect) bool   { return true }
func (*worker) Close() error                { return nil }

// The model costs a nano-unit a token of either kind.
const tokenPrice = 1_000_000

func budgeted(zone *time.Location, scope string, l identity.Limits, w *worker) Topology {
	price := int64(tokenPrice)
	entry := &catalog.Model{ID: "m", MaxOutput: 1000, Burndown: 1000, Price: &catalog.Price{Currency: "USD", Input: &price, Output: &price}}
	top := Topology{
		Engines:  []Engine{{Name: "e", Client: w}},
		Models:   []Model{{ID: "m", Entry: entry, MaxOutput: 1000, Burndown: 1000, Bindings: []Binding{{Engine: "e"}}}},
		Accounts: []Account{{ID: "a", Zone: zone, Models: map[string]identity.Limits{}}},
		Teams:    []Scope{{ID: "t", Account: "a"}}, Keys: []Scope{{ID: "k", Account: "a"}},
	}
	switch scope {
	case "account":
		top.Accounts[0].Limits = l
	case "model":
		top.Accounts[0].Models["m"] = l
	case "team":
		top.Teams[0].Limits = l
	case "key":
		top.Keys[0].Limits = l
	}
	return top
}

// begin starts a dispatcher in a bubble of virtual time.
func begin(t *testing.T, top Topology, m *memory) *Dispatcher {
	t.Helper()
	d := New(Options{Recorder: m, Log: slog.New(slog.DiscardHandler)})
	if err := d.Configure(top); err != nil {
		t.Fatal(err)
	}
	if err := d.Rebuild(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return d
}

// maxAsked is what calls allow for output.
const maxAsked = 100

// one makes a call to its end.
func one(d *Dispatcher, id int) error {
	req := &infer.Request{
		ID: fmt.Sprint("r", id), API: "test", Model: "m", Arrived: time.Now(), Facts: infer.Facts{MaxTokens: maxAsked, TextBytes: 40},
		Caller: infer.Caller{Account: "a", Team: "t", Key: "k"},
	}
	resp, err := d.Infer(context.Background(), req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Close() }()
	for {
		if _, err := resp.Next(); err != nil {
			if err == io.EOF { //nolint:errorlint // Events promise it as it is
				return nil
			}
			return err
		}
	}
}

// Whoever has the budget, and for whatever period: calls in parallel, each of which may cost the most,
// never pass it together; and what was held and not used serves later calls.
func TestParallelCallsNeverPassABudget(t *testing.T) {
	const budget = 1000
	for _, scope := range []string{"key", "team", "account", "model"} {
		for period, l := range map[string]identity.Limits{"day": {SpendPerDay: budget, Currency: "USD"}, "month": {SpendPerMonth: budget, Currency: "USD"}} {
			for _, output := range []int64{100, 1} { // all that they may, or next to nothing
				t.Run(fmt.Sprint(scope, " ", period, " ", output), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := &memory{}
						d := begin(t, budgeted(time.UTC, scope, l, &worker{output}), m)
						defer d.Close()
						for wave := range 60 {
							var wg sync.WaitGroup
							for i := range 20 {
								wg.Go(func() {
									if err := one(d, wave*20+i); err != nil && fault.KindOf(err) != fault.BudgetExceeded {
										t.Errorf("%v", err)
									}
								})
							}
							wg.Wait()
						}
						spent, answered := m.spent()
						if spent > budget || answered == 0 {
							t.Errorf("%d of %d were spent by %d calls", spent, budget, answered)
						}
						// A call costs 10 + output, and is refused only when the most it may cost does not fit.
						if most := int64(10 + maxAsked + 20); spent < budget-most {
							t.Errorf("%d of %d were spent: what was given back was not used", spent, budget)
						}
					})
				})
			}
		}
	}
}

// Days and months begin in the account's billing zone, and a restart knows what was spent in them.
func TestBudgetsFollowTheBillingZone(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Skipf("SKIPPED: NO TIME ZONES ON THIS MACHINE: %v", err)
	}
	for _, c := range []struct {
		zone  *time.Location
		l     identity.Limits
		renew time.Time // when the budget is whole again; tests begin on 1 January 2000, 00:00 UTC
	}{
		{time.UTC, identity.Limits{SpendPerDay: 120, Currency: "USD"}, time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)},
		{rome, identity.Limits{SpendPerDay: 120, Currency: "USD"}, time.Date(2000, 1, 1, 23, 0, 0, 0, time.UTC)},
		{time.UTC, identity.Limits{SpendPerMonth: 120, Currency: "USD"}, time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC)},
		{rome, identity.Limits{SpendPerMonth: 120, Currency: "USD"}, time.Date(2000, 1, 31, 23, 0, 0, 0, time.UTC)},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, top := &memory{}, budgeted(c.zone, "account", c.l, &worker{100})
			d := begin(t, top, m)
			if err := one(d, 1); err != nil {
				t.Fatalf("the first call: %v", err)
			}
			if err := one(d, 2); fault.KindOf(err) != fault.BudgetExceeded {
				t.Errorf("a second call: %v", err)
			}
			d.Close()
			d = begin(t, top, m) // a restart
			defer d.Close()
			time.Sleep(time.Until(c.renew.Add(-time.Minute)))
			if err := one(d, 3); fault.KindOf(err) != fault.BudgetExceeded {
				t.Errorf("%s, a minute before %s: %v", c.zone, c.renew, err)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if err := one(d, 4); err != nil {
				t.Errorf("%s, a minute after %s: %v", c.zone, c.renew, err)
			}
		})
	}
}
