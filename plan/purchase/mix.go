package purchase

import (
	"container/heap"
	"math"
	"time"

	"forebay/fault"
)

// Mix is the question which units of several kinds to hold together, each with a minimum and a step, where what they do not hold spills to a price
// per token. A kind may be a unit with a commitment, one that is scheduled for some hours only, a unit of another size, or a dedicated instance: all
// that counts is what it holds, when, and what it costs over the horizon. What changes hands in the horizon is the matter of Commitments.
type Mix struct {
	// Segments are the kinds of time ("working hours", "the rest"), and the demand in each.
	Segments []Segment
	// Period is the length of a period of the demands, in whole seconds.
	Period time.Duration
	// Horizon is the time that is paid for, of which the demand is a sample; 0 is the sample's own length.
	Horizon time.Duration
	// Spill is the price of volume on demand, nano-units per million.
	Spill int64
	// Options are what can be bought.
	Options []Option
}

// Segment is a kind of time, with the demand in it.
type Segment struct {
	Name   string
	Demand *Demand
}

// Option is something that can be bought in some number.
type Option struct {
	Name string
	// Unit is the volume that one holds in a period.
	Unit int64
	// Price is what one costs over the whole horizon, nano-units (Term.Price).
	Price int64
	// Covers are the segments, by number, in which it is there; nil is all of them.
	Covers []int
	// Min and Step are the smallest number that is sold, and what it grows by; 0 is 1. Most is the largest; 0 is no limit.
	Min, Step, Most int64
}

// Term is a way to pay for a unit by the hour.
type Term struct {
	Name string
	// Hour is the price of a unit, nano-units per hour.
	Hour int64
	// Length is the commitment. Terms that have begun are paid to their end; 0 is none.
	Length time.Duration
	// Held is the part of the horizon that the unit is held for; 0 is all of it. Only what has no commitment can be held for less.
	Held time.Duration
}

// Price returns what one unit costs over a horizon, and the time that is paid for.
func (t Term) Price(horizon time.Duration) (nano int64, paid time.Duration, err error) {
	switch {
	case horizon <= 0 || t.Hour < 0 || t.Length < 0 || t.Held < 0:
		return 0, 0, fault.Newf(fault.Invalid, "term %q over %v: its price and its lengths are not negative, and the horizon is longer than nothing", t.Name, horizon)
	case t.Held > horizon || t.Held > 0 && t.Length > 0:
		return 0, 0, fault.Newf(fault.Invalid, "term %q: only units without a commitment are held for a part of the horizon", t.Name)
	case t.Held > 0:
		paid = t.Held
	case t.Length > 0:
		terms := int64((horizon + t.Length - 1) / t.Length)
		paid = time.Duration(terms * int64(t.Length))
	default:
		paid = horizon
	}
	nano, err = product(t.Hour, int64(paid/time.Second)).over(secondsPerHour)
	return nano, paid, err
}

// Choice is a mix that costs least among those that were looked at.
type Choice struct {
	Units []int64 // of each option
	Cost  Cost    // over the horizon
	// Exact says that no mix costs less. If not, none costs less than Bound, and the search stopped at the limit.
	Exact bool
	Bound int64
	// Looked is the number of mixes whose cost was computed, of Mixes.
	Looked int64
	Mixes  float64
	// Last and Next are, for each option, what a unit of the last step bought saves of spill over the horizon, and what one of the next step would:
	// the dual prices of its capacity, between which its price lies. With no unit bought Last is +Inf; with no more sold Next is 0.
	Last, Next []float64
}

// lattice is what numbers of an option are sold: index 0 is none, index j at least 1 is first + (j-1) step.
type lattice struct{ first, step, last int64 }

func (l lattice) units(j int64) int64 {
	if j == 0 {
		return 0
	}
	return l.first + (j-1)*l.step
}

// search is a mix in the form that it is searched in.
type search struct {
	Mix
	numbers []lattice
	covers  [][]bool // by option, by segment
	num     int64    // spilled volume x num, and prices x den, are in the same unit of money
	den     int64
	looked  int64
	best    []int64 // indices
	least   wide
}

func (m Mix) prepare() (*search, error) {
	r := Reserve{Period: m.Period, Unit: 1, Spill: m.Spill}
	if err := r.check(); err != nil {
		return nil, err
	}
	if len(m.Segments) == 0 || len(m.Options) == 0 || m.Horizon < 0 {
		return nil, fault.New(fault.Invalid, "a mix needs at least one segment of demand and one option, and no horizon below nothing")
	}
	s := &search{Mix: m}
	var periods int64
	for _, g := range m.Segments {
		periods += g.Demand.Periods()
	}
	sample := periods * int64(m.Period/time.Second)
	horizon := int64(m.Horizon / time.Second)
	if horizon == 0 {
		horizon = sample
	}
	g := gcd(horizon, sample)
	s.num, s.den = horizon/g, sample/g
	g = gcd(s.num, Million)
	s.num, s.den = s.num/g, s.den*(Million/g)
	for _, o := range m.Options {
		l, covers, err := m.numbers(o)
		if err != nil {
			return nil, err
		}
		s.numbers, s.covers = append(s.numbers, l), append(s.covers, covers)
	}
	all := make([]int64, len(s.numbers))
	for i, l := range s.numbers {
		all[i] = l.last
	}
	if s.evaluate(make([]int64, len(all))).plus(s.evaluate(all)).times(4).lost {
		return nil, errRange()
	}
	s.looked = 0
	return s, nil
}

