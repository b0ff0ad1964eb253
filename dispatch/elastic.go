package dispatch

import (
	"reflect"

	"forebay/capacity"
)

// scaling makes a model's pool elastic, or lets it be one no longer. The scheduler is told of what has changed alone: what it has counted goes on.
func (b *builder) scaling(m *Model, pool capacity.PoolID) {
	was, now := b.ids.scalings[m.ID], m.Scaling
	if now == nil {
		if was != nil {
			b.cfg.RemoveScalings = append(b.cfg.RemoveScalings, pool)
		}
		return
	}
	b.scalings[m.ID], b.elastic[pool] = now, m.ID
	if was != nil && reflect.DeepEqual(was, now) {
		return
	}
	g := capacity.Scaling{Pool: pool, Rules: now.Rules, MaxHeld: now.MaxHeld, MaxHold: now.MaxHold}
	if was == nil || was.Generation != now.Generation {
		g.Desired = now.Desired
	}
	b.cfg.Scalings = append(b.cfg.Scalings, g)
}

// forgetReplicas forgets the handles of engines that came and went with a model's calls: there is a new one each time.
func (b *builder) forgetReplicas(old *world) {
	for name := range b.ids.scalings {
		m := old.models[name]
		if m == nil {
			continue
		}
		for _, r := range m.replicas {
			if b.w.replicas[r.id] == nil {
				delete(b.ids.replicas, [2]string{name, r.name})
			}
		}
	}
}
