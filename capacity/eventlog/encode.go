package eventlog

import (
	"forebay/capacity"
	"forebay/capacity/codec"
)

// event describes an event: its kind and the fields that it reads.
func event(c *codec.Codec, ev *capacity.Event) {
	codec.Uint(c, &ev.Kind)
	//exhaustive:enforce
	switch ev.Kind {
	case capacity.EventConfigure:
		config(c, ev)
	case capacity.EventArrive:
		arrive(c, ev)
	case capacity.EventProgress:
		codec.Uint(c, &ev.Call)
		codec.Int(c, &ev.Input)
		codec.Int(c, &ev.Output)
		c.Bool(&ev.Delivered)
	case capacity.EventSettle:
		codec.Uint(c, &ev.Call)
		for _, n := range []*int64{&ev.Input, &ev.CacheRead, &ev.CacheWrite, &ev.Output, &ev.Money} {
			codec.Int(c, n)
		}
		c.Bool(&ev.SlotHeld)
	case capacity.EventCancel, capacity.EventExpire, capacity.EventFreed:
		codec.Uint(c, &ev.Call)
	case capacity.EventRetry:
		codec.Uint(c, &ev.Call)
		codec.Uint(c, &ev.Replica)
		c.Bool(&ev.Unread)
	case capacity.EventReplicaUp:
		codec.Uint(c, &ev.Replica)
		codec.Int(c, &ev.Slots)
		codec.Int(c, &ev.KV)
	case capacity.EventReplicaDown, capacity.EventReplicaDraining:
		codec.Uint(c, &ev.Replica)
	case capacity.EventShareGranted:
		codec.Uint(c, &ev.Bucket)
		codec.Int(c, &ev.Rate)
		codec.Int(c, &ev.Depth)
		codec.Int(c, &ev.Until)
	case capacity.EventShareEnded:
		codec.Uint(c, &ev.Bucket)
	case capacity.EventWallClock:
		codec.Uint(c, &ev.Calendar)
		codec.Int(c, &ev.Period)
		codec.Int(c, &ev.At)
	case capacity.EventCharge:
		codec.Uint(c, &ev.Bucket)
		codec.Uint(c, &ev.Counter)
		codec.Int(c, &ev.Amount)
		codec.Int(c, &ev.Period)
		codec.Int(c, &ev.At)
	case capacity.EventTick:
	default:
		c.Fail("event of kind %d", ev.Kind)
	}
}

func arrive(c *codec.Codec, ev *capacity.Event) {
	codec.Uint(c, &ev.Call)
	codec.Uint(c, &ev.Tier)
	c.Bool(&ev.Preemptible)
	codec.Uint(c, &ev.Account)
	codec.Uint(c, &ev.Principal)
	codec.Int(c, &ev.N)
	codec.Int(c, &ev.Input)
	codec.Int(c, &ev.CacheWrite)
	codec.Int(c, &ev.MaxOutput)
	codec.Uint(c, &ev.Prefix)
	codec.Int(c, &ev.Deadline)
	ev.NumLanes = uint8(bounded(c, int(ev.NumLanes), capacity.MaxLanes))
	for i := range ev.Lanes[:ev.NumLanes] {
		lane(c, &ev.Lanes[i])
	}
	ev.NumBuckets = uint8(bounded(c, int(ev.NumBuckets), capacity.MaxBuckets))
	for i := range ev.Buckets[:ev.NumBuckets] {
		codec.Uint(c, &ev.Buckets[i])
	}
	ev.NumCounters = uint8(bounded(c, int(ev.NumCounters), capacity.MaxCounters))
	for i := range ev.Counters[:ev.NumCounters] {
		codec.Uint(c, &ev.Counters[i])
	}
}

func lane(c *codec.Codec, l *capacity.Lane) {
	codec.Uint(c, &l.Pool)
	codec.Uint(c, &l.Model)
	codec.Uint(c, &l.Reservation)
	codec.Uint(c, &l.Spill)
	codec.Uint(c, &l.Buckets)
	codec.Uint(c, &l.Counters)
	codec.Int(c, &l.Money)
	codec.Int(c, &l.MaxWait)
}

// bounded is a number of items of which there can be at most a few.
func bounded(c *codec.Codec, n, most int) int {
	n = c.Len(n)
	if n > most {
		c.Fail("%d items where at most %d can be", n, most)
		return 0
	}
	return n
}

// list describes the items of a slice.
func list[T any](c *codec.Codec, items *[]T, describe func(*codec.Codec, *T)) {
	n := c.Len(len(*items))
	for i := range n {
		if c.Reading() {
			var x T
			*items = append(*items, x)
		}
		describe(c, &(*items)[i])
		if c.Err() != nil {
			return
		}
	}
}

