package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"forebay/infer"
)

// maxInvocation bounds the name that a client gives to its call: a UUID has 36 bytes.
const maxInvocation = 128

// Caller says who makes an authenticated call, and how the client names it.
func Caller(c *Call) infer.Caller {
	h, p := c.HTTP.Header, c.Principal
	out := infer.Caller{
		Account: p.Account, Team: p.Team, Key: p.KeyID, ARN: p.ARN, InvocationID: h.Get("Amz-Sdk-Invocation-Id"), Attempt: attempt(h),
	}
	if len(out.InvocationID) > maxInvocation {
		out.InvocationID = ""
	}
	return out
}

// attempt reads the client's own number of the attempt, from 1; 0 when it does not say. AWS's
// SDKs count in amz-sdk-request ("attempt=2; max=5"), those of OpenAI and Anthropic the retries.
func attempt(h http.Header) int {
	if n := sdkRequest(h, "attempt="); n != "" {
		return small(n)
	}
	if n := h.Get("X-Stainless-Retry-Count"); n != "" && n[0] != '-' {
		return small(n) + 1
	}
	return 0
}

// small reads a number below 1,000; 0 for anything else.
func small(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n >= 1000 {
		return 0
	}
	return n
}

// sdkRequest returns a part of AWS's header amz-sdk-request by its prefix.
func sdkRequest(h http.Header, prefix string) string {
	for part := range strings.SplitSeq(h.Get("Amz-Sdk-Request"), ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(part), prefix); ok {
			return v
		}
	}
	return ""
}

// Bounds of a deadline that is believed. A nearer one may well be a clock that is wrong.
const (
	minPatience = time.Second
	maxPatience = 24 * time.Hour
)

// deadline is when the client will have given up, as far as it says so; zero when it does not. AWS's
// SDKs send a time to live with their retries. Those of OpenAI and Anthropic send their read
// time-out, which says nothing of a stream: there keep-alives hold the client.
func deadline(h http.Header, arrived time.Time, stream bool) time.Time {
	if ttl := sdkRequest(h, "ttl="); ttl != "" {
		t, err := time.Parse("20060102T150405Z", ttl)
		if wait := t.Sub(arrived); err == nil && wait >= minPatience && wait <= maxPatience {
			return arrived.Add(wait) // on the monotonic clock
		}
	}
	if stream {
		return time.Time{}
	}
	for _, name := range [...]string{"X-Stainless-Read-Timeout", "X-Stainless-Timeout"} {
		s, err := strconv.ParseFloat(h.Get(name), 64)
		if err == nil && s >= minPatience.Seconds() && s <= maxPatience.Seconds() {
			return arrived.Add(time.Duration(s * float64(time.Second)))
		}
	}
	return time.Time{}
}
