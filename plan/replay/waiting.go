package replay

import "forebay/capacity"

// Waiting are the calls that may wait, per mille of all: they are offered at the tiers flex and batch, and are stopped for others that want their slot as
// long as they have not ended. They are spread evenly among all calls.
type Waiting struct{ Flex, Batch int64 }

// tiers deals tiers out to calls, so that after each number of calls the share of every tier is right to one call.
type tiers struct{ flex, batch int64 }

// next is the tier of the next call.
func (t *tiers) next(w Waiting) capacity.Tier {
	if t.batch += w.Batch; t.batch >= 1000 {
		t.batch -= 1000
		t.flex += w.Flex // it has its turn with the next one
		return capacity.TierBatch
	}
	if t.flex += w.Flex; t.flex >= 1000 {
		t.flex -= 1000
		return capacity.TierFlex
	}
	return capacity.TierDefault
}
