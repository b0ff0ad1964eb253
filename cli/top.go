package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"forebay/api/admin"
	"forebay/meter"

	tea "github.com/charmbracelet/bubbletea"
)

// topCmd shows pools, reservations, tiers, tenants, throttles and money as they are now.
type topCmd struct {
	remote
	Every time.Duration `help:"Time between two looks." default:"1s"`
	Once  bool          `help:"Print one look and stop, as it does without a terminal."`
}

// Run implements the verb.
func (c *topCmd) Run(e *env) error {
	if c.Every < 100*time.Millisecond {
		return errors.New("--every: at least 100ms")
	}
	first, err := c.look(e.ctx)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(e, first)
	case c.Once || !e.Terminal:
		_, err := fmt.Fprint(e.Out, screen(first, nil, 0))
		return err
	}
	p := tea.NewProgram(&topScreen{c: c, ctx: e.ctx, now: first}, tea.WithContext(e.ctx), tea.WithInput(e.In), tea.WithOutput(e.Out), tea.WithAltScreen())
	if _, err = p.Run(); errors.Is(err, tea.ErrProgramKilled) {
		return e.ctx.Err()
	}
	return err
}

func (c *topCmd) look(ctx context.Context) (*admin.Live, error) {
	var out admin.Live
	return &out, c.call(ctx, http.MethodGet, "live", nil, &out)
}

// topScreen is the live view. It implements tea.Model.
type topScreen struct {
	c           *topCmd
	ctx         context.Context //nolint:containedctx // the life of the screen
	now, before *admin.Live
	failed      error
	height      int
}

// looked is a new look, or why there is none.
type looked struct {
	live *admin.Live
	err  error
}

// Init implements tea.Model.
func (t *topScreen) Init() tea.Cmd { return t.wait() }

func (t *topScreen) wait() tea.Cmd {
	return tea.Tick(t.c.Every, func(time.Time) tea.Msg {
		live, err := t.c.look(t.ctx)
		return looked{live, err}
	})
}

// Update implements tea.Model.
func (t *topScreen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.KeyMsg:
		if k := m.String(); k == "q" || k == "ctrl+c" || k == "esc" {
			return t, tea.Quit
		}
	case tea.WindowSizeMsg:
		t.height = m.Height
	case looked:
		if t.failed = m.err; m.err == nil {
			t.before, t.now = t.now, m.live
		}
		return t, t.wait()
	}
	return t, nil
}

// View implements tea.Model.
func (t *topScreen) View() string {
	foot := "q ends"
	if t.failed != nil {
		foot = "no answer: " + t.failed.Error()
	}
	return screen(t.now, t.before, t.height-1) + foot
}

// screen is one look as text, of at most so many lines; 0 is no bound. Rates are those since the look before, where there is one.
func screen(now, before *admin.Live, lines int) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 2, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "forebay top  %s\n%s\n\n", now.At.Local().Format(time.TimeOnly), rates(now, before))
	_, _ = fmt.Fprintln(w, "POOL\tKIND\tREPLICAS\tSLOTS BUSY\t\tSOLD\tLENT\tWAITING\tBY TIER")
	for i := range now.Pools {
		p := &now.Pools[i]
		if p.Busy == 0 && p.Waiting == 0 && p.Sold == 0 {
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d/%d\t%d\t%d\t%d\t%s\n", p.Name, p.Kind, p.Replicas, bar(int64(p.Busy), int64(p.Slots)), p.Busy, p.Slots, p.Sold, p.Lent, p.Waiting, byTier(p.Tiers))
	}
	if len(now.Reservations) > 0 {
		_, _ = fmt.Fprintln(w, "\nRESERVATION\tMODEL\tUNIT\tINPUT USED\t\tOUTPUT USED\t\tSLOTS\tRUNNING\tWAITING")
	}
	for i := range now.Reservations {
		r := &now.Reservations[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", r.ID, r.Model, r.Unit, bar(r.Input.Fill, r.Input.Depth), share(r.Input), bar(r.Output.Fill, r.Output.Depth), share(r.Output),
			r.Slots+r.Own, r.Running, r.Waiting)
		for k := range r.Parts {
			x := &r.Parts[k]
			_, _ = fmt.Fprintf(w, "  team %s\t\t\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", x.Team, bar(x.Input.Fill, x.Input.Depth), share(x.Input), bar(x.Output.Fill, x.Output.Depth), share(x.Output),
				x.Slots, x.Running, x.Waiting)
		}
	}
	if len(now.Tenants) > 0 {
		_, _ = fmt.Fprintln(w, "\nTENANT\tPOOL\tTIER\tRUNNING\tWAITING")
	}
	tenants := slices.Clone(now.Tenants)
	slices.SortStableFunc(tenants, func(a, b admin.LiveTenant) int { return cmp.Compare(b.Running+b.Waiting, a.Running+a.Waiting) })
	for _, t := range tenants {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", t.Account, t.Pool, t.Tier, t.Running, t.Waiting)
	}
	_ = w.Flush()
	return clipLines(b.String(), lines)
}

