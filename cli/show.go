package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"forebay/accrual"
	"forebay/api/admin"
	"forebay/meter"
	"forebay/plan"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func printJSON(e *env, v any) error {
	b, err := json.Marshal(v, jsontext.Multiline(true), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.Out, "%s\n", b)
	return err
}

// table prints rows in columns. Cells are plain: callers choose the names that some of them hold, as those of models that do not exist.
func table(e *env, head string, rows [][]string) error {
	w := tabwriter.NewWriter(e.Out, 2, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, head)
	for _, r := range rows {
		for i, cell := range r {
			if i > 0 {
				_, _ = io.WriteString(w, "\t")
			}
			_, _ = io.WriteString(w, plain(cell))
		}
		_, _ = fmt.Fprintln(w)
	}
	return w.Flush()
}

// plain is a text that does nothing to a terminal, nor to the lines and columns of a table.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// plainLines writes lines that do nothing to a terminal.
type plainLines struct{ out io.Writer }

func (w plainLines) Write(p []byte) (int, error) {
	lines := strings.Split(string(p), "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	if _, err := io.WriteString(w.out, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

type usageCmd struct {
	remote
	By    []string `help:"Dimensions: day, month, hour, model, mode, route, lane, spill (the lanes left before), purchase, principal (or key), team, account, api, operation, engine, tier, outcome, reason, region, asked (the model asked for), profile (an application inference profile), tag:NAME." default:"model"`
	Since string   `help:"Only calls since: a date, a time, or a duration such as 24h."`
	Until string   `help:"Only calls before."`
	Model string   `help:"Only this model."`
	OfKey string   `name:"of-key" help:"Only this key id."`
	Team  string   `help:"Only this team."`
	Of    string   `name:"account" help:"Of another account; for keys of the operator's." placeholder:"ID"`
	CSV   bool     `name:"csv" help:"Print CSV."`
	// Reserved leaves the calls out; Postings shows what was posted instead.
	Reserved bool `help:"Only the hours of reserved capacity."`
	Postings bool `help:"What was posted for reserved capacity, row by row: hours, and what was agreed from when on."`
	// Verify computes the ledger again instead.
	Verify bool `help:"Compute amounts and totals again from the rows, and say what does not agree."`
}

// moment reads a date, a time, or a duration back from now as RFC 3339.
func moment(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-d).UTC().Format(time.RFC3339), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Format(time.RFC3339), nil
		}
	}
	return "", fmt.Errorf("%q is no date, time or duration; write 2026-01-31, 2026-01-31T10:00:00Z or 24h", s)
}

// Run implements the verb.
func (c *usageCmd) Run(e *env) error {
	q := url.Values{"by": {strings.Join(c.By, ",")}, "model": {c.Model}, "key": {c.OfKey}, "team": {c.Team}, "account": {c.Of}}
	for name, text := range map[string]string{"since": c.Since, "until": c.Until} {
		t, err := moment(text)
		if err != nil {
			return err
		}
		q.Set(name, t)
	}
	switch {
	case c.Verify:
		return c.verify(e, q)
	case c.Postings:
		return c.postings(e, q)
	}
	var out struct {
		Rows     []meter.UsageRow `json:"rows"`
		Reserved []accrual.Row    `json:"reserved"`
		GaveUp   []meter.GaveUp   `json:"clientsGaveUp"`
		Advice   []plan.Advice    `json:"advice,omitempty"`
	}
	if err := c.call(e.ctx, http.MethodGet, "usage?"+q.Encode(), nil, &out); err != nil {
		return err
	}
	if !c.Reserved && !c.CSV {
		out.Advice = c.advice(e)
	}
	switch {
	case c.JSON && c.Reserved:
		return printJSON(e, out.Reserved)
	case c.JSON:
		return printJSON(e, out)
	case c.Reserved && c.CSV:
		return c.reservedCSV(e, out.Reserved)
	case c.Reserved:
		return c.reserved(e, out.Reserved)
	case c.CSV:
		return c.csv(e, out.Rows)
	}
	if err := c.calls(e, out.Rows); err != nil {
		return err
	}
	if len(out.Reserved) > 0 {
		_, _ = fmt.Fprintln(e.Out, "\nReserved hours, without the one that is running:")
		if err := c.reserved(e, out.Reserved); err != nil {
			return err
		}
		totals(e, out.Rows, out.Reserved)
	}
	for i := range out.Advice {
		_, _ = fmt.Fprint(e.Out, "\n", adviceText(&out.Advice[i]))
	}
	for _, g := range out.GaveUp {
		if g.Times > 1 {
			_, _ = fmt.Fprintf(e.Out, "\nClients gave up after %d s, %d times: raise their time-out (boto3: Config(read_timeout=...); a function's own), or stream.\n", g.Seconds, g.Times)
		}
	}
	return nil
}

