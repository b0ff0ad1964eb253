package capacity

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The lightest replica that is fit is the one that a look at all of them finds, whatever has come, gone and changed, and of
// those that come after it none is asked but for those beside the ones that are not fit.
func TestLightestOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := make([]replica, 1+rapid.IntRange(1, 60).Draw(t, "replicas"))
		in := make([]bool, len(rs))
		var h loadHeap
		for range rapid.IntRange(1, 80).Draw(t, "changes") {
			i := rapid.Int32Range(1, int32(len(rs)-1)).Draw(t, "which")
			r := &rs[i]
			r.ID, r.Weight = ReplicaID(i), rapid.Int32Range(0, 2).Draw(t, "weight")
			r.busy, r.turns = rapid.Int32Range(0, 3).Draw(t, "busy"), rapid.Uint64Range(0, 3).Draw(t, "turns")
			in[i] = rapid.IntRange(0, 3).Draw(t, "in") > 0
			h.put(rs, i, in[i])
		}
		var order []load
		for k := range rs {
			if in[k] {
				order = append(order, loadOf(rs, int32(k)))
			}
		}
		slices.SortFunc(order, func(a, b load) int {
			if a.before(&b) {
				return -1
			}
			return 1
		})
		unfit := min(rapid.IntRange(0, 60).Draw(t, "unfit"), len(order)) // the first so many
		want, asked := int32(0), 0
		if unfit < len(order) {
			want = order[unfit].replica
		}
		got := h.lightest(rs, func(r *replica) bool {
			asked++
			return !slices.ContainsFunc(order[:unfit], func(l load) bool { return l.id == r.ID })
		})
		if got != want || asked > 2*unfit+1 {
			t.Fatalf("replica %d, want %d; %d of %d were asked, of which %d are not fit", got, want, asked, len(order), unfit)
		}
	})
}