// rates are the lines on calls and money.
func rates(now, before *admin.Live) string {
	per := func(of func(*admin.LiveTotals) uint64) string { return perSecond(now, before, of) }
	line := fmt.Sprintf("calls %s arrived  %s settled  %s spilled  %s retried  %s recalled  refused %s",
		per(func(t *admin.LiveTotals) uint64 { return t.Arrived }), per(func(t *admin.LiveTotals) uint64 { return t.Settled }),
		per(func(t *admin.LiveTotals) uint64 { return t.Spilled }), per(func(t *admin.LiveTotals) uint64 { return t.Retried }),
		per(func(t *admin.LiveTotals) uint64 { return t.Recalled }), refusals(now, before))
	used := now.Totals.Charge
	what := "charged for calls since the start"
	if before != nil {
		used, what = hourly(now.Totals.Charge, before.Totals.Charge, now.At.Sub(before.At)), "an hour charged for calls at this rate"
	}
	return line + fmt.Sprintf("\nmoney %s %s  %s an hour charged for reservations, which cost %s", money(used), what, known(now.Hourly.Charge, now.Hourly.Unpriced), known(now.Hourly.Cost, now.Hourly.Uncosted))
}

// perSecond is a total's rate, or the total where there is no look before.
func perSecond(now, before *admin.Live, of func(*admin.LiveTotals) uint64) string {
	if before == nil || !now.At.After(before.At) {
		return strconv.FormatUint(of(&now.Totals), 10)
	}
	n := max(of(&now.Totals), of(&before.Totals)) - of(&before.Totals) // a server that was restarted counts anew
	return fmt.Sprintf("%.1f/s", float64(n)/now.At.Sub(before.At).Seconds())
}

func refusals(now, before *admin.Live) string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(now.Totals.Rejected)) {
		out = append(out, reason+" "+perSecond(now, before, func(t *admin.LiveTotals) uint64 { return t.Rejected[reason] }))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// hourly is the rate at which amounts grow, an hour.
func hourly(now, before map[string]int64, passed time.Duration) map[string]int64 {
	out := map[string]int64{}
	for currency, nano := range now {
		if d := nano - before[currency]; d > 0 && passed > 0 {
			out[currency] = int64(float64(d) * float64(time.Hour) / float64(passed))
		}
	}
	return out
}

// known is what is known of an amount to which so many units add what is not.
func known(amounts map[string]int64, unknown int64) string {
	switch {
	case unknown == 0:
		return money(amounts)
	case len(amounts) == 0:
		return "unknown"
	default:
		return fmt.Sprintf("%s and what is unknown of %d units", money(amounts), unknown)
	}
}

func money(amounts map[string]int64) string {
	var out []string
	for _, currency := range slices.Sorted(maps.Keys(amounts)) {
		if currency == "" && amounts[currency] == 0 {
			continue // of calls that are charged nothing
		}
		out = append(out, meter.FormatMoney(amounts[currency], currency))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, " + ")
}

// barWidth is the number of characters of a bar.
const barWidth = 12

// bar draws a share of a whole.
func bar(part, whole int64) string {
	n := 0
	if whole > 0 {
		n = int(min(max(part, 0)*barWidth/whole, barWidth))
	}
	return strings.Repeat("█", n) + strings.Repeat("░", barWidth-n)
}

func share(l admin.Level) string {
	if l.Depth == 0 {
		return "-"
	}
	return fmt.Sprintf("%d %%", l.Fill*100/l.Depth)
}

func byTier(tiers map[string]int32) string {
	var out []string
	for _, t := range slices.Sorted(maps.Keys(tiers)) {
		out = append(out, fmt.Sprintf("%s %d", t, tiers[t]))
	}
	return strings.Join(out, ", ")
}

func clipLines(text string, lines int) string {
	if lines <= 0 {
		return text
	}
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[:min(len(all), lines)], "")
}
