package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

type suiteOptions struct {
	write, forebay string
	rounds         int
	length         time.Duration
	against        string // another build of Forebay; "" for none
	only           string // phases to run, by name; "" for all
	profiles       string // folder for profiles of forebay; "" for none
}

// phase is a load with the figures that are read from it.
type phase struct {
	load
	fresh   bool // the target is started anew: its memory is this phase's own, and where the machine puts a process is not the same in every round
	figures []figure
}

// figure is one row of the table.
type figure struct {
	name, unit string
	read       func(m *measurement) float64
	// added says that what the row tells is the difference to the direct call.
	added bool
}

// measurement is what one load did to one target.
type measurement struct {
	outcome
	cpu    time.Duration
	before int64 // resident bytes before the load
	peak   int64 // the highest while it ran
	atRest int64 // with all streams open and idle
}

func (m *measurement) micros(n int64) float64 {
	return float64(m.cpu.Microseconds()) / float64(max(n, 1))
}

const idleStreams = 5000

// governed is the figure that tells what governance costs.
const governed = "processor time a request at that load"

func phases(d time.Duration) []phase {
	return []phase{
		{
			fresh: true, load: load{Name: "throughput", Model: "mock-0ms", Conns: 64, BodyKB: 1, Duration: d}, figures: []figure{
				{name: "requests/s, 64 connections", unit: "req/s", read: func(m *measurement) float64 { return m.rps() }},
				{name: governed, unit: "us", read: func(m *measurement) float64 { return m.micros(m.OK) }},
				{name: "resident memory at that load", unit: "MB", read: func(m *measurement) float64 { return float64(m.peak) / (1 << 20) }},
			},
		},
		{
			fresh: true, load: load{Name: "latency", Model: "mock-0ms", Rate: 300, BodyKB: 1, Duration: d}, figures: []figure{
				{name: "added to the p50 at 300 requests/s, open loop", unit: "ms", added: true, read: func(m *measurement) float64 { return m.quantile(.5).Seconds() * 1e3 }},
				{name: "added to the p99 at that rate", unit: "ms", added: true, read: func(m *measurement) float64 { return m.quantile(.99).Seconds() * 1e3 }},
			},
		},
		{
			load: load{Name: "streams", Model: "mock-0ms", Stream: true, Conns: 16, BodyKB: 1, Duration: d}, figures: []figure{
				{name: "streamed chunks/s, 16 connections", unit: "chunks/s", read: func(m *measurement) float64 { return m.chunks() }},
				{name: "processor time a chunk at that load", unit: "us", read: func(m *measurement) float64 { return m.micros(m.Chunks) }},
			},
		},
		{
			fresh: true, load: load{Name: "bodies", Model: "mock-1500ms", Conns: 1500, Once: true, BodyKB: 150, Duration: d}, figures: []figure{
				{name: "resident memory with 1,500 bodies of 150 KB under way", unit: "MB", read: func(m *measurement) float64 { return float64(m.peak) / (1 << 20) }},
			},
		},
		{
			fresh: true, load: load{Name: "idle-streams", Model: "mock-0ms-15000000us-2c", Stream: true, Conns: idleStreams, Once: true, idle: true, BodyKB: 1, Duration: d}, figures: []figure{
				{name: "resident memory an idle stream, 5,000 held open", unit: "KB", read: func(m *measurement) float64 {
					return float64(m.atRest-m.before) / 1024 / idleStreams
				}},
			},
		},
	}
}

// cell is one figure of one target: a value a round.
type cell struct{ values []float64 }

func (c *cell) median() float64 {
	v := slices.Sorted(slices.Values(c.values))
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}

// table holds the cells by figure and target, and the errors by phase.
type table struct {
	cells  map[[2]string]*cell
	errors map[string]int64
}

func (t *table) cell(figure, target string) *cell {
	k := [2]string{figure, target}
	if t.cells[k] == nil {
		t.cells[k] = &cell{}
	}
	return t.cells[k]
}

