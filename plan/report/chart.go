package report

import (
	"fmt"
	"html"
	"strings"

	"forebay/internal/axis"
	"forebay/plan"
)

// bar is the cost of an option in a chart.
type bar struct {
	label          string
	note           string // written behind it
	low, mid, high float64
	known          bool
	tip            string
}

// barsOf are the options of the chart, the recommended one first.
func barsOf(a *plan.Answer) []bar {
	var out []bar
	for _, o := range leading(a) {
		b := bar{label: o.Name, note: "unknown", tip: o.Name + ": " + string(o.State)}
		switch {
		case o.Cost != nil:
			b.low, b.mid, b.high, b.known = float64(o.Cost.Low)/1e9, float64(o.Cost.Mid)/1e9, float64(o.Cost.High)/1e9, true
			b.note = plan.Amount(o.Cost.Mid) + " " + a.Currency
			b.tip = fmt.Sprintf("%s: %s (%s to %s, %s); refused %s; first token %s", o.Name, b.note, plan.Amount(o.Cost.Low), plan.Amount(o.Cost.High), o.Cost.Kind, Share(o.Refused), Times(o.First))
		case o.AtLeast > 0:
			b.mid = float64(o.AtLeast) / 1e9
			b.low, b.high = b.mid, b.mid
			b.note = "at least " + plan.Amount(o.AtLeast) + " " + a.Currency
			b.tip = o.Name + ": " + o.Why
		}
		out = append(out, b)
	}
	return out
}

// title of the chart of costs.
func title(a *plan.Answer) string {
	return fmt.Sprintf("Cost per %d days, %s: %s calls a day of %s", a.Days, a.Currency, plan.Grouped(a.Traffic.CallsADay), a.Model)
}

// The layout of the chart of bars, in pixels.
const (
	chartWidth = 900
	labelWidth = 330
	noteWidth  = 190
	rowHeight  = 34
	chartTop   = 44
)

func reach(list []bar) float64 {
	most := 0.0
	for i := range list {
		most = max(most, list[i].high)
	}
	return axis.RoundUp(most)
}

// costSVG draws the bars.
func costSVG(a *plan.Answer) string {
	list := barsOf(a)
	most := reach(list)
	x := func(v float64) float64 { return labelWidth + v/most*(chartWidth-labelWidth-noteWidth) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="13">`, chartWidth, chartTop+rowHeight*len(list)+10)
	fmt.Fprintf(&b, `<text x="0" y="20" font-size="15" font-weight="bold">%s</text>`, html.EscapeString(title(a)))
	for i := range list {
		r, y := &list[i], float64(chartTop+i*rowHeight)
		fill := "#9ecbff"
		switch {
		case !r.known:
			fill = "#e6e6e6"
		case i == 0:
			fill = "#1f6feb"
		}
		fmt.Fprintf(&b, `<g class="row" data-tip="%s"><title>%s</title>`, html.EscapeString(r.tip), html.EscapeString(r.tip))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`, labelWidth-8, y+15, html.EscapeString(short(r.label, 46)))
		fmt.Fprintf(&b, `<rect x="%d" y="%.1f" width="%.1f" height="22" rx="2" fill="%s"/>`, labelWidth, y, max(1, x(r.mid)-labelWidth), fill)
		if r.high > r.low {
			fmt.Fprintf(&b, `<path d="M%.1f %.1fV%.1fM%.1f %.1fH%.1fM%.1f %.1fV%.1f" stroke="#333"/>`, x(r.low), y+5, y+17, x(r.low), y+11, x(r.high), x(r.high), y+5, y+17)
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f">%s</text></g>`, max(x(r.high), x(r.mid))+8, y+15, html.EscapeString(r.note))
	}
	b.WriteString("</svg>")
	return b.String()
}

// hoursSVG draws the calls a minute by the hour of the day.
func hoursSVG(a *plan.Answer) string {
	const width, height, left, below = 900, 160, 60, 24
	most := 1.0
	for _, h := range a.Traffic.Hours {
		most = max(most, float64(h)/1000)
	}
	most = axis.RoundUp(most)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="12">`, width, height)
	step := float64(width-left) / float64(len(a.Traffic.Hours))
	for h, v := range a.Traffic.Hours {
		tall := float64(v) / 1000 / most * (height - below - 10)
		x := left + float64(h)*step
		tip := fmt.Sprintf("%d to %d h: %s calls a minute", h, h+1, plan.Milli(v))
		fmt.Fprintf(&b, `<g class="row" data-tip="%s"><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#1f6feb"/></g>`, tip, tip, x+1, height-below-tall, step-2, tall)
		if h%3 == 0 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%d h</text>`, x, height-8, h)
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="16" text-anchor="end">%.4g</text><text x="%d" y="%d" text-anchor="end">0</text></svg>`, left-6, most, left-6, height-below)
	return b.String()
}
