package purchase

import (
	"container/heap"
	"math"

	"forebay/fault"
)

// Commitments is the question what to commit to, and when, as demand changes from one billing period to the next: units of one kind, on terms of
// several lengths, and a price per token for what they do not hold.
type Commitments struct {
	// Demand is what is asked for in each billing period (an hour, a day, a month), in turn, each the distribution of its finer periods (minutes).
	Demand []*Demand
	// Unit is the volume that one unit holds in one of the finer periods.
	Unit int64
	// Spill is the price of volume on demand, nano-units per million.
	Spill int64
	// Usage is what use of a unit costs beside its term, in millionths of the price on demand: alpha of the literature. A prepaid unit has 0.
	Usage int64
	// Terms are what can be bought at the start of each billing period.
	Terms []Commitment
}

// Commitment is a term of a number of billing periods, and what a unit costs for all of it, nano-units, however much of it lies within the time
// that is looked at.
type Commitment struct {
	Name    string
	Periods int
	Price   int64
}

// Schedule is what is bought when.
type Schedule struct {
	Buys [][]int64 // units, by term and billing period in which the term starts
	Held []int64   // units held, by billing period
	// Cost has the terms, and what use of units costs, in Reserved, and the spill in Spilled.
	Cost Cost
}

// mostUnits bounds the units that a schedule is made of, and so the work.
const mostUnits = 100_000

func (c *Commitments) check() error {
	switch {
	case len(c.Demand) == 0:
		return fault.New(fault.Invalid, "no billing period: give the demand of at least one")
	case c.Unit <= 0 || c.Spill < 0 || c.Usage < 0 || c.Usage > Million:
		return fault.Newf(fault.Invalid, "a unit of %d, a price of %d on demand, %d millionths of it for use of units: a unit holds at least 1, prices are not negative, and use of a unit is no dearer than the same on demand", c.Unit, c.Spill, c.Usage)
	}
	for _, t := range c.Terms {
		if t.Periods < 1 || t.Price < 0 {
			return fault.Newf(fault.Invalid, "term %q of %d billing periods at %d: a term has at least one, and no negative price", t.Name, t.Periods, t.Price)
		}
	}
	for _, d := range c.Demand {
		if _, err := product(d.Total(), c.Spill).over(Million); err != nil {
			return err
		}
		if d.Peak()/c.Unit >= mostUnits {
			return fault.Newf(fault.Invalid, "a peak of %d in units of %d: a schedule is worked out for at most %d units; state larger ones", d.Peak(), c.Unit, mostUnits)
		}
	}
	return nil
}

// saving is what a unit saves for the demand of a billing period beside those before it, nano-units, rounded down: it falls with the unit's number.
func (c *Commitments) saving(d *Demand, unit int64) int64 {
	r := Reserve{Unit: c.Unit}
	v, err := product(r.covered(d, unit), c.Spill).times(Million - c.Usage).down(Million * Million)
	if err != nil {
		return math.MaxInt64
	}
	return v
}

// units is the number that holds every peak.
func (c *Commitments) units() int64 {
	var n int64
	for _, d := range c.Demand {
		n = max(n, (d.Peak()+c.Unit-1)/c.Unit)
	}
	return n
}

// Bill returns what buying as stated costs.
func (c *Commitments) Bill(buys [][]int64) (Schedule, error) {
	if err := c.check(); err != nil {
		return Schedule{}, err
	}
	out := Schedule{Buys: buys, Held: make([]int64, len(c.Demand))}
	var terms, served, spilled wide
	for i, t := range c.Terms {
		for at, n := range buys[i] {
			terms = terms.plus(product(t.Price, n))
			for p := at; p < min(at+t.Periods, len(c.Demand)); p++ {
				out.Held[p] += n
			}
		}
	}
	for p, d := range c.Demand {
		spill := d.Spill(Reserve{Unit: c.Unit}.level(d, out.Held[p]))
		spilled = spilled.plus(product(spill, c.Spill))
		served = served.plus(product(d.Total()-spill, c.Spill))
	}
	var use int64
	var err error
	if out.Cost.Reserved, err = terms.over(1); err != nil {
		return Schedule{}, err
	}
	if out.Cost.Spilled, err = spilled.over(Million); err != nil {
		return Schedule{}, err
	}
	if served, err := served.over(Million); err != nil {
		return Schedule{}, err
	} else if use, err = product(served, c.Usage).over(Million); err != nil {
		return Schedule{}, err
	}
	if out.Cost.Reserved += use; out.Cost.Reserved < 0 || out.Cost.Total() < 0 {
		return Schedule{}, errRange()
	}
	return out, nil
}

