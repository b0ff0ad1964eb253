package perf

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// W by hand, from published coefficients. The step of Llama-2-70B on 8 H100 at a batch of 64 is published as 50 ms.
func TestWByHand(t *testing.T) {
	for _, c := range []struct {
		profile string
		n       int
		m       Mix
		want    float64 // seconds
	}{
		// 256 steps of 16.4 ms, and 64 x (512 x 47.8 us + 255 x 18 us)
		{"llama-3.1-8b/a100-80", 64, Mix{512, 256}, 256*0.0164 + 64*(512*47.8e-6+255*18e-6)},
		{"llama-2-70b/8xh100", 64, Mix{1, 1001}, 1001 * 0.0498}, // 29.9 + 64 x 0.307 = 49.55 ms, and the prompt
	} {
		p, err := Named(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		if w, ok := p.Among(c.n, c.m, c.m); !ok || math.Abs(float64(w)/1e9/c.want-1) > 0.01 {
			t.Errorf("%s: W = %.4f s, want %.4f", c.profile, float64(w)/1e9, c.want)
		}
	}
}

// A call of one size among others of another, as an engine shows it that is kept full.
func TestAmongAgreesWithTheEngine(t *testing.T) {
	for _, name := range []string{"llama-3.1-8b/rtx-pro-6000", "llama-2-7b/a10g", "opt-13b/a100-80"} {
		p, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			n         int
			m, others Mix
		}{{8, Mix{200, 100}, Mix{900, 50}}, {16, Mix{1500, 30}, Mix{200, 200}}, {16, Mix{100, 400}, Mix{300, 100}}, {24, Mix{300, 60}, Mix{100, 150}}, {32, Mix{200, 150}, Mix{1800, 20}}} {
			w, ok := p.Among(c.n, c.m, c.others)
			if !ok {
				continue
			}
			got := among(&p, c.n, c.m, c.others)
			if diff := float64(w)/got - 1; math.Abs(diff) > 0.08 {
				t.Errorf("%s, %+v among %d of %+v: W = %.4f s, the engine shows %.4f s, %+.1f %%", name, c.m, c.n-1, c.others, float64(w)/1e9, got/1e9, diff*100)
			}
		}
	}
}

// among keeps one call of a mix in an engine with n-1 others and returns its mean time.
func among(p *Profile, n int, m, others Mix) float64 {
	e := New(*p)
	e.Add(0, 0, m.Input, m.Output)
	for i := range n - 1 {
		e.Add(0, uint64(i)+1, others.Input, 1+others.Output*int64(i+1)/int64(n))
	}
	r := rand.New(rand.NewPCG(7, 7))
	var from Instant
	var times []float64
	for next := uint64(n); ; next++ {
		at, _ := e.NextChange()
		for _, pr := range e.Step(at, nil) {
			switch {
			case !pr.Done:
				continue
			case pr.ID == 0:
				if times = append(times, float64(at-from)); len(times) == 60 {
					return mean(times[10:])
				}
				from = at
				e.Add(at, 0, m.Input, m.Output)
			default: // a little apart, so that no phase locks
				e.Add(at, next, others.Input, max(1, others.Output+r.Int64N(others.Output/5+1)-others.Output/10))
				next++
			}
		}
	}
}

var chat = Demand{Input: 150_000, Output: 30_000, Prompt: 500}

