package purchase

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"forebay/fault"
)

// Million is what prices of use are per.
const Million = 1_000_000

// Month is the month of plans.
const Month = 730 * time.Hour

// Reserve is the question how many units to reserve where all that they do not hold in a period spills to a price per token.
type Reserve struct {
	// Period is the length of a period of the demand, in whole seconds.
	Period time.Duration
	// Unit is the volume that one unit holds in a period. What it does not use in one is lost to the next.
	Unit int64
	// Hour is the price of a unit, nano-units per hour.
	Hour int64
	// Spill is the price of volume on demand, nano-units per million.
	Spill int64
}

// Cost is what a plan costs in the time that the demand covers, nano-units.
type Cost struct {
	Reserved, Spilled int64
}

// Total is both rows together.
func (c Cost) Total() int64 { return c.Reserved + c.Spilled }

func (r Reserve) check() error {
	switch {
	case r.Period < time.Second || r.Period%time.Second != 0:
		return fault.Newf(fault.Invalid, "a period of %v: periods are whole seconds", r.Period)
	case r.Unit <= 0:
		return fault.Newf(fault.Invalid, "a unit that holds %d in a period: say how much one unit serves, at least 1", r.Unit)
	case r.Hour < 0:
		return fault.Newf(fault.Invalid, "a unit's price of %d: a price is not negative", r.Hour)
	case r.Spill < 0:
		return fault.Newf(fault.Invalid, "a price on demand of %d: a price is not negative", r.Spill)
	}
	return nil
}

const secondsPerHour = int64(time.Hour / time.Second)

// time is the demand's length in seconds.
func (r Reserve) time(d *Demand) wide { return product(d.Periods(), int64(r.Period/time.Second)) }

// Cost returns what a number of units, held all the time, and the spill above them cost:
//
//	reserved = N r T,  spilled = p sum of max(0, d_t - N c)
//
// for N units of c volume per period at a price r, T periods of demand d_t, and a price p of volume.
func (r Reserve) Cost(d *Demand, units int64) (Cost, error) {
	if err := r.check(); err != nil {
		return Cost{}, err
	}
	if units < 0 {
		return Cost{}, fault.Newf(fault.Invalid, "%d units: their number is not negative", units)
	}
	reserved, err := r.time(d).times(r.Hour).times(units).over(secondsPerHour)
	if err != nil {
		return Cost{}, err
	}
	spilled, err := product(r.Spill, d.Spill(r.level(d, units))).over(Million)
	if err == nil && reserved+spilled < 0 {
		err = errRange()
	}
	return Cost{reserved, spilled}, err
}

// level is the volume that units hold in a period, at most the demand's peak.
func (r Reserve) level(d *Demand, units int64) int64 {
	if peak := d.Peak(); units >= peak/r.Unit+1 {
		return peak
	}
	return units * r.Unit
}

// covered is the volume that the unit of that number, from 1 on, holds and the ones before it do not.
func (r Reserve) covered(d *Demand, unit int64) int64 {
	return d.Spill(r.level(d, unit-1)) - d.Spill(r.level(d, unit))
}

// Optimum is the number of units that costs least.
type Optimum struct {
	Units    int64
	Cost     Cost
	OnDemand int64 // what everything on demand would cost
	// Last and Next are what the last unit saves of spill, and what one more would, nano-units per hour. The price of a unit lies between them: that
	// is what makes the number the best (Last is the price where there is no unit).
	Last, Next int64
}

// Saved is what the purchase saves against everything on demand.
func (o Optimum) Saved() int64 { return o.OnDemand - o.Cost.Total() }

// Saving is that as a share of what everything on demand costs; 0 where that is nothing.
func (o Optimum) Saving() float64 { return share(o.Saved(), o.OnDemand) }

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Optimum returns the number of units that costs least, the smallest of them where several do, exactly.
//
// It is a quantile of the demand, as in the problem of the newspaper vendor (Arrow, Harris, Marschak, "Optimal inventory policy", Econometrica 19,
// 1951). With the notation of Cost, in continuous N, the derivative of the cost is
//
//	r T - p c #{t: d_t > N c}
//
// for the spill of each period falls by c as N grows by one while d_t > N c, and by nothing from there on. The number of periods above N c falls
// with N, so that the derivative grows: the cost is convex, and least where the share of periods with demand above N c is r/(p c), which is where
// N c is the quantile of 1 - r/(p c) of the demand. What the share stands for is the utilisation at which one unit breaks even: the last unit
// bought is the last one that is busy in that share of the time. A convex function over whole numbers is least at the floor or at the ceiling of
// where it is least over all; which of them is decided by the whole unit's saving, the spill that it takes away, against its price. As the savings
// of units fall with their number, the best N is the number of units whose saving is above their price, and is found by bisection.
func (r Reserve) Optimum(d *Demand) (Optimum, error) {
	if err := r.check(); err != nil {
		return Optimum{}, err
	}
	price := r.time(d).times(r.Hour).times(Million)
	if price.lost {
		return Optimum{}, errRange()
	}
	low, high := int64(0), d.Peak()/r.Unit+1 // low are worth it, high + 1 are not: nothing above the peak saves anything
	for low < high {
		mid := low + (high-low+1)/2
		if product(r.Spill, r.covered(d, mid)).times(secondsPerHour).cmp(price) > 0 {
			low = mid
		} else {
			high = mid - 1
		}
	}
	out := Optimum{Units: low, Last: r.Hour}
	var err error
	if out.Cost, err = r.Cost(d, low); err != nil {
		return Optimum{}, err
	}
	if out.OnDemand, err = r.OnDemand(d); err != nil {
		return Optimum{}, err
	}
	if low > 0 {
		if out.Last, err = r.Worth(d, low); err != nil {
			return Optimum{}, err
		}
	}
	out.Next, err = r.Worth(d, low+1)
	return out, err
}