// Hindsight returns the schedule that costs least for a demand that is known, exactly but for a nano-unit per billing period and unit.
//
// Let as many units as hold the highest peak travel through time. From one billing period to the next a unit goes either at no price but the spill
// that it would have held, or on a term, which takes it the length of the term ahead for its price. In a period where x units are on terms the
// others pay for the spill above x, and the more of them there are, the more the next pays. So this is a flow of least cost with convex costs on a graph
// without cycles; it has an optimum in whole units, which shortest paths find one unit at a time (Ford, Fulkerson, "Flows in Networks", 1962; with potentials
// as in Edmonds, Karp, J. ACM 19, 1972). Terms that reach beyond the end are paid in full.
func (c *Commitments) Hindsight() (Schedule, error) {
	if err := c.check(); err != nil {
		return Schedule{}, err
	}
	f := newFlow(c)
	for range f.units {
		f.send()
	}
	return c.Bill(f.buys)
}

// flow is the travel of the units that have been sent so far.
type flow struct {
	c     *Commitments
	units int64
	plain []int64   // units that go without a term, by period
	buys  [][]int64 // and on one, by term and period of its start
	price []int64   // potentials: what it costs to be there
	cost  []int64   // of the way to each instant, less potentials
	from  []edge
}

// edge is the way on which an instant was reached: along a term, or without one (term -1), or back on it.
type edge struct {
	at, term int
	back     bool
}

func newFlow(c *Commitments) *flow {
	n := len(c.Demand)
	f := &flow{c: c, units: c.units(), plain: make([]int64, n), price: make([]int64, n+1), cost: make([]int64, n+1), from: make([]edge, n+1)}
	for range c.Terms {
		f.buys = append(f.buys, make([]int64, n))
	}
	return f
}

// next is what one more unit without a term costs in a period: with m of them, the units from the last but m on are not held.
func (f *flow) next(period int, m int64) int64 { return f.c.saving(f.c.Demand[period], f.units-m) }

// reach is an instant at the end of a way.
type reach struct {
	cost int64
	at   int
}

type reaches []reach

func (r reaches) Len() int { return len(r) }
func (r reaches) Less(i, j int) bool {
	return r[i].cost < r[j].cost || r[i].cost == r[j].cost && r[i].at > r[j].at
}
func (r reaches) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *reaches) Push(x any)   { *r = append(*r, x.(reach)) }
func (r *reaches) Pop() any {
	old := *r
	last := old[len(old)-1]
	*r = old[:len(old)-1]
	return last
}

// send sends one more unit along the cheapest way through what the others have taken.
func (f *flow) send() {
	end := len(f.plain)
	for i := range f.cost {
		f.cost[i] = math.MaxInt64
	}
	f.cost[0] = 0
	open := &reaches{{0, 0}}
	for open.Len() > 0 {
		r := heap.Pop(open).(reach)
		if r.cost > f.cost[r.at] {
			continue
		}
		f.ways(r.at, func(to int, cost int64, by edge) {
			if total := r.cost + cost + f.price[r.at] - f.price[to]; total < f.cost[to] {
				f.cost[to], f.from[to] = total, by
				heap.Push(open, reach{total, to})
			}
		})
	}
	for i := range f.price { // every instant is reached, for units may always go without a term
		f.price[i] += f.cost[i]
	}
	for at := end; at != 0; {
		e := f.from[at]
		start, d := e.at, int64(1)
		if e.back {
			start, d = at, -1
		}
		if e.term < 0 {
			f.plain[start] += d
		} else {
			f.buys[e.term][start] += d
		}
		at = e.at
	}
}

// ways calls yield for each way on from an instant: forward, and back along what has been taken.
func (f *flow) ways(at int, yield func(to int, cost int64, by edge)) {
	end := len(f.plain)
	if at < end {
		if m := f.plain[at]; m < f.units {
			yield(at+1, f.next(at, m), edge{at: at, term: -1})
		}
		for i, t := range f.c.Terms {
			yield(min(at+t.Periods, end), t.Price, edge{at: at, term: i})
		}
	}
	if at > 0 && f.plain[at-1] > 0 {
		yield(at-1, -f.next(at-1, f.plain[at-1]-1), edge{at: at, term: -1, back: true})
	}
	for i, t := range f.c.Terms {
		if at == end {
			for s := max(0, end-t.Periods); s < end; s++ {
				if f.buys[i][s] > 0 {
					yield(s, -t.Price, edge{at: at, term: i, back: true})
				}
			}
		} else if s := at - t.Periods; s >= 0 && f.buys[i][s] > 0 {
			yield(s, -t.Price, edge{at: at, term: i, back: true})
		}
	}
}