func named(t testing.TB, name string) Profile {
	t.Helper()
	p, err := Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// One slot fewer breaks the target, or cannot keep up at all.
func TestHeadroomIsTheFewestSlots(t *testing.T) {
	for _, p := range []Profile{named(t, "llama-3.1-8b/a100-80"), named(t, "llama-2-7b/a10g"), named(t, "demo")} {
		for _, wait := range []Instant{0, 20_000_000, 500_000_000, 10_000_000_000} {
			target := Target{Wait: wait, Beyond: 10_000, Variation: permille}
			h, err := p.Headroom(chat, 64, Mix{400, 100}, target)
			if err != nil {
				t.Fatal(err)
			}
			calls := float64(chat.Input) / float64(chat.Prompt) / 60
			load := calls * float64(h.W) / 1e9
			if float64(h.Slots) <= load || h.Wait > wait || math.Abs(float64(h.Busy)/1000-load) > 0.01 {
				t.Errorf("%s: %+v for a load of %.3f slots and a wait of %d", p.Name, h, load, wait)
			}
			if fewer := queueOf(h.Slots-1, load); float64(h.Slots-1) > load && fewer.quantile(h.W, permille, 10_000) <= wait {
				t.Errorf("%s: %d slots would do", p.Name, h.Slots-1)
			}
			if h.KV < h.Slots*(500+100-1) {
				t.Errorf("%s: %d tokens of memory for %d slots", p.Name, h.KV, h.Slots)
			}
		}
	}
}

// Calls whose arrivals are Poisson and whose lengths vary, on an engine whose other slots are never empty, with the slots that
// were computed for them: they wait no longer than the target says. The engine is that of this package, the queue the test's own.
func TestHeadroomKeepsItsTarget(t *testing.T) {
	for _, name := range []string{"llama-3.1-8b/a100-80", "llama-3.1-8b/rtx-pro-6000"} {
		p := named(t, name)
		p.MaxBatch = 32
		others := Mix{600, 80}
		target := Target{Wait: 300_000_000, Beyond: 50_000, Variation: permille}
		h, err := p.Headroom(chat, 32, others, target)
		if err != nil {
			t.Fatal(err)
		}
		waits, stay := reserved(&p, 32, int(h.Slots), chat, others)
		got := waits[len(waits)*95/100]
		t.Logf("%s: %d slots, W %.3f s (shown %.3f), p95 wait %.3f s, computed %.3f", name, h.Slots, float64(h.W)/1e9, stay/1e9, got/1e9, float64(h.Wait)/1e9)
		if got > float64(target.Wait) {
			t.Errorf("%s: with %d slots the 95th percentile of the wait is %.3f s", name, h.Slots, got/1e9)
		}
		if stay > float64(h.W)*1.04 || stay < float64(h.W)*0.85 {
			t.Errorf("%s: a call takes %.3f s in the mean, computed were %.3f s: recalls read prompts in vain, by a few hundredths at most", name, stay/1e9, float64(h.W)/1e9)
		}
	}
}

// instants is a heap of arrivals.
type instants []Instant

func (h instants) Len() int           { return len(h) }
func (h instants) Less(i, j int) bool { return h[i] < h[j] }
func (h instants) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *instants) Push(x any)        { *h = append(*h, x.(Instant)) }
func (h *instants) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// reserved runs a demand's calls in so many slots of an engine, first come first served. All slots that they do not use are busy with
// other calls, the newest of which gives way when one of its own comes. It returns the waits in order of length, and the
// mean time in a slot.
func reserved(p *Profile, slots, own int, d Demand, others Mix) (waits []float64, stay float64) {
	const calls, warm = 10_000, 500
	r := rand.New(rand.NewPCG(3, 4))
	length := func(mean int64) int64 { return 1 + int64(r.ExpFloat64()*float64(mean-1)) }
	m := d.Mix()
	gap := 60e9 * float64(d.Prompt) / float64(d.Input)
	var arrivals instants
	now := 0.0
	for range calls {
		now += r.ExpFloat64() * gap
		heap.Push(&arrivals, Instant(now))
	}
	e := New(*p)
	next := uint64(0)
	began := map[uint64]Instant{}
	var queue []Instant
	busy := 0
	var lent []uint64 // in the order of their beginning
	fill := func(at Instant) {
		for len(lent)+busy < slots {
			e.Add(at, next, others.Input, length(others.Output))
			lent = append(lent, next)
			next++
		}
	}
	fill(0)
	start := func(at Instant) {
		for busy < own && len(queue) > 0 {
			if len(lent)+busy == slots {
				e.Remove(lent[len(lent)-1])
				lent = lent[:len(lent)-1]
			}
			waits = append(waits, float64(at-queue[0]))
			queue = queue[1:]
			began[next] = at
			e.Add(at, next, m.Input, length(m.Output))
			next++
			busy++
		}
	}
	var times []float64
	for len(times) < calls {
		at, _ := e.NextChange()
		if len(arrivals) > 0 && arrivals[0] < at {
			at = arrivals[0]
		}
		for _, pr := range e.Step(at, nil) {
			switch from, ours := began[pr.ID]; {
			case !pr.Done:
			case ours:
				times = append(times, float64(pr.At-from))
				busy--
			default:
				at := slices.Index(lent, pr.ID)
				lent = slices.Delete(lent, at, at+1)
			}
		}
		for len(arrivals) > 0 && arrivals[0] <= at {
			queue = append(queue, heap.Pop(&arrivals).(Instant))
		}
		start(at)
		fill(at)
	}
	waits = waits[warm:]
	slices.Sort(waits)
	return waits, mean(times[warm:])
}

