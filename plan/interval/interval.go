package interval

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"forebay/fault"
	"forebay/plan/purchase"
)

// Options are how an interval is made; the zero value is 90 %, 1,000 resamples, the seed 0, and a month of 730 hours.
type Options struct {
	// Level is the share of samples whose interval holds the truth.
	Level     float64
	Resamples int
	Seed      uint64
	// Per is the time that costs are stated for.
	Per time.Duration
}

func (o Options) filled() (Options, error) {
	if o.Level == 0 {
		o.Level = 0.9
	}
	if o.Resamples == 0 {
		o.Resamples = 1000
	}
	if o.Per == 0 {
		o.Per = purchase.Month
	}
	if o.Level <= 0.5 || o.Level >= 1 || o.Resamples < 100 || o.Per < 0 {
		return o, fault.Newf(fault.Invalid, "an interval of level %v from %d resamples per %v: the level is above 0.5 and below 1, and there are at least 100 resamples", o.Level, o.Resamples, o.Per)
	}
	return o, nil
}

// Interval is a figure and how far it may be off. Costs and regrets are nano-units per the time that was asked for, numbers of units are units.
type Interval struct {
	Low, Value, High int64
	Level            float64
	Days             int // that it is made of
	// Warnings say why it may be too narrow, each a sentence.
	Warnings []string
}

// Mean returns the interval of any figure that each day has one of, in the order of the days: the money of a replayed day, its calls that were
// refused. Its value is the mean over a week of five weekdays and two weekend days, per day.
func (d *Days) Mean(figures []float64, o Options) (Interval, error) {
	if len(figures) != len(d.days) {
		return Interval{}, fault.Newf(fault.Invalid, "%d figures for %d days", len(figures), len(d.days))
	}
	return d.interval(o, figures, func(w []float64) float64 { return dot(w, figures) })
}

func dot(a, b []float64) float64 {
	var sum float64
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// Cost returns the interval of what a number of units, and the spill above them, cost.
func (d *Days) Cost(r purchase.Reserve, units int64, o Options) (Interval, error) {
	c, err := d.curves(r, units, o)
	if err != nil {
		return Interval{}, err
	}
	figures := c.column(units)
	return d.interval(o, figures, func(w []float64) float64 { return dot(w, figures) })
}

// Optimum returns the interval of the number of units that costs least.
func (d *Days) Optimum(r purchase.Reserve, o Options) (Interval, error) {
	c, err := d.curves(r, 0, o)
	if err != nil {
		return Interval{}, err
	}
	best := c.best(d.weights())
	return d.interval(o, c.gain(best, best+1), func(w []float64) float64 { return float64(c.best(w)) })
}

// Regret returns the interval of what a number of units costs more than the best one. The number is one that was chosen without these days: the best number
// of the same days is not regretted in them, see RegretOfBest.
func (d *Days) Regret(r purchase.Reserve, units int64, o Options) (Interval, error) {
	c, err := d.curves(r, units, o)
	if err != nil {
		return Interval{}, err
	}
	best := c.best(d.weights())
	return d.interval(o, c.gain(best, units), func(w []float64) float64 { return c.cost(w, units) - c.cost(w, c.best(w)) })
}

// RegretOfBest bounds what the best number of these days is regretted by, in days like them, for the reason alone that there were not more: with the
// probability of the level it is at most High. Low is zero, and Value what is to be expected. It is made by choosing from resampled days, and paying in
// these.
func (d *Days) RegretOfBest(r purchase.Reserve, o Options) (Interval, error) {
	c, err := d.curves(r, 0, o)
	if err != nil {
		return Interval{}, err
	}
	all := d.weights()
	best := c.best(all)
	least := c.cost(all, best)
	out, draws, err := d.resample(o, func(w []float64) float64 { return c.cost(all, c.best(w)) - least })
	if err != nil {
		return Interval{}, err
	}
	var mean float64
	for _, x := range draws {
		mean += x / float64(len(draws))
	}
	out.Value, out.High = round(mean), round(quantile(draws, out.Level))
	return out, nil
}

// weights are those of the days in a mean over weeks: each stratum has its share of the week, and its days alike.
func (d *Days) weights() []float64 {
	w := make([]float64, len(d.days))
	for s, of := range d.of {
		for _, i := range of {
			w[i] = inWeek[s] / 7 / float64(len(of))
		}
	}
	return w
}

// resample computes a statistic of resampled days, and sorts what comes out.
//
// Of the n days of each stratum n - 1 are drawn, with replacement: so the variance of a mean over the draws is what is to be expected of n days, and not
// smaller by (n - 1)/n as it is with n draws (McCarthy, Snowden, "The bootstrap and finite population sampling", Vital and Health Statistics 2(95), 1985; Rao,
// Wu, J. Am. Stat. Assoc. 83, 1988), which with eight weekend days is a twelfth.
func (d *Days) resample(o Options, statistic func(weights []float64) float64) (Interval, []float64, error) {
	o, err := o.filled()
	if err != nil {
		return Interval{}, nil, err
	}
	if err := d.check(); err != nil {
		return Interval{}, nil, err
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x64617973)) //nolint:gosec // draws are to be the same each time
	draws, w := make([]float64, o.Resamples), make([]float64, len(d.days))
	for k := range draws {
		clear(w)
		for s, of := range d.of {
			n := len(of) - 1
			for range n {
				w[of[rng.IntN(len(of))]] += inWeek[s] / 7 / float64(n)
			}
		}
		draws[k] = statistic(w)
	}
	slices.Sort(draws)
	return Interval{Level: o.Level, Days: len(d.days), Warnings: d.warnings()}, draws, nil
}

