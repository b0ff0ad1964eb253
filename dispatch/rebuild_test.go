package dispatch

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"forebay/capacity"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"
)

// past is a ledger with rows from before.
type past []meter.Charge

func (p past) Charges(_ context.Context, since, _ time.Time, f func(meter.Charge)) error {
	for _, c := range p {
		if !c.At.Before(since) {
			f(c)
		}
	}
	return nil
}

// level returns where a limit of the key stands.
func (r *rig) level(name string) int64 {
	r.t.Helper()
	for _, l := range r.world.Load().scopes[scopeRef{scopeKey, "acme", "key"}] {
		switch {
		case l.name != name:
		case l.bucket != 0:
			b, _ := r.state.Bucket(l.bucket)
			return b.Fill
		default:
			c, _ := r.state.Counter(l.counter)
			return c.Used + c.Held
		}
	}
	r.t.Fatalf("there is no limit %s", name)
	return 0
}

// Every counter is where it was before a restart in the same minute: rows of the ledger, fed back, give the levels that the calls
// themselves gave.
func TestRebuildGivesTheLevelsOfBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := limits(identity.Limits{
			RequestsPerMinute: 60, TokensPerMinute: 600, TokensPerDay: 100_000, SpendPerDay: 1e9, SpendPerMonth: 1e10, Currency: "USD",
		})
		engine := &fake{answer: after(time.Second, infer.Usage{Input: 9, Output: 7, CacheWrite: 3, CacheRead: 100})}
		before := newRig(t, all, engine)
		time.Sleep(12 * time.Hour)
		for range 8 {
			before.mustDo(before.request())
		}
		var rows past
		for _, row := range before.book.all() {
			rows = append(rows, meter.Charge{
				Account: row.Account, Key: row.Key, Model: row.Model, At: row.Arrived, Requests: 1, Input: row.Input, Output: row.Output,
				CacheWrite: row.CacheWrite, Money: row.Charge.Total(), Currency: row.Charge.Currency(),
			})
		}
		restarted := newRig(t, all, engine)
		if err := restarted.Rebuild(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{limitRPM, limitTPM, limitTPD, limitDay, limitMonth} {
			want, got := before.level(name), restarted.level(name)
			if got != want || got == 0 && name != limitRPM {
				t.Errorf("%s stands at %d, it was %d", name, got, want)
			}
		}
	})
}

// A call whose price is known in part takes from its budgets the most that it could cost, and no less after a restart.
func TestRebuildKnowsCallsOfUnknownCharge(t *testing.T) {
	budget := func(r *rig) {
		limits(identity.Limits{SpendPerDay: 1e9, SpendPerMonth: 1e10, Currency: "USD"})(r)
		r.top.Models[0].Entry.Price.CacheRead = nil
	}
	engine := &fake{answer: after(time.Second, infer.Usage{Input: 9, Output: 7, CacheRead: 100})}
	ledger, err := meter.OpenLedger(t.Context(), meter.LedgerOptions{Path: filepath.Join(t.TempDir(), "ledger.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }()
	var rows []*meter.Record
	var day int64
	synctest.Test(t, func(t *testing.T) {
		before := newRig(t, budget, engine)
		for range 3 {
			before.mustDo(before.request())
		}
		rows, day = before.book.all(), before.level(limitDay)
	})
	for _, row := range rows {
		if err := ledger.Append(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	var charges past
	if err := ledger.Charges(t.Context(), time.Unix(0, 0), time.Unix(0, 0), func(c meter.Charge) { charges = append(charges, c) }); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		restarted := newRig(t, budget, engine)
		if err := restarted.Rebuild(t.Context(), charges); err != nil {
			t.Fatal(err)
		}
		// The first may have read 10 tokens at 1,000 nano, those that learnt from it 110; each may have written 20 at 2,000.
		if got := restarted.level(limitDay); got != day || day != 50_000+2*150_000 {
			t.Errorf("the budget stands at %d, it was %d", got, day)
		}
	})
}

// What is rebuilt refuses the first call, if there is nothing left.
func TestRebuildComesBeforeTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: after(0, infer.Usage{Input: 10})}
		r := newRig(t, limits(identity.Limits{SpendPerDay: 60_000, Currency: "USD"}), f)
		time.Sleep(6 * time.Hour)
		if err := r.Rebuild(t.Context(), past{{Account: "acme", Key: "key", At: time.Now().Add(-time.Hour), Money: 20_000, Currency: "USD"}}); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t.Context(), r.request()) // might cost 50,000
		wantKind(t, err, fault.BudgetExceeded)
	})
}