func config(c *codec.Codec, ev *capacity.Event) {
	some := ev.Config != nil
	c.Bool(&some)
	if !some {
		return
	}
	if c.Reading() {
		ev.Config = new(capacity.Config)
	}
	cfg := ev.Config
	list(c, &cfg.Models, model)
	list(c, &cfg.Buckets, bucket)
	list(c, &cfg.Counters, counter)
	list(c, &cfg.Pools, pool)
	list(c, &cfg.Scalings, scaling)
	list(c, &cfg.Reservations, reservation)
	list(c, &cfg.Replicas, replica)
	list(c, &cfg.RemoveModels, codec.Uint[capacity.ModelID])
	list(c, &cfg.RemoveBuckets, codec.Uint[capacity.BucketID])
	list(c, &cfg.RemoveCounters, codec.Uint[capacity.CounterID])
	list(c, &cfg.RemovePools, codec.Uint[capacity.PoolID])
	list(c, &cfg.RemoveScalings, codec.Uint[capacity.PoolID])
	list(c, &cfg.RemoveReplicas, codec.Uint[capacity.ReplicaID])
	list(c, &cfg.RemoveReservations, codec.Uint[capacity.ReservationID])
}

func model(c *codec.Codec, m *capacity.Model) {
	codec.Uint(c, &m.ID)
	codec.Int(c, &m.Burndown)
	codec.Int(c, &m.MaxOutput)
	codec.Int(c, &m.WeightInput)
	codec.Int(c, &m.WeightOutput)
}

func bucket(c *codec.Codec, b *capacity.Bucket) {
	codec.Uint(c, &b.ID)
	codec.Uint(c, &b.Measure)
	codec.Int(c, &b.Rate)
	codec.Int(c, &b.Depth)
	c.Bool(&b.Share)
}

func counter(c *codec.Codec, k *capacity.Counter) {
	codec.Uint(c, &k.ID)
	codec.Uint(c, &k.Measure)
	codec.Uint(c, &k.Calendar)
	codec.Int(c, &k.Limit)
}

func pool(c *codec.Codec, p *capacity.Pool) {
	codec.Uint(c, &p.ID)
	codec.Uint(c, &p.Kind)
	for _, n := range []*int32{&p.MaxQueue, &p.AffinityEntries, &p.AffinityLoad, &p.RetryBudget} {
		codec.Int(c, n)
	}
	codec.Int(c, &p.MaxWait)
	codec.Int(c, &p.Service)
}

func scaling(c *codec.Codec, g *capacity.Scaling) {
	codec.Uint(c, &g.Pool)
	for _, n := range []*int32{&g.Group, &g.Desired, &g.MaxHeld} {
		codec.Int(c, n)
	}
	codec.Int(c, &g.MaxHold)
	g.Rules.Describe(c)
}

func replica(c *codec.Codec, r *capacity.Replica) {
	codec.Uint(c, &r.ID)
	codec.Uint(c, &r.Pool)
	codec.Int(c, &r.Slots)
	codec.Int(c, &r.KV)
	codec.Int(c, &r.Weight)
	c.Bool(&r.Standby)
	codec.Uint(c, &r.Reservation)
	for k := range r.Quota {
		codec.Uint(c, &r.Quota[k])
	}
}

func reservation(c *codec.Codec, r *capacity.Reservation) {
	codec.Uint(c, &r.ID)
	codec.Uint(c, &r.Pool)
	codec.Uint(c, &r.Parent)
	codec.Uint(c, &r.Input)
	codec.Uint(c, &r.Output)
	codec.Uint(c, &r.Tokens)
	codec.Int(c, &r.Slots)
	codec.Int(c, &r.KV)
}

// action describes an action in full.
func action(c *codec.Codec, a *capacity.Action) {
	codec.Uint(c, &a.Kind)
	codec.Uint(c, &a.Reason)
	codec.Uint(c, &a.Tier)
	codec.Uint(c, &a.Placed)
	codec.Uint(c, &a.Lane)
	c.Bool(&a.Estimated)
	codec.Uint(c, &a.Call)
	codec.Uint(c, &a.Pool)
	codec.Uint(c, &a.Replica)
	codec.Uint(c, &a.Model)
	codec.Uint(c, &a.Reservation)
	codec.Uint(c, &a.Bucket)
	codec.Uint(c, &a.Counter)
	codec.Int(c, &a.N)
	codec.Int(c, &a.RetryAfter)
	for _, n := range []*int64{&a.Amount, &a.Held, &a.Charged, &a.Refunded, &a.Debt} {
		codec.Int(c, n)
	}
}
