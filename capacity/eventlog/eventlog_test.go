package eventlog

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/capacity/codec"
)

// filled is an event of a kind with a value in every field that the kind reads: what a decoder gives for bytes that
// are all small numbers.
func filled(t *testing.T, kind capacity.EventKind) capacity.Event {
	t.Helper()
	b := []byte{byte(kind)}
	for range 400 {
		b = append(b, 1)
	}
	c := codec.Reader(b)
	var ev capacity.Event
	event(c, &ev)
	if c.Err() != nil {
		t.Fatalf("%s: %v", kind, c.Err())
	}
	return ev
}

// The fields that the doc comment of each kind names.
var reads = map[capacity.EventKind][]string{
	capacity.EventConfigure: {"Config"},
	capacity.EventArrive: {
		"Call", "Tier", "Account", "Principal", "Lanes", "NumLanes", "Buckets", "NumBuckets", "Counters", "NumCounters", "Input", "CacheWrite",
		"MaxOutput", "N", "Prefix", "Preemptible", "Deadline",
	},
	capacity.EventProgress:        {"Call", "Output", "Input", "Delivered"},
	capacity.EventSettle:          {"Call", "Input", "CacheRead", "CacheWrite", "Output", "Money", "SlotHeld"},
	capacity.EventCancel:          {"Call"},
	capacity.EventExpire:          {"Call"},
	capacity.EventRetry:           {"Call", "Replica", "Unread"},
	capacity.EventFreed:           {"Call"},
	capacity.EventReplicaUp:       {"Replica", "Slots", "KV"},
	capacity.EventReplicaDown:     {"Replica"},
	capacity.EventReplicaDraining: {"Replica"},
	capacity.EventShareGranted:    {"Bucket", "Rate", "Depth", "Until"},
	capacity.EventShareEnded:      {"Bucket"},
	capacity.EventWallClock:       {"Calendar", "Period", "At"},
	capacity.EventCharge:          {"Bucket", "Counter", "Amount", "At", "Period"},
	capacity.EventTick:            {},
}

func TestEveryFieldOfEveryEventComesBack(t *testing.T) {
	for kind, fields := range reads {
		ev := filled(t, kind)
		v := reflect.ValueOf(ev)
		want := map[string]bool{"Kind": true}
		for _, f := range fields {
			want[f] = true
		}
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if v.Field(i).IsZero() == want[name] {
				t.Errorf("%s: field %s is recorded: %t", kind, name, !want[name])
			}
		}
		buf := NewEncoder(0).Event(nil, 7, &ev, nil)
		r := &Reader{block: buf}
		rec, err := r.Next()
		if err != nil || rec.Now != 7 || !reflect.DeepEqual(rec.Event, ev) {
			t.Errorf("%s: %v\n%+v\ncomes back as\n%+v", kind, err, ev, rec.Event)
		}
	}
}

// Every field of every object of a configuration is recorded.
func TestConfigurationsAreRecordedInFull(t *testing.T) {
	cfg := filled(t, capacity.EventConfigure).Config
	v := reflect.ValueOf(*cfg)
	for i := range v.NumField() {
		list := v.Field(i)
		name := v.Type().Field(i).Name
		if list.Len() != 1 {
			t.Fatalf("%s: %d items", name, list.Len())
		}
		item := list.Index(0)
		if item.Kind() != reflect.Struct {
			continue
		}
		for k := range item.NumField() {
			if item.Field(k).IsZero() {
				t.Errorf("%s: %s is not recorded", name, item.Type().Field(k).Name)
			}
		}
	}
}

