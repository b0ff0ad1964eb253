package report

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	"forebay/plan"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// The colours of the picture, those of the page.
var (
	best    = color.RGBA{0x1f, 0x6f, 0xeb, 0xff}
	other   = color.RGBA{0x9e, 0xcb, 0xff, 0xff}
	unknown = color.RGBA{0xe6, 0xe6, 0xe6, 0xff}
	ink     = color.RGBA{0x22, 0x22, 0x22, 0xff}
)

// pngScale is pixels of the picture to a pixel of the page.
const pngScale = 2

// PNG draws the chart of costs, and those of the frontiers.
func PNG(w io.Writer, a *plan.Answer) error {
	list, charts := barsOf(a), scatters(a)
	end := chartTop + rowHeight*len(list) + 10
	c, err := newCanvas(chartWidth, end+scatterHeight*len(charts))
	if err != nil {
		return err
	}
	most := reach(list)
	x := func(v float64) int { return labelWidth + int(v/most*(chartWidth-labelWidth-noteWidth)) }
	c.text(4, 20, title(a), false)
	for i := range list {
		r, y := &list[i], chartTop+i*rowHeight
		fill := other
		switch {
		case !r.known:
			fill = unknown
		case i == 0:
			fill = best
		}
		c.text(labelWidth-8, y+15, short(r.label, 46), true)
		c.fill(labelWidth, y, max(labelWidth+1, x(r.mid)), y+22, fill)
		if r.high > r.low {
			c.fill(x(r.low), y+11, x(r.high), y+12, ink)
			c.fill(x(r.low), y+5, x(r.low)+1, y+17, ink)
			c.fill(x(r.high), y+5, x(r.high)+1, y+17, ink)
		}
		c.text(max(x(r.high), x(r.mid))+8, y+15, r.note, false)
	}
	for i := range charts {
		c.scatter(a, &charts[i], end+i*scatterHeight)
	}
	return png.Encode(w, c.image)
}

// canvas is a picture that is drawn in pixels of the page.
type canvas struct {
	image *image.RGBA
	face  font.Face
}

func newCanvas(width, height int) (*canvas, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("report: the font: %w", err)
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: 13 * pngScale, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, fmt.Errorf("report: the font: %w", err)
	}
	img := image.NewRGBA(image.Rect(0, 0, width*pngScale, height*pngScale))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	return &canvas{img, face}, nil
}

func (c *canvas) fill(x0, y0, x1, y1 int, with color.Color) {
	draw.Draw(c.image, image.Rect(x0*pngScale, y0*pngScale, x1*pngScale, y1*pngScale), image.NewUniform(with), image.Point{}, draw.Src)
}

// text writes from x on, or up to it.
func (c *canvas) text(x, y int, s string, right bool) {
	d := font.Drawer{Dst: c.image, Src: image.NewUniform(ink), Face: c.face, Dot: fixed.P(x*pngScale, y*pngScale)}
	if right {
		d.Dot.X -= d.MeasureString(s)
	}
	d.DrawString(s)
}
