package capacity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"forebay/capacity/codec"
)

// A snapshot is everything that decides what Step does next, by handles and in a stated order: what was learned, what is held
// and who waits, but not where it lies in memory. States that behave alike from here on have equal snapshots, and what can be
// computed from the rest (heaps, sums, counts) is computed again. The account of calls that were refused (Explain) is not part of it.
//
//	version, time, order, totals,
//	models, calendars, buckets with their layers, counters,
//	pools, each with its replicas, its prefixes and its rules of scaling, pools whose rules have something to do,
//	accounts and principals per pool and tier, calls
//
// Lists of objects are in ascending order of their handles; other lists are in their own order, which is that of service.

const (
	snapshotMagic   = "forebay state"
	snapshotVersion = 7
)

// Snapshot appends the State to buf, and changes nothing that Step could tell. It takes time in proportion to the objects and calls that the State knows.
func (s *State) Snapshot(buf []byte) []byte {
	for i := range s.buckets.items {
		if b := &s.buckets.items[i]; b.used > 0 {
			b.compact()
		}
	}
	x := snapshot{Codec: codec.Writer(buf), s: s}
	x.state()
	return x.Bytes()
}

// Restore returns the State of a snapshot. The bytes may come from anywhere: what is not a snapshot of this version is an error.
func Restore(b []byte) (*State, error) {
	x := snapshot{Codec: codec.Reader(b), s: New()}
	x.state()
	if err := x.Done(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := x.s.link(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return x.s, nil
}

// snapshot describes the format, for both directions.
type snapshot struct {
	*codec.Codec
	s *State
}

func (x *snapshot) state() {
	magic, version := snapshotMagic, uint32(snapshotVersion)
	x.Text(&magic)
	codec.Uint(x.Codec, &version)
	if magic != snapshotMagic || version != snapshotVersion {
		x.Fail("not of version %d", snapshotVersion)
		return
	}
	s := x.s
	codec.Int(x.Codec, &s.now)
	codec.Uint(x.Codec, &s.order)
	x.stats(&s.stats)
	objects(x, &s.models, s.modelByID, x.model)
	x.calendars()
	objects(x, &s.buckets, s.bucketByID, x.bucket)
	objects(x, &s.counters, s.counterByID, x.counter)
	objects(x, &s.pools, s.poolByID, x.pool)
	x.wakes()
	x.waking()
	objects(x, &s.reservations, s.reservationByID, x.reservation)
	x.linkReservations()
	x.nodes()
	objects(x, &s.calls, s.callByID, x.call)
}

// objects describes the objects of a slab in ascending order of their handles.
func objects[K cmp.Ordered](x *snapshot, items interface{ take() int32 }, byID map[K]int32, describe func(i int32) K) {
	ids := slices.Sorted(maps.Keys(byID))
	var last K
	for k := range x.Len(len(ids)) {
		if !x.Reading() {
			describe(byID[ids[k]])
			continue
		}
		i := items.take()
		id := describe(i)
		if x.Err() != nil {
			return
		}
		if id <= last {
			x.Fail("handle %v after %v", id, last)
			return
		}
		last = id
		byID[id] = i
	}
}

// amount is a number that lies in [0, MaxTokens].
func (x *snapshot) amount(v *int64) {
	codec.Int(x.Codec, v)
	if *v != amount(*v) {
		x.Fail("amount %d", *v)
	}
}

func (x *snapshot) wide(w *wide) {
	codec.Uint(x.Codec, &w.hi)
	codec.Uint(x.Codec, &w.lo)
}

// below is a small number under a bound.
func below[T ~uint8](x *snapshot, v *T, bound int) {
	codec.Uint(x.Codec, v)
	if x.Reading() && int(*v) >= bound {
		x.Fail("%d is not below %d", *v, bound)
		*v = 0
	}
}

func (x *snapshot) stats(t *Stats) {
	for _, n := range []*uint64{&t.Arrived, &t.Admitted, &t.Settled, &t.Spilled, &t.Retried, &t.Recalled, &t.Cancelled, &t.Expired, &t.Ignored, &t.ClockBack} {
		codec.Uint(x.Codec, n)
	}
	for i := range t.Rejected {
		codec.Uint(x.Codec, &t.Rejected[i])
	}
}

func (x *snapshot) model(i int32) ModelID {
	m := &x.s.models.items[i]
	codec.Uint(x.Codec, &m.ID)
	codec.Int(x.Codec, &m.Burndown)
	x.amount(&m.MaxOutput)
	codec.Int(x.Codec, &m.WeightInput)
	codec.Int(x.Codec, &m.WeightOutput)
	return m.ID
}

func (x *snapshot) calendars() {
	ids := slices.Sorted(maps.Keys(x.s.calendars))
	var last CalendarID
	for k := range x.Len(len(ids)) {
		var id CalendarID
		if !x.Reading() {
			id = ids[k]
		}
		codec.Uint(x.Codec, &id)
		cal := x.s.calendars[id]
		codec.Int(x.Codec, &cal.period)
		codec.Int(x.Codec, &cal.ends)
		if id <= last {
			x.Fail("calendar %d after %d", id, last)
			return
		}
		last = id
		x.s.calendars[id] = cal
	}
}

func (x *snapshot) bucket(i int32) BucketID {
	b := &x.s.buckets.items[i]
	codec.Uint(x.Codec, &b.ID)
	below(x, &b.Measure, numMeasures)
	x.amount(&b.Rate)
	x.amount(&b.Depth)
	x.Bool(&b.Share)
	codec.Int(x.Codec, &b.until)
	x.Bool(&b.granted)
	x.Bool(&b.asked)
	x.Bool(&b.removed)
	t := &b.stats
	codec.Uint(x.Codec, &t.holds)
	codec.Uint(x.Codec, &t.refusals)
	for _, w := range []*wide{&t.held, &t.charged, &t.refunded, &t.lapsed, &t.burndownExcess, &t.estimateExcess, &t.rebuilt} {
		x.wide(w)
	}
	x.layers(&b.layers)
	codec.Int(x.Codec, &b.at)
	return b.ID
}

// layers are the holds of calls in flight, from the oldest to the newest, each with what finished calls left below it, and
// what they left above.
func (x *snapshot) layers(l *layers) {
	var held []wide
	var rest wide
	if !x.Reading() {
		held, rest = l.held()
	}
	n := x.Len(len(held))
	if x.Reading() {
		held = make([]wide, n)
	}
	for k := range held {
		x.wide(&held[k])
	}
	x.wide(&rest)
	if x.Reading() {
		l.restore(held, rest)
	}
}

func (x *snapshot) counter(i int32) CounterID {
	k := &x.s.counters.items[i]
	codec.Uint(x.Codec, &k.ID)
	below(x, &k.Measure, numMeasures)
	codec.Uint(x.Codec, &k.Calendar)
	x.amount(&k.Limit)
	codec.Int(x.Codec, &k.period)
	x.amount(&k.used)
	x.Bool(&k.removed)
	codec.Uint(x.Codec, &k.stats.holds)
	codec.Uint(x.Codec, &k.stats.refusals)
	x.amount(&k.stats.charged)
	x.amount(&k.stats.excess)
	return k.ID
}

// waking describes the pools in which calls wait for quota, and until when.
func (x *snapshot) waking() {
	s := x.s
	for k := range x.Len(len(s.waking)) {
		var id PoolID
		var at Instant
		if !x.Reading() {
			p := &s.pools.items[s.waking[k]]
			id, at = p.ID, p.wakes
		}
		codec.Uint(x.Codec, &id)
		codec.Int(x.Codec, &at)
		if !x.Reading() {
			continue
		}
		i := s.poolByID[id]
		if i == 0 || at == 0 || s.pools.items[i].wakes != 0 {
			x.Fail("pool %d wakes", id)
			return
		}
		s.pools.items[i].wakes = at
		s.waking = append(s.waking, i)
	}
}
