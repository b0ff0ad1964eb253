package perf

import (
	"errors"
	"fmt"
)

// Demand is what was bought: tokens a minute, in prompts of a length, with answers in the proportion of Output to Input.
// The length matters little where answers are long: a token takes a slot for one step, whichever call it is of.
type Demand struct {
	Input, Output int64 // tokens a minute; an Output of 0 stands for one token of each call, as embeddings have
	Prompt        int64 // tokens
}

// Mix is the size of the calls.
func (d *Demand) Mix() Mix {
	m := Mix{Input: max(d.Prompt, 1), Output: 1}
	if d.Input > 0 {
		m.Output = max(1, mulDiv(max(d.Output, 0), m.Input, d.Input))
	}
	return m
}

func (d *Demand) validate() error {
	if d.Input < 1 || d.Output < 0 || d.Prompt < 1 {
		return errors.New("a demand has at least one input token a minute, and prompts of at least one token")
	}
	return nil
}

// Target is how long calls within a demand may wait for a slot.
type Target struct {
	Wait      Instant
	Beyond    int64 // of a million calls, how many may wait longer: 10,000 make Wait the 99th percentile
	Variation int64 // squared coefficient of variation of the time in a slot, in thousandths: 1000 for exponential times, 0 for calls all alike
}

// Usual is a 99th percentile of half a second, for calls whose lengths vary as much as their mean.
var Usual = Target{Wait: 500_000_000, Beyond: 10_000, Variation: permille}

func (t *Target) validate() error {
	if t.Wait < 0 || t.Beyond < 1 || t.Beyond >= million || t.Variation < 0 || t.Variation > 1000*permille {
		return fmt.Errorf("a target has a wait of at least 0 that at least 1 and fewer than %d of %d calls exceed, and a variation of 0 to 1000", million, million)
	}
	return nil
}

// Headroom is what backs a demand.
type Headroom struct {
	Slots int64
	KV    int64   // tokens of memory that so many calls hold at their full length
	W     Instant // in a slot, while all other slots of the replica are busy
	Busy  int64   // slots busy in the mean while all of the demand comes, in thousandths

	Waits int64   // of a million calls, how many find no slot free
	Mean  Instant // wait of all calls
	Wait  Instant // that all but Target.Beyond of a million stay within
	// Burst is the wait of the last call when a whole minute's demand comes at once, which a bucket of that depth lets in.
	Burst Instant
}

// Headroom returns the fewest slots n that serve a demand on an engine with so many slots, all others of which are never empty
// of calls of a mix: n / W is above the demand's rate, and the wait within the target. W is that of a full
// engine however few of its slots n are, because whoever has the others uses them.
//
// A call that comes finds a step under way and waits for its end before its own begin; that is counted as one more step.
func (p *Profile) Headroom(d Demand, slots int, others Mix, t Target) (Headroom, error) {
	return p.headroom(d, slots, others, t, maxSlots)
}

// headroom is Headroom that fails where more than limit slots are needed.
func (p *Profile) headroom(d Demand, slots int, others Mix, t Target, limit int64) (Headroom, error) {
	if err := errors.Join(d.validate(), t.validate()); err != nil {
		return Headroom{}, err
	}
	m := d.Mix()
	n := p.beside(slots, m, others)
	w, ok := p.Among(n, m, others)
	if !ok {
		return Headroom{}, fmt.Errorf("a call of %d and %d tokens does not fit into a memory of %d", m.Input, m.Output, p.KV)
	}
	w += w / Instant(p.steps(n, m)) // the step under way
	h := Headroom{W: w}
	load := mulDiv(mulSat(int64(w), 1<<loadBits), d.Input, mulSat(m.Input, int64(minute)))
	q := newQueue(load)
	for q.n == 0 || q.free() <= 0 || q.quantile(w, t.Variation, t.Beyond) > t.Wait {
		if load >= limit<<loadBits || q.n == limit {
			return Headroom{}, fmt.Errorf("a demand of %d input tokens a minute takes more than %d slots", d.Input, limit)
		}
		q.add()
	}
	h.Slots, h.Busy = q.n, mulDiv(load, permille, 1<<loadBits)
	h.KV = mulSat(q.n, p.need(m.Input, m.Output)*p.block())
	h.Waits = mulDiv(q.waits(), million, 1<<oneBits)
	h.Mean, h.Wait = q.mean(w, t.Variation), q.quantile(w, t.Variation, t.Beyond)
	h.Burst = Instant(mulDiv(int64(minute), load, q.n<<loadBits))
	return h, nil
}