// Days and months are those of the billing zone, also where it is still last month there while UTC has begun another.
// The bubble's clock starts at 2000-01-01 00:00 UTC, which is 31 December 1999 in Los Angeles.
func TestRebuildKnowsTheBillingZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.top.Accounts[0].Zone = zone(t, "America/Los_Angeles")
			r.top.Keys[0].Limits = identity.Limits{SpendPerDay: 1e9, SpendPerMonth: 1e9, Currency: "USD", TokensPerMinute: 6000}
		}, &fake{answer: failing})
		row := func(at string, money int64, currency string) meter.Charge {
			when, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			return meter.Charge{Account: "acme", Key: "key", Model: modelID, At: when, Requests: 1, Input: 100, Money: money, Currency: currency}
		}
		rows := past{
			row("1999-12-01T07:59:00Z", 1, "USD"),      // November there
			row("1999-12-01T08:00:00Z", 10, "USD"),     // the first minute of December
			row("1999-12-31T07:59:00Z", 100, "USD"),    // yesterday
			row("1999-12-31T08:00:00Z", 1000, "USD"),   // today
			row("1999-12-31T23:59:00Z", 10_000, "USD"), // a minute ago
			row("1999-12-31T23:59:30Z", 99_999, "EUR"), // of another currency, half a minute ago
		}
		if err := r.Rebuild(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		if day, month := r.level(limitDay), r.level(limitMonth); day != 11_000 || month != 11_110 {
			t.Errorf("%d today and %d this month", day, month)
		}
		if fill := r.level(limitTPM); fill != 0 { // 200 tokens drain in two seconds
			t.Errorf("%d tokens", fill)
		}
	})
}

// The quotas of engines, and what may still spill, are where they were before a restart.
func TestRebuildOfRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		setting := routed(func(r *rig, lanes []Lane) {
			r.top.Models[0].Bindings[0].Quota = identity.Limits{RequestsPerMinute: 1}
			lanes[0].Spill = capacity.SpillOverRate
			lanes[1].Budget = &Budget{Nano: 70_000, Currency: "USD", Period: PeriodMonth, Zone: time.UTC}
		})
		before := newRig(t, setting, second(), second())
		var rows past
		for range 3 {
			before.mustDo(before.viaRoute())
		}
		for _, row := range before.book.all() {
			rows = append(rows, meter.Charge{
				Account: row.Account, Key: row.Key, Model: row.Model, Engine: row.Engine, Route: row.Route, Lane: row.LaneName, At: row.Arrived, Requests: 1,
				Input: row.Input, Output: row.Output, Money: row.Charge.Total(), Currency: row.Charge.Currency(),
			})
		}
		r := newRig(t, setting, second(), second())
		if err := r.Rebuild(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t.Context(), r.viaRoute()) // neither the engine nor the budget has room for it
		wantKind(t, err, fault.Throttled)
	})
}

// charges are the rows as the ledger gives them back.
func (b *book) charges() (out past) {
	for _, row := range b.all() {
		out = append(out, meter.Charge{
			Account: row.Account, Team: row.Team, Key: row.Key, Model: row.Model, Reservation: row.Reservation, Engine: row.Engine, Route: row.Route, Lane: row.LaneName,
			At: row.Arrived, Requests: 1, Input: row.Input, Output: row.Output, CacheWrite: row.CacheWrite, Money: row.Charge.Total(), Currency: row.Charge.Currency(),
		})
	}
	return out
}

// reconfigure puts a change of the topology in force, with what the ledger has of it.
func (r *rig) reconfigure(change func(*rig)) {
	r.t.Helper()
	change(r)
	if err := r.Configure(r.top); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Rebuild(r.t.Context(), r.book.charges()); err != nil {
		r.t.Fatal(err)
	}
}

