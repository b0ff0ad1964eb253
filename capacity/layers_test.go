package capacity

import (
	"testing"

	"pgregory.net/rapid"
)

// plainLayer is a layer as somebody sees it who reads a list from one end to the other.
type plainLayer struct {
	remains int64
	owned   bool
	number  int32
}

// stack is the layers of a bucket, beside a list of them.
type stack struct {
	t    *rapid.T
	l    layers
	list []plainLayer
}

func small(x int64) wide { return wide{lo: uint64(x)} }

func (s *stack) total() (sum int64) {
	for _, p := range s.list {
		sum += p.remains
	}
	return sum
}

// lower takes x from the newest of the first n layers on.
func (s *stack) lower(n int, x int64) {
	for i := n - 1; i >= 0 && x > 0; i-- {
		d := min(x, s.list[i].remains)
		s.list[i].remains -= d
		x -= d
	}
}

// pick returns which layer that a call owns something is done to, -1 if there is none.
func (s *stack) pick() int {
	var owned []int
	for i, p := range s.list {
		if p.owned {
			owned = append(owned, i)
		}
	}
	if len(owned) == 0 {
		return -1
	}
	if rapid.IntRange(0, 3).Draw(s.t, "oldest") == 0 {
		return owned[0]
	}
	return owned[rapid.IntRange(0, len(owned)-1).Draw(s.t, "which")]
}

func (s *stack) below(i int) (sum int64) {
	for _, p := range s.list[:i+1] {
		sum += p.remains
	}
	return sum
}

func (s *stack) act() {
	switch n := rapid.IntRange(0, 11).Draw(s.t, "what"); {
	case n < 5:
		p := plainLayer{remains: rapid.Int64Range(0, 5).Draw(s.t, "hold"), owned: n < 4}
		p.number = s.l.push(p.owned, small(p.remains))
		s.list = append(s.list, p)
	case n < 7:
		t := rapid.Int64Range(0, s.total()).Draw(s.t, "drains to")
		s.lower(len(s.list), s.total()-t)
		s.l.truncate(small(t))
	case n < 8:
		if i := s.pick(); i >= 0 {
			asked := rapid.Int64Range(0, 20).Draw(s.t, "back")
			want := min(s.below(i), asked)
			if got := s.l.take(s.list[i].number, small(asked)); got != small(want) {
				s.t.Fatalf("%v came back, want %d", got, want)
			}
			s.lower(i+1, want)
		}
	default:
		if i := s.pick(); i >= 0 {
			s.l.release(s.list[i].number)
			s.list[i].owned = false
		}
	}
}

// check compares the two.
func (s *stack) check() {
	live := int32(0)
	for i, p := range s.list {
		if !p.owned {
			continue
		}
		live++
		if got := s.l.below(s.l.at[p.number]); got != small(s.below(i)) {
			s.t.Fatalf("%v lie below layer %d, want %d", got, i, s.below(i))
		}
	}
	if s.l.total() != small(s.total()) || s.l.live != live {
		s.t.Fatalf("the total of %d is %v, want %d of %d", s.l.live, s.l.total(), s.total(), live)
	}
}

// Whatever comes and goes, the layers have what a list would have, and no more room than four times what is owned at once.
func TestLayersAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, most := &stack{t: t}, int32(0)
		for range rapid.IntRange(1, 600).Draw(t, "steps") {
			s.act()
			s.check()
			most = max(most, s.l.live)
		}
		if size := s.l.size(); size > max(4, 4*(most+1)) || int32(len(s.l.at)) > most+1 {
			t.Fatalf("there is room for %d layers and %d numbers, of %d at once", size, len(s.l.at), most)
		}
		for i := range s.list {
			if s.list[i].owned {
				s.l.release(s.list[i].number)
				s.list[i].owned = false
				s.check()
			}
		}
	})
}
