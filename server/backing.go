package server

import (
	"cmp"
	"fmt"
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
	slots    int64 // of all replicas
	replicas int64 // that are not isolated
}

// backers lists the engines of a model that can back units of it. why tells what keeps the last of the others from it; grows, whether
// an engine may have more replicas in a while. What a unit of unknown size delivers only simulated engines can promise.
// Replicas that are isolated, by engine, are left out.
func (p *serving) backers(model string, size catalog.Basis, isolated map[string]int64) (list []backer, grows bool, why string) {
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
		case b.Units > 0:
			list = append(list, backer{
				name: b.Engine, given: b.Units * replicas, slots: int64(cmp.Or(e.Slots, dispatch.DefaultSlots)) * replicas, replicas: replicas,
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
	before := map[string]int64{} // units of the model in the throughputs so far
	for i := range list {
		t := &list[i]
		if t.Isolation == provision.Replica {
			among, shares = append(among, nil), append(shares, nil)
			continue
		}
		backers, _, _ := p.backers(t.Model.ID, t.Unit.Basis, isolated)
		from, to := before[t.Model.ID], before[t.Model.ID]+t.Units
		before[t.Model.ID] = to
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
func (b *backer) slotsFor(u *catalog.Unit, units int64) int64 {
	if units == 0 {
		return 0
	}
	if b.given > 0 {
		return min(b.slots, (units*b.slots+b.given-1)/b.given)
	}
	h, err := b.pool.Profile.Headroom(demand(u, units), b.pool.Slots, callsOf(u), perf.Usual)
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
func (b *backer) room(u *catalog.Unit, sold []part) (units int64, why string) {
	if b.given > 0 {
		units = b.given
		for _, s := range sold {
			units -= s.units
		}
		return units, "what the configuration says"
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
}

// Room implements provision.Pools. What is sold of other models counts where it runs on the same engines.
func (p *serving) Room(ask *provision.Ask, sold []provision.Throughput) provision.Room {
	if ask.Isolation == provision.Replica {
		return p.wholeRoom(ask, sold)
	}
	isolated := wholes(sold)
	u := ask.Unit
	list, grows, why := p.backers(ask.Model, u.Basis, isolated)
	out := provision.Room{Grows: grows, Why: why}
	if len(list) == 0 {
		return out
	}
	used := p.sold(sold, isolated)
	var names []string
	var bound string
	for i := range list {
		b := &list[i]
		n, what := b.room(&u, used[b.name])
		out.Units, bound = min(maxUnits, out.Units+max(n, 0)), what
		names = append(names, b.name)
	}
	out.Why = fmt.Sprintf("the engines (%s) back no more units of %d input and %d output tokens a minute beside what is sold of them, by %s",
		strings.Join(names, ", "), u.Input, u.Output, bound)
	return out
}

// sold is what each engine backs already.
func (p *serving) sold(list []provision.Throughput, isolated map[string]int64) map[string][]part {
	used := map[string][]part{}
	among, shares := p.divide(list, isolated)
	for i := range list {
		for k, units := range shares[i] {
			if units > 0 {
				b := &among[i][k]
				used[b.name] = append(used[b.name], part{list[i].Unit, units})
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
			slots += among[i][k].slotsFor(&t.Unit, units)
		}
		out = append(out, dispatch.Reservation{
			ID: t.ARN, Name: t.Name, Model: t.Model.ID, Input: t.InputRate(), Output: t.OutputRate(), Slots: int32(min(slots, 1<<20)),
			Costed: p.unitCost(&t.Model).Known, Replicas: ownReplicas(t),
			Account: t.Account, Parts: partsOf(t, slots),
		})
	}
	return out
}
