package cli

import (
	"encoding/csv"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/accrual"
	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// Usage shows reserved hours beside calls, what of them lay idle, and what both make together; as table, CSV and JSON.
func TestUsageOfReservedHours(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("FOREBAY_DATA_DIR", dir)
	l, err := meter.OpenLedger(t.Context(), meter.LedgerOptions{Path: filepath.Join(dir, "ledger.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 1, 31, 22, 30, 0, 0, time.UTC)
	usd := accrual.Rate{Known: true, Nano: 20_500_000_000, Currency: "USD"}
	p := &accrual.Purchase{
		ID: "arn:chat", Name: "chat", Account: "000000000000", Team: "search", Model: "m", Units: 2, Term: "OneMonth", Began: began, Terms: []time.Time{began.AddDate(0, 0, 28)},
		Prices: []accrual.Price{{Charge: usd}}, Size: accrual.Size{Input: 1000, Output: 100, Basis: "placeholder"},
	}
	if err := accrual.NewBook(l).Post(t.Context(), p, began.Add(90*time.Minute)); err != nil {
		t.Fatal(err)
	}
	tariff := &meter.Tariff{Model: "m", Tier: "default", Currency: "USD", Input: 1_000_000_000, Output: 0}
	for i, rec := range []meter.Record{
		{Mode: meter.ModeProvisioned, Reservation: "arn:chat", Input: 60_000, Charge: meter.Lines{Known: true}, Cost: meter.Lines{Known: true}},
		{Mode: meter.ModeOnDemand, Input: 1000, Charge: meter.Lines{Tariff: tariff, Known: true, Input: 1_000_000}, Cost: meter.Lines{Known: true}}, // it spilled
	} {
		rec.RequestID, rec.Account, rec.Key, rec.API, rec.Operation, rec.Model, rec.Outcome = "r"+count(int64(i)), "000000000000", "k", "openai", "ChatCompletions", "m", meter.OutcomeOK
		rec.Arrived = began.Add(time.Duration(40+i) * time.Minute) // in the whole hour
		if err := l.Append(t.Context(), &rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	servingFrom(t, dir, instant)
	lines := func(args ...string) string {
		t.Helper()
		code, out, errs := runCLI(t, args...)
		if code != 0 {
			t.Fatalf("%q: %d %s %s", args, code, out, errs)
		}
		var all []string
		for line := range strings.Lines(out) {
			all = append(all, strings.Join(strings.Fields(line), " "))
		}
		return strings.Join(all, "\n")
	}
	// Half of the input of the whole hour: a third of three halves of an hour.
	out := lines("usage", "--by", "mode")
	for _, want := range []string{
		"provisioned 1 0 0 0 60000 0 - 0 - 0", "on-demand 1 0 0 0 1000 0 0.001 USD 0 - 0",
		"provisioned 3.00 33.3 % * 1 60000 180000 0 18000 61.50 USD 41.00 USD unknown unknown", "* of a placeholder",
		"Charge 61.501 USD: calls 0.001, reserved hours 61.50, of which 41.00 lay idle.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if out := lines("usage", "--reserved", "--by", "month,team"); !strings.Contains(out, "2026-01 search 3.00") || strings.Contains(out, "REQUESTS") {
		t.Error(out)
	}
	out = lines("usage", "--postings")
	for _, want := range []string{
		"2026-01-31T22:30:00Z begin arn:chat chat 2 20.50 USD OneMonth 2026-02-28T22:30:00Z", "2026-01-31T22:30:00Z hour arn:chat chat 2 1800 20.50 USD 20.50 USD unknown OneMonth",
		"2026-01-31T23:00:00Z hour arn:chat chat 2 3600 20.50 USD 41.00 USD unknown OneMonth",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if out := lines("usage", "--verify"); !strings.Contains(out, "2 postings of reserved hours\ncharge 61.50 USD") {
		t.Error(out)
	}
	_, out, _ = runCLI(t, "usage", "--reserved", "--csv", "--by", "purchase")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 2 || strings.Join(rows[1], ",") != "arn:chat,10800,7200,0,true,1,60000,180000,0,18000,61.50,41.00,USD,0,,,,10800" {
		t.Errorf("%v %v", rows, err)
	}
	_, out, _ = runCLI(t, "usage", "--json", "--by", "purchase")
	var got struct {
		Reserved []accrual.Row `json:"reserved"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Reserved) != 1 || got.Reserved[0].Idle != 41_000_000_000 {
		t.Errorf("%v %s", err, out)
	}
}
