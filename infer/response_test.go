package infer

import (
	"math"
	"testing"
)

// What an engine reports is bounded before anybody adds it up.
func TestUsageOfEnginesIsBounded(t *testing.T) {
	r := NewResponse(Head{}, OneResult(&Result{Usage: Usage{
		Input: math.MaxInt64, Output: -1, CacheRead: math.MinInt64, CacheWrite: math.MaxInt64, Reasoning: 7, Estimated: true,
	}}))
	ev, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := Usage{Input: maxCount, CacheWrite: maxCount, Reasoning: 7, Estimated: true}
	if u, ok := r.Usage(); !ok || u != want || ev.Usage != want {
		t.Errorf("%+v and %+v", u, ev.Usage)
	}
	if n := r.usage.Total(); n <= 0 {
		t.Errorf("a total of %d", n)
	}
}
