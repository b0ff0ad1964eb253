package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/identity"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestAttempts(t *testing.T) {
	for _, c := range []struct {
		h    http.Header
		want int
	}{
		{header(), 0},
		{header("amz-sdk-request", "attempt=1"), 1},
		{header("amz-sdk-request", "ttl=20260101T000000Z; attempt=3; max=5"), 3},
		{header("amz-sdk-request", "attempt=-1"), 0},
		{header("amz-sdk-request", "attempt=1000000"), 0},
		{header("x-stainless-retry-count", "0"), 1},
		{header("x-stainless-retry-count", "2"), 3},
		{header("x-stainless-retry-count", "-2"), 0},
	} {
		if got := attempt(c.h); got != c.want {
			t.Errorf("%v: %d, want %d", c.h, got, c.want)
		}
	}
}

func TestDeadlines(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		h      http.Header
		stream bool
		want   time.Duration // 0 is none
	}{
		{header(), false, 0},
		{header("amz-sdk-request", "ttl=20260101T000100Z; attempt=2"), false, time.Minute},
		{header("amz-sdk-request", "ttl=20260101T000100Z; attempt=2"), true, time.Minute},
		{header("amz-sdk-request", "ttl=20260101T000000Z; attempt=2"), false, 0}, // passed: a clock is wrong
		{header("amz-sdk-request", "ttl=20300101T000000Z"), false, 0},
		{header("amz-sdk-request", "ttl=soon"), false, 0},
		{header("x-stainless-read-timeout", "600.5"), false, 600*time.Second + 500*time.Millisecond},
		{header("x-stainless-read-timeout", "600"), true, 0},
		{header("x-stainless-timeout", "60"), false, time.Minute},
		{header("x-stainless-timeout", "NaN"), false, 0},
		{header("x-stainless-timeout", "Inf"), false, 0},
		{header("x-stainless-timeout", "None"), false, 0},
	} {
		got := deadline(c.h, now, c.stream)
		if got.IsZero() != (c.want == 0) || c.want != 0 && got.Sub(now) != c.want {
			t.Errorf("%v: %s, want %s", c.h, got, c.want)
		}
	}
}

// What a client may invent is bounded before it is kept.
func TestInvocationIsBounded(t *testing.T) {
	for n, want := range map[int]int{36: 36, maxInvocation: maxInvocation, maxInvocation + 1: 0} {
		c := &Call{Principal: &identity.Principal{}, HTTP: &http.Request{Header: header("amz-sdk-invocation-id", strings.Repeat("x", n))}}
		if got := len(Caller(c).InvocationID); got != want {
			t.Errorf("%d bytes: %d were kept, want %d", n, got, want)
		}
	}
}
