package interval

import (
	"sort"
	"time"

	"forebay/fault"
	"forebay/plan/purchase"
)

// curves are the costs of each day by the number of units, nano-units for the time that costs are stated for.
type curves struct {
	costs [][]float64 // by day, by number
}

// mostCells bounds the memory of curves: days x numbers of units.
const mostCells = 16 << 20

// curves computes those of the days, up to a number of units, and to the first that holds every peak.
func (d *Days) curves(r purchase.Reserve, units int64, o Options) (*curves, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if r.Unit <= 0 {
		return nil, fault.Newf(fault.Invalid, "a unit that holds %d in a period: say how much one unit serves, at least 1", r.Unit)
	}
	if units < 0 || units > mostCells {
		return nil, fault.Newf(fault.Invalid, "%d units: their number is not negative, and at most %d", units, mostCells)
	}
	numbers := units + 2
	for _, day := range d.days {
		numbers = max(numbers, day.Demand.Peak()/r.Unit+3)
	}
	if numbers > mostCells/int64(len(d.days)) {
		return nil, fault.Newf(fault.Invalid, "%d numbers of units over %d days are too many to look at: state larger units", numbers, len(d.days))
	}
	out := &curves{}
	for _, day := range d.days {
		if _, err := r.Cost(day.Demand, units); err != nil {
			return nil, err
		}
		costs := make([]float64, numbers)
		length := float64(day.Demand.Periods()) * r.Period.Seconds()
		for n := range costs { // as Reserve.Cost has it, but for the rounding
			level := day.Demand.Peak()
			if int64(n) <= level/r.Unit {
				level = int64(n) * r.Unit
			}
			nano := float64(n)*float64(r.Hour)*length/time.Hour.Seconds() + float64(r.Spill)*float64(day.Demand.Spill(level))/purchase.Million
			costs[n] = nano * o.Per.Seconds() / length
		}
		out.costs = append(out.costs, costs)
	}
	return out, nil
}

// column is what a number of units costs on each day.
func (c *curves) column(units int64) []float64 {
	out := make([]float64, len(c.costs))
	for i, costs := range c.costs {
		out[i] = costs[units]
	}
	return out
}

// gain is what one number of units costs more than another, on each day.
func (c *curves) gain(less, more int64) []float64 {
	out := c.column(more)
	for i, x := range c.column(less) {
		out[i] -= x
	}
	return out
}

func (c *curves) cost(w []float64, units int64) float64 {
	var sum float64
	for i, costs := range c.costs {
		if w[i] != 0 {
			sum += w[i] * costs[units]
		}
	}
	return sum
}

// best is the smallest number of units that costs least: the first that the next does not undercut, for a sum of convex costs is convex.
func (c *curves) best(w []float64) int64 {
	return int64(sort.Search(len(c.costs[0])-1, func(n int) bool { return c.cost(w, int64(n)+1) >= c.cost(w, int64(n)) }))
}