func suite(ctx context.Context, o suiteOptions) error {
	dir, err := os.MkdirTemp("", "forebay-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	targets, err := start(ctx, o, dir)
	defer func() {
		for _, t := range targets {
			t.stop()
		}
	}()
	if err != nil {
		return err
	}
	tab := table{cells: map[[2]string]*cell{}, errors: map[string]int64{}}
	for round := range o.rounds {
		for _, p := range o.phases() {
			for _, t := range targets {
				if p.Once && t.name == direct {
					continue // figures of memory, which the mock is not asked for
				}
				fmt.Fprintf(os.Stderr, "round %d of %d: %-13s %s\n", round+1, o.rounds, p.Name, t.name)
				if err := measure(ctx, &tab, o, &p, t); err != nil {
					return err
				}
			}
		}
	}
	text := report(o, targets, &tab)
	fmt.Print(text)
	if o.write == "" {
		return nil
	}
	return rewrite(o.write, text)
}

// phases returns those that were asked for.
func (o *suiteOptions) phases() []phase {
	all := phases(o.length)
	if o.only == "" {
		return all
	}
	names := strings.Split(o.only, ",")
	return slices.DeleteFunc(all, func(p phase) bool { return !slices.Contains(names, p.Name) })
}

// measure runs a phase against a target and notes its figures, those that tell what is added
// beside the direct call of the same round.
func measure(ctx context.Context, tab *table, o suiteOptions, p *phase, t *target) error {
	if p.fresh && t.name != direct { // the others would lose their connections to it
		t.stop()
		if err := t.start(ctx); err != nil {
			return err
		}
	}
	var m measurement
	l := p.load
	if l.idle {
		l.AtRest = func() {
			m.atRest = t.rss()
			t.profile(o.profiles, p.Name, "heap?debug=1") // whose end has the allocator's figures
		}
	}
	m.before = t.rss()
	before := t.cpu()
	stop := t.profileDuring(o.profiles, &l)
	m.peak = t.peakWhile(func() { m.outcome = l.run(ctx, t) })
	m.cpu = t.cpu() - before
	stop()
	for _, f := range p.figures {
		v := f.read(&m)
		if at := len(tab.cell(f.name, t.name).values); f.added && t.name != direct {
			v -= tab.cell(f.name, direct).values[at]
		}
		c := tab.cell(f.name, t.name)
		c.values = append(c.values, v)
	}
	tab.errors[p.Name] += m.Errors
	if m.FirstError != "" {
		fmt.Fprintf(os.Stderr, "%s %s: %d errors, the first: %s\n", p.Name, t.name, m.Errors, m.FirstError)
	}
	return nil
}

// report is a Markdown table: a row a figure, a column a target, and the ratio to the floor.
func report(o suiteOptions, targets []*target, tab *table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d rounds of %s a phase, all targets in turn, %d processors, %s. Ratios are forebay / go-rp-json; "+
		"where a row tells what is added, the first column is the direct call.\n\n| figure |", o.rounds, o.length, runtime.NumCPU(), runtime.Version())
	for _, t := range targets {
		fmt.Fprintf(&b, " %s |", t.name)
	}
	b.WriteString(" ratio | errors |\n|---|")
	b.WriteString(strings.Repeat("---|", len(targets)+2) + "\n")
	for _, p := range o.phases() {
		for _, f := range p.figures {
			fmt.Fprintf(&b, "| %s, %s |", f.name, f.unit)
			for _, t := range targets {
				if c := tab.cell(f.name, t.name); len(c.values) == 0 || c.median() == 0 {
					b.WriteString(" - |")
				} else {
					fmt.Fprintf(&b, " %.4g |", c.median())
				}
			}
			ratio := 0.0
			if floor := tab.cell(f.name, floor).median(); floor > 0 {
				ratio = tab.cell(f.name, allOn).median() / floor
			}
			fmt.Fprintf(&b, " %.2f | %d |\n", ratio, tab.errors[p.Name])
		}
	}
	if shares := governance(tab); len(shares) > 0 {
		fmt.Fprintf(&b, "\nGovernance (%s against %s) takes %.0f %% of the processor time a request: the median of the rounds, each against itself, which are between %.0f and %.0f %%.\n",
			allOn, allOff, shares[len(shares)/2], shares[0], shares[len(shares)-1])
	}
	return b.String()
}

// governance returns what share of the processor time a request everything that governs took in each round, in per cent, the
// smallest first. A round is compared with itself because the machine is another one an hour later.
func governance(tab *table) []float64 {
	on, off := tab.cell(governed, allOn).values, tab.cell(governed, allOff).values
	var shares []float64
	for i := range min(len(on), len(off)) {
		if on[i] > 0 {
			shares = append(shares, 100*(on[i]-off[i])/on[i])
		}
	}
	slices.Sort(shares)
	return shares
}

// Marks around the tables in the document.
const (
	begin = "<!-- bench -->"
	end   = "<!-- /bench -->"
)

func rewrite(path, text string) error {
	doc, err := os.ReadFile(path) //nolint:gosec // the file the user names
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(doc), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %s ... %s", path, begin, end)
	}
	return os.WriteFile(path, []byte(head+begin+"\n"+text+end+tail), 0o600)
}
