package dispatch

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"forebay/accrual"
	"forebay/capacity"
	"forebay/infer"
	"forebay/meter"
)

// Of a demand of 60 to 200 % of what was bought, the reservation serves all that fits, the rest spills, and what both cost is the
// closed form, to the nano-unit.
//
// A call of c tokens comes each second; R tokens a minute are bought, and the bucket is as deep as one minute of them. It never runs
// dry while calls come faster than it drains, so the m-th call that it takes (from 0) finds m c - R k/60 tokens in it at second k,
// and is taken when that is at most R. Of n calls it has then taken floor((60 R + R (n-1)) / 60 c) + 1. When they
// come no faster than it drains it takes them all.
func TestCostOfWhatSpills(t *testing.T) {
	const (
		n, c  = 1800, 1000
		units = 2
		hour  = 20_500_000_000          // nano-units a unit-hour
		call  = c*1_000 + 100*2_000     // nano-units a call on demand: a dollar a million in, two out
		fixed = units * hour * n / 3600 // for half an hour of two units
	)
	for percent, rate := range map[int64]int64{60: 100_000, 80: 75_000, 100: 60_000, 120: 50_000, 150: 40_000, 200: 30_000} {
		t.Run(strconv.FormatInt(percent, 10), func(t *testing.T) {
			taken := int64(n)
			if percent > 100 {
				taken = (60*rate+rate*(n-1))/(60*c) + 1
			}
			idle := int64(0)
			if percent < 100 {
				idle = fixed / 100 * (100 - percent)
			}
			var rows []*meter.Record
			var began time.Time
			synctest.Test(t, func(t *testing.T) {
				began = time.Now()
				r := newRig(t, func(r *rig) {
					r.top.Models[0].Bindings[0].Slots = 4
					r.top.Reservations = []Reservation{{ID: purchase, Name: "bought", Model: modelID, Input: rate, Slots: 2, Costed: true}}
					r.top.Routes = []Route{{Name: "r", Lanes: []Lane{
						{Name: "bought", Mode: meter.ModeProvisioned, Model: modelID, Reservation: purchase, Spill: capacity.SpillOverRate},
						{Name: "on demand", Mode: meter.ModeOnDemand, Model: modelID},
					}}}
				}, &fake{answer: after(0, infer.Usage{Input: c, Output: 100})})
				for range n {
					req := r.viaRoute()
					req.Facts = infer.Facts{TextBytes: 4 * c, MaxTokens: 4096}
					r.mustDo(req)
					time.Sleep(time.Second)
				}
				rows = r.book.all()
			})
			ledger, err := meter.OpenLedger(t.Context(), meter.LedgerOptions{Path: filepath.Join(t.TempDir(), "ledger.db"), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ledger.Close() }()
			for _, row := range rows {
				if spilled := row.Mode == meter.ModeOnDemand; spilled != (row.Spill != "") || spilled != (row.Reservation == "") {
					t.Fatalf("%+v", row)
				}
				if err := ledger.Append(t.Context(), row); err != nil {
					t.Fatal(err)
				}
			}
			hours := accrual.NewBook(ledger)
			bought := &accrual.Purchase{
				ID: purchase, Account: "acme", Model: modelID, Units: units, Began: began, Ended: began.Add(n * time.Second),
				Prices: []accrual.Price{{Charge: accrual.Rate{Known: true, Nano: hour, Currency: "USD"}}}, Size: accrual.Size{Input: rate / units, Basis: "given"},
			}
			if err := hours.Post(t.Context(), bought, bought.Ended); err != nil {
				t.Fatal(err)
			}
			q := meter.UsageQuery{By: []string{"mode"}, Account: "acme"}
			calls, err := ledger.Usage(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			reserved, err := hours.Usage(t.Context(), &q)
			if err != nil || len(reserved) != 1 {
				t.Fatalf("%+v %v", reserved, err)
			}
			var charge int64
			requests := map[string]int64{}
			for _, row := range calls {
				charge += row.Charge
				requests[row.Group[0]] = row.Requests
			}
			if requests[meter.ModeProvisioned] != taken || requests[meter.ModeOnDemand] != n-taken {
				t.Errorf("%v were served, want %d by the reservation of %d", requests, taken, n)
			}
			h := &reserved[0]
			if charge += h.Charge; charge != fixed+(n-taken)*call {
				t.Errorf("%s, want %s", meter.FormatMoney(charge, "USD"), meter.FormatMoney(fixed+(n-taken)*call, "USD"))
			}
			if h.Requests != taken || h.Input != taken*c || h.BoughtInput != rate*(n/60) || h.Idle != idle {
				t.Errorf("%+v, want %d idle", h, idle)
			}
		})
	}
}
