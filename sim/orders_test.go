package sim

import (
	"math"
	"time"

	"forebay/capacity"
)

// order is a scheduler of one replica, for comparison only: first come first served, or least counter first
// without the lift of a tenant that returns, with or without a limit of requests per minute. It knows the events of these runs, no others.
type order struct {
	slots   int
	least   bool // least counter first
	rpm     int  // requests per tenant in any 60 s, 0 for no bound
	queue   []*queued
	running map[capacity.CallID]*queued
	counter map[capacity.AccountID]int64
	recent  map[capacity.AccountID][]Instant
}

type queued struct {
	ev   capacity.Event
	seen int64 // output counted
}

func newOrder(slots int, least bool, rpm int) *order {
	return &order{
		slots: slots, least: least, rpm: rpm, running: map[capacity.CallID]*queued{},
		counter: map[capacity.AccountID]int64{}, recent: map[capacity.AccountID][]Instant{},
	}
}

func (o *order) NextWake() (capacity.Instant, bool) { return 0, false }

func (o *order) Step(now capacity.Instant, ev capacity.Event, out []capacity.Action) []capacity.Action {
	switch ev.Kind {
	case capacity.EventArrive:
		if o.limited(now, ev.Account) {
			return append(out, capacity.Action{Kind: capacity.ActionReject, Call: ev.Call, Reason: capacity.ReasonBucket})
		}
		o.queue = append(o.queue, &queued{ev: ev})
	case capacity.EventProgress:
		o.count(o.running[ev.Call], ev.Output)
	case capacity.EventSettle:
		q := o.running[ev.Call]
		o.count(q, ev.Output)
		delete(o.running, ev.Call)
		out = append(out, capacity.Action{Kind: capacity.ActionSettled, Call: ev.Call})
	}
	return o.admit(out)
}

// limited is the artifact's rule: a request is refused when as many as the limit were taken in the 60 seconds before it.
func (o *order) limited(now Instant, tenant capacity.AccountID) bool {
	if o.rpm == 0 {
		return false
	}
	n := 0
	for _, at := range o.recent[tenant] {
		if now-at <= Instant(time.Minute) {
			n++
		}
	}
	if n >= o.rpm {
		return true
	}
	o.recent[tenant] = append(o.recent[tenant], now)
	return false
}

func (o *order) count(q *queued, output int64) {
	o.counter[q.ev.Account] += 2 * (output - q.seen)
	q.seen = output
}

func (o *order) admit(out []capacity.Action) []capacity.Action {
	for len(o.queue) > 0 && len(o.running) < o.slots {
		best := 0
		for i, q := range o.queue {
			if o.least && o.counter[q.ev.Account] < o.counter[o.queue[best].ev.Account] {
				best = i
			}
		}
		q := o.queue[best]
		o.queue = append(o.queue[:best:best], o.queue[best+1:]...)
		o.counter[q.ev.Account] += q.ev.Input
		o.running[q.ev.Call] = q
		out = append(out, capacity.Action{Kind: capacity.ActionAdmit, Call: q.ev.Call, Replica: 1, Lane: 0})
	}
	return out
}

// production is the scheduler as it runs in service, with one replica.
func production(kv int64, slots int32) *capacity.State {
	s := capacity.New()
	s.Step(0, capacity.Event{Kind: capacity.EventConfigure, Config: &capacity.Config{
		Models:   []capacity.Model{{ID: 1, MaxOutput: 4096, WeightInput: 1, WeightOutput: 2}},
		Pools:    []capacity.Pool{{ID: 1, MaxQueue: math.MaxInt32}},
		Replicas: []capacity.Replica{{ID: 1, Pool: 1, Slots: slots, KV: kv}},
	}}, nil)
	return s
}
