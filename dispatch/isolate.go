package dispatch

import (
	"maps"

	"forebay/capacity"
)

// isolate gives reservations their replicas: those that they have already, then the first ones that nobody has.
func (b *builder) isolate() {
	at := make(map[capacity.ReplicaID]*capacity.Replica, len(b.cfg.Replicas))
	for i := range b.cfg.Replicas {
		at[b.cfg.Replicas[i].ID] = &b.cfg.Replicas[i]
	}
	old := b.world.Load()
	left := make([]map[string]int64, len(b.top.Reservations)) // replicas that each is still to get, by engine
	take := func(i int, want func(*replica) bool) {
		r := b.w.reservations[b.top.Reservations[i].ID]
		if r == nil {
			return
		}
		if left[i] == nil {
			left[i] = make(map[string]int64, len(r.Replicas))
			maps.Copy(left[i], r.Replicas)
		}
		for _, x := range r.lane.model.replicas {
			if c := at[x.id]; left[i][x.declared] > 0 && x.purchase == "" && !c.Standby && want(x) {
				left[i][x.declared]--
				x.purchase, c.Reservation = r.ID, r.id
			}
		}
	}
	for i := range b.top.Reservations {
		take(i, func(x *replica) bool {
			was := old.replicas[x.id]
			return was != nil && was.purchase == b.top.Reservations[i].ID
		})
	}
	for i := range b.top.Reservations {
		take(i, func(*replica) bool { return true })
	}
}

// isolated reports whether a model's replica on an engine is some purchase's own.
func (m *servedModel) isolated(engine string) bool {
	for _, r := range m.replicas {
		if r.name == engine {
			return r.purchase != ""
		}
	}
	return false
}