// numbers are those of an option that may be of use: up to the first that holds the highest peak alone.
func (m Mix) numbers(o Option) (lattice, []bool, error) {
	l := lattice{first: max(o.Min, 1), step: max(o.Step, 1)}
	if o.Unit <= 0 || o.Price < 0 || o.Min < 0 || o.Step < 0 || o.Most < 0 {
		return l, nil, fault.Newf(fault.Invalid, "option %q: it must hold something, and no price, minimum, step or maximum is negative", o.Name)
	}
	covers := make([]bool, len(m.Segments))
	var peak int64
	for k, g := range m.Segments {
		covers[k] = o.Covers == nil
		for _, c := range o.Covers {
			if c < 0 || c >= len(m.Segments) {
				return l, nil, fault.Newf(fault.Invalid, "option %q covers segment %d: there are %d, counted from 0 on", o.Name, c, len(m.Segments))
			}
			covers[k] = covers[k] || c == k
		}
		if covers[k] {
			peak = max(peak, g.Demand.Peak())
		}
	}
	enough := (peak-1)/o.Unit + 1
	if peak == 0 {
		return l, covers, nil
	}
	if o.Most > 0 {
		if o.Most < l.first {
			return l, covers, nil
		}
		l.last = (o.Most-l.first)/l.step + 1
	} else {
		l.last = math.MaxInt64
	}
	l.last = min(l.last, (max(0, enough-l.first)+l.step-1)/l.step+1)
	return l, covers, nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// level is the volume that a mix holds in a segment, at most its peak.
func (s *search) level(at []int64, k int) int64 {
	room := s.Segments[k].Demand.Peak()
	left := room
	for i, j := range at {
		if !s.covers[i][k] {
			continue
		}
		n := s.numbers[i].units(j)
		if n > left/s.Options[i].Unit {
			return room
		}
		left -= n * s.Options[i].Unit
	}
	return room - left
}

// evaluate is what a mix costs, times den.
func (s *search) evaluate(at []int64) wide {
	s.looked++
	var spilled int64
	for k, g := range s.Segments {
		spilled += g.Demand.Spill(s.level(at, k))
	}
	out := product(s.Spill, spilled).times(s.num)
	for i, j := range at {
		out = out.plus(product(s.Options[i].Price, s.numbers[i].units(j)).times(s.den))
	}
	return out
}

// cost is what a mix costs, each row rounded once.
func (s *search) cost(at []int64) (Cost, error) {
	var spilled int64
	for k, g := range s.Segments {
		spilled += g.Demand.Spill(s.level(at, k))
	}
	var out Cost
	var err error
	if out.Spilled, err = product(s.Spill, spilled).times(s.num).over(s.den); err != nil {
		return out, err
	}
	var reserved wide
	for i, j := range at {
		reserved = reserved.plus(product(s.Options[i].Price, s.numbers[i].units(j)))
	}
	out.Reserved, err = reserved.over(1)
	if err == nil && out.Total() < 0 {
		err = errRange()
	}
	return out, err
}

// box is a range of mixes, by indices, and what each of them costs at least.
type box struct {
	low, high []int64
	bound     wide
	born      int // equals are looked at in the order in which they were made
}

type boxes []box

func (b boxes) Len() int { return len(b) }
func (b boxes) Less(i, j int) bool {
	if c := b[i].bound.cmp(b[j].bound); c != 0 {
		return c < 0
	}
	return b[i].born > b[j].born // the younger is the smaller box
}
func (b boxes) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b *boxes) Push(x any)   { *b = append(*b, x.(box)) }
func (b *boxes) Pop() any {
	old := *b
	last := old[len(old)-1]
	*b = old[:len(old)-1]
	return last
}

// Best returns the mix that costs least, after looking at no more mixes than the limit or a little over it.
//
// The cost is a sum of what is bought, linear in the numbers, and of the spill in each segment, which is convex in what is held there. So over any box
// of mixes a tangent of the spill, with each number at that end of its range that the tangent favours, is a bound that no mix of the box
// undercuts (Kelley, "The cutting-plane method for solving convex programs", J. SIAM 8, 1960), and boxes are split, the most promising first, until none
// can hold a mix that is better than the best seen (Land, Doig, Econometrica 28, 1960). Along one option, the others given, the cost is convex, so
// that its best number is found by bisection, as in Reserve.Optimum, and the option with the most numbers is never split. With one option that is
// all. Among mixes that cost the same, which one is returned depends on the search, and is the same each time.
func (m Mix) Best(limit int64) (Choice, error) {
	s, err := m.prepare()
	if err != nil {
		return Choice{}, err
	}
	out := Choice{Mixes: 1}
	whole := box{low: make([]int64, len(s.numbers))}
	longest := 0
	for i, l := range s.numbers {
		whole.high = append(whole.high, l.last)
		out.Mixes *= float64(l.last) + 1
		if l.last > s.numbers[longest].last {
			longest = i
		}
	}
	s.best = make([]int64, len(s.numbers))
	s.least = s.evaluate(s.best)
	s.look(&whole, longest)
	open := &boxes{whole}
	for born := 1; open.Len() > 0 && s.looked < limit; {
		b := heap.Pop(open).(box)
		if b.bound.cmp(s.least) >= 0 {
			*open = nil
			break
		}
		for _, part := range split(b, longest) {
			part.born = born
			born++
			if s.look(&part, longest); part.bound.cmp(s.least) < 0 {
				heap.Push(open, part)
			}
		}
	}
	return s.conclude(out, *open)
}

