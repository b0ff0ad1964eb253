package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"forebay/meter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type explainCmd struct {
	remote
	ID string `arg:"" help:"Request id, from the response's x-amzn-requestid or x-request-id."`
}

// Run implements the verb.
func (c *explainCmd) Run(e *env) error {
	var ex meter.Explanation
	if err := c.call(e.ctx, http.MethodGet, "explain/"+url.PathEscape(c.ID), nil, &ex); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, &ex)
	}
	return tell(e.Out, &ex)
}

// decision is the scheduler's account of a refused call, as the ledger keeps it.
type decision struct {
	Reason   string `json:"reason"`
	Ahead    int64  `json:"ahead"`
	RetryMs  int64  `json:"retryAfterMs"`
	Estimate bool   `json:"retryEstimated"`
	Refused  string `json:"refusedBy"`
	Limits   []struct {
		Scope string `json:"scope"`
		Limit string `json:"limit"`
		Value int64  `json:"value"`
		Level int64  `json:"level"`
		Hold  int64  `json:"hold"`
	} `json:"limits"`
}

// tell writes what happened to a call, for people.
func tell(out io.Writer, ex *meter.Explanation) error {
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", name, plain(fmt.Sprintf(format, args...))) // Flush tells
	}
	line("call", "%s, %s %s", ex.RequestID, ex.API, ex.Operation)
	line("by", "%s", caller(ex))
	line("arrived", "%s", ex.Arrived.Format(time.RFC3339Nano))
	line("model", "%s", servedModel(ex))
	if ex.Reservation != "" {
		line("purchase", "%s", ex.Reservation)
	}
	if ex.Route != "" {
		line("route", "%s", routed(ex))
	}
	outcome := fmt.Sprintf("%s (%d)", ex.Outcome, ex.Status)
	if ex.Reason != "" {
		outcome += ": " + ex.Reason
	}
	line("outcome", "%s", outcome)
	if ex.Count > 1 {
		line("count", "the row stands for %d calls that were refused alike", ex.Count)
	}
	if ex.Outcome != meter.OutcomeRefused {
		bound := "the model's own bound on the answer"
		if ex.MaxTokens > 0 {
			bound = fmt.Sprintf("max_tokens %d", ex.MaxTokens)
		}
		line("held", "%d tokens: estimated input %d, %s", ex.Held, ex.Estimate, bound)
		line("used", "%s", tokens(ex))
		first := "no token"
		if ex.FirstMs > 0 {
			first = "first token after " + milliseconds(ex.FirstMs)
		}
		line("time", "%s in the queue, %s, %s in all", milliseconds(ex.QueueMs), first, milliseconds(ex.TotalMs))
		line("charge", "%s", price(ex.Charge))
		line("cost", "%s", price(ex.Cost))
	}
	for i, a := range ex.Attempts {
		line("attempt "+strconv.Itoa(i+1), "%s", attempted(&a))
	}
	if len(ex.SameRequest) > 0 {
		line("client", "other attempts of the same call: %s", strings.Join(ex.SameRequest, ", "))
	}
	if err := w.Flush(); err != nil || len(ex.Detail) == 0 {
		return err
	}
	verb := "Refused"
	if ex.Outcome != meter.OutcomeRefused {
		verb = "Given up"
	}
	return why(out, verb, ex.Detail)
}

