package server

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"forebay/catalog"
	"forebay/config"
	"forebay/dispatch"
	"forebay/perf"
	"forebay/provision"
)

// A unit says how many tokens a minute, not how long the prompts are. What it takes of an engine is computed
// for prompts of this length, with answers in the proportion of the unit's output to its input.
const unitPrompt = 1000 // tokens

// maxUnits stands for more units than can be ordered.
const maxUnits = 1 << 31

// backer is an engine of a model that can back what is sold of it.
type backer struct {
	name string
	pool perf.Pool // where measured
	// given is how many units the configuration says that all its replicas back; 0 where it is measured.
	given    int64
	unit     catalog.Unit // of the model now, in which given counts
	slots    int64        // of all replicas
	replicas int64        // that are not isolated
}

// backers lists the engines of a model that can back units of it. why tells what keeps the last of the others from it; grows, whether
// an engine may have more replicas in a while. What a unit of unknown size delivers only simulated engines can promise.
// Replicas that are isolated, by engine, are left out.
// The reserved tier is backed by units that were given where their size is known.
func (p *serving) backers(model string, size catalog.Basis, tier bool, isolated map[string]int64) (list []backer, grows bool, why string) {
	var unit catalog.Unit
	if m := p.model(model); m != nil {
		unit, _ = m.UnitSize()
	}
	for _, b := range p.bindings(model) {
		e := p.engine(b.Engine)
		replicas := int64(1)
		if o := p.opened[b.Engine]; o != nil && o.name != nil {
			replicas, grows = int64(len(o.name.live())), true
		}
		replicas -= isolated[b.Engine]
		profile, measured := p.profile(model, b.Engine)
		switch {
		case b.Standby:
			why = "engine " + b.Engine + " is a standby"
		case size == catalog.BasisPlaceholder && e.Type != simulatedEngine:
			why = fmt.Sprintf("nobody has measured or said what a unit of it delivers on engine %s (models.%s.unit)", b.Engine, model)
		case replicas <= 0 && isolated[b.Engine] > 0:
			why = "every replica of engine " + b.Engine + " is isolated for a purchase"
		case b.Units > 0 && tier && (unit.Input == 0 || unit.Basis == catalog.BasisPlaceholder && e.Type != simulatedEngine):
			why = fmt.Sprintf("nobody has measured or said what a unit of it delivers on engine %s (models.%s.unit)", b.Engine, model)
		case b.Units > 0:
			list = append(list, backer{
				name: b.Engine, given: b.Units * replicas, unit: unit, slots: int64(cmp.Or(e.Slots, dispatch.DefaultSlots)) * replicas, replicas: replicas,
			})
		case measured:
			slots := cmp.Or(int(e.Slots), profile.MaxBatch)
			list = append(list, backer{
				name: b.Engine, pool: perf.Pool{Profile: profile, Replicas: replicas, Slots: slots}, slots: int64(min(slots, profile.MaxBatch)) * replicas,
				replicas: replicas,
			})
		default:
			why = fmt.Sprintf("nobody has measured what engine %s can do, or said how many units it backs (models.%s.engines.units)", b.Engine, model)
		}
	}
	return list, grows, why
}

// bindings are the engines of a model, the simulated one where none is declared.
func (p *serving) bindings(model string) []config.Binding {
	if list := p.cfg.Models[model].Engines; len(list) > 0 {
		return list
	}
	return []config.Binding{{Engine: simulatedEngine}}
}

// profileOf is the model of an engine, false where none is known.
func profileOf(e *config.Engine) (perf.Profile, bool) {
	if e.Type != simulatedEngine {
		return perf.Profile{}, false
	}
	profile, err := perf.Named(cmp.Or(e.Profile, demoProfile))
	return profile, err == nil
}

// demand is so many units as package perf has them.
func demand(u *catalog.Unit, units int64) perf.Demand {
	return perf.Demand{Input: u.Input * units, Output: u.Output * units, Prompt: unitPrompt}
}

// weight is the engine's share of what is sold of a model: its slots, or where units are given for all of the engines, its units.
func (b *backer) weight(given bool) int64 {
	if given {
		return b.given
	}
	return b.slots
}

// divide says how many units of each throughput each of its model's engines backs: what is sold of a model in all is
// spread over them in proportion to their weights. What is isolated has replicas of its own, and no share.
func (p *serving) divide(list []provision.Throughput, isolated map[string]int64) (among [][]backer, shares [][]int64) {
	before := map[string]int64{} // model units of the model in the throughputs so far
	for i := range list {
		t := &list[i]
		if t.Isolation == provision.Replica {
			among, shares = append(among, nil), append(shares, nil)
			continue
		}
		backers, _, _ := p.backers(t.Model.ID, t.Unit.Basis, t.Tier, isolated)
		_, units := t.Backed()
		from, to := before[t.Model.ID], before[t.Model.ID]+units
		if t.Tier {
			from, to = 0, units // its parts are no units
		} else {
			before[t.Model.ID] = to
		}
		among, shares = append(among, backers), append(shares, spread(backers, from, to))
	}
	return among, shares
}

// spread divides the units between two counts of what is sold of a model.
func spread(backers []backer, from, to int64) []int64 {
	given, all := true, int64(0)
	for i := range backers {
		given = given && backers[i].given > 0
	}
	for i := range backers {
		all += backers[i].weight(given)
	}
	out := make([]int64, len(backers))
	sum := int64(0)
	for i := range backers {
		below := sum
		sum += backers[i].weight(given)
		upTo := func(units int64) int64 { return units*sum/max(all, 1) - units*below/max(all, 1) }
		out[i] = max(0, upTo(to)-upTo(from))
	}
	return out
}

