package cli

import (
	"encoding/csv"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// Usage shows charge and cost as table, CSV and JSON, what is not known as unknown, and who gave up.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("FOREBAY_DATA_DIR", dir)
	l, err := meter.OpenLedger(t.Context(), meter.LedgerOptions{Path: filepath.Join(dir, "ledger.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	usd := &meter.Tariff{Model: "m", Tier: "default", Currency: "USD", Input: 250_000_000, Output: 1_250_000_000}
	eur := &meter.Tariff{Model: "up", Tier: "default", Currency: "EUR", Input: 100_000_000, Output: 0}
	add := func(id, model, outcome string, total time.Duration, charge, cost meter.Lines) {
		t.Helper()
		err := l.Append(t.Context(), &meter.Record{
			RequestID: id, Account: "000000000000", Key: "k", API: "openai", Operation: "ChatCompletions", Mode: "on-demand", Model: model,
			Arrived: time.Now(), Total: total, Input: 1000, Output: 300, Outcome: outcome, Status: 200, Charge: charge, Cost: cost,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("a", "priced", meter.OutcomeOK, time.Second, meter.Lines{Tariff: usd, Known: true, Input: 250_000, Output: 375_000}, meter.Lines{Tariff: eur, Known: true, Input: 100_000})
	add("b", "priced", meter.OutcomeOK, time.Second, meter.Lines{Tariff: usd, Known: true, Input: 250_000, Output: 375_000}, meter.Lines{})
	for i := range 14 {
		add(fmt.Sprint("c", i), "unpriced", meter.OutcomeCanceled, time.Minute+time.Duration(i)*time.Millisecond, meter.Lines{}, meter.Lines{})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	servingFrom(t, dir, instant)
	code, out, errs := runCLI(t, "usage")
	fields := map[string][]string{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 0 {
			fields[f[0]] = f
		}
	}
	if code != 0 || strings.Join(fields["priced"], " ") != "priced 2 0 0 0 2000 600 0.00125 USD 0 0.0001 EUR 1" || strings.Join(fields["unpriced"], " ") != "unpriced 14 0 0 14 14000 4200 unknown 14 unknown 14" {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if !strings.Contains(out, "Clients gave up after 60 s, 14 times") || !strings.Contains(out, "read_timeout") {
		t.Errorf("%s", out)
	}
	if _, out, _ = runCLI(t, "doctor"); !strings.Contains(out, "gave up after 60 s, 14 times") || !strings.Contains(out, "read_timeout") {
		t.Errorf("%s", out)
	}

	_, out, _ = runCLI(t, "usage", "--csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%v %s", err, out)
	}
	column := map[string]string{}
	for i, name := range rows[0] {
		column[name] = rows[1][i] + "|" + rows[2][i]
	}
	for name, want := range map[string]string{
		"model": "priced|unpriced", "charge": "0.00125|", "charge_currency": "USD|", "cost": "0.0001|", "cost_currency": "EUR|", "unpriced": "0|14", "uncosted": "1|14", "canceled": "0|14",
	} {
		if column[name] != want {
			t.Errorf("column %s is %q, want %q", name, column[name], want)
		}
	}

	_, out, _ = runCLI(t, "usage", "--json")
	var got struct {
		Rows []meter.UsageRow `json:"rows"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Rows) != 2 || got.Rows[0].Charge != 1_250_000 || got.Rows[0].Cost != 100_000 || got.Rows[0].CostCurrency != "EUR" {
		t.Errorf("%v %s", err, out)
	}
	if code, out, _ = runCLI(t, "usage", "--verify"); code != 0 || !strings.Contains(out, "16 rows for 16 calls\ncharge 0.00125 USD\ncost 0.0001 EUR") {
		t.Errorf("%d %s", code, out)
	}
}

// What callers name does nothing to the terminal of who looks at it, and makes no lines of its own.
func TestNamesOfCallersArePlain(t *testing.T) {
	const hostile = "x\x1b[2J\u009b31m\r\nTOTAL\t0"
	var out strings.Builder
	if err := table(&env{Streams: Streams{Out: &out}}, "ASKED\tREQUESTS", [][]string{{hostile, "1"}}); err != nil {
		t.Fatal(err)
	}
	if err := tell(&out, &meter.Explanation{RequestID: "r", ModelAsked: hostile, Outcome: meter.OutcomeRefused}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u009b\r") || strings.Contains(out.String(), "\nTOTAL") {
		t.Errorf("%q", out.String())
	}
}
