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
	"text/tabwriter"
	"time"

	"forebay/api/admin"
	"forebay/identity"
	"forebay/meter"

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

// table prints rows in columns.
func table(e *env, head string, rows [][]string) error {
	w := tabwriter.NewWriter(e.Out, 2, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, head)
	for _, r := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

type modelsCmd struct {
	List modelList `cmd:"" default:"withargs" help:"List the models that can be called."`
	Show modelShow `cmd:"" help:"Show one model with its prices and their source."`
}

type modelList struct{ remote }

// Run implements the verb.
func (c *modelList) Run(e *env) error { return listModels(e, &c.remote) }

type modelShow struct {
	remote
	ID string `arg:"" help:"Model id."`
}

func (r *remote) models(e *env) ([]admin.ModelInfo, error) {
	var out struct {
		Models []admin.ModelInfo `json:"models"`
	}
	err := r.call(e.ctx, http.MethodGet, "models", nil, &out)
	return out.Models, err
}

func rate(v *int64, currency string) string {
	if v == nil {
		return "unknown"
	}
	return meter.FormatMoney(*v, currency)
}

func listModels(e *env, r *remote) error {
	list, err := r.models(e)
	if err != nil {
		return err
	}
	if r.JSON {
		return printJSON(e, list)
	}
	var rows [][]string
	for _, m := range list {
		in, out := "unknown", "unknown"
		if p := m.Price; p != nil {
			in, out = rate(p.Input, p.Currency), rate(p.Output, p.Currency)
		}
		engine := strings.Join(m.Engines, ", ")
		if m.Simulated {
			engine += " (SIMULATED)"
		}
		rows = append(rows, []string{m.ID, string(m.Family), engine, in, out})
	}
	return table(e, "MODEL\tFAMILY\tENGINES\tINPUT PER M\tOUTPUT PER M", rows)
}

// Run implements the verb.
func (c *modelShow) Run(e *env) error {
	list, err := c.models(e)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.ID == c.ID {
			return printJSON(e, m)
		}
	}
	return fmt.Errorf("no model %q; see `forebay models`", c.ID)
}

type usageCmd struct {
	remote
	By    []string `help:"Dimensions: day, hour, model, mode, key, team, api, operation, engine, tier, outcome, reason, region, tag:NAME." default:"model"`
	Since string   `help:"Only calls since: a date, a time, or a duration such as 24h."`
	Until string   `help:"Only calls before."`
	Model string   `help:"Only this model."`
	OfKey string   `name:"of-key" help:"Only this key id."`
	CSV   bool     `name:"csv" help:"Print CSV."`
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
	q := url.Values{"by": {strings.Join(c.By, ",")}, "model": {c.Model}, "key": {c.OfKey}}
	for name, text := range map[string]string{"since": c.Since, "until": c.Until} {
		t, err := moment(text)
		if err != nil {
			return err
		}
		q.Set(name, t)
	}
	if c.Verify {
		return c.verify(e, q)
	}
	var out struct {
		Rows   []meter.UsageRow `json:"rows"`
		GaveUp []meter.GaveUp   `json:"clientsGaveUp"`
	}
	if err := c.call(e.ctx, http.MethodGet, "usage?"+q.Encode(), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, out)
	}
	if c.CSV {
		return c.csv(e, out.Rows)
	}
	head := append(slices.Clone(c.By), "requests", "refused", "failed", "left", "input", "output", "charge", "unpriced", "cost", "uncosted")
	var rows [][]string
	for i := range out.Rows {
		r := &out.Rows[i]
		rows = append(rows, append(slices.Clone(r.Group),
			count(r.Requests), count(r.Refused), count(r.Failed), count(r.Canceled), count(r.Input+r.CacheRead+r.CacheWrite), count(r.Output),
			amount(r.Charge, r.Currency, r.Unpriced), count(r.Unpriced), amount(r.Cost, r.CostCurrency, r.Uncosted), count(r.Uncosted)))
	}
	if err := table(e, strings.ToUpper(strings.Join(head, "\t")), rows); err != nil {
		return err
	}
	for _, g := range out.GaveUp {
		if g.Times > 1 {
			_, _ = fmt.Fprintf(e.Out, "\nClients gave up after %d s, %d times: raise their read time-out (boto3: Config(read_timeout=...)).\n", g.Seconds, g.Times)
		}
	}
	return nil
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
	var v meter.Verification
	if err := c.call(e.ctx, http.MethodGet, "verify?"+q.Encode(), nil, &v); err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(e, &v); err != nil {
			return err
		}
	} else {
		_, _ = fmt.Fprintf(e.Out, "%d rows for %d calls\n", v.Rows, v.Calls)
		for _, x := range []struct {
			what   string
			totals map[string]int64
		}{{"charge", v.Charges}, {"cost", v.Costs}} {
			for _, currency := range slices.Sorted(maps.Keys(x.totals)) {
				_, _ = fmt.Fprintf(e.Out, "%s %s\n", x.what, meter.FormatMoney(x.totals[currency], currency))
			}
		}
		for _, f := range v.Faults {
			_, _ = fmt.Fprintln(e.Out, f)
		}
	}
	if v.Wrong > 0 {
		return fmt.Errorf("%d amounts do not follow from their rows", v.Wrong)
	}
	return nil
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
	return printJSON(e, &ex)
}

