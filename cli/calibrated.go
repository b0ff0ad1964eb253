package cli

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/calibrate"
	"forebay/config"
	"forebay/perf"
	"forebay/prove"

	"github.com/go-json-experiment/json/jsontext"
)

// calibrated is a calibration and what follows from it.
type calibrated struct {
	Model, Engine string
	At            time.Time

	mix     perf.Mix
	parts   int
	slots   int
	limited bool // more were asked for, and waited
	kv      int64
	full    bool
	chunk   int64
	samples []calibrate.Sample
	fit     *calibrate.Coefficients
	quick   bool

	kept        config.Calibration
	sells, busy perf.Rate // a replica, with the usual wait; with all slots busy
	wait        perf.Instant
}

// fitCounters fits what an engine published.
func (c *calibrateCmd) fitCounters(e *env, r *calibrated) error {
	if c.Slots < 1 || c.KV < 1 {
		return errors.New("--counters and --metrics need --slots and --kv, which counters do not tell")
	}
	if c.Within && !c.DryRun {
		return errors.New("--within needs --dry-run: what holds in a part of what the engine does is for plans (--json), and nothing is sold by it")
	}
	var list []calibrate.Counter
	var err error
	if c.Metrics != "" {
		list, err = c.followed(e)
	} else {
		list, err = readCounters(c.Counters)
	}
	if err != nil {
		return err
	}
	r.slots, r.limited, r.kv, r.full, r.chunk, r.samples = c.Slots, true, c.KV, true, c.Chunk, calibrate.FromCounters(list)
	r.fit, err = calibrate.Fit(r.samples, calibrate.Span{Batch: c.Slots, Block: 10, Within: c.Within})
	return err
}

// readCounters reads a file of counters.
func readCounters(path string) (out []calibrate.Counter, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("%s: no rows of counters", path)
	}
	columns := []string{"t", "prompt_throughput", "gen_throughput", "running", "waiting", "kv_tokens"}
	before := math.NaN()
	for line, row := range rows[1:] {
		var v [6]float64
		for i, name := range columns {
			at := slices.Index(rows[0], name)
			if at < 0 {
				return nil, fmt.Errorf("%s: no column %s", path, name)
			}
			if v[i], err = strconv.ParseFloat(row[at], 64); err != nil || !(v[i] >= 0) || math.IsInf(v[i], 0) {
				return nil, fmt.Errorf("%s:%d: %s: %q is no number of zero or more", path, line+2, name, row[at])
			}
		}
		length := v[0] - before
		if before = v[0]; math.IsNaN(length) {
			length = 1 // of the first, which only begins the second
		}
		out = append(out, calibrate.Counter{Seconds: length, Prompt: v[1] * length, Generated: v[2] * length, Running: v[3], Waiting: v[4], KV: v[5]})
	}
	return out, nil
}

// twoPoint takes the coefficients from the two ends.
func (r *calibrated) twoPoint(m *calibrate.Measured) error {
	l, err := calibrate.TwoPoint(m.Alone, m.Filled)
	if err != nil {
		return err
	}
	exact := func(v float64) calibrate.Estimate { return calibrate.Estimate{Value: v, Low: v, High: v} }
	r.quick = true
	r.fit = &calibrate.Coefficients{Call: exact(max(0, l.G-l.A)), Step: exact(l.A), PrefillToken: exact(l.D), Sequence: exact(l.B), Measured: calibrate.RangeOf(m.Samples), Samples: 2}
	return nil
}

// conclude computes what follows.
func (r *calibrated) conclude() error {
	micros := func(v float64) float64 { return math.Round(v*1e12) / 1e6 }
	r.kept = config.Calibration{
		Step: micros(r.fit.Step.Value), PrefillToken: micros(r.fit.PrefillToken.Value), ContextToken: micros(r.fit.ContextToken.Value),
		Sequence: micros(r.fit.Sequence.Value), Slots: int32(min(r.slots, 1<<20)), Chunk: max(r.chunk, int64(r.slots)), KV: r.kv, KVAtLeast: !r.full,
		Measured: r.At.Format(time.RFC3339), Samples: int64(r.fit.Samples), LeftOut: int64(r.fit.LeftOut), Error: r.fit.Error,
	}
	if !r.quick {
		r.kept.Intervals = map[string]config.Interval{}
		for _, x := range r.coefficients() {
			r.kept.Intervals[x.Key] = config.Interval{Low: micros(x.Low), High: micros(x.High)}
		}
	}
	profile := r.kept.Profile()
	if err := profile.Validate(); err != nil {
		return fmt.Errorf("the measurements make no engine: %w", err)
	}
	pool := perf.Pool{Profile: profile, Replicas: 1}
	r.sells, r.wait = pool.Unit(r.mix, 1), perf.Usual.Wait
	r.busy = profile.Throughput(profile.Fits(r.mix), r.mix)
	unit := pool.Unit(r.mix, r.parts)
	r.kept.UnitInput, r.kept.UnitOutput = unit.Input, unit.Output
	return nil
}

