package capacity_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/capacity/script"
)

var update = flag.Bool("update", false, "write what the scripts give into testdata")

// TestBehaviour runs the scripts in testdata. A script is paragraphs of commands, a line ----, and what they give; comments begin
// with #. The commands, all at the script's own time:
//
//	at 1.5s                 it is 1.5 s since the clock's origin
//	arrive call=1 ...       an event, as package script writes it; gives its actions
//	configure               an event whose objects follow on indented lines
//	show bucket=1           where a bucket (counter, pool, reservation) stands; fields that are 0 are left out
//	explain call=1          how the call stands, or why it was refused
//	wake                    when the scheduler wants to be woken; a tick then
//
// Before each event the state is also saved and restored, and the restored one must give the same.
func TestBehaviour(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := newStage(t).run(string(text))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s: %s\nrun go test ./capacity -run TestBehaviour -update, and read the difference", name, firstDifference(string(text), got))
			}
		})
	}
}

// The list of rules in the package's documentation names files that are there, and every script.
func TestRulesHaveScripts(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, _ := strings.Cut(string(text), "# Rules\n")
	var listed []string
	for line := range strings.Lines(rules) {
		line, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
			name := word
			if !strings.HasSuffix(word, ".go") {
				name = "testdata/" + word + ".txt"
				listed = append(listed, name)
			}
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
	}
	files, err := filepath.Glob("testdata/*.txt")
	slices.Sort(listed)
	if err != nil || !slices.Equal(files, listed) {
		t.Errorf("the scripts are %q, %v, and those that are listed %q", files, err, listed)
	}
}

// firstDifference shows the first line in which two texts differ, with its paragraph.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n\n"), strings.Split(got, "\n\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("this paragraph\n%s\n\ngives\n%s", w[i], g[i])
		}
	}
	return "the texts are of different lengths"
}

// stage is where a script runs.
type stage struct {
	t   *testing.T
	s   *capacity.State
	now capacity.Instant
	out []string
}

func newStage(t *testing.T) *stage { return &stage{t: t, s: capacity.New()} }

// run returns the script with what its commands give now.
func (g *stage) run(text string) string {
	paragraphs := strings.Split(strings.TrimRight(text, "\n"), "\n\n")
	for i, p := range paragraphs {
		commands, _, ok := strings.Cut(p+"\n", "----\n")
		if !ok {
			continue // a comment
		}
		g.out = nil
		g.commands(strings.Split(strings.TrimRight(commands, "\n"), "\n"))
		paragraphs[i] = strings.TrimRight(commands+"----\n"+strings.Join(g.out, "\n"), "\n")
	}
	return strings.Join(paragraphs, "\n\n") + "\n"
}

func (g *stage) commands(lines []string) {
	g.t.Helper()
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "at":
			d, err := time.ParseDuration(rest)
			if err != nil {
				g.t.Fatal(err)
			}
			g.now = capacity.Instant(d)
		case "show":
			g.show(rest)
		case "explain":
			g.explain(rest)
		case "wake":
			g.wake()
		default:
			ev, err := script.ParseEvent(line)
			for err == nil && ev.Config != nil && len(lines) > 0 && strings.HasPrefix(lines[0], " ") {
				err = script.ParseObject(lines[0], ev.Config)
				lines = lines[1:]
			}
			if err != nil {
				g.t.Fatalf("%s: %v", line, err)
			}
			g.step(ev)
		}
	}
}

// step feeds an event to the state, and to one that was restored from its snapshot.
func (g *stage) step(ev capacity.Event) {
	g.t.Helper()
	r, err := capacity.Restore(g.s.Snapshot(nil))
	if err != nil {
		g.t.Fatal(err)
	}
	want, got := g.s.Step(g.now, ev, nil), r.Step(g.now, ev, nil)
	if !slices.Equal(want, got) {
		g.t.Fatalf("%s gives\n%+v\nand of the restored state\n%+v", script.FormatEvent(&ev), want, got)
	}
	for i := range want {
		g.out = append(g.out, script.FormatAction(&want[i]))
	}
}

func (g *stage) wake() {
	at, ok := g.s.NextWake()
	if !ok {
		g.out = append(g.out, "never")
		return
	}
	g.now = at
	g.out = append(g.out, "at "+time.Duration(at).String())
	g.step(capacity.Event{Kind: capacity.EventTick})
}

// handleOf parses "bucket=1".
func (g *stage) handleOf(s string) (kind string, id uint32) {
	kind, number, _ := strings.Cut(s, "=")
	if _, err := fmt.Sscan(number, &id); err != nil {
		g.t.Fatalf("%s: %v", s, err)
	}
	return kind, id
}

