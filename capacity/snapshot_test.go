package capacity

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A State that was restored from a snapshot behaves like the one that the snapshot was taken of, from there on: the same actions,
// the same next wake, and in the end the same snapshot again.
func TestRestoredStateGoesOnTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		sc := &script{t: t}
		s.Step(0, worldOf(t), nil)
		for range rapid.IntRange(0, 150).Draw(t, "before") {
			now, ev := sc.event()
			s.Step(now, ev, nil)
		}
		snap := s.Snapshot(nil)
		r, err := Restore(snap)
		if err != nil {
			t.Fatal(err)
		}
		if again := r.Snapshot(nil); !bytes.Equal(again, snap) {
			t.Fatal("the snapshot of the restored state is another")
		}
		for range 60 {
			now, ev := sc.event()
			want, got := s.Step(now, ev, nil), r.Step(now, ev, nil)
			if !slices.Equal(want, got) {
				t.Fatalf("%s at %d\ngives %+v\nand   %+v", ev.Kind, now, want, got)
			}
			at, ok := s.NextWake()
			if at2, ok2 := r.NextWake(); at2 != at || ok2 != ok {
				t.Fatalf("wakes at %d, %t and %d, %t", at, ok, at2, ok2)
			}
			switch rapid.IntRange(0, 20).Draw(t, "look") { // which changes nothing
			case 0:
				s.Bucket(1)
				s.Counter(1)
			case 1:
				s.Explain(sc.next)
			case 2:
				s.Snapshot(nil)
			}
		}
		if !bytes.Equal(s.Snapshot(nil), r.Snapshot(nil)) {
			t.Fatal("the states went apart")
		}
	})
}

// busy is a state with calls in every state.
func busy(tb testing.TB) *State {
	tb.Helper()
	s := setUp(huge, huge, 5000, 4)
	s.Step(0, Event{Kind: EventConfigure, Config: &Config{
		Counters: []Counter{{ID: dayID, Measure: MeasureMoney, Calendar: 1, Limit: 1000}}, Pools: []Pool{{ID: poolID, MaxQueue: 100, AffinityEntries: 4}},
	}}, nil)
	s.Step(0, Event{Kind: EventWallClock, Calendar: 1, Period: 5, At: Instant(time.Hour)}, nil)
	for id := CallID(1); id <= 12; id++ {
		ev := arrive(id, 10*int64(id), 20)
		ev.Account, ev.Principal, ev.Prefix, ev.Tier = AccountID(id%3), PrincipalID(id%4), uint64(id), TierFlex
		ev.Preemptible = id < 3
		ev.SetCounters(dayID)
		ev.Lanes[0].Money = 7
		ev.Deadline = Instant(time.Minute)
		s.Step(Instant(id), ev, nil)
	}
	s.Step(19, Event{Kind: EventConfigure, Config: &Config{
		Buckets:      []Bucket{{ID: 7, Measure: MeasureTokens, Rate: 600}, {ID: 8, Measure: MeasureTokens, Rate: 60}},
		Reservations: []Reservation{{ID: 1, Pool: poolID, Tokens: 7, Slots: 1}, {ID: 2, Pool: poolID, Parent: 1, Tokens: 8}},
	}}, nil)
	bought := arrive(22, 30, 1)
	bought.SetLanes(Lane{Pool: poolID, Model: modelID, Reservation: 2})
	s.Step(19, bought, nil)
	s.Step(20, arrive(20, 1, 1), nil)                                                                      // recalls one
	s.Step(30, Event{Kind: EventSettle, Call: 3, Input: 3, SlotHeld: true, Output: 4, CacheWrite: 1}, nil) // lingers
	s.Step(40, Event{Kind: EventFreed, Call: 4}, nil)                                                      // parks
	s.Step(50, arrive(21, huge*2, 1), nil)                                                                 // is refused
	return s
}

func TestSnapshotOfEveryCallState(t *testing.T) {
	s := busy(t)
	var seen [numCallStates]bool
	for i := range s.calls.n {
		seen[s.calls.at(i).state] = true
	}
	if slices.Contains(seen[:], false) {
		t.Fatalf("states seen: %v", seen)
	}
	snap := s.Snapshot(nil)
	r, err := Restore(snap)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.Snapshot(nil), snap) {
		t.Error("the snapshot of the restored state is another")
	}
	if r.Stats() != s.Stats() || r.InFlight() != s.InFlight() || r.Now() != s.Now() {
		t.Error("the totals are others")
	}
}

func TestRestoreRefusesWhatIsDamaged(t *testing.T) {
	snap := busy(t).Snapshot(nil)
	for n := range snap {
		if _, err := Restore(snap[:n]); err == nil {
			t.Fatalf("%d of %d bytes are taken", n, len(snap))
		}
	}
	if _, err := Restore(append(slices.Clone(snap), 0)); err == nil {
		t.Error("a byte too many is taken")
	}
}

// FuzzRestore feeds bytes that are nearly snapshots. What Restore takes is the snapshot of the State it returns, and that
// State can be used.
func FuzzRestore(f *testing.F) {
	f.Add([]byte{})
	f.Add(New().Snapshot(nil))
	f.Add(setUp(60, 60, 1000, 2).Snapshot(nil))
	f.Add(busy(f).Snapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Restore(b)
		if err != nil {
			return
		}
		if again := s.Snapshot(nil); !bytes.Equal(again, b) {
			t.Fatalf("% x\ncomes back as\n% x", b, again)
		}
		exercise(s, uint64(len(b)))
	})
}

// exercise uses a State of unknown origin: no event may panic, and every call can be brought to its end.
func exercise(s *State, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	now := s.Now()
	for id := range CallID(30) {
		now = now.add(time.Duration(r.Int64N(int64(10 * time.Second))))
		ev := arrive(id, r.Int64N(100), r.Int64N(100))
		ev.Account, ev.Tier = AccountID(r.IntN(3)), Tier(r.IntN(6))
		s.Step(now, ev, nil)
		s.Step(now, Event{Kind: EventKind(r.IntN(numEvents)), Call: CallID(r.IntN(40)), Replica: ReplicaID(r.IntN(3)), Bucket: BucketID(r.IntN(3))}, nil)
		s.Explain(id)
		s.NextWake()
	}
	s.Snapshot(nil)
}

func BenchmarkSnapshot(b *testing.B) {
	s := setUp(huge, huge, 5000, 1000)
	for id := CallID(1); id <= 1000; id++ {
		s.Step(Instant(id), arrive(id, 500, 200), nil)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Snapshot(buf[:0])
	}
	b.ReportMetric(float64(len(buf))/1000, "B/call")
}
