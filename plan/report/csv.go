package report

import (
	"encoding/csv"
	"io"
	"strconv"

	"forebay/plan"
)

// columns are those of the CSV, one row for each option. Amounts are decimals in the currency, times milliseconds, shares per cent.
var columns = []string{
	"rank", "id", "mode", "model", "name", "state", "currency", "days", "cost_low", "cost_mid", "cost_high", "cost_kind", "at_least", "units", "term",
	"refused_percent", "spilled_percent", "first_p50_ms", "first_p95_ms", "first_p99_ms", "e2e_p50_ms", "e2e_p95_ms", "e2e_p99_ms",
	"used_percent", "commitment", "control", "upkeep", "decided_by", "why",
	"rules", "wait_p50_ms", "wait_p99_ms", "recalled_percent", "frontier_refusals", "frontier_latency", "units_low", "units_high", "expected_regret",
}

// CSV writes a row for each option. What is not known is left empty.
func CSV(w io.Writer, a *plan.Answer) error {
	out := csv.NewWriter(w)
	rows := [][]string{columns}
	for i, o := range a.Options {
		row := []string{strconv.Itoa(i + 1), o.ID, string(o.Mode), o.Model, o.Name, string(o.State), a.Currency, strconv.FormatInt(a.Days, 10), "", "", "", "", "", "", o.Term}
		if row[3] == "" {
			row[3] = a.Model
		}
		if c := o.Cost; c != nil {
			row[8], row[9], row[10], row[11] = decimal(c.Low), decimal(c.Mid), decimal(c.High), c.Kind
		}
		if o.AtLeast > 0 {
			row[12] = decimal(o.AtLeast)
		}
		if o.Units > 0 {
			row[13] = strconv.FormatInt(o.Units, 10)
		}
		row = append(row, percent(o.Refused), percent(o.Spilled))
		for _, q := range []*plan.Quantiles{o.First, o.Whole} {
			if q == nil {
				q = &plan.Quantiles{}
			}
			row = append(row, ms(q.P50), ms(q.P95), ms(q.P99))
		}
		used := ""
		if o.Used != nil {
			used = strconv.FormatFloat(float64(*o.Used)/10, 'f', -1, 64)
		}
		row = append(row, used, o.Commitment, o.Control, o.Upkeep, string(o.Decided), o.Why)
		rows = append(rows, append(row, further(a, o)...))
	}
	return out.WriteAll(rows)
}

// further are the columns of the rules, of the calls that may wait, of the frontiers, and of how sure the number of units is.
func further(a *plan.Answer, o *plan.Option) []string {
	w := o.Waited
	if w == nil {
		w = &plan.Quantiles{}
	}
	out := []string{o.Rules, ms(w.P50), ms(w.P99), percent(o.Recalled), "", "", "", "", ""}
	for i := range a.Frontier {
		if p := &a.Frontier[i]; p.ID == o.ID && p.Listed {
			out[4], out[5] = strconv.FormatBool(p.Sure), strconv.FormatBool(p.Quick)
		}
	}
	for i := range a.Certainty {
		if c := &a.Certainty[i]; c.Term == o.Term && o.Mode == plan.Mix && o.Rules == "" {
			out[6], out[7], out[8] = strconv.FormatInt(c.Low, 10), strconv.FormatInt(c.High, 10), decimal(c.Regret)
		}
	}
	return out
}

func decimal(nano int64) string { return strconv.FormatFloat(float64(nano)/1e9, 'f', 2, 64) }

func percent(s *plan.PerMillion) string {
	if s == nil {
		return ""
	}
	return strconv.FormatFloat(float64(s.Share)/1e4, 'f', -1, 64)
}

func ms(d int64) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64)
}