// A limit that is lifted and set again counts what was used meanwhile, and what was used before once.
func TestLimitsThatComeBackCountEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := limits(identity.Limits{TokensPerMinute: 6000, TokensPerDay: 100_000, SpendPerDay: 1e9, Currency: "USD"})
		r := newRig(t, all, &fake{answer: after(0, infer.Usage{Input: 9, Output: 7})})
		r.mustDo(r.request())
		r.reconfigure(limits(identity.Limits{}))
		r.mustDo(r.request())
		r.mustDo(r.request())
		r.reconfigure(all)
		for name, want := range map[string]int64{limitTPM: 48, limitTPD: 48, limitDay: 69_000} {
			if got := r.level(name); got != want {
				t.Errorf("%s stands at %d after three calls, want %d", name, got, want)
			}
		}
		r.mustDo(r.request())
		r.reconfigure(all) // changes nothing
		if got := r.level(limitTPD); got != 64 {
			t.Errorf("%d tokens today after four calls", got)
		}
	})
}

// A budget that moves to another billing zone counts what was spent there today, and one in another currency what was spent in that.
func TestBudgetsOfAnotherZoneOrCurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := func(currency string) func(*rig) {
			return limits(identity.Limits{SpendPerDay: 1e9, SpendPerMonth: 1e9, Currency: currency})
		}
		r := newRig(t, budget("USD"), &fake{answer: after(0, infer.Usage{Input: 9, Output: 7})})
		time.Sleep(12 * time.Hour)
		r.mustDo(r.request())
		want := func(what string, day, month int64) {
			t.Helper()
			if d, m := r.level(limitDay), r.level(limitMonth); d != day || m != month {
				t.Errorf("%s: %d today and %d this month, want %d and %d", what, d, m, day, month)
			}
		}
		want("at first", 23_000, 23_000)
		r.reconfigure(func(r *rig) { r.top.Accounts[0].Zone = zone(t, "Asia/Tokyo") })
		want("in Tokyo", 23_000, 23_000)
		r.reconfigure(budget("EUR"))
		want("in euros", 0, 0)
		r.reconfigure(budget("USD"))
		want("in dollars again", 23_000, 23_000)
	})
}

// A configuration that is refused leaves no limit behind that the next would take for one that has counted.
func TestRefusedConfigurationsCountNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: after(0, infer.Usage{Input: 9, Output: 7})})
		r.mustDo(r.request())
		limits(identity.Limits{TokensPerDay: 100})(r)
		bad := r.top
		bad.Routes = []Route{{Name: "empty"}}
		if err := r.Configure(bad); err == nil {
			t.Fatal("a route without lanes is served")
		}
		r.reconfigure(func(*rig) {})
		if got := r.level(limitTPD); got != 16 {
			t.Errorf("%d tokens today", got)
		}

		budget := func(currency string) func(*rig) {
			return limits(identity.Limits{SpendPerDay: 1e9, Currency: currency})
		}
		r.reconfigure(budget("USD"))
		budget("EUR")(r)
		bad = r.top
		bad.Routes = []Route{{Name: "empty"}}
		if err := r.Configure(bad); err == nil {
			t.Fatal("a route without lanes is served")
		}
		r.reconfigure(budget("USD"))
		if got := r.level(limitDay); got != 23_000 {
			t.Errorf("%d spent today", got)
		}
	})
}

// Requests of calls on a purchase count on their key's limit after a restart, too, and their tokens do not.
func TestRebuildOfRequestsOnPurchases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := func(r *rig) {
			limits(identity.Limits{RequestsPerMinute: 1, TokensPerMinute: 600, TokensPerDay: 1000})(r)
			bought(1000)(r)
		}
		engine := &fake{answer: after(0, infer.Usage{Input: 10, Output: 20})}
		before := newRig(t, both, engine)
		before.mustDo(before.reservedRequest())
		r := newRig(t, both, engine)
		if err := r.Rebuild(t.Context(), before.book.charges()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{limitRPM, limitTPM, limitTPD} {
			if got, want := r.level(name), before.level(name); got != want {
				t.Errorf("%s stands at %d, it was %d", name, got, want)
			}
		}
		_, err := r.do(t.Context(), r.reservedRequest())
		throttled(t, err, time.Minute)
	})
}
