package meter

import (
	"slices"
	"testing"
	"time"
)

// Days and months begin in the billing zone, with its summer time; hours are those of UTC.
func TestUsageInABillingZone(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, nil)
	var want []string
	for i, at := range []time.Time{
		time.Date(2026, 1, 31, 22, 59, 59, 0, time.UTC), // an hour and a second before midnight UTC: January there
		time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC),   // midnight there
		time.Date(2026, 6, 30, 21, 59, 59, 0, time.UTC), // summer time
		time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC),
		time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), // half past two, twice
		time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC),
	} {
		rec := row(i)
		rec.Arrived = at
		if err := l.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		local := at.In(rome)
		want = append(want, local.Format("2006-01")+" "+local.Format(time.DateOnly)+" "+at.Format("2006-01-02T15:00Z"))
	}
	for _, since := range []time.Time{{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} {
		rows, err := l.Usage(t.Context(), UsageQuery{By: []string{"month", "day", "hour"}, Zone: rome, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.Group[0]+" "+r.Group[1]+" "+r.Group[2])
		}
		if !slices.Equal(got, want) {
			t.Errorf("since %v:\n%v, want\n%v", since, got, want)
		}
	}
	if rows, err := l.Usage(t.Context(), UsageQuery{By: []string{"month"}}); err != nil || len(rows) != 3 || rows[0].Group[0] != "2026-01" || rows[0].Requests != 2 {
		t.Errorf("in UTC: %+v %v", rows, err)
	}
}

// A call on reserved capacity has a known charge of nothing, and neither mixes with currencies nor counts as unpriced.
func TestCallsOnReservedCapacity(t *testing.T) {
	l := open(t, nil)
	reserved := row(1)
	reserved.Mode, reserved.Reservation, reserved.Charge, reserved.Cost = ModeProvisioned, "arn:p", Lines{Known: true}, Lines{Known: true}
	for _, rec := range []*Record{row(2), reserved} {
		if err := l.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := l.Usage(t.Context(), UsageQuery{By: []string{"mode", "purchase"}})
	if err != nil || len(rows) != 2 || rows[1].Group[0] != ModeProvisioned || rows[1].Group[1] != "arn:p" || rows[1].Charge != 0 || rows[1].Unpriced+rows[1].Uncosted != 0 {
		t.Errorf("%+v %v", rows, err)
	}
	v, err := l.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 || v.Rows != 2 {
		t.Errorf("%+v %v", v, err)
	}
	if _, ok := v.Charges[""]; ok {
		t.Errorf("a total of no currency: %+v", v.Charges)
	}
	if e, err := l.Explain(t.Context(), "r1"); err != nil || e.Reservation != "arn:p" || e.Charge == nil || e.Charge.Total != 0 {
		t.Errorf("%+v %v", e, err)
	}
	var of []string
	if err := l.Charges(t.Context(), time.Unix(0, 0), time.Unix(0, 0), func(c Charge) { of = append(of, c.Reservation) }); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(of); !slices.Equal(of, []string{"", "arn:p"}) {
		t.Errorf("charges of %q", of)
	}
}
