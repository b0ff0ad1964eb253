package server

import "testing"

func TestTrimsWhenQuietAndWorthIt(t *testing.T) {
	const mb = 1 << 20
	var m memory
	for i, c := range []struct {
		allocated, objects, live uint64
		want                     bool
	}{
		{100 * mb, 90 * mb, 30 * mb, false},   // a burst
		{100*mb + 1, 90 * mb, 30 * mb, true},  // and silence behind it
		{101 * mb, 31 * mb, 30 * mb, false},   // trimmed
		{200 * mb, 120 * mb, 30 * mb, false},  // the next
		{250 * mb, 120 * mb, 115 * mb, false}, // the collector was there
		{250 * mb, 120 * mb, 115 * mb, false},
	} {
		if got := m.worth(c.allocated, c.objects, c.live); got != c.want {
			t.Errorf("look %d: %v", i, got)
		}
	}
	var first memory
	_ = first.look() // the names of the figures exist, or this panics
}