// segment is a small segment: a state, three events, a name.
func segment(t testing.TB) ([]byte, *capacity.State) {
	t.Helper()
	s := capacity.New()
	cfg := capacity.Event{Kind: capacity.EventConfigure, Config: &capacity.Config{
		Models: []capacity.Model{{ID: 1, MaxOutput: 10}}, Pools: []capacity.Pool{{ID: 1, MaxQueue: 5}},
		Replicas: []capacity.Replica{{ID: 1, Pool: 1, Slots: 1}}, Buckets: []capacity.Bucket{{ID: 1, Measure: capacity.MeasureTokens, Rate: 100}},
	}}
	s.Step(0, cfg, nil)
	out := Begin(nil, time.Unix(1000, 5), s.Snapshot(nil))
	e := NewEncoder(s.Now())
	var buf []byte
	arrive := capacity.Event{Kind: capacity.EventArrive, Call: 1, Input: 10, MaxOutput: 5}
	arrive.SetBuckets(1)
	arrive.SetLanes(capacity.Lane{Pool: 1, Model: 1, Buckets: capacity.AllLimits})
	for i, ev := range []capacity.Event{{Kind: capacity.EventReplicaUp, Replica: 1}, arrive, {Kind: capacity.EventSettle, Call: 1, Input: 9}} {
		now := capacity.Instant(i) * capacity.Instant(time.Second)
		buf = e.Event(buf, now, &ev, s.Step(now, ev, nil))
	}
	buf = e.Name(buf, "bucket", 1, "account 1 tokens/min")
	return Block(out, buf), s
}

func TestReplayGivesTheSameActions(t *testing.T) {
	b, _ := segment(t)
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Started().Equal(time.Unix(1000, 5)) {
		t.Errorf("started at %v", r.Started())
	}
	var kinds []capacity.ActionKind
	var names []string
	err = Replay(r, func(rec *Record, actions []capacity.Action, same bool) error {
		if !same {
			t.Errorf("%s gives other actions", rec.Event.Kind)
		}
		if rec.Name != "" {
			names = append(names, rec.Name)
		}
		for _, a := range actions {
			kinds = append(kinds, a.Kind)
		}
		return nil
	})
	if err != nil || len(names) != 1 || !reflect.DeepEqual(kinds, []capacity.ActionKind{capacity.ActionAdmit, capacity.ActionSettled}) {
		t.Errorf("%v %v %v", kinds, names, err)
	}
}

func TestReplayNoticesOtherActions(t *testing.T) {
	s := capacity.New()
	b := Begin(nil, time.Unix(0, 0), s.Snapshot(nil))
	ev := capacity.Event{Kind: capacity.EventTick}
	b = Block(b, NewEncoder(0).Event(nil, 1, &ev, []capacity.Action{{Kind: capacity.ActionAdmit}}))
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	noticed := false
	if err := Replay(r, func(_ *Record, _ []capacity.Action, same bool) error { noticed = !same; return nil }); err != nil || !noticed {
		t.Errorf("noticed: %t, %v", noticed, err)
	}
}

