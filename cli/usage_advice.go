package cli

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"forebay/catalog"
	"forebay/meter"
	"forebay/plan"
)

// lookBack is how much of the past advice is given on: what would have been saved in the last month.
const lookBack = 30 * 24 * time.Hour

// advice says of each model whose units can be committed to what to reserve now, on the last month's calls that were paid for by the token. Where the server does
// not tell its models or hours, there is none.
func (c *usageCmd) advice(e *env) []plan.Advice {
	if c.Since != "" || c.Until != "" || c.Model != "" || c.OfKey != "" || c.Team != "" {
		return nil // a part of the calls is no ground to buy on
	}
	models, err := c.models(e)
	if err != nil {
		return nil
	}
	committed := map[string]*catalog.Model{}
	for _, m := range models {
		if u, ok := m.UnitSize(); ok && u.Basis != catalog.BasisPlaceholder && m.Price != nil && m.UnitPrices != nil && cmp.Or(m.UnitPrices.OneMonth, m.UnitPrices.SixMonths) != nil {
			committed[m.ID] = m.Model
		}
	}
	if len(committed) == 0 {
		return nil
	}
	until := time.Now().UTC().Truncate(time.Hour)
	since := until.Add(-lookBack)
	q := url.Values{"by": {"hour,model,mode"}, "account": {c.Of}, "since": {since.Format(time.RFC3339)}, "until": {until.Format(time.RFC3339)}}
	var out struct {
		Rows []meter.UsageRow `json:"rows"`
	}
	if err := c.call(e.ctx, http.MethodGet, "usage?"+q.Encode(), nil, &out); err != nil {
		return nil
	}
	return adviceOf(committed, out.Rows, since, int(lookBack/time.Hour))
}

// adviceOf is that on rows by hour, model and mode.
func adviceOf(models map[string]*catalog.Model, rows []meter.UsageRow, since time.Time, n int) []plan.Advice {
	hours := map[string][]plan.Flow{}
	for i := range rows {
		r := &rows[i]
		at, err := time.Parse("2006-01-02T15:04Z", r.Group[0])
		h := int(at.Sub(since) / time.Hour)
		if m := models[r.Group[1]]; err != nil || m == nil || r.Group[2] != "on-demand" || h < 0 || h >= n {
			continue
		}
		if hours[r.Group[1]] == nil {
			hours[r.Group[1]] = make([]plan.Flow, n)
		}
		f := &hours[r.Group[1]][h]
		f.Calls += float64(r.Requests)
		f.Input += float64(r.Input + r.CacheWrite)
		f.Cached += float64(r.CacheRead)
		f.Output += float64(r.Output)
	}
	var out []plan.Advice
	for _, id := range slices.Sorted(maps.Keys(hours)) {
		if list, err := plan.AdviseHours(models[id], hours[id], since, 0); err == nil {
			out = append(out, list...)
		}
	}
	return out
}
