package prove

import (
	"fmt"
	"strings"

	"forebay/internal/axis"
)

// Plot is a line chart.
type Plot struct {
	Name  string `json:"name"` // of its file, without an ending
	Title string `json:"title"`
	X     string `json:"x"`
	Y     string `json:"y"`
	Lines []Line `json:"lines"`
}

// Line is one line of a chart.
type Line struct {
	Name string    `json:"name"`
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"`
}

const (
	width, height             = 720.0, 360.0
	left, right, above, below = 64.0, 16.0, 36.0, 48.0
	ticks                     = 5
)

var colours = []string{"#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df"}

// SVG draws the chart.
func (p *Plot) SVG() string {
	maxX, maxY := p.extent()
	x := func(v float64) float64 { return left + v/maxX*(width-left-right) }
	y := func(v float64) float64 { return height - below - v/maxY*(height-above-below) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="white"/><text x="%g" y="20" font-size="14">%s</text>`+"\n", width, height, left, escape(p.Title))
	for i := range ticks + 1 {
		vx, vy := maxX*float64(i)/ticks, maxY*float64(i)/ticks
		fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%.3g</text>`+"\n", left, y(vy), width-right, left-6, y(vy)+4, vy)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%.3g</text>`+"\n", x(vx), height-below+18, vx)
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-8, escape(p.X))
	fmt.Fprintf(&b, `<text transform="translate(14 %g) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (above+height-below)/2, escape(p.Y))
	for i, l := range p.Lines {
		colour := colours[i%len(colours)]
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="1.5" d="%s"/>`, colour, path(l, x, y))
		fmt.Fprintf(&b, `<text x="%g" y="%g" fill="%s" text-anchor="end">%s</text>`+"\n", width-right-6, above+14+16*float64(i), colour, escape(l.Name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// extent is the end of each axis: a round number at or beyond the largest value.
func (p *Plot) extent() (maxX, maxY float64) {
	for _, l := range p.Lines {
		for i := range l.X {
			maxX, maxY = max(maxX, l.X[i]), max(maxY, l.Y[i])
		}
	}
	return axis.RoundUp(maxX), axis.RoundUp(maxY)
}

func path(l Line, x, y func(float64) float64) string {
	var b strings.Builder
	for i := range l.X {
		c := "L"
		if i == 0 {
			c = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", c, x(l.X[i]), y(l.Y[i]))
	}
	return b.String()
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func escape(s string) string { return escaper.Replace(s) }

// distribution is the line of the share of values (ascending) at or below each, in ms, up to the 99.9th percentile.
func distribution(name string, values []timed) Line {
	all := sorted(values)
	l := Line{Name: name}
	const points = 200
	for i := range points {
		q := 0.999 * float64(i+1) / points
		l.X = append(l.X, float64(Quantile(all, q))/1e6)
		l.Y = append(l.Y, q)
	}
	return l
}