// coefficient is one of them, for people.
type coefficient struct {
	Key, Name string
	calibrate.Estimate
}

func (r *calibrated) coefficients() []coefficient {
	return []coefficient{
		{"step_us", "a step", r.fit.Step},
		{"prefill_token_us", "a prompt token", r.fit.PrefillToken},
		{"context_token_us", "a token of context", r.fit.ContextToken},
		{"sequence_us", "a decoding call", r.fit.Sequence},
	}
}

// report is what --json prints.
func (r *calibrated) report(kept jsontext.Value) any {
	return map[string]any{
		"model": r.Model, "engine": r.Engine, "calibration": kept, "callMicros": r.fit.Call.Value * 1e6, "worstError": r.fit.Worst,
		"slotsFound": r.limited, "samples": r.samples, "range": r.fit.Measured,
		"replica": map[string]any{
			"inputPerMinute": r.sells.Input, "outputPerMinute": r.sells.Output, "inputPerMinuteBusy": r.busy.Input, "outputPerMinuteBusy": r.busy.Output,
			"typicalInput": r.mix.Input, "typicalOutput": r.mix.Output, "waitP99Ms": int64(r.wait) / 1e6,
		},
		"unit": map[string]any{"inputPerMinute": r.kept.UnitInput, "outputPerMinute": r.kept.UnitOutput, "perReplica": r.parts, "basis": "measured"},
	}
}

// span is a short time for people.
func span(seconds float64) string {
	switch us := seconds * 1e6; {
	case us >= 1000:
		return fmt.Sprintf("%.4g ms", us/1000)
	case us >= 1 || us == 0:
		return fmt.Sprintf("%.4g us", us)
	default:
		return fmt.Sprintf("%.4g ns", us*1000)
	}
}

// lines are the result in words.
func (r *calibrated) lines() [][2]string {
	var out [][2]string
	for _, x := range r.coefficients() {
		text := span(x.Value)
		if !r.quick {
			text += fmt.Sprintf("  (%s to %s)", span(x.Low), span(x.High))
		}
		out = append(out, [2]string{x.Name, text})
	}
	slots, kv := strconv.Itoa(r.slots), fmt.Sprintf("%d tokens", r.kv)
	if !r.limited {
		slots += ", and perhaps more: none had to wait (--most)"
	}
	if !r.full {
		kv = "at least " + kv + ": none had to wait (--kv says what it holds)"
	}
	fit := fmt.Sprintf("%d samples, errors of %.1f %% in the mean and %.1f %% at most", r.fit.Samples, 100*r.fit.Error, 100*r.fit.Worst)
	if n := r.fit.LeftOut; n > 0 {
		fit += fmt.Sprintf("; %d more were disturbed, and left out", n)
	}
	if r.quick {
		fit = "two points: no intervals; context is part of a step and a call"
	}
	return append(out,
		[2]string{"a call's way there", span(r.fit.Call.Value)},
		[2]string{"fit", fit}, [2]string{"slots", slots}, [2]string{"memory", kv},
		[2]string{"a replica sells", fmt.Sprintf("%d input and %d output tokens a minute in calls of %d and %d, with 99 of 100 waiting less than %v",
			r.sells.Input, r.sells.Output, r.mix.Input, r.mix.Output, time.Duration(r.wait))},
		[2]string{"with all slots busy", fmt.Sprintf("%d input and %d output tokens a minute", r.busy.Input, r.busy.Output)},
		[2]string{"one model unit", fmt.Sprintf("%d input and %d output tokens a minute: a replica backs %d", r.kept.UnitInput, r.kept.UnitOutput, r.parts)})
}

// print shows the result on a terminal.
func (r *calibrated) print(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "%s on %s, %s\n\n", r.Model, r.Engine, r.kept.Measured)
	for _, l := range r.lines() {
		_, _ = fmt.Fprintf(w, "%-20s %s\n", l[0], l[1])
	}
	_, err := io.WriteString(w, "\n"+scatter(r.steps())+"\n")
	return err
}