type keysCmd struct {
	List   keyList   `cmd:"" default:"withargs" help:"List keys."`
	Create keyCreate `cmd:"" help:"Make a key; its secret is shown once."`
	Revoke keyRevoke `cmd:"" help:"End a key at once."`
	Rotate keyRotate `cmd:"" help:"Make a new key with the policy of an old one, and end the old one."`
}

type keyInfo struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	Team      string          `json:"team,omitempty"`
	Policy    identity.Policy `json:"policy"`
	Created   time.Time       `json:"created,omitzero"`
	Expires   time.Time       `json:"expires,omitzero"`
	Revoked   time.Time       `json:"revoked,omitzero"`
	ManagedBy string          `json:"managedBy,omitempty"`
	Secret    string          `json:"secret,omitempty"`
}

type keyList struct{ remote }

func (r *remote) keys(e *env) ([]keyInfo, error) {
	var out struct {
		Keys []keyInfo `json:"keys"`
	}
	err := r.call(e.ctx, http.MethodGet, "keys", nil, &out)
	return out.Keys, err
}

// Run implements the verb.
func (c *keyList) Run(e *env) error {
	keys, err := c.keys(e)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, keys)
	}
	var rows [][]string
	for _, k := range keys {
		state := "live"
		if !k.Revoked.IsZero() {
			state = "revoked"
		} else if !k.Expires.IsZero() && k.Expires.Before(time.Now()) {
			state = "expired"
		}
		rows = append(rows, []string{k.ID, k.Kind, k.Name, k.Team, state, k.ManagedBy})
	}
	return table(e, "ID\tKIND\tNAME\tTEAM\tSTATE\tMANAGED BY", rows)
}

type keyCreate struct {
	remote
	Name              string        `arg:"" help:"Name of the key."`
	Kind              string        `help:"api-key (a bearer token) or access-key (for AWS signatures)." enum:"api-key,access-key" default:"api-key"`
	Team              string        `help:"Team that the key belongs to."`
	AllowModel        []string      `help:"Models the key may call; * and ? match."`
	AllowAction       []string      `help:"Actions the key may perform, such as bedrock:InvokeModel*."`
	MaxTier           string        `help:"Highest tier of service." enum:",priority,default,flex" default:""`
	RequestsPerMinute int64         `help:"Requests a minute."`
	TokensPerMinute   int64         `help:"Tokens a minute."`
	TokensPerDay      int64         `help:"Tokens a day."`
	ExpiresIn         time.Duration `help:"Life of the key, such as 720h."`
}

func (r *remote) createKey(e *env, in map[string]any) error {
	var out keyInfo
	if err := r.call(e.ctx, http.MethodPost, "keys", in, &out); err != nil {
		return err
	}
	if r.JSON {
		return printJSON(e, out)
	}
	_, err := fmt.Fprintf(e.Out, "id      %s\nsecret  %s\nThe secret is not shown again.\n", out.ID, out.Secret)
	return err
}

// Run implements the verb.
func (c *keyCreate) Run(e *env) error {
	in := map[string]any{"name": c.Name, "kind": c.Kind, "team": c.Team, "policy": identity.Policy{
		Actions: c.AllowAction, Models: c.AllowModel, Tier: c.MaxTier,
		Limits: identity.Limits{RequestsPerMinute: c.RequestsPerMinute, TokensPerMinute: c.TokensPerMinute, TokensPerDay: c.TokensPerDay},
	}}
	if c.ExpiresIn > 0 {
		in["expires"] = time.Now().Add(c.ExpiresIn).UTC()
	}
	return c.createKey(e, in)
}

type keyRevoke struct {
	remote
	ID string `arg:"" help:"Key id."`
}

// Run implements the verb.
func (c *keyRevoke) Run(e *env) error {
	var out map[string]string
	if err := c.call(e.ctx, http.MethodDelete, "keys/"+url.PathEscape(c.ID), nil, &out); err != nil {
		return err
	}
	_, err := fmt.Fprintln(e.Out, "revoked", c.ID)
	return err
}

type keyRotate struct {
	remote
	ID string `arg:"" help:"Key id."`
}

// Run implements the verb: the new key gets the old one's name, so the old one ends first.
func (c *keyRotate) Run(e *env) error {
	keys, err := c.keys(e)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.ID != c.ID {
			continue
		}
		var out map[string]string
		if err := c.call(e.ctx, http.MethodDelete, "keys/"+url.PathEscape(c.ID), nil, &out); err != nil {
			return err
		}
		return c.createKey(e, map[string]any{"name": k.Name, "kind": k.Kind, "team": k.Team, "policy": k.Policy})
	}
	return fmt.Errorf("no key %q; see `forebay keys`", c.ID)
}