// OnDemand returns what everything on demand costs.
func (r Reserve) OnDemand(d *Demand) (int64, error) {
	c, err := r.Cost(d, 0)
	return c.Spilled, err
}

// Worth returns what the unit of that number, from 1 on, saves of spill beside the ones before it, nano-units per hour: the price below which it
// is worth buying. It falls with the number.
func (r Reserve) Worth(d *Demand, unit int64) (int64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	if unit < 1 {
		return 0, fault.Newf(fault.Invalid, "unit %d: units are counted from 1 on", unit)
	}
	return r.perHour(d, r.covered(d, unit))
}

// Ceiling returns what everything on demand costs in an hour, on average: no reserve that holds all of this demand, of units of whatever size, is
// worth more. Where all that can be bought costs more, no purchase can win.
func (r Reserve) Ceiling(d *Demand) (int64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	return r.perHour(d, d.Total())
}

// perHour is what a volume costs on demand, spread over the time of the demand.
func (r Reserve) perHour(d *Demand, volume int64) (int64, error) {
	seconds := r.time(d).times(Million)
	if seconds.hi != 0 || int64(seconds.lo) < 0 {
		return 0, errRange()
	}
	return product(r.Spill, volume).times(secondsPerHour).over(int64(seconds.lo))
}

// Quantile returns the volume that the news-vendor's rule says to reserve up to: the smallest volume v for which the share of periods above it is
// at most r/(p c). The optimum is the floor or the ceiling of v/c.
func (r Reserve) Quantile(d *Demand) (int64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	bound := r.time(d).times(r.Hour).times(Million)
	at := func(level int64) wide { return product(r.Spill, r.Unit).times(d.Above(level)).times(secondsPerHour) }
	if bound.lost || at(-1).lost {
		return 0, errRange()
	}
	if at(0).cmp(bound) <= 0 {
		return 0, nil
	}
	for _, v := range d.volumes {
		if at(v).cmp(bound) <= 0 {
			return v, nil
		}
	}
	return d.Peak(), nil
}

// BreakEven is where one unit and the same volume on demand cost the same.
type BreakEven struct {
	// Utilisation is the share of its volume that a unit must serve for its price: r/(p c). Above 1 no utilisation is enough; with a price on demand
	// of zero it is +Inf.
	Utilisation float64
	// Hour and Month are the volume, in an hour and in a month of 730 hours, that costs as much on demand as the unit does; 0 if use is free.
	Hour, Month int64
	// Capacity is what the unit can serve in an hour.
	Capacity int64
	question Reserve
}

// Possible says whether a unit can serve as much as it must.
func (b BreakEven) Possible() bool { return b.Utilisation <= 1 }

// BreakEven returns where one unit breaks even, which does not depend on the demand:
//
//	volume per hour = r / p,  utilisation = volume per hour / volume that the unit can serve in an hour
func (r Reserve) BreakEven() (BreakEven, error) {
	if err := r.check(); err != nil {
		return BreakEven{}, err
	}
	out := BreakEven{question: r}
	seconds := int64(r.Period / time.Second)
	var err error
	if out.Capacity, err = product(r.Unit, secondsPerHour).over(seconds); err != nil {
		return BreakEven{}, err
	}
	if r.Spill == 0 {
		out.Utilisation = math.Inf(1)
		return out, nil
	}
	out.Utilisation = product(r.Hour, Million).times(seconds).float() / product(r.Spill, r.Unit).times(secondsPerHour).float()
	if out.Hour, err = product(r.Hour, Million).over(r.Spill); err != nil {
		return BreakEven{}, err
	}
	out.Month, err = product(r.Hour, Million).times(int64(Month / time.Hour)).over(r.Spill)
	return out, err
}

// Formula writes out how the figures come about, with the prices as amounts of the currency.
func (b BreakEven) Formula(currency string) string {
	r := b.question
	if r.Spill == 0 {
		return "use costs nothing on demand, so that no price of a unit can be saved"
	}
	return fmt.Sprintf("break-even volume = price of a unit / price on demand = %s %s/h / %s %s per million = %d per hour (%d per month of 730 h); "+
		"break-even utilisation = %d / %d that a unit can serve in an hour = %.1f %%",
		money(r.Hour), currency, money(r.Spill), currency, b.Hour, b.Month, b.Hour, b.Capacity, 100*b.Utilisation)
}

// money writes nano-units with at least two decimal places, and no more zeros at the end.
func money(nano int64) string {
	const one = 1_000_000_000
	frac := strings.TrimRight(strconv.FormatInt(nano%one+one, 10)[1:], "0")
	for len(frac) < 2 {
		frac += "0"
	}
	return strconv.FormatInt(nano/one, 10) + "." + frac
}
