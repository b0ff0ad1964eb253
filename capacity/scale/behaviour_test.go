package scale_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/capacity/codec"
	"forebay/capacity/scale"
	"forebay/capacity/script"
)

var update = flag.Bool("update", false, "write what the scripts give into testdata")

// TestBehaviour runs the scripts in testdata. A script is paragraphs of commands, a line ----, and what they give: when the desired number
// changes, and to what. Comments begin with #. The commands:
//
//	scaling pool=1 ...   rules, as package script writes them
//	at 1m30s             time passes until then
//	calls 5              so many calls come now
//	each 500ms 3m        a call comes each 500 ms, until 3 m since the origin
//	load 4               so many calls are in flight
//	up 2                 so many instances are up
//	set 3                the number is set by hand
//	wake                 when time has to be told next
//	ready                how long it is until an instance is up
//
// Before each command the scaler is saved, and the restored one goes on.
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
			got := (&stage{t: t}).run(string(text))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("gives\n%s\nrun go test ./capacity/scale -run TestBehaviour -update, and read the difference", got)
			}
		})
	}
}

// stage is where a script runs.
type stage struct {
	t    *testing.T
	s    *scale.Scaler
	now  scale.Instant
	seen scale.Observation
	out  []string
}

func (g *stage) run(text string) string {
	paragraphs := strings.Split(strings.TrimRight(text, "\n"), "\n\n")
	for i, p := range paragraphs {
		commands, _, ok := strings.Cut(p+"\n", "----\n")
		if !ok {
			continue // a comment
		}
		g.out = nil
		for line := range strings.Lines(commands) {
			g.command(strings.TrimRight(line, "\n"))
		}
		paragraphs[i] = strings.TrimRight(commands+"----\n"+strings.Join(g.out, "\n"), "\n")
	}
	return strings.Join(paragraphs, "\n\n") + "\n"
}

func (g *stage) command(line string) {
	g.t.Helper()
	f := strings.Fields(line)
	switch {
	case len(f) == 0 || strings.HasPrefix(line, "#"):
		return
	case f[0] == "scaling":
		g.configure(line)
		return
	}
	g.s = restored(g.t, g.s)
	switch f[0] {
	case "at":
		g.until(g.time(f[1]))
	case "calls":
		g.calls(uint64(g.number(f[1])))
	case "each":
		for end := g.time(f[2]); g.now+g.time(f[1]) <= end; {
			g.until(g.now + g.time(f[1]))
			g.calls(1)
		}
	case "load":
		g.seen.Load = g.number(f[1])
		g.observe()
	case "up":
		g.seen.Serving = g.number(f[1])
		g.observe()
	case "set":
		before := g.s.Desired()
		g.s.Set(g.now, g.number(f[1]))
		g.changed(before)
	case "wake":
		if at, ok := g.s.NextWake(); ok {
			g.out = append(g.out, "wakes at "+time.Duration(at).String())
		} else {
			g.out = append(g.out, "sleeps")
		}
	case "ready":
		g.out = append(g.out, "ready in "+g.s.ReadyIn(g.now).String())
	default:
		g.t.Fatalf("no command %q", line)
	}
}

func (g *stage) configure(line string) {
	g.t.Helper()
	cfg := new(capacity.Config)
	if err := script.ParseObject(line, cfg); err != nil {
		g.t.Fatal(err)
	}
	r := cfg.Scalings[0].Rules
	if err := r.Validate(); err != nil {
		g.out = append(g.out, "wrong: "+err.Error())
		return
	}
	if g.s == nil {
		g.s = scale.New(g.now, r)
		g.changed(-1)
		return
	}
	before := g.s.Desired()
	g.s.Configure(g.now, r)
	g.changed(before)
}

func (g *stage) time(s string) scale.Instant {
	g.t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		g.t.Fatal(err)
	}
	return scale.Instant(d)
}

func (g *stage) number(s string) int32 {
	g.t.Helper()
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		g.t.Fatal(err)
	}
	return int32(n)
}

// until lets time pass, and tells it when it has to be told.
func (g *stage) until(to scale.Instant) {
	for {
		at, ok := g.s.NextWake()
		if !ok || at > to {
			break
		}
		if at <= g.now {
			g.t.Fatalf("wakes at %v, and it is %v", time.Duration(at), time.Duration(g.now))
		}
		g.now = at
		g.observe()
	}
	g.now = to
	g.observe()
}

func (g *stage) calls(n uint64) {
	g.seen.Arrived += n
	if g.seen.Serving == 0 {
		g.seen.Missed += n
	}
	g.observe()
}

func (g *stage) observe() {
	before := g.s.Desired()
	g.s.Observe(g.now, g.seen)
	g.changed(before)
}

func (g *stage) changed(before int32) {
	if n := g.s.Desired(); n != before {
		g.out = append(g.out, fmt.Sprintf("%v: %d", time.Duration(g.now), n))
	}
}

func snapshot(s *scale.Scaler) []byte {
	c := codec.Writer(nil)
	s.Describe(c)
	return c.Bytes()
}

// restored is a scaler from the snapshot of another.
func restored(t interface {
	Helper()
	Fatal(args ...any)
}, s *scale.Scaler,
) *scale.Scaler {
	t.Helper()
	raw := snapshot(s)
	c := codec.Reader(raw)
	out := new(scale.Scaler)
	if out.Describe(c); c.Done() != nil {
		t.Fatal(c.Err())
	}
	if !bytes.Equal(snapshot(out), raw) {
		t.Fatal("the snapshot of the restored scaler is another")
	}
	return out
}
