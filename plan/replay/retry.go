package replay

import (
	"math/rand/v2"
	"time"

	"forebay/capacity"
	"forebay/sim"
)

// Retry is how a client goes on after a refusal: it waits for Base, doubled with each attempt and at most Cap, less a random part of it, and asks again,
// Attempts times in all. The zero value asks once.
type Retry struct {
	Attempts  int
	Base, Cap time.Duration
	// Fixed is the share of the wait, per mille, that is not random.
	Fixed int64
	// Seed of the waits.
	Seed uint64
}

// SDKStandard is the standard mode of the AWS SDKs: three attempts, full jitter over 1 s doubled up to 20 s (botocore retries/standard.py, of throttling).
var SDKStandard = Retry{Attempts: 3, Base: time.Second, Cap: 20 * time.Second}

// Client is how the calls of some software are tried again, unless it is told otherwise.
type Client struct {
	ID, Words string
	Retry     Retry
}

// Clients lists those that are known, the one of SDKStandard first. Where a service says when to try again, all of them wait for that instead.
func Clients() []Client {
	const both = "OpenAI's and Anthropic's SDKs: 3 attempts, 0.5 s and 1 s less up to a quarter"
	stainless := Retry{Attempts: 3, Base: 500 * time.Millisecond, Cap: 8 * time.Second, Fixed: 750}
	return []Client{
		{"aws-standard", "AWS SDKs in standard mode: 3 attempts, a random wait of up to 1 s and 2 s", SDKStandard},
		// botocore data/_retry.json and retryhandler.py: rand x 2^(n - 1) s
		{"aws-legacy", "boto3 and the AWS CLI as they come, in legacy mode: 5 attempts, a random wait of up to 1, 2, 4 and 8 s", Retry{Attempts: 5, Base: time.Second, Cap: 8 * time.Second}},
		// openai-python _base_client.py, and that of anthropic, which is made by the same generator
		{"openai", both, stainless},
		{"anthropic", both, stainless},
		{"none", "clients that do not try again", Retry{Attempts: 1}},
	}
}

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
	fixed := limit / 1000 * time.Duration(p.Fixed)
	return fixed + time.Duration(rand.New(rand.NewPCG(p.Seed, uint64(arrived)<<8|uint64(tries))).Int64N(int64(limit-fixed)+1)) //nolint:gosec // a client's wait
}