// Pool is replicas alike, from which reservations are sold.
type Pool struct {
	Profile  Profile
	Replicas int64
	Slots    int    // that each replica is given; 0 is all of its batch
	Others   Mix    // of what else runs there; zero is calls like those that were bought
	Target   Target // of every demand; zero is Usual
}

func (p *Pool) slots() int {
	if p.Slots > 0 {
		return min(p.Slots, p.Profile.MaxBatch)
	}
	return p.Profile.MaxBatch
}

func (p *Pool) target() Target {
	if p.Target == (Target{}) {
		return Usual
	}
	return p.Target
}

// Bound says what ends what a pool can sell.
type Bound string

// The bounds.
const (
	BoundSlots  Bound = "slots"
	BoundMemory Bound = "memory"
)

// Room is what can be sold beside what is sold.
type Room struct {
	Units int64
	Bound Bound // of one more unit
	Slots int64 // that are left beside what is sold; below 0 where too much is
	KV    int64 // tokens of memory, likewise
}

// Room returns how many more units of a size one buyer can be sold beside what is sold, each of which has a headroom
// of its own: together they must fit into the slots of all replicas, and into their memory. The co-tenants that
// W counts on are the heaviest of Others, what is sold and the unit, so that it holds whoever uses which slots. The
// error says which demand no number of such replicas can back.
func (p *Pool) Room(sold []Demand, unit Demand) (Room, error) {
	if err := unit.validate(); err != nil {
		return Room{}, err
	}
	others := p.heaviest(sold, unit)
	r := Room{Slots: mulSat(p.Replicas, int64(p.slots())), KV: mulSat(p.Replicas, p.Profile.capacity()*p.Profile.block())}
	for i := range sold {
		h, err := p.Profile.Headroom(sold[i], p.slots(), others, p.target())
		if err != nil {
			return Room{}, err
		}
		r.Slots, r.KV = r.Slots-h.Slots, r.KV-h.KV
	}
	if _, err := p.Profile.Headroom(unit, p.slots(), others, p.target()); err != nil {
		return Room{}, err
	}
	bound := func(units int64) Bound {
		d := Demand{Input: mulSat(units, unit.Input), Output: mulSat(units, unit.Output), Prompt: unit.Prompt}
		h, err := p.Profile.headroom(d, p.slots(), others, p.target(), min(max(r.Slots, 0), maxSlots))
		switch {
		case err != nil:
			return BoundSlots
		case h.KV > r.KV:
			return BoundMemory
		}
		return ""
	}
	r.Units = most(func(units int64) bool { return bound(units) == "" })
	r.Bound = bound(addSat(r.Units, 1))
	return r, nil
}

// heaviest is the mix, of Others and of demands, that makes steps the longest.
func (p *Pool) heaviest(sold []Demand, unit Demand) Mix {
	others := p.Others
	if others == (Mix{}) {
		others = unit.Mix()
	}
	for _, d := range append([]Demand{unit}, sold...) {
		if m := d.Mix(); p.Profile.heavier(m, others) {
			others = m
		}
	}
	return others
}

// maxUnits is more than anybody buys.
const maxUnits = 1 << 40

// most returns the largest number that is good, where all below a good one are.
func most(good func(n int64) bool) int64 {
	low, high := int64(0), int64(1) // the largest known to be good, the least known not to be
	for good(high) {
		if low, high = high, high*2; high > maxUnits {
			return low
		}
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; good(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// Unit returns the largest demand of calls of a mix of which parts, bought one by one, fit into one replica: with the headroom
// of each, and its memory. With one part, it is what a replica sells. It is whole calls a minute, and zero where no call fits.
func (p *Pool) Unit(m Mix, parts int) Rate {
	m = m.atLeastOne()
	slots := p.slots() / max(parts, 1)
	memory := p.Profile.capacity() * p.Profile.block() / int64(max(parts, 1))
	others := p.heaviest(nil, Demand{Input: m.Input, Output: m.Output, Prompt: m.Input})
	demand := func(calls int64) Demand { // a minute
		return Demand{Input: mulSat(calls, m.Input), Output: mulSat(calls, m.Output), Prompt: m.Input}
	}
	calls := most(func(calls int64) bool {
		h, err := p.Profile.headroom(demand(calls), p.slots(), others, p.target(), int64(slots))
		return err == nil && h.KV <= memory
	})
	return Rate{Input: mulSat(calls, m.Input), Output: mulSat(calls, m.Output)}
}
