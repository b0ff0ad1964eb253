package report

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"forebay/plan"
)

// Text writes the answer for a terminal. With explain it adds every traced figure.
func Text(w io.Writer, a *plan.Answer, explain bool) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, wrap(a.Verdict+".", ""))
	if !a.Complete {
		fmt.Fprintln(out, "\nStopped before the replays were done: what follows is from closed forms alone, but where it says replay.")
	}
	traffic(out, a)
	costs(out, a)
	if err := options(out, a); err != nil {
		return err
	}
	details(out, a)
	notes(out, a)
	if explain {
		lines(out, a)
	}
	return out.Flush()
}

// bars are the heights of a chart of one line.
var bars = []rune("▁▂▃▄▅▆▇█")

func traffic(out io.Writer, a *plan.Answer) {
	t := a.Traffic
	fmt.Fprintf(out, "\nTraffic   %s calls a day, %s tokens in and %s out each; the busiest minute has %s calls, %s times the mean in tokens.\n",
		plan.Grouped(t.CallsADay), plan.Grouped(t.MeanInput), plan.Grouped(t.MeanOutput), plan.Milli(t.PeakCalls), plan.Milli(t.PeakFactor))
	most := int64(1)
	for _, h := range t.Hours {
		most = max(most, h)
	}
	var b strings.Builder
	for _, h := range t.Hours {
		b.WriteString(strings.Repeat(string(bars[min(int(h*int64(len(bars))/most), len(bars)-1)]), 2))
	}
	fmt.Fprintf(out, "          %s  calls a minute by the hour, %s at most\n", b.String(), plan.Milli(most))
	fmt.Fprintf(out, "          0           6           12          18        23\n")
}

// costs draws what the options cost.
func costs(out io.Writer, a *plan.Answer) {
	const width = 40
	shown := leading(a)
	most := int64(1)
	for _, o := range shown {
		most = max(most, high(o))
	}
	fmt.Fprintf(out, "\nCost per %d days, %s\n", a.Days, a.Currency)
	for _, o := range shown {
		bar := strings.Repeat("█", max(1, int(mid(o)*width/most)))
		switch {
		case o.Cost == nil && o.AtLeast == 0:
			fmt.Fprintf(out, "  %-44s unknown\n", short(o.Name, 44))
		case o.Cost == nil:
			fmt.Fprintf(out, "  %-44s at least %s %s?\n", short(o.Name, 44), plan.Amount(o.AtLeast), bar)
		default:
			fmt.Fprintf(out, "  %-44s %s %s\n", short(o.Name, 44), plan.Amount(o.Cost.Mid), bar)
		}
	}
}

// leading are the options that are drawn: the best one, the next ones, and what is not known; nothing that is impossible.
func leading(a *plan.Answer) []*plan.Option {
	const most = 6
	var out []*plan.Option
	for _, o := range a.Options {
		if o.State != plan.Impossible && len(out) < most {
			out = append(out, o)
		}
	}
	return out
}

func mid(o *plan.Option) int64 {
	if o.Cost != nil {
		return o.Cost.Mid
	}
	return o.AtLeast
}

func high(o *plan.Option) int64 {
	if o.Cost != nil {
		return o.Cost.High
	}
	return o.AtLeast
}

