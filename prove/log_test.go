package prove

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/config"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func admit(id capacity.CallID) []capacity.Action {
	return []capacity.Action{{Kind: capacity.ActionAdmit, Call: id}}
}

func TestSlots(t *testing.T) {
	s := newSlots()
	s.visit(at(0), &capacity.Event{Kind: capacity.EventArrive, Call: 1}, admit(1))
	s.visit(at(100), &capacity.Event{Kind: capacity.EventArrive, Call: 2}, admit(2))
	s.visit(at(300), &capacity.Event{Kind: capacity.EventSettle, Call: 1, SlotHeld: true}, nil) // the engine still has it
	s.visit(at(400), &capacity.Event{Kind: capacity.EventFreed, Call: 1}, nil)
	s.visit(at(500), &capacity.Event{Kind: capacity.EventSettle, Call: 2}, nil)
	for _, x := range []struct {
		from, to int
		want     float64
	}{{0, 500, 1.6}, {100, 400, 2}, {50, 150, 1.5}, {450, 550, 0.5}, {600, 700, 0}} {
		if got := s.mean(at(x.from), at(x.to)); math.Abs(got-x.want) > 1e-9 {
			t.Errorf("from %d to %d ms %v slots were busy, want %v", x.from, x.to, got, x.want)
		}
	}
}

// Ten calls of 100 tokens at once, of which the first five are settled at 40 after a second, and three more then.
func TestHolds(t *testing.T) {
	h := newHolds(60_000) // 1,000 a second
	h.from, h.to = at(0), at(10_000)
	for id := range capacity.CallID(10) {
		h.visit(at(0), &capacity.Event{Kind: capacity.EventArrive, Call: id + 1, Input: 60, MaxOutput: 40}, nil)
	}
	for id := range capacity.CallID(5) {
		h.visit(at(100), &capacity.Event{Kind: capacity.EventSettle, Call: id + 1}, []capacity.Action{{Kind: capacity.ActionSettled, Call: id + 1, Charged: 40, Debt: 3}})
	}
	if got := h.most(); got != 1000 {
		t.Errorf("at most %v, want all ten holds", got)
	}
	for id := range capacity.CallID(12) {
		h.visit(at(200), &capacity.Event{Kind: capacity.EventArrive, Call: id + 11, Input: 60, MaxOutput: 40}, nil)
	}
	h.visit(at(200), &capacity.Event{Kind: capacity.EventArrive, Call: 50}, []capacity.Action{{Kind: capacity.ActionReject, Call: 50}})
	h.visit(at(20_000), &capacity.Event{Kind: capacity.EventArrive, Call: 51, Input: 1 << 20}, nil) // after the window
	// 5 x 40 settled and 5 x 100 held of the first, 12 x 100 held now, less 200 ms of drain.
	if got, want := h.most(), 200.0+500+1200-200; got != want {
		t.Errorf("at most %v, want %v", got, want)
	}
	if h.taken != 22 || h.refused != 1 || h.debt != 15 {
		t.Errorf("%d taken, %d refused, %d debt", h.taken, h.refused, h.debt)
	}
}

func TestRecalls(t *testing.T) {
	r := newRecalls()
	r.from, r.to = at(0), at(1000)
	reserved := capacity.Event{Kind: capacity.EventArrive, Call: 2}
	reserved.SetLanes(capacity.Lane{Reservation: 7})
	r.visit(at(10), &reserved, []capacity.Action{{Kind: capacity.ActionPreempt, Call: 1, Reason: capacity.ReasonRecall}})
	r.visit(at(25), &capacity.Event{Kind: capacity.EventFreed, Call: 1}, admit(2))
	if len(r.returns) != 1 || r.returns[0] != 15*time.Millisecond || len(r.waits) != 1 || r.waits[0] != 15*time.Millisecond {
		t.Errorf("returns %v, waits %v", r.returns, r.waits)
	}
}

