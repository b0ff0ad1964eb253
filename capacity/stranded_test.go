package capacity

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// serves says, by the rules and from scratch, whether a replica that is up may ever take a call as things stand.
func (s *State) serves(c *call, r *replica) bool {
	isUp := func(owner ReservationID) bool {
		return owner != 0 && slices.ContainsFunc(s.replicas.items[1:], func(o replica) bool { return o.up && o.pool == c.pool && o.Reservation == owner })
	}
	var own, parent ReservationID
	if c.reservation != 0 {
		own, parent = s.reservations.items[c.reservation].ID, s.reservations.items[c.reservation].Parent
	}
	switch {
	case !r.up || r.pool != c.pool || slices.Contains(c.failed[:c.numFailed], r.ID):
		return false
	case c.preemptible:
		return true
	case isUp(own):
		return r.Reservation == own
	case isUp(parent):
		return r.Reservation == parent
	default:
		return r.Reservation == 0
	}
}

// Whatever happens, a call waits only while a replica is up that takes it sooner or later, or one is to come.
func TestNobodyWaitsForWhatDoesNotCome(t *testing.T) {
	waited, failed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		sc := &script{t: t, fails: true}
		s.Step(0, worldOf(t), nil)
		for range rapid.IntRange(0, 150).Draw(t, "events") {
			now, ev := sc.event()
			s.Step(now, ev, nil)
			for _, ci := range s.waitingIn(func(c *call) bool { return !s.pools.items[c.pool].elastic() }) {
				c := s.calls.at(ci)
				if waited++; c.numFailed > 0 {
					failed++
				}
				if slices.ContainsFunc(s.replicas.items[1:], func(r replica) bool { return r.pool == c.pool && r.untold && s.pools.items[c.pool].up == 0 }) {
					continue
				}
				if !slices.ContainsFunc(s.replicas.items[1:], func(r replica) bool { return s.serves(c, &r) }) {
					t.Fatalf("after %s call %d waits for nothing; it has failed on %v", ev.Kind, c.id, c.failed[:c.numFailed])
				}
			}
		}
	})
	if waited == 0 || failed == 0 {
		t.Errorf("%d have waited, of which %d had failed somewhere", waited, failed)
	}
}
