package server

import (
	"fmt"
	"strings"

	"forebay/perf"
	"forebay/provision"
)

// wholes counts the replicas of each engine that are isolated for what was sold.
func wholes(sold []provision.Throughput) map[string]int64 {
	out := map[string]int64{}
	for i := range sold {
		for _, w := range sold[i].Replicas {
			out[w.Engine] += w.Replicas
		}
	}
	return out
}

// ownReplicas are those that are isolated for a throughput, nil for none.
func ownReplicas(t *provision.Throughput) map[string]int64 {
	if t.Isolation != provision.Replica {
		return nil
	}
	return wholes([]provision.Throughput{*t})
}

// wholeRoom is Room for what is to have replicas of its own: whole replicas of engines that serve no other model, in the order of the
// model's engines, as few as back the units. What is sold of the model without isolation must still fit into the rest.
func (p *serving) wholeRoom(ask *provision.Ask, sold []provision.Throughput) provision.Room {
	isolated := wholes(sold)
	list, grows, why := p.backers(ask.Model, ask.Unit.Basis, ask.Tier, isolated)
	out := provision.Room{Grows: grows}
	var bounds []string
	for i := range list {
		b := &list[i]
		if other := p.otherModel(b.name, ask.Model); other != "" {
			why = fmt.Sprintf("engine %s serves %s, too, so that its replicas cannot be isolated", b.name, other)
			continue
		}
		before, need := isolated[b.name], ask.Units-out.Units
		var had, taken int64 // units that can be had of the engine, and replicas taken for the order
		for k := int64(1); k <= b.replicas; k++ {
			isolated[b.name] = before + k
			if !p.fits(ask.Model, sold, isolated) {
				break
			}
			if had < need {
				taken = k
			}
			had = b.whole(ask, k)
		}
		isolated[b.name] = before + taken
		if taken > 0 {
			out.Replicas = append(out.Replicas, provision.Whole{Engine: b.name, Replicas: taken})
		}
		out.Units = min(maxUnits, out.Units+had)
		bounds = append(bounds, fmt.Sprintf("%s: %d of %d", b.name, had, b.whole(ask, b.replicas)))
	}
	out.Why = why
	if len(bounds) > 0 {
		out.Why = "whole replicas that can be isolated beside what is sold back so many units (" + strings.Join(bounds, ", ") + ")"
	}
	return out
}

// whole is how many units so many replicas of the engine back by themselves.
func (b *backer) whole(ask *provision.Ask, replicas int64) int64 {
	if b.given > 0 {
		return b.given / b.replicas * replicas
	}
	alone := backer{pool: b.pool}
	alone.pool.Replicas = replicas
	units, _ := alone.room(ask, nil)
	return units
}

// fits reports whether what is sold of a model without isolation can be backed when so many replicas of each engine are isolated.
func (p *serving) fits(model string, sold []provision.Throughput, isolated map[string]int64) bool {
	among, shares := p.divide(sold, isolated)
	parts, engines := map[string][]perf.Demand{}, map[string]*backer{}
	given := map[string]int64{}
	for i := range sold {
		t := &sold[i]
		if t.Model.ID != model || t.Isolation == provision.Replica {
			continue
		}
		if len(among[i]) == 0 {
			return false
		}
		_, left := t.Backed()
		for k, units := range shares[i] {
			b := &among[i][k]
			left -= units
			if units > 0 {
				x := partOf(t, units)
				engines[b.name], given[b.name] = b, given[b.name]+b.takes(&x)
				parts[b.name] = append(parts[b.name], demand(&x.unit, units))
			}
		}
		if left > 0 {
			return false // no address of the engines is there
		}
	}
	for name, b := range engines {
		if b.given > 0 && given[name] > b.given*milli {
			return false
		}
		if b.given > 0 {
			continue
		}
		if room, err := b.pool.Room(parts[name], parts[name][0]); err != nil || room.Slots < 0 || room.KV < 0 {
			return false
		}
	}
	return true
}

// otherModel is another model that an engine serves, "" for none.
func (p *serving) otherModel(engine, model string) string {
	if len(p.cfg.Models[model].Engines) == 0 {
		return "every model without an engine" // the simulated one
	}
	first := ""
	for id := range p.cfg.Models {
		for _, b := range p.cfg.Models[id].Engines {
			if b.Engine == engine && id != model && (first == "" || id < first) {
				first = id
			}
		}
	}
	return first
}
