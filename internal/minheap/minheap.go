// Package minheap is a binary heap of values. Unlike container/heap it calls nothing through an interface and allocates nothing for an element.
package minheap

// Element is what a heap orders.
type Element[T any] interface {
	*T
	// Before says whether the element comes before another. Elements of which neither is before the other come in any order.
	Before(other *T) bool
}

// Heap keeps its first element at the front. The zero value is empty. It is not safe for concurrent use.
type Heap[T any, P Element[T]] []T

// Push adds an element.
func (h *Heap[T, P]) Push(x T) {
	*h = append(*h, x)
	s := *h
	for k := len(s) - 1; k > 0; { // elements are compared where they lie: a copy whose address is taken would be allocated
		parent := (k - 1) / 2
		if !P(&s[k]).Before(&s[parent]) {
			break
		}
		s[k], s[parent] = s[parent], s[k]
		k = parent
	}
}

// Pop takes out the first element. The heap must not be empty.
func (h *Heap[T, P]) Pop() T {
	s := *h
	first, last := s[0], len(s)-1
	var none T
	s[0], s[last] = s[last], none // let go of what it refers to
	s = s[:last]
	*h = s
	for k, child := 0, 1; child < len(s); child = 2*k + 1 {
		if child+1 < len(s) && P(&s[child+1]).Before(&s[child]) {
			child++
		}
		if !P(&s[child]).Before(&s[k]) {
			break
		}
		s[k], s[child] = s[child], s[k]
		k = child
	}
	return first
}
