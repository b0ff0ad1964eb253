package purchase

import (
	"math"
	"slices"
	"sort"

	"forebay/fault"
)

// Demand is what is asked for in each of a number of periods, without their order: the distribution that a purchase held all the time is judged
// by. It keeps one entry per distinct volume.
type Demand struct {
	// Ascending distinct volumes, and of the periods of at least that volume the number and the sum.
	volumes, periods, sums []int64
}

// Point is a volume, and in how many periods it was asked for.
type Point struct{ Volume, Periods int64 }

// NewDemand is the demand of a series, one volume for each period. A period in which nothing was asked for is a zero of its own. An empty
// series, a negative volume, and a sum beyond int64 are fault.Invalid.
func NewDemand(series []int64) (*Demand, error) {
	sorted := slices.Clone(series)
	slices.Sort(sorted)
	points := make([]Point, 0, len(sorted))
	for _, v := range sorted {
		if n := len(points); n > 0 && points[n-1].Volume == v {
			points[n-1].Periods++
		} else {
			points = append(points, Point{v, 1})
		}
	}
	return fromSorted(points)
}

// FromPoints is the demand of a distribution; the points are in any order.
func FromPoints(points []Point) (*Demand, error) {
	sorted := slices.Clone(points)
	slices.SortFunc(sorted, func(a, b Point) int {
		switch {
		case a.Volume < b.Volume:
			return -1
		case a.Volume > b.Volume:
			return 1
		}
		return 0
	})
	merged := sorted[:0]
	for _, p := range sorted {
		switch n := len(merged); {
		case p.Periods < 0:
			return nil, fault.Newf(fault.Invalid, "volume %d is said to have come in %d periods: a number of periods is not negative", p.Volume, p.Periods)
		case p.Periods == 0:
		case n > 0 && merged[n-1].Volume == p.Volume:
			merged[n-1].Periods += p.Periods
		default:
			merged = append(merged, p)
		}
	}
	return fromSorted(merged)
}

// Merge is the demand of the periods of all of them together.
func Merge(parts ...*Demand) (*Demand, error) {
	var points []Point
	for _, d := range parts {
		points = append(points, d.Points()...)
	}
	return FromPoints(points)
}

func fromSorted(points []Point) (*Demand, error) {
	switch {
	case len(points) == 0:
		return nil, fault.New(fault.Invalid, "a demand without any period: give at least one volume, and a zero for each period in which nothing came")
	case points[0].Volume < 0:
		return nil, fault.Newf(fault.Invalid, "a volume of %d: what is asked for in a period is not negative", points[0].Volume)
	}
	d := &Demand{volumes: make([]int64, len(points)), periods: make([]int64, len(points)), sums: make([]int64, len(points))}
	var count, sum int64
	for i, p := range slices.Backward(points) {
		volume := product(p.Volume, p.Periods)
		if volume.hi != 0 || volume.lo > math.MaxInt64 || int64(volume.lo) > math.MaxInt64-sum || p.Periods > math.MaxInt64-count {
			return nil, fault.New(fault.Invalid, "the volumes of the demand add up to more than 9.2e18: look for a wrong unit")
		}
		count, sum = count+p.Periods, sum+int64(volume.lo)
		d.volumes[i], d.periods[i], d.sums[i] = p.Volume, count, sum
	}
	return d, nil
}

// Points returns the distribution, in order of volume.
func (d *Demand) Points() []Point {
	out := make([]Point, len(d.volumes))
	for i, v := range d.volumes {
		out[i] = Point{v, d.periods[i]}
		if i+1 < len(d.volumes) {
			out[i].Periods -= d.periods[i+1]
		}
	}
	return out
}

// Periods returns their number.
func (d *Demand) Periods() int64 { return d.periods[0] }

// Total returns the volume of all periods.
func (d *Demand) Total() int64 { return d.sums[0] }

// Peak returns the largest volume of a period.
func (d *Demand) Peak() int64 { return d.volumes[len(d.volumes)-1] }

// first is the index of the smallest volume above the level.
func (d *Demand) first(level int64) int {
	return sort.Search(len(d.volumes), func(i int) bool { return d.volumes[i] > level })
}

// Above returns in how many periods more than the level was asked for.
func (d *Demand) Above(level int64) int64 {
	count, _ := d.tail(level)
	return count
}

// tail returns the number, and the volume, of the periods above the level.
func (d *Demand) tail(level int64) (count, sum int64) {
	i := d.first(level)
	if i == len(d.volumes) {
		return 0, 0
	}
	return d.periods[i], d.sums[i]
}

// Spill returns the volume that a level in each period does not hold: the sum of max(0, volume - level).
func (d *Demand) Spill(level int64) int64 {
	count, sum := d.tail(level)
	return sum - count*level
}

// Scale returns the demand with each volume multiplied by num/den, rounded to the nearest: growth, or the share that a plan is about.
func (d *Demand) Scale(num, den int64) (*Demand, error) {
	if num < 0 || den <= 0 {
		return nil, fault.Newf(fault.Invalid, "a demand cannot be scaled by %d/%d: give a share that is not negative", num, den)
	}
	points := d.Points()
	for i, p := range points {
		v, err := product(p.Volume, num).over(den)
		if err != nil {
			return nil, err
		}
		points[i].Volume = v
	}
	return FromPoints(points)
}
