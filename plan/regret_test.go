package plan

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/internal/testenv"
)

// What commitments are regretted by, against all numbers of units tried over the minutes of the traffic, by nothing but sums: what stays bought costs its price and
// what is beyond it, and the best would have been the cheapest number, or none.
func TestT11RegretAgainstAllNumbers(t *testing.T) {
	testenv.Long(t)
	const in, out, unitIn, unitOut, days = 1000, 300, 20_000, 6_000, 30
	const token = 720.0 // nano-units, in and out
	month, six := int64(330_000_000), int64(260_000_000)
	traffic := &day{50_000, in, out, 7}
	a := ask(t, &Question{
		Traffic: traffic, Model: model(t, llama), Unit: &catalog.Unit{Input: unitIn, Output: unitOut, Basis: catalog.BasisGiven},
		UnitPrices: &catalog.UnitPrices{Currency: "USD", OneMonth: &month, SixMonths: &six, Date: "2026-01-01", Source: "test"},
	})
	cost := func(units int64, hour int64, volume float64) float64 {
		spilled := 0.0
		for m := range 7 * minutesOfDay {
			calls := traffic.Rate(time.Duration(m)*time.Minute) * 60 * volume
			held := math.Min(calls, math.Min(float64(units)*unitIn/in, float64(units)*unitOut/out))
			spilled += (calls - held) * (in + out) * token
		}
		return float64(units*hour)*24*days + spilled*days/7
	}
	checked := 0
	for _, r := range a.Regrets {
		o := option(t, a, r.ID)
		hour, term := month, 1.0
		if o.Term == "6-months" {
			hour, term = six, 6
		}
		volume := float64(r.Volume) / 1000
		best := math.Inf(1)
		for n := range int64(20) {
			best = math.Min(best, math.Min(cost(n, month, volume), cost(n, six, volume)))
		}
		is := float64(o.Units*hour) * 24 * days
		if strings.HasPrefix(r.ID, "provisioned+on-demand/") {
			is = cost(o.Units, hour, volume)
		}
		off := 1e-6 * is
		if math.Abs(float64(r.Cost)-is) > off || math.Abs(float64(r.Best)-best) > off || math.Abs(float64(r.Lost)-term*(is-best)) > 2*term*off {
			t.Errorf("%s at %d per mille: costs %d, best %d, lost %d; by hand %.0f, %.0f, %.0f", r.ID, r.Volume, r.Cost, r.Best, r.Lost, is, best, term*(is-best))
		}
		checked++
	}
	if checked < 8 {
		t.Fatalf("%d regrets only: %+v", checked, a.Regrets)
	}
	testenv.Record(t, "T11", fmt.Sprintf("%d regrets of commitments of one and six months, at 10 to 200 %% of the traffic", checked), "sums over the minutes for every number of units, written for the test alone: equal to 1e-6")
}