// What is sold fits, and one unit more does not; more replicas never back less, a shorter wait never more.
func TestRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pool{
			Profile: Profiles[rapid.SampledFrom([]int{3, 5, 6, 7, 8, 10}).Draw(t, "profile")], Replicas: rapid.Int64Range(1, 20).Draw(t, "replicas"),
			Slots:  rapid.IntRange(1, 64).Draw(t, "slots"),
			Target: Target{Wait: Instant(rapid.Int64Range(0, 5e9).Draw(t, "wait")), Beyond: rapid.Int64Range(100, 500_000).Draw(t, "beyond"), Variation: rapid.Int64Range(0, 4000).Draw(t, "variation")},
		}
		draw := func(name string) Demand {
			return Demand{Input: rapid.Int64Range(1, 200_000).Draw(t, name+" input"), Output: rapid.Int64Range(0, 20_000).Draw(t, name+" output"), Prompt: rapid.Int64Range(1, 2000).Draw(t, name+" prompt")}
		}
		unit, sold := draw("unit"), []Demand(nil)
		for range rapid.IntRange(0, 3).Draw(t, "sold") {
			sold = append(sold, draw("sold"))
		}
		r, err := p.Room(sold, unit)
		if err != nil {
			t.Skip(err)
		}
		if r.Bound == "" || r.Units < 0 {
			t.Fatalf("%+v", r)
		}
		more := p
		more.Replicas++
		if r2, err := more.Room(sold, unit); err != nil || r2.Units < r.Units {
			t.Fatalf("%d replicas back %d units, one more %d (%v)", p.Replicas, r.Units, r2.Units, err)
		}
		strict := p
		strict.Target.Wait /= 2
		if r2, err := strict.Room(sold, unit); err != nil || r2.Units > r.Units {
			t.Fatalf("half the wait backs %d units, the whole %d (%v)", r2.Units, r.Units, err)
		}
		if r.Units == 0 {
			return
		}
		all := Demand{Input: r.Units * unit.Input, Output: r.Units * unit.Output, Prompt: unit.Prompt}
		if left, err := p.Room(append(sold, all), unit); err != nil || left.Slots < 0 || left.KV < 0 {
			t.Fatalf("after %d units: %+v, %v", r.Units, left, err)
		}
	})
}

// Parts of a replica, bought one by one, are backed by it; one more is not.
func TestUnitsOfAReplicaFit(t *testing.T) {
	for _, name := range []string{"demo", "llama-3.1-8b/a100-80", "llama-2-70b/8xh100", "llama-2-7b/a10g"} {
		p := Pool{Profile: named(t, name), Replicas: 1}
		m := Mix{400, 80}
		whole := p.Unit(m, 1)
		full := p.Profile.Throughput(min(p.slots(), p.Profile.Fits(m)), m)
		if whole.Input > full.Input || whole.Input < full.Input/2 {
			t.Errorf("%s: sells %d input tokens a minute of the %d that it can do", name, whole.Input, full.Input)
		}
		for _, parts := range []int{1, 2, 4} {
			unit := p.Unit(m, parts)
			d := Demand{Input: unit.Input, Output: unit.Output, Prompt: m.Input}
			var sold []Demand
			for range parts - 1 {
				sold = append(sold, d)
			}
			r, err := p.Room(sold, d)
			if err != nil || r.Units < 1 {
				t.Errorf("%s: the last of %d units of %+v is not backed: %+v, %v", name, parts, unit, r, err)
			}
			if int64(parts)*unit.Input > whole.Input {
				t.Errorf("%s: %d parts of %d are more than the whole of %d", name, parts, unit.Input, whole.Input)
			}
		}
	}
	tiny := Pool{Profile: Profile{Step: milli, MaxBatch: 4, Chunk: 100, KV: 100}, Replicas: 1}
	if u := tiny.Unit(Mix{500, 10}, 1); u != (Rate{}) {
		t.Errorf("a call that does not fit is sold: %+v", u)
	}
}

// The kinds of input that are refused.
func TestHeadroomRefusesWhatMakesNoSense(t *testing.T) {
	p := named(t, "demo")
	good := Target{Wait: 1, Beyond: 1, Variation: 0}
	for name, c := range map[string]struct {
		d Demand
		t Target
	}{
		"no input":         {Demand{0, 1, 1}, good},
		"negative output":  {Demand{1, -1, 1}, good},
		"no prompt":        {Demand{1, 1, 0}, good},
		"no share":         {chat, Target{Wait: 1}},
		"every call":       {chat, Target{Beyond: million}},
		"negative wait":    {chat, Target{Wait: -1, Beyond: 1}},
		"too long a call":  {Demand{1, 1, 1 << 40}, good},
		"more than is had": {Demand{math.MaxInt64, math.MaxInt64, 1}, good},
	} {
		if h, err := p.Headroom(c.d, 8, Mix{1, 1}, c.t); err == nil {
			t.Errorf("%s: %+v", name, h)
		}
		pool := Pool{Profile: p, Replicas: 1, Target: c.t}
		if r, err := pool.Room(nil, c.d); err == nil && name != "more than is had" {
			t.Errorf("%s: room %+v", name, r)
		}
	}
}

// The longest step bounds every step that an engine takes.
func TestLongestStep(t *testing.T) {
	p := named(t, "llama-2-7b/a10g")
	r := rand.New(rand.NewPCG(5, 6))
	e := New(p)
	var now Instant
	for id := range uint64(3000) {
		if running, waiting := e.Load(); running+waiting < 40 {
			e.Add(now, id, 1+r.Int64N(1500), 1+r.Int64N(100))
		}
		at, _ := e.NextWake()
		if at-now > p.LongestStep(p.MaxBatch) && e.started == now {
			t.Fatalf("a step of %d, longer than %d", at-now, p.LongestStep(p.MaxBatch))
		}
		e.Step(at, nil)
		now = at
	}
}
