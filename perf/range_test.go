package perf

import (
	"strings"
	"testing"
)

// An engine is given as many calls as it was measured with, and none that are outside of that by themselves.
func TestMeasuredRange(t *testing.T) {
	p := plain // a batch of 8, and a memory of 100,000 tokens
	for _, c := range []struct {
		r     Range
		m     Mix
		slots int
		why   string
	}{
		{Range{}, Mix{1000, 100}, 8, ""},
		{Range{Most: 5}, Mix{1000, 100}, 5, ""},
		{Range{Most: 50}, Mix{1000, 100}, 8, ""},
		{Range{Context: 4_200}, Mix{1000, 100}, 4, ""},
		{Range{Context: 4_200}, Mix{5000, 100}, 0, "context"},
		{Range{Prompt: 999}, Mix{1000, 100}, 8, "prompts"},
		{Range{Prompt: 1000}, Mix{1000, 100}, 8, ""},
		{Range{}, Mix{50_000, 100}, 1, ""},
	} {
		p.Measured = c.r
		if got := p.Slots(c.m); got != c.slots {
			t.Errorf("%+v, %+v: %d slots, want %d", c.r, c.m, got, c.slots)
		}
		if err := p.Covers(c.m); c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%+v, %+v: %v, want %q", c.r, c.m, err, c.why)
		}
	}
	for _, r := range []Range{{Least: 2, Most: 1}, {Prompt: -1}, {Context: -1}} {
		if p.Measured = r; p.Validate() == nil {
			t.Errorf("%+v is valid", r)
		}
	}
}
