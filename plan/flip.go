package plan

import (
	"fmt"
	"math"

	"forebay/catalog"
)

// family is a way of serving that is sized anew for each demand.
type family struct {
	name string
	cost func(d *Demand) (float64, bool) // nano-units over the demand's length; false where it cannot serve
}

// families are the ways of serving the model whose costs are known, by closed forms.
func (p *planner) families(m *catalog.Model) []family {
	var out []family
	_, onDemand := p.rates(m)
	w := p.sold(m)
	if onDemand {
		out = append(out, family{"on demand" + later(w), func(d *Demand) (float64, bool) {
			return p.value(m, &d.Total)*(1-waitingShare(w)) + p.laterValue(m, d, w), true
		}})
	}
	if size := p.unit(m); size != nil {
		for _, t := range terms(p.unitPrices(m)) {
			k := needOf(size)
			out = append(out, family{"provisioned throughput, " + termName(t.id) + ", with what spills over on demand" + later(w), func(all *Demand) (float64, bool) {
				d := live(all, w)
				peak, err := peakUnits(d, k)
				if err != nil {
					return 0, false
				}
				n := peak
				var rest Flow
				if onDemand {
					n = max(1, p.cheapest(m, d, k, t.hour, peak))
					rest = spill(d, k, n)
				}
				return float64(n)*float64(t.hour)*float64(len(d.Minutes))/60 + p.value(m, &rest) + p.laterValue(m, all, w), true
			}})
		}
	}
	engines := p.engines(m)
	for i := range engines {
		for _, x := range p.machines(m, &engines[i]) {
			e := &engines[i].profile
			if e.Covers(p.mix()) != nil {
				continue
			}
			per := e.Throughput(p.slots(e), p.mix())
			out = append(out, family{"an endpoint of one's own on " + x.Type, func(d *Demand) (float64, bool) {
				most, _ := d.peak(func(f *Flow) float64 { return f.Output })
				most = max(most*(1-waitingShare(p.asked())), d.Total.Output/float64(len(d.Minutes)))
				n := math.Ceil(most / float64(max(per.Output*x.engines, 1)))
				return max(n, 1) * float64(x.Hour) * float64(len(d.Minutes)) / 60, per.Output > 0
			}})
		}
	}
	return out
}

// cheapestFamily returns the place of the cheapest family for a demand.
func cheapestFamily(all []family, d *Demand) int {
	best, least := -1, math.Inf(1)
	for i := range all {
		if c, ok := all[i].cost(d); ok && c < least {
			best, least = i, c
		}
	}
	return best
}

// The search for the volume that flips the answer: as far as a thousand times more or less, in steps of a tenth.
const (
	farthest = 1000.0
	stride   = 1.1
)

// flips finds the assumptions that change the answer.
func (p *planner) flips() error {
	m := p.q.Model
	all := p.families(m)
	if len(all) > 1 {
		for _, way := range []float64{stride, 1 / stride} {
			p.flipVolume(all, way)
		}
	}
	if _, ok := p.rates(m); !ok {
		return nil
	}
	if best := p.best(); best != nil && best.Mode == OnDemand && best.model == m {
		p.flipPrice(m)
	}
	return nil
}

// flipVolume looks for another volume at which another family is the cheapest.
func (p *planner) flipVolume(all []family, way float64) {
	d := p.demand
	now := cheapestFamily(all, d)
	if now < 0 {
		return
	}
	near, far, scratch := 1.0, way, &Demand{}
	for ; far < farthest && far > 1/farthest; far *= way {
		if cheapestFamily(all, d.scaledOver(far, scratch)) != now {
			break
		}
		near = far
	}
	to := cheapestFamily(all, d.scaledOver(far, scratch))
	if to == now || to < 0 {
		return
	}
	for range 20 {
		k := math.Sqrt(near * far)
		if cheapestFamily(all, d.scaledOver(k, scratch)) == now {
			near = k
		} else {
			far = k
		}
	}
	to = cheapestFamily(all, d.scaledOver(far, scratch))
	verb, change := "grows", (far-1)*100
	if far < 1 {
		verb, change = "falls", (1-far)*100
	}
	p.a.Flips = append(p.a.Flips, Flip{
		What: "the volume", To: all[to].name,
		At: fmt.Sprintf("if traffic %s by %s %%, to %s calls a day", verb, Milli(whole(change*10)*100), Grouped(whole(far*d.Total.Calls/d.days()))),
	})
}

// flipPrice says what units would have to cost.
func (p *planner) flipPrice(m *catalog.Model) {
	perHour := p.perHour(m)
	at := fmt.Sprintf("if units that carry all of it are offered below %s %s/h in total", Amount(perHour), p.a.Currency)
	if size := p.unit(m); size != nil {
		if peak, err := peakUnits(p.demand, needOf(size)); err == nil && peak > 0 {
			at = fmt.Sprintf("if a unit is offered below %s %s/h, %s for all of it", Amount(perHour/peak), p.a.Currency, unitCount(peak))
		}
	}
	p.a.Flips = append(p.a.Flips, Flip{What: "the price of a unit", At: at, To: "provisioned throughput"})
}
