package cli

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/accrual"
	"forebay/meter"
)

// unitHours shows units x seconds in unit-hours.
func unitHours(seconds int64) string { return strconv.FormatFloat(float64(seconds)/3600, 'f', 2, 64) }

// usedShare shows how much of reserved hours was used: "-" where the size of a unit is not known, with a mark where it is a placeholder.
func usedShare(r *accrual.Row) string {
	measured := r.UnitSeconds - r.Unmeasured
	if measured <= 0 {
		return "-"
	}
	s := strconv.FormatFloat(100*(1-float64(r.IdleUnitSeconds)/float64(measured)), 'f', 1, 64) + " %"
	if r.Placeholder {
		s += " *"
	}
	return s
}

// reserved prints the hours of reserved capacity.
func (c *usageCmd) reserved(e *env, list []accrual.Row) error {
	head := append(slices.Clone(c.By), "unit-hours", "used", "calls", "input", "of", "output", "of", "charge", "idle", "cost", "idle cost")
	var rows [][]string
	placeholder := false
	for i := range list {
		r := &list[i]
		placeholder = placeholder || r.Placeholder
		rows = append(rows, append(slices.Clone(r.Group), unitHours(r.UnitSeconds), usedShare(r), count(r.Requests), count(r.Input), count(r.BoughtInput),
			count(r.Output), count(r.BoughtOutput), amount(r.Charge, r.Currency, r.Unpriced), amount(r.Idle, r.Currency, r.Unpriced),
			amount(r.Cost, r.CostCurrency, r.Uncosted), amount(r.IdleCost, r.CostCurrency, r.Uncosted)))
	}
	err := table(e, strings.ToUpper(strings.Join(head, "\t")), rows)
	if placeholder {
		_, _ = fmt.Fprintln(e.Out, "* of a placeholder: nobody has given or measured what a unit of the model delivers")
	}
	return err
}

// reservedCSV prints every figure in a column of its own; an amount that is not known is empty.
func (c *usageCmd) reservedCSV(e *env, list []accrual.Row) error {
	w := csv.NewWriter(e.Out)
	_ = w.Write(append(slices.Clone(c.By), "unit_seconds", "idle_unit_seconds", "unmeasured_unit_seconds", "placeholder", "calls", "input", "bought_input", "output",
		"bought_output", "charge", "idle_charge", "charge_currency", "unpriced_unit_seconds", "cost", "idle_cost", "cost_currency", "uncosted_unit_seconds")) // Error tells
	for i := range list {
		r := &list[i]
		money := func(nano int64, currency string) string {
			if currency == "" {
				return ""
			}
			return meter.FormatMoney(nano, "")
		}
		_ = w.Write(append(slices.Clone(r.Group), count(r.UnitSeconds), count(r.IdleUnitSeconds), count(r.Unmeasured), strconv.FormatBool(r.Placeholder),
			count(r.Requests), count(r.Input), count(r.BoughtInput), count(r.Output), count(r.BoughtOutput), money(r.Charge, r.Currency),
			money(r.Idle, r.Currency), r.Currency, count(r.Unpriced), money(r.Cost, r.CostCurrency), money(r.IdleCost, r.CostCurrency), r.CostCurrency, count(r.Uncosted)))
	}
	w.Flush()
	return w.Error()
}

// totals prints what calls and reserved hours make together, in each currency.
func totals(e *env, calls []meter.UsageRow, reserved []accrual.Row) {
	type sums struct{ calls, hours, idle int64 }
	by := map[string]*sums{}
	of := func(currency string) *sums {
		if by[currency] == nil {
			by[currency] = new(sums)
		}
		return by[currency]
	}
	for i := range calls {
		of(calls[i].Currency).calls += calls[i].Charge
	}
	for i := range reserved {
		r := &reserved[i]
		of(r.Currency).hours += r.Charge
		of(r.Currency).idle += r.Idle
	}
	for _, currency := range slices.Sorted(maps.Keys(by)) {
		if s := by[currency]; currency != "" {
			_, _ = fmt.Fprintf(e.Out, "\nCharge %s: calls %s, reserved hours %s, of which %s lay idle.\n", meter.FormatMoney(s.calls+s.hours, currency),
				meter.FormatMoney(s.calls, ""), meter.FormatMoney(s.hours, ""), meter.FormatMoney(s.idle, ""))
		}
	}
}

// postings prints what was posted for reserved capacity.
func (c *usageCmd) postings(e *env, q url.Values) error {
	var out struct {
		Postings []accrual.Posting `json:"postings"`
		More     bool              `json:"more"`
	}
	if err := c.call(e.ctx, http.MethodGet, "postings?"+q.Encode(), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, out)
	}
	head := []string{"at", "kind", "purchase", "name", "units", "seconds", "per unit-hour", "charge", "cost", "term", "expires", "unit"}
	var rows [][]string
	for i := range out.Postings {
		rows = append(rows, postingColumns(&out.Postings[i]))
	}
	if c.CSV {
		w := csv.NewWriter(e.Out)
		_ = w.Write(head) // Error tells
		_ = w.WriteAll(rows)
		return w.Error()
	}
	for _, r := range rows { // an ARN says little before its last part
		r[2] = r[2][strings.LastIndexByte(r[2], '/')+1:]
	}
	err := table(e, strings.ToUpper(strings.Join(head, "\t")), rows)
	if out.More {
		_, _ = fmt.Fprintln(e.Out, "There is more: narrow the time with --since and --until.")
	}
	return err
}

func postingColumns(p *accrual.Posting) []string {
	seconds, expires := "", ""
	if !p.Until.IsZero() {
		seconds = count(int64(p.Until.Sub(p.At) / time.Second))
	}
	if !p.Expires.IsZero() {
		expires = p.Expires.Format(time.RFC3339)
	}
	money := func(known bool, nano int64, currency string) string {
		if !known {
			return "unknown"
		}
		return meter.FormatMoney(nano, currency)
	}
	charge, cost := "", ""
	if p.Kind == accrual.KindHour || p.Kind == accrual.KindRefund {
		charge, cost = money(p.Charge.Known, p.Charge.Nano, p.ChargeRate.Currency), money(p.Cost.Known, p.Cost.Nano, p.CostRate.Currency)
	}
	return []string{
		p.At.Format(time.RFC3339), p.Kind, p.Purchase, p.Name, count(p.Units), seconds, money(p.ChargeRate.Known, p.ChargeRate.Nano, p.ChargeRate.Currency),
		charge, cost, p.Term, expires, fmt.Sprintf("%d/%d %s", p.Size.Input, p.Size.Output, p.Size.Basis),
	}
}
