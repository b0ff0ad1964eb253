package server

import "testing"

func TestTrimsWhenQuietAndWorthIt(t *testing.T) {
	const mb = 1 << 20
	var m memory
	for i, c := range []struct {
		allocated uint64
		want      bool
	}{
		{100 * mb, false},    // a burst
		{100*mb + 1, true},   // and silence behind it, whatever the collector has done meanwhile
		{101 * mb, false},    // trimmed
		{101*mb + 1, false},  // not worth it again
		{200 * mb, false},    // the next
		{200*mb + 10, true},  // and its end
		{208 * mb, false},    // not quiet
		{208*mb + 11, true},  // little by little it was as much
		{208*mb + 12, false}, // and now it is done
	} {
		if got := m.worth(c.allocated); got != c.want {
			t.Errorf("look %d: %v", i, got)
		}
	}
	var first memory
	_ = first.look() // the name of the figure exists, or this panics
}