// steps plots the time of a step by the calls in it: measured, and by the fit.
func (r *calibrated) steps() *prove.Plot {
	var decoding []calibrate.Sample
	for _, s := range r.samples {
		if s.Decoded > 0 {
			decoding = append(decoding, s)
		}
	}
	return r.plot("steps", "Time of a step", "calls at once", decoding, func(s *calibrate.Sample) (x, per float64) { return s.Batch, s.Steps })
}

// firsts plots the time to the first token by the length of the prompt.
func (r *calibrated) firsts() *prove.Plot {
	var alone []calibrate.Sample
	for _, s := range r.samples {
		if s.Calls > 0 {
			alone = append(alone, s)
		}
	}
	return r.plot("first", "Time to the first token, alone", "tokens of the prompt", alone, func(s *calibrate.Sample) (x, per float64) { return s.Prefill, 1 })
}

func (r *calibrated) plot(name, title, x string, samples []calibrate.Sample, at func(*calibrate.Sample) (x, per float64)) *prove.Plot {
	measured, fitted := prove.Line{Name: "measured"}, prove.Line{Name: "fit"}
	slices.SortStableFunc(samples, func(a, b calibrate.Sample) int {
		ax, _ := at(&a)
		bx, _ := at(&b)
		return cmp.Compare(ax, bx)
	})
	for i := range samples {
		v, per := at(&samples[i])
		measured.X, measured.Y = append(measured.X, v), append(measured.Y, 1e3*samples[i].Seconds/per)
		fitted.X, fitted.Y = append(fitted.X, v), append(fitted.Y, 1e3*r.fit.Predict(&samples[i])/per)
	}
	return &prove.Plot{Name: name, Title: title + ": " + r.Model + " on " + r.Engine, X: x, Y: "ms", Lines: []prove.Line{measured, fitted}}
}

// scatter draws a plot in characters: o for the first line, + for the second, * where they meet.
func scatter(p *prove.Plot) string {
	const width, height = 64, 14
	var grid [height][width]byte
	for i := range grid {
		for k := range grid[i] {
			grid[i][k] = ' '
		}
	}
	var maxX, maxY float64
	for _, l := range p.Lines {
		for i := range l.X {
			maxX, maxY = max(maxX, l.X[i]), max(maxY, l.Y[i])
		}
	}
	for k, l := range p.Lines {
		for i := range l.X {
			cell := &grid[height-1-int(l.Y[i]/max(maxY, 1e-9)*(height-1))][int(l.X[i]/max(maxX, 1e-9)*(width-1))]
			mark := "o+"[min(k, 1)]
			if *cell != ' ' && *cell != mark {
				mark = '*'
			}
			*cell = mark
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (o measured, + fit, * both)\n", p.Title)
	for i := range grid {
		label := "        "
		switch i {
		case 0:
			label = fmt.Sprintf("%5.4g %s", maxY, p.Y)
		case height - 1:
			label = fmt.Sprintf("%5d %s", 0, p.Y)
		}
		fmt.Fprintf(&b, "%8s |%s\n", label, strings.TrimRight(string(grid[i][:]), " "))
	}
	fmt.Fprintf(&b, "%8s +%s\n%9s0%*s  %s\n", "", strings.Repeat("-", width), "", width-1, fmt.Sprintf("%.4g", maxX), p.X)
	return b.String()
}

var calibrationPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Calibration of {{.Model}}</title>
<style>body{font:15px sans-serif;max-width:760px;margin:2em auto}td{padding:2px 12px 2px 0;vertical-align:top}</style>
<h1>{{.Model}} on {{.Engine}}</h1><p>Measured {{.At}}.</p>
<table>{{range .Lines}}<tr><td>{{index . 0}}</td><td>{{index . 1}}</td></tr>{{end}}</table>
{{range .Plots}}{{.}}{{end}}</html>
`))

// page is the result as one HTML page.
func (r *calibrated) page() []byte {
	var b bytes.Buffer
	plots := []template.HTML{template.HTML(r.steps().SVG())} //nolint:gosec // escapes what it is given
	if first := r.firsts(); len(first.Lines[0].X) > 0 {
		plots = append(plots, template.HTML(first.SVG())) //nolint:gosec // likewise
	}
	if err := calibrationPage.Execute(&b, map[string]any{"Model": r.Model, "Engine": r.Engine, "At": r.kept.Measured, "Lines": r.lines(), "Plots": plots}); err != nil {
		panic("cli: the page of a calibration: " + err.Error()) // strings only
	}
	return b.Bytes()
}