// interval is the one between quantiles of a statistic of resampled days. The quantiles lie further out than the level says, by as much as the quantiles of
// Student's distribution lie beyond the normal ones, for the spread too is only estimated from these days (Hesterberg, "What teachers should know about the
// bootstrap", arXiv 1411.5279, section 5.3, the expanded percentile interval). The influence is what each day adds to the statistic, up to a
// factor and a constant.
func (d *Days) interval(o Options, influence []float64, statistic func(weights []float64) float64) (Interval, error) {
	out, draws, err := d.resample(o, statistic)
	if err != nil {
		return Interval{}, err
	}
	tail := normal(-student((1+out.Level)/2, d.freedom(influence)))
	out.Value = round(statistic(d.weights()))
	out.Low, out.High = round(quantile(draws, tail)), round(quantile(draws, 1-tail))
	return out, nil
}

// freedom are the degrees of freedom of the estimated variance of a weighted mean over strata (Satterthwaite, Biometrics Bulletin 2, 1946).
func (d *Days) freedom(figures []float64) float64 {
	var all, each float64
	for s, of := range d.of {
		n := float64(len(of))
		var mean, square float64
		for _, i := range of {
			mean += figures[i] / n
		}
		for _, i := range of {
			square += (figures[i] - mean) * (figures[i] - mean)
		}
		v := (inWeek[s] / 7) * (inWeek[s] / 7) * square / (n - 1) / n
		all, each = all+v, each+v*v/(n-1)
	}
	if each == 0 {
		return float64(len(d.days))
	}
	return all * all / each
}

func round(x float64) int64 {
	switch x = math.Round(x); {
	case x >= math.MaxInt64:
		return math.MaxInt64
	case x <= math.MinInt64:
		return math.MinInt64
	}
	return int64(x)
}

// quantile is that of a sorted sample, between two of them in proportion.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-2)
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// normal is the distribution function of the standard normal distribution.
func normal(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// student is the quantile of Student's distribution above its middle (Abramowitz, Stegun, 26.7.5), within 0.003 from five degrees of freedom on.
func student(p, freedom float64) float64 {
	z := math.Sqrt2 * math.Erfinv(2*p-1)
	z2 := z * z
	g1 := z * (z2 + 1) / 4
	g2 := z * ((5*z2+16)*z2 + 3) / 96
	g3 := z * (((3*z2+19)*z2+17)*z2 - 15) / 384
	g4 := z * ((((79*z2+776)*z2+1482)*z2-1920)*z2 - 945) / 92160
	return z + (g1+(g2+(g3+g4/freedom)/freedom)/freedom)/freedom
}
