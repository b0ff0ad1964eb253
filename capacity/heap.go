package capacity

// slab keeps items at stable indices. Index 0 is never handed out, so that a zero index means none.
// Pointers into it are valid until the next take.
type slab[T any] struct {
	items []T
	free  []int32
}

func (s *slab[T]) take() int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	var zero T
	if len(s.items) == 0 {
		s.items = append(s.items, zero)
	}
	s.items = append(s.items, zero)
	return int32(len(s.items) - 1)
}

// callSlab is a slab of calls, which are many and large: it grows by a part at a time, so that no step copies them all. Pointers into it
// stay valid.
type callSlab struct {
	parts []*[callsInPart]call
	n     int32 // the first index that was never handed out
	free  []int32
}

// callsInPart is a power of two.
const callsInPart = 64

func (s *callSlab) at(i int32) *call { return &s.parts[uint32(i)/callsInPart][uint32(i)%callsInPart] }

func (s *callSlab) take() int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := max(1, s.n)
	if int(i/callsInPart) == len(s.parts) {
		s.parts = append(s.parts, new([callsInPart]call))
	}
	s.n = i + 1
	return i
}

// drop gives an index back. Its next user clears what it needs.
func (s *callSlab) drop(i int32) { s.free = append(s.free, i) }

func (s *slab[T]) put(i int32) {
	var zero T
	s.items[i] = zero
	s.free = append(s.free, i)
}

// inHeap is an item of a slab that can lie in a heap. before is a total order, so that the first
// item does not depend on how the heap came about; place is where the item keeps its place, counted from 1 (0: outside).
type inHeap[T any] interface {
	*T
	before(*T) bool
	place() *int32
}

// heapPush adds item i.
func heapPush[T any, P inHeap[T]](h []int32, items []T, i int32) []int32 {
	h = append(h, i)
	heapUp[T, P](h, items, len(h)-1)
	return h
}

// heapRemove takes item i out.
func heapRemove[T any, P inHeap[T]](h []int32, items []T, i int32) []int32 {
	at := P(&items[i]).place()
	k := int(*at) - 1
	*at = 0
	last := len(h) - 1
	moved := h[last]
	h = h[:last]
	if k < last {
		h[k] = moved
		*P(&items[moved]).place() = int32(k + 1)
		heapFix[T, P](h, items, moved)
	}
	return h
}

// heapFix restores the order after the key of item i has changed.
func heapFix[T any, P inHeap[T]](h []int32, items []T, i int32) {
	k := int(*P(&items[i]).place()) - 1
	heapUp[T, P](h, items, k)
	if h[k] == i {
		heapDown[T, P](h, items, k)
	}
}

func heapUp[T any, P inHeap[T]](h []int32, items []T, k int) {
	i := h[k]
	p := P(&items[i])
	for k > 0 {
		parent := (k - 1) / 2
		q := P(&items[h[parent]])
		if !p.before(&items[h[parent]]) {
			break
		}
		h[k] = h[parent]
		*q.place() = int32(k + 1)
		k = parent
	}
	h[k] = i
	*p.place() = int32(k + 1)
}

func heapDown[T any, P inHeap[T]](h []int32, items []T, k int) {
	i := h[k]
	p := P(&items[i])
	for {
		child := 2*k + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && P(&items[h[child+1]]).before(&items[h[child]]) {
			child++
		}
		q := P(&items[h[child]])
		if !q.before((*T)(p)) {
			break
		}
		h[k] = h[child]
		*q.place() = int32(k + 1)
		k = child
	}
	h[k] = i
	*p.place() = int32(k + 1)
}
