package meter

import (
	"strings"
	"testing"
	"time"

	"forebay/infer"

	"pgregory.net/rapid"
)

// priced is a row whose amounts are computed as calls do it.
func priced(t testing.TB, i int, u infer.Usage, charge, cost *Tariff) *Record {
	t.Helper()
	r := row(i)
	r.Input, r.Output, r.CacheRead, r.CacheWrite = u.Input, u.Output, u.CacheRead, u.CacheWrite
	var err error
	if r.Charge, err = charge.Price(u); err != nil {
		t.Fatal(err)
	}
	if r.Cost, err = cost.Price(u); err != nil {
		t.Fatal(err)
	}
	return r
}

// Whatever is written verifies; the totals are those of exact arithmetic, by currency.
func TestVerifyAgreesWithWhatIsWritten(t *testing.T) {
	l := open(t, nil)
	n := 0
	totals := map[string]int64{}
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.Int64Range(unknownRate, 1<<40)
		tariff := func(name string) *Tariff {
			if rapid.Bool().Draw(rt, name+" unknown") {
				return nil
			}
			return &Tariff{
				Model: name, Tier: "default", Currency: rapid.SampledFrom([]string{"USD", "EUR"}).Draw(rt, name+" currency"),
				Input: rate.Draw(rt, "in"), Output: rate.Draw(rt, "out"), CacheRead: rate.Draw(rt, "read"), CacheWrite: rate.Draw(rt, "write"),
			}
		}
		tokens := rapid.Int64Range(0, 1<<21)
		u := infer.Usage{Input: tokens.Draw(rt, "input"), Output: tokens.Draw(rt, "output"), CacheRead: tokens.Draw(rt, "cached")}
		n++
		r := priced(t, n, u, tariff("charge"), tariff("cost"))
		if err := l.Append(t.Context(), r); err != nil {
			rt.Fatal(err)
		}
		totals["charge "+r.Charge.Currency()] += r.Charge.Total()
		totals["cost "+r.Cost.Currency()] += r.Cost.Total()
	})
	v, err := l.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 || v.Rows != int64(n) || v.Calls != v.Rows {
		t.Fatalf("%+v %v, want %d rows", v, err, n)
	}
	for _, cur := range []string{"USD", "EUR"} {
		if v.Charges[cur] != totals["charge "+cur] || v.Costs[cur] != totals["cost "+cur] {
			t.Errorf("%s: %d and %d, want %d and %d", cur, v.Charges[cur], v.Costs[cur], totals["charge "+cur], totals["cost "+cur])
		}
	}
	if v, err := l.Verify(t.Context(), time.Now().AddDate(100, 0, 0), time.Time{}); err != nil || v.Rows != 0 {
		t.Errorf("%+v %v", v, err)
	}
}

func TestVerifyFindsWhatWasChanged(t *testing.T) {
	for change, want := range map[string]string{
		`UPDATE calls SET charge = charge + 1`:     "its lines make",
		`UPDATE calls SET line_output = 7`:         "output line of the charge",
		`UPDATE calls SET cost_input = 7`:          "input line of the cost",
		`UPDATE calls SET input = input + 1000000`: "input line of the charge",
		`UPDATE calls SET currency = 'EUR'`:        "in EUR and its tariff in USD",
		`UPDATE tariffs SET input = 1`:             "input line",
	} {
		l := open(t, nil)
		for i := range 3 {
			r := priced(t, i, infer.Usage{Input: 1_000_000, Output: 0}, dollars, dollars)
			if err := l.Append(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		l.move()
		if _, err := l.write.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		v, err := l.Verify(t.Context(), time.Time{}, time.Time{})
		if err != nil || v.Wrong < 3 || !strings.Contains(strings.Join(v.Faults, "\n"), want) {
			t.Errorf("%s: %+v %v", change, v, err)
		}
	}
}

// Totals never mix currencies; calls without an amount join the row of their group.
func TestUsageKeepsCurrenciesApart(t *testing.T) {
	l := open(t, nil)
	euros := &Tariff{Model: "m", Currency: "EUR", Input: perMillion}
	million := infer.Usage{Input: 1_000_000}
	for i, x := range []struct{ charge, cost *Tariff }{{dollars, nil}, {dollars, euros}, {euros, euros}, {nil, nil}, {dollars, dollars}, {nil, dollars}} {
		if err := l.Append(t.Context(), priced(t, i, million, x.charge, x.cost)); err != nil {
			t.Fatal(err)
		}
	}
	refused := row(100)
	refused.Outcome, refused.Charge, refused.Input, refused.Output = OutcomeRefused, Lines{}, 0, 0
	if err := l.Append(t.Context(), refused); err != nil {
		t.Fatal(err)
	}
	rows, err := l.Usage(t.Context(), UsageQuery{By: []string{"model"}})
	if err != nil {
		t.Fatal(err)
	}
	var requests, unpriced, uncosted int64
	totals := map[string]int64{}
	for _, r := range rows {
		requests, unpriced, uncosted = requests+r.Requests, unpriced+r.Unpriced, uncosted+r.Uncosted
		totals["charge "+r.Currency] += r.Charge
		totals["cost "+r.CostCurrency] += r.Cost
		if r.Currency == "" {
			t.Errorf("calls without an amount have a row of their own: %+v", r)
		}
	}
	m := int64(perMillion)
	if requests != 7 || unpriced != 2 || uncosted != 2 || totals["charge USD"] != 3*m || totals["charge EUR"] != m || totals["cost USD"] != 2*m || totals["cost EUR"] != 2*m {
		t.Errorf("%+v", rows)
	}
}

func TestExplainShowsLinesAndTariffs(t *testing.T) {
	l := open(t, nil)
	charge := &Tariff{Model: "list", Tier: "flex", Currency: "USD", Input: 2_000_000, Output: 3_000_000, CacheRead: unknownRate, CacheWrite: unknownRate, Date: "2026-01-31", Source: "the list"}
	if err := l.Append(t.Context(), priced(t, 1, infer.Usage{Input: 10, Output: 20}, charge, dollars)); err != nil {
		t.Fatal(err)
	}
	e, err := l.Explain(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	want := Money{Currency: "USD", Total: 80, Input: 20, Output: 60, Model: "list", Tier: "flex", Date: "2026-01-31", Source: "the list"}
	if *e.Charge != want || e.Cost.Model != "m" || e.Cost.Input != 10 {
		t.Errorf("%+v, %+v", e.Charge, e.Cost)
	}
}