// slotsFor is how many slots of the engine back so many units.
func (b *backer) slotsFor(x *part) int64 {
	if x.units == 0 {
		return 0
	}
	if b.given > 0 {
		given := b.given * milli
		return min(b.slots, (b.takes(x)*b.slots+given-1)/given)
	}
	h, err := b.pool.Profile.Headroom(demand(&x.unit, x.units), b.pool.Slots, callsOf(&x.unit), perf.Usual)
	if err != nil {
		return b.slots
	}
	return min(b.slots, h.Slots)
}

// callsOf is the size of the calls that a unit is sold for.
func callsOf(u *catalog.Unit) perf.Mix {
	d := demand(u, 1)
	return d.Mix()
}

// room is how many units the engine can back beside what is sold of it, and what ends them.
func (b *backer) room(ask *provision.Ask, sold []part) (units int64, why string) {
	u := &ask.Unit
	if b.given > 0 {
		left := b.given * milli
		for i := range sold {
			left -= b.takes(&sold[i])
		}
		return b.holds(ask, max(left, 0)), "what the configuration says"
	}
	demands := make([]perf.Demand, len(sold))
	for i := range sold {
		demands[i] = demand(&sold[i].unit, sold[i].units)
	}
	room, err := b.pool.Room(demands, demand(u, 1))
	if err != nil {
		return 0, err.Error()
	}
	return min(room.Units, maxUnits), string(room.Bound)
}

// part is what one engine backs of a throughput.
type part struct {
	unit  catalog.Unit
	units int64
	tier  bool // the units are no model units
}

// milli is in how many parts a unit that was given can be taken.
const milli = 1000

// takes is what a part takes of the units that are given, in thousandths. A rate of the reserved tier takes the more of what its input and its
// output come to in model units, rounded up.
func (b *backer) takes(x *part) int64 {
	if !x.tier {
		return x.units * milli
	}
	of := func(rate, unit int64) int64 {
		if rate == 0 || unit == 0 {
			return 0
		}
		return (x.units*rate*milli + unit - 1) / unit
	}
	return max(of(x.unit.Input, b.unit.Input), of(x.unit.Output, b.unit.Output))
}

// holds is how many of the units that are asked for fit into thousandths of the units that are given.
func (b *backer) holds(ask *provision.Ask, left int64) int64 {
	if !ask.Tier {
		return left / milli
	}
	most := int64(maxUnits)
	for _, x := range [][2]int64{{ask.Unit.Input, b.unit.Input}, {ask.Unit.Output, b.unit.Output}} {
		if x[0] > 0 {
			hi, lo := bits.Mul64(uint64(left), uint64(x[1]))
			if per := uint64(x[0]) * milli; hi < per {
				n, _ := bits.Div64(hi, lo, per)
				most = int64(min(uint64(most), n))
			}
		}
	}
	return most
}

// Room implements provision.Pools. What is sold of other models counts where it runs on the same engines.
func (p *serving) Room(ask *provision.Ask, sold []provision.Throughput) provision.Room {
	if ask.Isolation == provision.Replica {
		return p.wholeRoom(ask, sold)
	}
	isolated := wholes(sold)
	u := ask.Unit
	list, grows, why := p.backers(ask.Model, u.Basis, ask.Tier, isolated)
	out := provision.Room{Grows: grows, Why: why}
	if len(list) == 0 {
		return out
	}
	used := p.sold(sold, isolated)
	var names []string
	var bound string
	for i := range list {
		b := &list[i]
		n, what := b.room(ask, used[b.name])
		out.Units, bound = min(maxUnits, out.Units+max(n, 0)), what
		names = append(names, b.name)
	}
	what := fmt.Sprintf("units of %d input and %d output tokens a minute ", u.Input, u.Output)
	if ask.Tier {
		what = ""
	}
	out.Why = fmt.Sprintf("the engines (%s) back no more %sbeside what is sold of them, by %s", strings.Join(names, ", "), what, bound)
	return out
}

// partOf is so many of what is backed of a throughput.
func partOf(t *provision.Throughput, units int64) part {
	unit, _ := t.Backed()
	return part{unit: unit, units: units, tier: t.Tier}
}

// sold is what each engine backs already.
func (p *serving) sold(list []provision.Throughput, isolated map[string]int64) map[string][]part {
	used := map[string][]part{}
	among, shares := p.divide(list, isolated)
	for i := range list {
		for k, units := range shares[i] {
			if units > 0 {
				b := &among[i][k]
				used[b.name] = append(used[b.name], partOf(&list[i], units))
			}
		}
	}
	return used
}

// reservations are the throughputs that calls run on, as the scheduler takes them, each with the slots that back it.
func (p *serving) reservations(all []provision.Throughput) []dispatch.Reservation {
	all = slices.DeleteFunc(slices.Clone(all), func(t provision.Throughput) bool { return !t.Status.Serves() })
	among, shares := p.divide(all, wholes(all))
	var out []dispatch.Reservation
	for i := range all {
		t := &all[i]
		var slots int64
		for k, units := range shares[i] {
			x := partOf(t, units)
			slots += among[i][k].slotsFor(&x)
		}
		out = append(out, dispatch.Reservation{
			ID: t.ARN, Name: t.Name, Model: t.Model.ID, Input: t.InputRate(), Output: t.OutputRate(), Slots: int32(min(slots, 1<<20)),
			Costed: p.hourCost(t).Known, Tier: t.Tier, Replicas: ownReplicas(t),
			Account: t.Account, Parts: partsOf(t, slots+p.divisibleApart(t)),
		})
	}
	return out
}