// why writes the scheduler's reason for what the verb says, and the limits that it looked at.
func why(out io.Writer, verb string, detail jsontext.Value) error {
	var d decision
	if err := json.Unmarshal(detail, &d); err != nil {
		return fmt.Errorf("the scheduler's account of the call cannot be read: %w", err)
	}
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	switch {
	case d.Refused != "":
		_, _ = fmt.Fprintf(w, "\n%s by the limit %s", verb, d.Refused) // Flush tells, here and below
	case d.Ahead > 0:
		_, _ = fmt.Fprintf(w, "\n%s: %s, %d calls ahead in the queue", verb, d.Reason, d.Ahead)
	default:
		_, _ = fmt.Fprintf(w, "\n%s: %s", verb, d.Reason)
	}
	if d.RetryMs > 0 {
		about := ""
		if d.Estimate {
			about = "about "
		}
		_, _ = fmt.Fprintf(w, "; there is room again after %s%s", about, time.Duration(d.RetryMs)*time.Millisecond)
	}
	_, _ = fmt.Fprintln(w, ".")
	if len(d.Limits) > 0 {
		_, _ = fmt.Fprintln(w, "\nLIMIT\tOF\tALLOWED\tUSED\tTHIS CALL")
	}
	for i := range d.Limits {
		l := &d.Limits[i]
		figure := count
		if strings.HasPrefix(l.Limit, "spend/") {
			figure = func(nano int64) string { return meter.FormatMoney(nano, "") }
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Limit, l.Scope, figure(l.Value), figure(l.Level), figure(l.Hold))
	}
	return w.Flush()
}

// routed says which lane of a route served, and which the call has left before.
func routed(ex *meter.Explanation) string {
	s := fmt.Sprintf("%s, lane %d: %s", ex.Route, ex.Lane+1, ex.LaneName)
	if ex.Spill != "" {
		s += "; left " + ex.Spill
	}
	return s
}

func attempted(a *meter.AttemptEntry) string {
	s := a.Engine
	if a.Lane != "" {
		s += " in lane " + a.Lane
	}
	outcome := a.Outcome
	if a.Recalled {
		outcome = "recalled, for a call of a higher tier or a reservation"
	}
	s += fmt.Sprintf(": %s, began after %s and took %s", outcome, milliseconds(a.BeganMs), milliseconds(a.TookMs))
	if a.Lost != nil {
		s += fmt.Sprintf("; lost %d tokens in, %d out, which cost %s and are not charged", a.Input, a.Output, meter.FormatMoney(*a.Lost, a.LostCurrency))
	}
	return s
}

func caller(ex *meter.Explanation) string {
	s := "key " + ex.Key
	if ex.Team != "" {
		s += " of team " + ex.Team
	}
	return s + " of account " + ex.Account
}

func servedModel(ex *meter.Explanation) string {
	s := ex.Model
	if s == "" {
		return "none, asked for as " + ex.ModelAsked
	}
	if ex.Engine != "" {
		s += " on engine " + ex.Engine
	}
	if ex.Simulated {
		s += " (SIMULATED)"
	}
	if ex.ModelAsked != ex.Model {
		s += ", asked for as " + ex.ModelAsked
	}
	return s + ", " + ex.Mode + ", tier " + ex.Tier
}

func tokens(ex *meter.Explanation) string {
	s := fmt.Sprintf("%d tokens in, %d out", ex.Input, ex.Output)
	if ex.CacheRead+ex.CacheWrite > 0 {
		s += fmt.Sprintf(", %d read from a cache, %d written to it", ex.CacheRead, ex.CacheWrite)
	}
	if ex.UsageGuess {
		s += " (estimated: the engine did not count)"
	}
	return s
}

// price writes an amount with its lines and where its tariff comes from.
func price(m *meter.Money) string {
	if m == nil {
		return "unknown"
	}
	s := meter.FormatMoney(m.Total, m.Currency)
	var lines []string
	for _, l := range []struct {
		what string
		nano int64
	}{{"input", m.Input}, {"output", m.Output}, {"cache read", m.CacheRead}, {"cache write", m.CacheWrite}} {
		if l.nano != 0 {
			lines = append(lines, l.what+" "+meter.FormatMoney(l.nano, ""))
		}
	}
	if len(lines) > 0 {
		s += ": " + strings.Join(lines, ", ")
	}
	if m.Source != "" {
		s += "; " + m.Source
	}
	return s
}

func milliseconds(ms float64) string {
	return time.Duration(ms * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
}
