package report

import (
	"fmt"
	"html"
	"math"
	"strings"

	"forebay/internal/axis"
	"forebay/plan"
)

// dot is a point of a frontier's chart.
type dot struct {
	x, y float64 // cost in the currency, and what it is held against
	best bool
	tip  string
}

// scatter is a chart of cost against something.
type scatter struct {
	title, unit string
	dots        []dot
}

// scatters are the charts of the frontiers, those of at least two points that differ.
func scatters(a *plan.Answer) []scatter {
	refused := scatter{title: "Cost against refusals", unit: "% refused"}
	quick := scatter{title: "Cost against the time to the first token", unit: "s, of one call in a hundred"}
	for i := range a.Frontier {
		p := &a.Frontier[i]
		cost := float64(p.Cost) / 1e9
		refused.dots = append(refused.dots, dot{cost, float64(p.Refused) / 1e4, p.Sure, fmt.Sprintf("%s: %s %s, %s %% refused", p.Name, plan.Amount(p.Cost), a.Currency, plan.Milli(p.Refused/10))})
		if p.P99 > 0 {
			quick.dots = append(quick.dots, dot{cost, float64(p.P99) / 1e9, p.Quick, fmt.Sprintf("%s: %s %s, first token within %s", p.Name, plan.Amount(p.Cost), a.Currency, Span(p.P99))})
		}
	}
	var out []scatter
	for _, s := range []scatter{refused, quick} {
		if s.differs() {
			out = append(out, s)
		}
	}
	return out
}

func (s *scatter) differs() bool {
	for i := range s.dots {
		if s.dots[i].y != s.dots[0].y {
			return true
		}
	}
	return false
}

// reach returns the ends of both axes.
func (s *scatter) reach() (x, y float64) {
	for i := range s.dots {
		x, y = max(x, s.dots[i].x), max(y, s.dots[i].y)
	}
	return axis.RoundUp(x), axis.RoundUp(y)
}

// The layout of a scatter chart, in pixels.
const (
	scatterHeight = 260
	scatterLeft   = 70
	scatterBelow  = 34
	scatterTop    = 40
)

// place is where a dot lies in a chart that begins at a height.
func (s *scatter) place(d *dot, top int) (x, y float64) {
	mostX, mostY := s.reach()
	x = scatterLeft + d.x/mostX*(chartWidth-scatterLeft-20)
	y = float64(top+scatterHeight-scatterBelow) - d.y/mostY*(scatterHeight-scatterBelow-scatterTop)
	return x, y
}

// frontierSVG draws one chart.
func frontierSVG(a *plan.Answer, s *scatter) string {
	mostX, mostY := s.reach()
	base := scatterHeight - scatterBelow
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="12">`, chartWidth, scatterHeight)
	fmt.Fprintf(&b, `<text x="0" y="18" font-size="14" font-weight="bold">%s</text>`, html.EscapeString(s.title))
	fmt.Fprintf(&b, `<path d="M%d %dV%dH%d" stroke="#888" fill="none"/>`, scatterLeft, scatterTop, base, chartWidth-20)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.4g</text><text x="%d" y="%d" text-anchor="end">0</text><text x="%d" y="%d">%s</text>`,
		scatterLeft-6, scatterTop+4, mostY, scatterLeft-6, base+4, scatterLeft+6, scatterTop+4, html.EscapeString(s.unit))
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.6g %s</text>`, chartWidth-20, base+18, mostX, html.EscapeString(a.Currency))
	for i := range s.dots {
		d := &s.dots[i]
		x, y := s.place(d, 0)
		fill := "#9ecbff"
		if d.best {
			fill = "#1f6feb"
		}
		fmt.Fprintf(&b, `<g class="row" data-tip="%s"><title>%s</title><circle cx="%.1f" cy="%.1f" r="6" fill="%s"/></g>`, html.EscapeString(d.tip), html.EscapeString(d.tip), x, y, fill)
	}
	b.WriteString("</svg>")
	return b.String()
}

// scatter draws one chart below what there is of a picture.
func (c *canvas) scatter(a *plan.Answer, s *scatter, top int) {
	mostX, mostY := s.reach()
	base := top + scatterHeight - scatterBelow
	c.text(4, top+18, s.title, false)
	c.fill(scatterLeft, top+scatterTop, scatterLeft+1, base, ink)
	c.fill(scatterLeft, base, chartWidth-20, base+1, ink)
	c.text(scatterLeft-6, top+scatterTop+4, fmt.Sprintf("%.4g", mostY), true)
	c.text(scatterLeft-6, base+4, "0", true)
	c.text(scatterLeft+6, top+scatterTop+4, s.unit, false)
	c.text(chartWidth-20, base+18, fmt.Sprintf("%.6g %s", mostX, a.Currency), true)
	for i := range s.dots {
		d := &s.dots[i]
		x, y := s.place(d, top)
		fill := other
		if d.best {
			fill = best
		}
		c.fill(int(math.Round(x))-5, int(math.Round(y))-5, int(math.Round(x))+5, int(math.Round(y))+5, fill)
	}
}
