package report

import (
	_ "embed" // the page
	"html/template"
	"io"
	"strings"

	"forebay/plan"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"amount": plan.Amount, "grouped": plan.Grouped, "milli": plan.Milli, "share": Share, "times": Times, "used": Used, "span": Span, "sensitivity": Sensitivity, "waited": waited,
	"percent":    func(permille int64) string { return plan.Milli(permille * 100) },
	"permillion": func(n int64) string { return plan.Milli(n/10) + " %" },
	"join":       strings.Join,
	"possible":   func(o *plan.Option) bool { return o.State == plan.Possible },
}).Parse(pageHTML))

// HTML writes the report as one page. It loads nothing from anywhere, and shows what it can without scripts.
func HTML(w io.Writer, a *plan.Answer) error {
	var sheet strings.Builder
	if err := Sizing(&sheet, a); err != nil {
		return err
	}
	lines, err := json.Marshal(volumeLines(a), jsontext.EscapeForHTML(true))
	if err != nil {
		return err
	}
	refusals, latency := frontiers(a)
	var charts strings.Builder
	for _, s := range scatters(a) {
		charts.WriteString(frontierSVG(a, &s))
	}
	return page.Execute(w, map[string]any{
		"A": a, "Sheet": sheet.String(), "Refusals": refusals, "Latency": latency, "Regrets": regrets(a), "Searches": searches(a), "Callers": callers(a), "Clients": clients(a),
		"Certainty": certainty(a), "Courses": courses(a),
		"Charts": template.HTML(charts.String()), //nolint:gosec // as those below
		"Cost":   template.HTML(costSVG(a)),      //nolint:gosec // made here, every text in it escaped
		"Hours":  template.HTML(hoursSVG(a)),     //nolint:gosec // likewise
		"Lines":  template.JS(lines),             //nolint:gosec // likewise: the encoder escapes what ends a script
	})
}

// volumeLine is what an option costs by the volume: Fixed a month and Call for each call, in units of the currency.
type volumeLine struct {
	Name  string  `json:"name"`
	Fixed float64 `json:"fixed"`
	Call  float64 `json:"call"`
}

// volume is the chart of costs over volumes.
type volume struct {
	Calls    float64      `json:"calls"` // a day now
	Days     float64      `json:"days"`
	Currency string       `json:"currency"`
	Lines    []volumeLine `json:"lines"`
}

// volumeLines are the two that break even: on demand, and what is bought by the hour as it was sized.
func volumeLines(a *plan.Answer) volume {
	v := volume{Calls: float64(a.Traffic.CallsADay), Days: float64(a.Days), Currency: a.Currency}
	for _, o := range a.Options {
		if o.Mode == plan.OnDemand && o.Cost != nil && o.Model == "" && v.Calls > 0 {
			v.Lines = append(v.Lines, volumeLine{Name: o.Name, Call: float64(o.Cost.Mid) / 1e9 / v.Calls / v.Days})
		}
	}
	for i := range a.BreakEven {
		b := &a.BreakEven[i]
		if len(v.Lines) > 0 && len(v.Lines) < 5 {
			v.Lines = append(v.Lines, volumeLine{Name: b.Against, Fixed: v.Lines[0].Call * float64(b.PerDay) * v.Days})
		}
	}
	return v
}
