package minheap_test

import (
	"slices"
	"testing"

	"forebay/internal/minheap"

	"pgregory.net/rapid"
)

type number int

func (n *number) Before(o *number) bool { return *n < *o }

// What is pushed comes out in order, whatever was taken out between.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h minheap.Heap[number, *number]
		var model []number
		for _, x := range rapid.SliceOfN(rapid.IntRange(-20, 20), 0, 60).Draw(t, "numbers") {
			if x < -10 && len(model) > 0 {
				if got := h.Pop(); got != model[0] {
					t.Fatalf("%d, want %d", got, model[0])
				}
				model = model[1:]
				continue
			}
			h.Push(number(x))
			model = append(model, number(x))
			slices.Sort(model)
		}
		for _, want := range model {
			if got := h.Pop(); got != want {
				t.Fatalf("%d, want %d", got, want)
			}
		}
	})
}
