package replay

import (
	"testing"
	"time"

	"forebay/perf"
)

// Waits are in the bounds that the SDKs' sources have: after attempts 1, 2, ... in turn.
func TestClientsWait(t *testing.T) {
	type bounds [2]time.Duration
	const half, s = 500 * time.Millisecond, time.Second
	for id, want := range map[string][]bounds{
		"aws-standard": {{0, s}, {0, 2 * s}},
		"aws-legacy":   {{0, s}, {0, 2 * s}, {0, 4 * s}, {0, 8 * s}},
		"openai":       {{375 * time.Millisecond, half}, {750 * time.Millisecond, s}},
		"anthropic":    {{375 * time.Millisecond, half}, {750 * time.Millisecond, s}},
		"none":         {},
	} {
		found := false
		for _, c := range Clients() {
			if c.ID != id {
				continue
			}
			found = true
			if c.Retry.Attempts != len(want)+1 {
				t.Errorf("%s: %d attempts", id, c.Retry.Attempts)
			}
			for i, b := range want {
				low, high := time.Hour, time.Duration(0)
				for k := range int64(2000) {
					w := c.Retry.wait(k, i+1)
					low, high = min(low, w), max(high, w)
				}
				if span := b[1] - b[0]; low < b[0] || low > b[0]+span/50 || high > b[1] || high < b[1]-span/50 {
					t.Errorf("%s, after attempt %d: %v to %v, want %v to %v", id, i+1, low, high, b[0], b[1])
				}
			}
		}
		if !found {
			t.Errorf("%s is not known", id)
		}
	}
}

// Who goes on for longer is served more often, and later.
func TestPatienceServesMore(t *testing.T) {
	served := map[string]*Result{}
	for _, c := range Clients() {
		s := Serving{OnDemand: true, MaxOutput: 100, Quota: Quota{Requests: 240}, Profile: perf.Profile{Step: 20_000_000, MaxBatch: 1}, Retry: c.Retry}
		served[c.ID] = must(t, poisson(3, 8000, 4.4, 100, 100), s)
	}
	none, three, five := served["none"], served["aws-standard"], served["aws-legacy"]
	if none.Late != 0 || none.Retries != 0 || none.Refused <= three.Refused || three.Refused <= five.Refused || three.Late == 0 || five.Delay.Quantile(990) <= three.Delay.Quantile(990) {
		t.Errorf("refused %d, %d, %d; late %d, %d, by %v, %v at most for 99 %%", none.Refused, three.Refused, five.Refused, three.Late, five.Late, three.Delay.Quantile(990), five.Delay.Quantile(990))
	}
}