// calls prints the usage of calls.
func (c *usageCmd) calls(e *env, list []meter.UsageRow) error {
	head := append(slices.Clone(c.By), "requests", "refused", "failed", "left", "input", "output", "charge", "unpriced", "cost", "uncosted")
	var rows [][]string
	for i := range list {
		r := &list[i]
		rows = append(rows, append(slices.Clone(r.Group),
			count(r.Requests), count(r.Refused), count(r.Failed), count(r.Canceled), count(r.Input+r.CacheRead+r.CacheWrite), count(r.Output),
			amount(r.Charge, r.Currency, r.Unpriced), count(r.Unpriced), amount(r.Cost, r.CostCurrency, r.Uncosted), count(r.Uncosted)))
	}
	return table(e, strings.ToUpper(strings.Join(head, "\t")), rows)
}

func count(v int64) string { return strconv.FormatInt(v, 10) }

// amount shows money; unknown is the number of calls whose money is not known.
func amount(nano int64, currency string, unknown int64) string {
	switch {
	case currency != "":
		return meter.FormatMoney(nano, currency)
	case unknown > 0:
		return "unknown"
	default:
		return "-"
	}
}

func (c *usageCmd) verify(e *env, q url.Values) error {
	v := admin.Verified{Reserved: new(accrual.Verification)}
	if err := c.call(e.ctx, http.MethodGet, "verify?"+q.Encode(), nil, &v); err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(e, &v); err != nil {
			return err
		}
	} else {
		_, _ = fmt.Fprintf(e.Out, "%d rows for %d calls\n", v.Rows, v.Calls)
		amounts(e, v.Charges, v.Costs, v.Faults)
		for _, currency := range slices.Sorted(maps.Keys(v.Lost)) {
			_, _ = fmt.Fprintf(e.Out, "lost with recalled calls %s\n", meter.FormatMoney(v.Lost[currency], currency))
		}
		if v.Reserved.Hours > 0 {
			_, _ = fmt.Fprintf(e.Out, "%d postings of reserved hours\n", v.Reserved.Hours)
		}
		amounts(e, v.Reserved.Charges, v.Reserved.Costs, v.Reserved.Faults)
	}
	if wrong := v.Wrong + v.Reserved.Wrong; wrong > 0 {
		return fmt.Errorf("%d amounts do not follow from their rows", wrong)
	}
	return nil
}

// amounts prints totals by currency, and what is wrong with them.
func amounts(e *env, charges, costs map[string]int64, faults []string) {
	for _, x := range []struct {
		what   string
		totals map[string]int64
	}{{"charge", charges}, {"cost", costs}} {
		for _, currency := range slices.Sorted(maps.Keys(x.totals)) {
			_, _ = fmt.Fprintf(e.Out, "%s %s\n", x.what, meter.FormatMoney(x.totals[currency], currency))
		}
	}
	for _, f := range faults {
		_, _ = fmt.Fprintln(e.Out, f)
	}
}

// csv prints every figure in a column of its own; an amount that is not known is empty.
func (c *usageCmd) csv(e *env, list []meter.UsageRow) error {
	w := csv.NewWriter(e.Out)
	_ = w.Write(append(slices.Clone(c.By), "requests", "refused", "failed", "canceled", "input", "output", "cache_read", "cache_write",
		"charge", "charge_currency", "unpriced", "cost", "cost_currency", "uncosted", "simulated")) // Error tells
	for i := range list {
		r := &list[i]
		charge, cost := "", ""
		if r.Currency != "" {
			charge = meter.FormatMoney(r.Charge, "")
		}
		if r.CostCurrency != "" {
			cost = meter.FormatMoney(r.Cost, "")
		}
		_ = w.Write(append(slices.Clone(r.Group), count(r.Requests), count(r.Refused), count(r.Failed), count(r.Canceled), count(r.Input),
			count(r.Output), count(r.CacheRead), count(r.CacheWrite), charge, r.Currency, count(r.Unpriced), cost, r.CostCurrency,
			count(r.Uncosted), count(r.Simulated)))
	}
	w.Flush()
	return w.Error()
}