// A segment that ends early gives what is whole and then says so; one that was changed says so.
func TestDamagedSegments(t *testing.T) {
	whole, _ := segment(t)
	read := func(b []byte) (n int, err error) {
		r, err := NewReader(bytes.NewReader(b))
		for err == nil {
			if _, err = r.Next(); err == nil {
				n++
			}
		}
		return n, err
	}
	if n, err := read(whole); n != 4 || !errors.Is(err, io.EOF) {
		t.Fatalf("%d records, %v", n, err)
	}
	for cut := range whole {
		if n, err := read(whole[:cut]); err == nil || n > 0 || errors.Is(err, io.EOF) && cut > len(magic) && !atBlock(whole, cut) {
			t.Errorf("cut at %d: %d records, %v", cut, n, err)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		if n, err := read(b); err == nil || errors.Is(err, io.EOF) || n > 0 {
			t.Errorf("a bit changed at %d: %d records, %v", at, n, err)
		}
	}
}

// atBlock says that a cut is between two blocks, where nothing shows that more was to come.
func atBlock(whole []byte, cut int) bool {
	at := len(magic) + 1
	for at < cut {
		at += 8 + int(whole[at]) + int(whole[at+1])<<8
	}
	return at == cut
}

func FuzzReader(f *testing.F) {
	b, _ := segment(f)
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Fuzz(func(_ *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		_ = Replay(r, func(*Record, []capacity.Action, bool) error { return nil })
	})
}

// bought are records of a purchase, a part of it, a replica of its own, and calls that come and go.
func bought(e *Encoder) []byte {
	events := []capacity.Event{{Kind: capacity.EventConfigure, Config: &capacity.Config{
		Buckets:      []capacity.Bucket{{ID: 2, Measure: capacity.MeasureTokens, Rate: 600}, {ID: 3, Measure: capacity.MeasureTokens, Rate: 60}},
		Counters:     []capacity.Counter{{ID: 1, Measure: capacity.MeasureConcurrent, Limit: 3}},
		Reservations: []capacity.Reservation{{ID: 1, Pool: 1, Tokens: 2, Slots: 1, KV: 100}, {ID: 2, Pool: 1, Parent: 1, Tokens: 3, Slots: 1}},
		Replicas:     []capacity.Replica{{ID: 2, Pool: 1, Slots: 1, KV: 200, Reservation: 1}},
	}}, {Kind: capacity.EventReplicaUp, Replica: 1}, {Kind: capacity.EventReplicaUp, Replica: 2}}
	for id := capacity.CallID(10); id < 16; id++ {
		ev := capacity.Event{Kind: capacity.EventArrive, Call: id, Input: 50, Tier: capacity.TierFlex, Preemptible: id < 13, Prefix: uint64(id % 2)}
		ev.SetCounters(1)
		ev.SetLanes(
			capacity.Lane{Pool: 1, Model: 1, Reservation: capacity.ReservationID(id % 3), Counters: capacity.AllLimits, Spill: capacity.SpillOverRate},
			capacity.Lane{Pool: 1, Model: 1})
		events = append(events, ev, capacity.Event{Kind: capacity.EventProgress, Call: id - 1, Output: 5, Delivered: id%2 == 0})
	}
	events = append(
		events, capacity.Event{Kind: capacity.EventFreed, Call: 10}, capacity.Event{Kind: capacity.EventReplicaDown, Replica: 2},
		capacity.Event{Kind: capacity.EventConfigure, Config: &capacity.Config{RemoveReservations: []capacity.ReservationID{1}}},
	)
	var out []byte
	for i := range events {
		out = e.Event(out, 5, &events[i], nil)
	}
	return out
}

// FuzzStep steps a State through whatever records bytes make: nothing may panic, and what is written is read again.
func FuzzStep(f *testing.F) {
	_, s := segment(f)
	start := s.Snapshot(nil)
	e := NewEncoder(0)
	var all []byte
	for kind := capacity.EventConfigure; kind <= capacity.EventTick; kind++ {
		ev := capacity.Event{Kind: kind, Call: 1, Replica: 1, Bucket: 1}
		one := e.Event(nil, 5, &ev, nil)
		f.Add(one)
		all = append(all, one...)
	}
	f.Add(all)
	f.Add(append(bought(e), all...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := capacity.Restore(start)
		if err != nil {
			t.Fatal(err)
		}
		r := &Reader{block: b, r: bytes.NewReader(nil)}
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			if rec.Name != "" {
				continue
			}
			s.Step(rec.Now, rec.Event, nil)
			back := &Reader{block: NewEncoder(rec.Now).Event(nil, rec.Now, &rec.Event, nil)}
			if again, err := back.Next(); err != nil || !reflect.DeepEqual(again.Event, rec.Event) {
				t.Fatalf("%+v\ncomes back as\n%+v, %v", rec.Event, again.Event, err)
			}
		}
		if _, err := capacity.Restore(s.Snapshot(nil)); err != nil {
			t.Fatalf("what came of it cannot be restored: %v", err)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	e := NewEncoder(0)
	ev := capacity.Event{Kind: capacity.EventArrive, Call: 123456, Account: 1, Principal: 2, Input: 1000, MaxOutput: 500, Prefix: 1 << 60}
	ev.SetBuckets(1, 2, 3, 4)
	ev.SetLanes(capacity.Lane{Pool: 1, Model: 1, Buckets: capacity.AllLimits, Counters: capacity.AllLimits})
	actions := []capacity.Action{{Kind: capacity.ActionAdmit, Call: 123456, Replica: 3, Held: 1500}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Event(buf[:0], 1000, &ev, actions)
	}
	b.ReportMetric(float64(len(buf)), "B/event")
}