func (g *stage) show(what string) {
	kind, id := g.handleOf(what)
	var l fields
	switch kind {
	case "bucket":
		b, _ := g.s.Bucket(capacity.BucketID(id))
		l = fields{
			{"fill", b.Fill},
			{"depth", b.Depth},
			{"rate", b.Rate},
			{"holds", int64(b.Holds)},
			{"refusals", int64(b.Refusals)},
			{"held", b.Held},
			{"charged", b.Charged},
			{"refunded", b.Refunded},
			{"lapsed", b.Lapsed},
			{"burndown-excess", b.BurndownExcess},
			{"estimate-excess", b.EstimateExcess},
		}
	case "counter":
		k, _ := g.s.Counter(capacity.CounterID(id))
		l = fields{{"period", k.Period}, {"used", k.Used}, {"held", k.Held}, {"limit", k.Limit}, {"refusals", int64(k.Refusals)}}
	case "pool":
		p, _ := g.s.Pool(capacity.PoolID(id))
		l = fields{{"waiting", int64(p.Waiting)}, {"busy", int64(p.Busy)}, {"slots", int64(p.Slots)}, {"up", int64(p.Up)}}
		if p.Sold > 0 || p.Lent > 0 {
			l = append(l, fields{
				{"sold", int64(p.Sold)},
				{"common", int64(p.Common)},
				{"common-slots", int64(p.CommonSlots)},
				{"common-kv", p.CommonKV},
				{"common-kv-bound", p.CommonKVBound},
				{"lent", int64(p.Lent)},
				{"recalled", int64(p.Recalled)},
				{"entitled", int64(p.Entitled)},
				{"overflow", int64(p.Overflow)},
			}...)
		}
	case "reservation":
		r, ok := g.s.Reservation(capacity.ReservationID(id))
		if !ok {
			g.out = append(g.out, what+" is not known")
			return
		}
		l = fields{
			{"parent", int64(r.Parent)},
			{"slots", int64(r.Slots)},
			{"kv", r.KV},
			{"firm", int64(r.Firm)},
			{"excess", int64(r.Excess)},
			{"waiting", int64(r.Waiting)},
			{"own", int64(r.Own)},
			{"own-busy", int64(r.OwnBusy)},
			{"own-lent", int64(r.OwnLent)},
			{"input-fill", r.Input.Fill},
			{"input-rate", r.Input.Rate},
			{"output-fill", r.Output.Fill},
			{"output-rate", r.Output.Rate},
			{"tokens-fill", r.Tokens.Fill},
			{"tokens-rate", r.Tokens.Rate},
		}
	default:
		g.t.Fatalf("there is nothing to show of %q", kind)
	}
	g.out = append(g.out, strings.TrimRight(what+" "+l.String(), " "))
}

func (g *stage) explain(what string) {
	_, id := g.handleOf(what)
	e, ok := g.s.Explain(capacity.CallID(id))
	if !ok {
		g.out = append(g.out, what+" is not known")
		return
	}
	l := fields{
		{"bucket", int64(e.Bucket)}, {"counter", int64(e.Counter)}, {"lane", int64(e.Lane)}, {"replica", int64(e.Replica)}, {"attempts", int64(e.Attempts)}, {"ahead", e.Ahead},
	}
	line := fmt.Sprintf("%s %s %s", what, e.State, e.Tier)
	if e.Reason != capacity.ReasonNone {
		line += " reason=" + e.Reason.String()
	}
	if e.Placed != capacity.PlacedNowhere {
		line += " placed=" + e.Placed.String()
	}
	g.out = append(g.out, strings.TrimRight(fmt.Sprintf("%s waited=%s retry-after=%s %s", line, e.Waited, e.RetryAfter, l), " "))
	if text := e.Text(); text != "" {
		g.out = append(g.out, "  "+text)
	}
	for _, u := range e.Units[:e.NumUnits] {
		g.out = append(g.out, "  units "+u.Measure.String()+" "+fields{
			{"reservation", int64(u.Reservation)},
			{"bucket", int64(u.Bucket)},
			{"charged", u.Charged},
			{"fill", u.Fill},
			{"depth", u.Depth},
			{"rate", u.Rate},
		}.String())
	}
	for _, x := range e.Limits[:e.NumLimits] {
		g.out = append(g.out, "  "+x.Measure.String()+" "+fields{
			{"bucket", int64(x.Bucket)}, {"counter", int64(x.Counter)}, {"hold", x.Hold}, {"fill", x.Fill}, {"depth", x.Depth}, {"rate", x.Rate},
		}.String())
	}
}

// fields are figures with names.
type fields []struct {
	name  string
	value int64
}

func (l fields) String() string {
	var out []string
	for _, f := range l {
		if f.value != 0 {
			out = append(out, fmt.Sprintf("%s=%d", f.name, f.value))
		}
	}
	return strings.Join(out, " ")
}
