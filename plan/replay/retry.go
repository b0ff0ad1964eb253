package replay

import (
	"math/rand/v2"
	"time"

	"forebay/capacity"
	"forebay/sim"
)

// Retry is how a client goes on after a refusal: it waits a random time of at most Base, doubled with each attempt and at most Cap, and asks
// again, Attempts times in all. The zero value asks once.
type Retry struct {
	Attempts  int
	Base, Cap time.Duration
	// Seed of the waits.
	Seed uint64
}

// SDKStandard is the standard mode of the AWS SDKs: three attempts, full jitter over 1 s doubled up to 20 s (botocore retries/standard.py).
var SDKStandard = Retry{Attempts: 3, Base: time.Second, Cap: 20 * time.Second}

// retry offers a refused call again, as long as its client goes on.
func (r *run) retry(o *sim.Outcome, before *attempt) {
	policy := &r.serving.Retry
	if before == nil {
		before = &attempt{arrived: o.Arrived, tries: 0}
	}
	before.tries++
	if before.tries >= policy.Attempts || o.Last.Reason == capacity.ReasonOverDepth {
		r.result.Refused++
		return
	}
	r.result.Retries++
	r.last++
	c := *o.Call
	c.Arrive.Call = r.last
	r.again[r.last] = before
	r.world.Offer(o.Ended+capacity.Instant(policy.wait(int64(before.arrived), before.tries)), &c)
}

// wait is how long a client waits after so many attempts. It hangs on the call alone, so that runs of other ways of serving draw the same ones.
func (p *Retry) wait(arrived int64, tries int) time.Duration {
	limit := min(p.Cap, p.Base<<min(tries-1, 20))
	return time.Duration(rand.New(rand.NewPCG(p.Seed, uint64(arrived)<<8|uint64(tries))).Int64N(int64(limit) + 1)) //nolint:gosec // a client's wait
}