// The spread of every two accounts against a brute force over all intervals in which both wait.
func TestFairnessAgainstBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 9))
	for range 50 {
		f := newFairness()
		const accounts = 3
		type state struct {
			waiting [accounts]int
			service [accounts]int64
		}
		var now state
		history := []state{now}
		waiting, running := map[capacity.CallID]int{}, map[capacity.CallID]int{}
		out := map[capacity.CallID]int64{}
		step := func(ev capacity.Event, actions []capacity.Action) {
			f.visit(epoch, &ev, actions)
			history = append(history, now)
		}
		for id := capacity.CallID(1); id <= 120; id++ {
			a := random.IntN(accounts)
			waiting[id] = a
			now.waiting[a]++
			step(capacity.Event{Kind: capacity.EventArrive, Call: id, Account: capacity.AccountID(a + 1), Input: 10}, nil)
			if random.IntN(2) == 0 { // one that waits is admitted
				who := capacity.CallID(0)
				for w := range waiting {
					if who == 0 || w < who {
						who = w
					}
				}
				a := waiting[who]
				delete(waiting, who)
				running[who] = a
				now.waiting[a]--
				now.service[a] += 10
				step(capacity.Event{Kind: capacity.EventTick}, admit(who))
			}
			for w, a := range running {
				out[w] += 5
				now.service[a] += 5
				step(capacity.Event{Kind: capacity.EventProgress, Call: w, Output: out[w]}, nil)
				break
			}
		}
		var worst int64
		for a := range accounts {
			for b := range a {
				for i := range history {
					low, high, since := int64(0), int64(0), false
					for _, h := range history[i:] {
						if h.waiting[a] == 0 || h.waiting[b] == 0 {
							break
						}
						d := h.service[a] - h.service[b]
						if !since {
							low, high, since = d, d, true
						}
						low, high = min(low, d), max(high, d)
						worst = max(worst, high-low)
					}
				}
			}
		}
		if f.worst != worst {
			t.Fatalf("the worst spread is %d, by brute force %d", f.worst, worst)
		}
	}
}

// What Files writes is a configuration that the server takes.
func TestFiles(t *testing.T) {
	s := Default()
	var proxies []*Proxy
	for range s.Replicas {
		p, err := NewProxy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		proxies = append(proxies, p)
	}
	path, err := s.Files(t.TempDir(), proxies)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Engines) != 3*s.Replicas+1 || len(cfg.Keys) != s.Tenants+3 {
		t.Errorf("%d engines, %d keys", len(cfg.Engines), len(cfg.Keys))
	}
	s.Slots = 1 << 20
	if _, err := s.Files(t.TempDir(), nil); err == nil {
		t.Error("more slots than an engine can have were taken")
	}
}

func TestReport(t *testing.T) {
	x := Experiment{Name: "One", What: "Something.", Plots: []Plot{{
		Name: "one", Title: "A < B & C", X: "ms", Y: "share", Lines: []Line{{"alone", []float64{0, 10, 73}, []float64{0, 0.5, 1}}, {Name: "nothing"}},
	}}}
	x.fact("calls", "%d", 7)
	x.check(true, "it holds", "%d of %d", 1, 1)
	r := Report{At: epoch, Experiments: []Experiment{x}}
	if !r.Holds() {
		t.Error("a report whose claims hold does not hold")
	}
	x.check(false, "it does not", "0")
	r.Experiments = []Experiment{x}
	if r.Holds() {
		t.Error("a report with a false claim holds")
	}
	var b strings.Builder
	if err := r.Markdown(&b, func(p Plot) (string, error) { return p.Name + ".svg", nil }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## One", "- calls: 7", "| it holds | 1 of 1 | yes |", "| it does not | 0 | **no** |", "![A < B & C](one.svg)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
	d := xml.NewDecoder(strings.NewReader(x.Plots[0].SVG()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