// split halves a box along the longest of its ranges but one; one that cannot be split has been solved.
func split(b box, but int) []box {
	at := -1
	for i := range b.low {
		if i != but && b.high[i] > b.low[i] && (at < 0 || b.high[i]-b.low[i] > b.high[at]-b.low[at]) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	mid := b.low[at] + (b.high[at]-b.low[at])/2
	lower := box{low: b.low, high: append([]int64(nil), b.high...)}
	upper := box{low: append([]int64(nil), b.low...), high: b.high}
	lower.high[at], upper.low[at] = mid, mid+1
	return []box{lower, upper}
}

// look finds the best mix along one option through the middle of a box, and the bound of the box by the tangent there.
func (s *search) look(b *box, along int) {
	at := make([]int64, len(b.low))
	for i := range at {
		at[i] = b.low[i] + (b.high[i]-b.low[i])/2
	}
	low, high := b.low[along], b.high[along]
	for low < high { // the first that the next does not undercut
		at[along] = low + (high-low)/2
		here := s.evaluate(at)
		at[along]++
		if next := s.evaluate(at); next.cmp(here) < 0 {
			low = at[along]
		} else {
			high = at[along] - 1
		}
	}
	at[along] = low
	if c := s.evaluate(at); c.cmp(s.least) < 0 {
		s.least, s.best = c, append([]int64(nil), at...)
	}
	b.bound = s.tangent(b, at)
	if low > b.low[along] { // where the best lies at a step of the spill, the tangent before it may be the one that holds
		at[along] = low - 1
		if t := s.tangent(b, at); t.cmp(b.bound) > 0 {
			b.bound = t
		}
	}
}

// tangent bounds the cost of the mixes of a box by the tangent at one of them: the spill above any level is at least the volume of the periods
// that are above the tangent's level, less the level for each of them.
func (s *search) tangent(b *box, at []int64) wide {
	var volume int64
	busy := make([]int64, len(s.Segments)) // periods above the level
	for k, g := range s.Segments {
		var sum int64
		busy[k], sum = g.Demand.tail(s.level(at, k))
		volume += sum
	}
	cost, saved := product(s.Spill, volume).times(s.num), wide{}
	for i, o := range s.Options {
		var periods int64
		for k, n := range busy {
			if s.covers[i][k] {
				periods += n
			}
		}
		price := product(o.Price, s.den)
		worth := product(s.Spill, periods).times(s.num).times(o.Unit)
		n := s.numbers[i].units(b.low[i])
		if worth.cmp(price) > 0 {
			n = s.numbers[i].units(b.high[i])
		}
		cost, saved = cost.plus(price.times(n)), saved.plus(worth.times(n))
	}
	if saved.lost || cost.lost {
		return wide{} // it bounds nothing
	}
	return cost.less(saved)
}

func (s *search) conclude(out Choice, open []box) (Choice, error) {
	var err error
	if out.Cost, err = s.cost(s.best); err != nil {
		return Choice{}, err
	}
	bound := s.least
	for _, b := range open {
		if b.bound.cmp(bound) < 0 {
			bound = b.bound
		}
	}
	out.Exact, out.Looked = bound.cmp(s.least) == 0, s.looked
	if out.Bound, err = bound.over(s.den); err != nil {
		return Choice{}, err
	}
	for i, l := range s.numbers {
		out.Units = append(out.Units, l.units(s.best[i]))
		last, next := math.Inf(1), 0.0
		if s.best[i] > 0 {
			last = s.worth(i, s.best[i]-1, s.best[i])
		}
		if s.best[i] < l.last {
			next = s.worth(i, s.best[i], s.best[i]+1)
		}
		out.Last, out.Next = append(out.Last, last), append(out.Next, next)
	}
	return out, nil
}

// worth is what each unit between two numbers of an option saves of spill, in the best mix.
func (s *search) worth(i int, from, to int64) float64 {
	at := append([]int64(nil), s.best...)
	var spill [2]int64
	for n, j := range []int64{from, to} {
		at[i] = j
		for k, g := range s.Segments {
			spill[n] += g.Demand.Spill(s.level(at, k))
		}
	}
	units := float64(s.numbers[i].units(to) - s.numbers[i].units(from))
	return product(s.Spill, spill[0]-spill[1]).times(s.num).float() / float64(s.den) / units
}
