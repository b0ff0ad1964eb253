package cli

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/meter"
	"forebay/plan"

	"github.com/go-json-experiment/json"
)

// ledgerIn makes a ledger of calls of two models, one in ten of them refused first and served when it was tried again.
func ledgerIn(t *testing.T, dir string) {
	t.Helper()
	l, err := meter.OpenLedger(t.Context(), meter.LedgerOptions{Path: filepath.Join(dir, "ledger.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		r := meter.Record{
			RequestID: fmt.Sprint("r", i), Account: "000000000000", Key: fmt.Sprint("k", i%3), Team: "red", API: "openai", Operation: "ChatCompletions", Mode: meter.ModeOnDemand,
			Model: llama70, Arrived: time.Date(2026, 1, 5, 10, 0, i, 0, time.UTC), Input: 1000, Output: 100, Outcome: meter.OutcomeOK, Status: 200,
		}
		if i%10 == 0 {
			r.InvocationID, r.Tags = fmt.Sprint("i", i), map[string]string{"app": "chat"}
			first := r
			first.RequestID, first.Arrived, first.Outcome, first.Reason = fmt.Sprint("first", i), r.Arrived.Add(-time.Second/2), meter.OutcomeRefused, fault.Throttled.String()
			first.Input, first.Output, first.Estimate = 0, 0, 900
			if err := l.Append(t.Context(), &first); err != nil {
				t.Fatal(err)
			}
		}
		if i%20 == 1 {
			r.Model = "other"
		}
		if err := l.Append(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

const llama70 = "meta.llama3-1-70b-instruct-v1:0"

// A ledger is planned for from its files and through the server that has it, with the same answer; filters select.
func TestPlanOfALedger(t *testing.T) {
	dir := t.TempDir()
	ledgerIn(t, dir)
	ask := func(args ...string) (int, *plan.Answer, string) {
		t.Helper()
		code, out, errs := runCLI(t, append([]string{"plan", "--model", llama70, "--json", "--ledger", dir}, args...)...)
		a := &plan.Answer{}
		if code == 0 {
			if err := json.Unmarshal([]byte(out), a); err != nil {
				t.Fatal(err)
			}
		}
		return code, a, errs
	}
	check := func(where string) {
		t.Helper()
		for filter, want := range map[string]int64{
			"": 190, "--of-model *": 200, "--of-model other": 10, "--of-tag app=chat": 20, "--of-key k1": 63, "--of-team red": 190, "--of-mode on-demand": 190,
			"--since 2026-01-05T10:01:40Z": 95, "--until 2026-01-05T10:01:35Z": 90,
		} {
			code, a, errs := ask(strings.Fields(filter)...)
			if code != 0 || a.Traffic.Calls != want || a.Traffic.Format != "ledger" {
				t.Errorf("%s, %q: %d %s %+v, want %d calls", where, filter, code, errs, a.Traffic, want)
			}
		}
		for filter, want := range map[string]string{
			"--of-team blue":                        "no such calls: widen",
			"--of-model none":                       "it has calls of " + llama70 + " (210)",
			"--of-mode serverless":                  "on-demand and provisioned",
			"--since yesterday":                     "--since",
			"--since 2026-01-06 --until 2026-01-05": "the other way round",
		} {
			if code, _, errs := ask(strings.Fields(filter)...); code != exitUsage || !strings.Contains(errs, want) {
				t.Errorf("%s, %q: %d %s, want %q", where, filter, code, errs, want)
			}
		}
	}
	check("files")
	servingFrom(t, dir, instant)
	check("server")
	t.Setenv("FOREBAY_DATA_DIR", dir)
	t.Setenv("FOREBAY_URL", "")
	if code, out, errs := runCLI(t, "plan", "--ledger", "--model", llama70, "--json"); code != 0 || !strings.Contains(out, `"calls": 190`) {
		t.Errorf("%d %s %.300s", code, errs, out)
	}
	if code, _, errs := runCLI(t, "plan", "--model", llama70, "--ledger", t.TempDir()); code != exitUsage || !strings.Contains(errs, "there is no ledger in") {
		t.Errorf("%d %s", code, errs)
	}
}
