package purchase

import (
	"math"
	"math/rand/v2"
	"slices"

	"forebay/fault"
)

// RentOrBuy is the question whether to go on paying by the token, or to commit, while nothing is known of the demand to come: one kind of unit on one term.
type RentOrBuy struct {
	// Unit, Spill and Usage are as in Commitments.
	Unit, Spill, Usage int64
	// Term is what can be committed to; its price is paid in full.
	Term Commitment
}

// Alpha is what use of a unit still costs, as a share of the price on demand.
func (q RentOrBuy) Alpha() float64 { return float64(q.Usage) / Million }

// DeterministicBound is how many times the cost in hindsight the advice of Deterministic costs at most: 2 - alpha (Wang, Li, Liang, "To reserve or not to
// reserve: optimal online multi-instance acquisition in IaaS clouds", ICAC 2013, arXiv 1305.5608; no deterministic rule has a better one).
// For a prepaid unit that is 2, as for renting or buying skis.
func (q RentOrBuy) DeterministicBound() float64 { return 2 - q.Alpha() }

// RandomBound is that of Random in the mean over its draws, against a demand that does not depend on them: e/(e - 1 + alpha) (the same paper; the bound is
// that of the Bahncard problem, Karlin, Kenyon, Randall, "Dynamic TCP acknowledgement and other stories about e/(e-1)", STOC 2001, and no rule has a
// better one). For a prepaid unit that is e/(e-1), about 1.582.
func (q RentOrBuy) RandomBound() float64 { return math.E / (math.E - 1 + q.Alpha()) }

// Deterministic is the advisor that buys a unit when its price would have been saved within the last term: when, over the billing periods of a term,
// what one more unit would have saved of spill exceeds its price.
func (q RentOrBuy) Deterministic() (*Advisor, error) {
	return q.advisor(q.Term.Price, q.DeterministicBound())
}

// Random is the advisor that buys at a share of the price that is drawn once, from the seed, so that no demand can be made to meet it.
func (q RentOrBuy) Random(seed uint64) (*Advisor, error) {
	return q.advisor(q.Threshold(rand.New(rand.NewPCG(seed, seed)).Float64()), q.RandomBound()) //nolint:gosec // it is to be the same each time
}

// Threshold turns a uniform number of [0,1) into what has to be missed before a unit is bought: z times the price, where z in [0,1) has the density
// e^z/(e - 1 + alpha). With the probability that is left, alpha/(e - 1 + alpha), no unit is ever bought, and the threshold is math.MaxInt64: where use
// of a unit is still paid for, hindsight too pays more with every call, and holding back in some draws is what keeps the others cheap.
//
// Why it holds, for one unit of price 1, demand that ends when it would have saved s in all, and F the distribution of z: T = s/(1 - alpha) of rent without
// the unit, and z + 1 + alpha T where it was bought at z < s. For s <= 1 hindsight pays T, and the mean is T(1 - F) + F (1 + alpha T) + the sum of z dF
// to s = T + s/(e - 1 + alpha) = T e/(e - 1 + alpha). For s > 1 hindsight pays 1 + alpha T, which grows by alpha, and the mean grows by
// 1 - F + alpha F = alpha e/(e - 1 + alpha): the ratio stays what it is.
func (q RentOrBuy) Threshold(u float64) int64 {
	z := math.Log1p(u * (math.E - 1 + q.Alpha()))
	if z >= 1 {
		return math.MaxInt64
	}
	return int64(float64(q.Term.Price) * z)
}

func (q RentOrBuy) advisor(threshold int64, bound float64) (*Advisor, error) {
	nothing := &Demand{volumes: []int64{0}, periods: []int64{1}, sums: []int64{0}}
	c := Commitments{Unit: q.Unit, Spill: q.Spill, Usage: q.Usage, Terms: []Commitment{q.Term}, Demand: []*Demand{nothing}}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Advisor{question: q, threshold: threshold, bound: bound}, nil
}

// Advisor says what to commit to as billing periods go by. It remembers those of one term. It is used by one goroutine.
type Advisor struct {
	question  RentOrBuy
	threshold int64
	bound     float64
	window    []observed // at most a term of billing periods, the last one last
	sum       int64      // of what one more unit would have saved in them
}

// observed is one billing period.
type observed struct {
	demand *Demand
	bought int64 // at its start
	// counted are the units that its spill is taken beyond: those that were held, and those that were bought since, whose price it has helped to justify.
	counted int64
}

// Advice is what to do.
type Advice struct {
	// Buy is how many units to commit to now, Held how many there are then.
	Buy, Held int64
	// Missed is what one more unit would have saved in the last term beside them, and Threshold what it has to exceed to be bought, nano-units.
	Missed, Threshold int64
	// Bound is how many times the cost in hindsight following the advice costs at most, in the mean where the threshold was drawn.
	Bound float64
}

// Observe takes in the demand of a billing period and says what to buy. The bound is that of purchases which hold in the period they are advised in; where they
// begin with the next one, it holds but for the spill of that one period.
func (a *Advisor) Observe(d *Demand) (Advice, error) {
	q := a.question
	if d.Peak()/q.Unit >= mostUnits {
		return Advice{}, fault.Newf(fault.Invalid, "a peak of %d in units of %d: advice is given for at most %d units; state larger ones", d.Peak(), q.Unit, mostUnits)
	}
	if spend, err := product(d.Total(), q.Spill).over(Million); err != nil || spend > math.MaxInt64/int64(q.Term.Periods) {
		return Advice{}, errRange() // the sum over a term must be an amount too
	}
	if len(a.window) == q.Term.Periods {
		a.sum -= a.next(a.window[0])
		a.window = slices.Delete(a.window, 0, 1)
	}
	out := Advice{Threshold: a.threshold, Bound: a.bound}
	for _, o := range a.window {
		out.Held += o.bought
	}
	now := observed{demand: d, counted: out.Held}
	a.window = append(a.window, now)
	for a.sum += a.next(now); a.sum > a.threshold; {
		out.Buy++
		a.sum = 0
		for i := range a.window {
			a.window[i].counted++
			a.sum += a.next(a.window[i])
		}
	}
	a.window[len(a.window)-1].bought = out.Buy
	out.Held, out.Missed = out.Held+out.Buy, a.sum
	return out, nil
}

// next is what one more unit would have saved in a billing period.
func (a *Advisor) next(o observed) int64 {
	c := Commitments{Unit: a.question.Unit, Spill: a.question.Spill, Usage: a.question.Usage}
	return c.saving(o.demand, o.counted+1)
}