func options(out io.Writer, a *plan.Answer) error {
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tway of serving\tcost\tlow ... high\trefused\tfirst token p50/p95/p99\tend to end p50/p95/p99\tused\tdecided by")
	for i, o := range a.Options {
		rank := strconv.Itoa(i + 1)
		if o.State != plan.Possible {
			rank = "-"
		}
		cost, around := "unknown", ""
		switch {
		case o.State == plan.Impossible:
			cost = "impossible"
		case o.Cost != nil:
			cost, around = plan.Amount(o.Cost.Mid), o.Cost.Kind
			switch {
			case o.Cost.Kind != "point" && o.Cost.Low == o.Cost.High:
				around = "fixed"
			case o.Cost.Kind != "point":
				around = plan.Amount(o.Cost.Low) + " ... " + plan.Amount(o.Cost.High) + " " + o.Cost.Kind
			}
		case o.AtLeast > 0:
			cost = ">= " + plan.Amount(o.AtLeast)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", rank, o.Name, cost, around, Share(o.Refused), Times(o.First), Times(o.Whole), Used(o.Used), o.Decided)
	}
	return t.Flush()
}

// Share writes a share of calls.
func Share(s *plan.PerMillion) string {
	if s == nil {
		return "?"
	}
	return plan.Milli(s.Share/10) + " %"
}

// Used writes a utilisation.
func Used(u *int64) string {
	if u == nil {
		return "-"
	}
	return plan.Milli(*u*100) + " %"
}

// Times writes quantiles.
func Times(q *plan.Quantiles) string {
	if q == nil {
		return "?"
	}
	return Span(q.P50) + " / " + Span(q.P95) + " / " + Span(q.P99)
}

// Sensitivity says what an error of the engine's coefficients does to each latency; nothing where that was not computed.
func Sensitivity(o *plan.Option) []string {
	if o.First == nil || o.First.Slower == nil || o.First.Faster == nil || o.Whole == nil || o.Whole.Slower == nil || o.Whole.Faster == nil {
		return nil
	}
	line := func(how string, first, whole *plan.Times) string {
		return fmt.Sprintf("If every step took 5 %% %s: first token %s / %s / %s, end to end %s / %s / %s",
			how, Span(first.P50), Span(first.P95), Span(first.P99), Span(whole.P50), Span(whole.P95), Span(whole.P99))
	}
	return []string{line("longer", o.First.Slower, o.Whole.Slower), line("less", o.First.Faster, o.Whole.Faster)}
}

// Span writes a time to three digits or so.
func Span(nanos int64) string {
	d := time.Duration(nanos)
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

func details(out io.Writer, a *plan.Answer) {
	var before string // over what the range is that was told last
	for i, o := range a.Options {
		if i < 3 && o.State != plan.Impossible {
			fmt.Fprintf(out, "\n%s: commitment: %s; control: %s; upkeep: %s.\n", o.Name, o.Commitment, o.Control, o.Upkeep)
			if o.Speed != "" {
				fmt.Fprintf(out, "  Speed: %s.\n", o.Speed)
			}
			for _, x := range Sensitivity(o) {
				fmt.Fprintf(out, "  %s.\n", x)
			}
			if o.Idle > 0 {
				fmt.Fprintf(out, "  Of its cost, %s %s pays for capacity that nobody uses.\n", plan.Amount(o.Idle), a.Currency)
			}
			if o.Held != nil && o.Held.Share > 0 {
				fmt.Fprintf(out, "  %s of the calls find nothing up, and are held until it is.\n", Share(o.Held))
			}
			if x := waited(o); x != "" {
				fmt.Fprintln(out, wrap(strings.ToUpper(x[:1])+x[1:]+".", "  "))
			}
			for _, x := range o.Throttles {
				fmt.Fprintf(out, "  Refused %s attempts: %s.\n", plan.Grouped(x.Attempts), x.By)
			}
			for _, x := range o.Assumptions {
				fmt.Fprintln(out, wrap("- assumed: "+short(x, 400)+".", "  "))
			}
			if o.Cost != nil && len(o.Cost.Over) > 0 && o.Cost.Low != o.Cost.High {
				over := "over: " + strings.Join(o.Cost.Over, "; ")
				if over == before {
					over = "over the same"
				} else {
					before = over
				}
				fmt.Fprintln(out, wrap("- the "+o.Cost.Kind+" is "+over+".", "  "))
			}
		}
		if o.State != plan.Possible && o.Why != "" {
			fmt.Fprintf(out, "\n%s\n", wrap(o.Name+": "+string(o.State)+": "+o.Why+".", "  "))
		}
	}
}

func notes(out io.Writer, a *plan.Answer) {
	section := func(title string, items []string) {
		if len(items) == 0 {
			return
		}
		fmt.Fprintf(out, "\n%s\n", title)
		for _, x := range items {
			fmt.Fprintln(out, wrap("- "+x, "  "))
		}
	}
	var even, flips []string
	for _, b := range a.BreakEven {
		x := fmt.Sprintf("%s: %s calls a day, %s a minute round the clock", b.Against, plan.Grouped(b.PerDay), plan.Milli(b.PerMinute))
		if b.Used > 0 {
			x += fmt.Sprintf(", or %s %% of it used", plan.Milli(b.Used*100))
		}
		if b.Note != "" {
			x += " (" + b.Note + ")"
		}
		even = append(even, x+"\n    "+b.Formula+"\n    "+b.Values)
	}
	for _, f := range a.Flips {
		flips = append(flips, f.At+", take "+f.To)
	}
	var idle []string
	for _, x := range a.Idle {
		idle = append(idle, fmt.Sprintf("%v: %s %s, and %s %% of the calls wait for a start", time.Duration(x.Idle), plan.Amount(x.Cost), a.Currency, plan.Milli(x.Cold/10)))
	}
	refusals, latency := frontiers(a)
	section("Frontier of cost against refusals, of what was replayed", refusals)
	section("Frontier of cost against the time to the first token, of what was replayed", latency)
	section("What the quota on demand refuses, by how clients try again", clients(a))
	section("Search over mixes", searches(a))
	section("Who waits long enough", callers(a))
	section("How sure the number of units is", certainty(a))
	section("Break-even with on demand", even)
	section("Idle time-outs of the serverless endpoint, by closed form", idle)
	section("What would change the answer", flips)
	section("Regret of commitments: lost over the term against the best choice, if traffic changes on the first day", regrets(a))
	section("Terms on the courses that traffic may take: bought for the month just past, renewed at each end", courses(a))
	section("Bounds", a.Reasons)
	section("Notes on the traffic", a.Traffic.Notes)
	var faults []string
	for _, f := range a.Traffic.Faults {
		faults = append(faults, fmt.Sprintf("%s rows left out: %s (first in line %d: %s)", plan.Grouped(f.Count), f.Reason, f.Line, f.Text))
	}
	section("Rows left out", faults)
	section("Warnings", a.Warnings)
}

func regrets(a *plan.Answer) []string {
	var out []string
	for i := range a.Regrets {
		r := &a.Regrets[i]
		if r.Lost > 0 {
			out = append(out, fmt.Sprintf("%s, at %s %% of the traffic: %s %s; best then: %s", r.Name, plan.Milli(r.Volume*100), plan.Amount(r.Lost), a.Currency, r.To))
		}
	}
	return out
}

func lines(out io.Writer, a *plan.Answer) {
	fmt.Fprintln(out, "\nWhere each figure comes from")
	for _, l := range a.Lines {
		fmt.Fprintf(out, "- %s = %s   [%s, %s]\n    %s\n    %s\n", l.What, l.Result, l.ID, l.Method, l.Formula, l.Values)
		if l.Source != "" {
			fmt.Fprintf(out, "    from: %s\n", l.Source)
		}
	}
}

func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// textWidth is where text is broken.
const textWidth = 100

// wrap breaks text at spaces.
func wrap(s, indent string) string {
	var b strings.Builder
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteString("\n" + line)
			continue
		}
		at := len(indent)
		b.WriteString(indent)
		for j, word := range strings.Fields(line) {
			if j > 0 && at+1+len(word) > textWidth {
				b.WriteString("\n" + indent + "  ")
				at = len(indent) + 2
			} else if j > 0 {
				b.WriteByte(' ')
				at++
			}
			b.WriteString(word)
			at += len(word)
		}
	}
	return b.String()
}
