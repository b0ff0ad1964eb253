package endpoint

import (
	"math"
	"sync/atomic"

	"forebay/fault"
	"forebay/fleet"
	"forebay/resource"
)

// counter draws numbers that fill the range from 0 to 1 evenly at any time, so that a share of one per cent is one call in a hundred and not
// one now and then.
type counter struct{ n atomic.Uint64 }

// golden is the fractional part of the golden ratio, the multiples of which lie apart as far as can be. Source: Knuth, The Art of Computer Programming,
// volume 3, section 6.4, theorem S.
const golden = 0.6180339887498949

func (c *counter) draw() float64 {
	_, x := math.Modf(float64(c.n.Add(1)%(1<<40)) * golden)
	return x
}

// Target is where a call goes.
type Target struct {
	Endpoint string // its ARN
	ID       string // of the variant, among all that a fleet runs
	Variant  string
	// Container is what the owner calls the container, "primary" where nothing was said.
	Container  string
	Serverless bool
}

// Route chooses the variant for a call of an account's endpoint: the one that is named, or else by the weights. Faults: NotFound for an endpoint or
// a variant that is not there, and for an endpoint that takes no calls.
func (b *Book) Route(account, name, variant string) (Target, error) {
	x := (*b.live.Load())[b.arn(resource.Endpoint, account, name)]
	if x == nil {
		return Target{}, fault.Newf(fault.NotFound, "Endpoint %s of account %s not found.", name, account)
	}
	if !x.Status.Serves() {
		return Target{}, fault.Newf(fault.NotFound, "Endpoint %s of account %s not found.", name, account).WithReason("its status is %s", x.Status)
	}
	at, list := x.drawn.draw(), x.Variants
	if u := x.Update; u != nil && u.Shifted > 0 {
		if share := float64(u.Shifted) / 1000; at < share {
			at, list = at/share, u.Variants
		} else {
			at = (at - share) / (1 - share)
		}
	}
	d := choose(list, at)
	if variant != "" {
		if d = named(list, variant); d == nil {
			d = x.variant(variant)
		}
	}
	if d == nil {
		return Target{}, fault.Newf(fault.NotFound, "Variant %s of endpoint %s of account %s not found.", variant, name, account)
	}
	t := Target{Endpoint: x.ARN, ID: d.ID, Variant: d.Variant.Name, Container: d.Container.Hostname, Serverless: d.Variant.Serverless != nil}
	if t.Container == "" {
		t.Container = "primary"
	}
	return t, nil
}

// choose finds the variant at a place from 0 to 1 among all their weights. Without any weight it is the first.
func choose(list []Deployed, at float64) *Deployed {
	total := 0.0
	for i := range list {
		total += list[i].Weight
	}
	at *= total
	for i := range list {
		if at -= list[i].Weight; at < 0 {
			return &list[i]
		}
	}
	for i := range list { // rounding
		if list[len(list)-1-i].Weight > 0 {
			return &list[len(list)-1-i]
		}
	}
	return &list[0]
}

// Chats reports whether what a call goes to speaks the chat of engines.
func (b *Book) Chats(t *Target) bool {
	if b.Fleet == nil {
		return false
	}
	st, there := b.Fleet.Status(t.ID)
	return there && st.Protocol == fleet.ProtocolOpenAI
}

// Up says how many instances of a variant are up, and how many are to be.
func (b *Book) Up(e *Endpoint, d *Deployed) (up, wanted int32) {
	wanted = d.Count
	if b.Fleet != nil && e.Status != Failed {
		if st, there := b.Fleet.Status(d.ID); there {
			up = st.Ready
			if e.Status.Serves() && e.Update == nil { // rules may want another number
				wanted = max(wanted, st.Desired)
			}
		}
	}
	return up, wanted
}

// Find returns an account's endpoint as it is in force; false for none.
func (b *Book) Find(account, name string) (*Endpoint, bool) {
	x := (*b.live.Load())[b.arn(resource.Endpoint, account, name)]
	if x == nil {
		return nil, false
	}
	return x.Endpoint, true
}
