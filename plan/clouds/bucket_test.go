package clouds_test

import (
	"strings"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/plan/clouds"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// Each step is a call or the end of one, with what the documented rules say of it, worked out by hand: 60,000 tokens a minute drain one a millisecond, and
// 100 % are 10,000 tokens.
func TestT15LeakyBucket(t *testing.T) {
	b := &clouds.LeakyBucket{PerMinute: 60_000, Depth: 10 * time.Second, OutputWeight: 4, DefaultOutput: 1_000}
	var answers []clouds.Answer
	for i, s := range []struct {
		at      time.Duration
		call    clouds.Call
		ends    int   // the step of the call that ends here, from 1 on; 0 is an arrival
		output  int64 // of the call that ends
		verdict clouds.Verdict
		charged int64
		retry   time.Duration
		level   int64 // afterwards, in millionths of 100 %
	}{
		{at: 0, call: clouds.Call{Input: 6_000, Cached: 1_000, MaxOutput: 500}, charged: 7_000, level: 700_000},
		{at: 1_000 * ms, call: clouds.Call{Input: 4_000, MaxOutput: 0}, charged: 8_000, level: 1_400_000}, // no maximum: 1,000 are taken; over 100 % in one go
		{at: 1_000 * ms, call: clouds.Call{Input: 1}, verdict: clouds.Refuse, retry: 4_000 * ms, level: 1_400_000},
		{at: 2_000 * ms, ends: 1, output: 250, level: 1_200_000},                                                     // 1,000 of 7,000 were too much
		{at: 2_000 * ms, call: clouds.Call{Input: 1}, verdict: clouds.Refuse, retry: 2_000 * ms, level: 1_200_000},   // sooner than was said
		{at: 3_000 * ms, ends: 2, output: 1_500, level: 1_300_000},                                                   // 2,000 more than was taken
		{at: 3_000*ms + 1, call: clouds.Call{Input: 1}, verdict: clouds.Refuse, retry: 3_000 * ms, level: 1_300_000}, // rounded up to whole milliseconds
		{at: 6_000*ms - 1, call: clouds.Call{Input: 1}, verdict: clouds.Refuse, retry: 1 * ms, level: 1_000_000},
		{at: 6_000 * ms, call: clouds.Call{Input: 100, Cached: 400, MaxOutput: 10}, charged: 40, level: 1_004_000}, // 100 % is not above 100 %; no credit for what is cached beyond the prompt
		{at: 60_000 * ms, call: clouds.Call{}, charged: 4_000, level: 400_000},                                     // it has drained, and no further than to nothing
	} {
		var got clouds.Answer
		if s.ends > 0 {
			call := []clouds.Call{{Input: 6_000, Cached: 1_000}, {Input: 4_000}}[s.ends-1]
			b.Settle(s.at, answers[s.ends-1], call, s.output)
		} else {
			got = b.Arrive(s.at, s.call)
		}
		answers = append(answers, got)
		if want := (clouds.Answer{Verdict: s.verdict, Charged: s.charged, RetryAfter: s.retry}); got != want || b.Utilisation(s.at) != s.level {
			t.Errorf("step %d: %+v at %d millionths; want %+v at %d", i+1, got, b.Utilisation(s.at), want, s.level)
		}
	}
	testenv.Record(t, "T15", "10 steps of arrivals, ends and refusals as the documented rules have them", "worked out by hand from the rules of Azure's provisioned throughput")
}

// The time that a refused call is told is the first whole millisecond at which the same call is admitted, if nothing else happens.
func TestT15RetryAfterIsWhenItAdmits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := clouds.LeakyBucket{PerMinute: rapid.Int64Range(1, 5_000_000).Draw(t, "rate"), Depth: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "depth")), OutputWeight: 4, DefaultOutput: 4096}
		var now time.Duration
		refused := 0
		for range rapid.IntRange(1, 30).Draw(t, "calls") {
			now += time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "gap"))
			c := clouds.Call{Input: rapid.Int64Range(0, 200_000).Draw(t, "input"), MaxOutput: rapid.Int64Range(0, 4_096).Draw(t, "max")}
			a := b.Arrive(now, c)
			if a.Verdict != clouds.Refuse {
				continue
			}
			refused++
			early, then := b, b
			if got := early.Arrive(now+a.RetryAfter-ms, c); got.Verdict != clouds.Refuse {
				t.Fatalf("told to wait %v, and admitted a millisecond before", a.RetryAfter)
			}
			if got := then.Arrive(now+a.RetryAfter, c); got.Verdict != clouds.Admit {
				t.Fatalf("told to wait %v, and refused then", a.RetryAfter)
			}
		}
	})
	testenv.Record(t, "T15", "retry-after-ms is the first whole millisecond at which the replay admits", "replay of the bucket, on random traffic")
}

// What was charged and drained is what was used, however estimates were off.
func TestSettledIsUsed(t *testing.T) {
	b := &clouds.LeakyBucket{PerMinute: 1, Depth: time.Hour, OutputWeight: 1, DefaultOutput: 9}
	c := clouds.Call{Input: 5, MaxOutput: 50}
	b.Settle(0, b.Arrive(0, c), c, 7)
	if got := b.Utilisation(0); got != 200_000 { // 12 of 60
		t.Error(got)
	}
}

func TestEstimateReconcile(t *testing.T) {
	e := &clouds.EstimateReconcile{PerSecond: 100, Window: 10 * time.Second, OutputWeight: 2, Output: 200}
	call := clouds.Call{Input: 200}
	a := e.Arrive(0, call, clouds.Either) // 200 + 2 x 200 of 1,000
	if a.Verdict != clouds.Admit || a.Charged != 600 {
		t.Fatal(a)
	}
	if got := e.Arrive(time.Second, call, clouds.Either); got.Verdict != clouds.Spill {
		t.Error(got)
	}
	if got := e.Arrive(time.Second, call, clouds.Dedicated); got.Verdict != clouds.Refuse || got.RetryAfter != 9*time.Second {
		t.Error(got)
	}
	if got := e.Arrive(time.Second, clouds.Call{Input: 200, MaxOutput: 100}, clouds.Dedicated); got.Verdict != clouds.Admit || got.Charged != 400 {
		t.Error(got)
	}
	if got := e.Arrive(time.Second, call, clouds.Shared); got.Verdict != clouds.Spill || got.Charged != 0 {
		t.Error(got)
	}
	e.Settle(2*time.Second, a, call, 1_000) // 1,600 more than was taken: the next window is used up, and the one after it has 600 of 1,000 left
	if got := e.Arrive(12*time.Second, call, clouds.Either); got.Verdict != clouds.Spill {
		t.Error(got)
	}
	if got := e.Arrive(20*time.Second, clouds.Call{Input: 401, MaxOutput: 1}, clouds.Either); got.Verdict != clouds.Spill {
		t.Error(got)
	}
	if got := e.Arrive(20*time.Second, clouds.Call{Input: 398, MaxOutput: 1}, clouds.Either); got.Verdict != clouds.Admit {
		t.Error(got)
	}
}

func TestByTheMinute(t *testing.T) {
	m := &clouds.ByTheMinute{PerMinute: 100, OutputWeight: 1}
	for i, want := range []struct {
		at time.Duration
		v  clouds.Verdict
	}{{0, clouds.Admit}, {time.Second, clouds.Admit}, {59 * time.Second, clouds.Spill}, {time.Minute, clouds.Admit}} {
		if got := m.Arrive(want.at, clouds.Call{Input: 40}, 20); got.Verdict != want.v {
			t.Error(i, got)
		}
	}
	if got, err := m.Bill(61*time.Second, 7); got != 14 || err != nil {
		t.Error(got, err)
	}
	if _, err := m.Bill(time.Hour, 1<<62); err == nil {
		t.Error("an amount out of range is billed")
	}
}

// A preset gives its rule with what is published, asks for what is not, and sells in its steps.
func TestPresets(t *testing.T) {
	preset := func(name string) clouds.Preset {
		p, err := clouds.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	gpt4o := preset("azure-ptu-gpt-4o")
	rule, err := gpt4o.Apply(clouds.Bought{Units: 15, OutputWeight: 3, MaxOutput: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if a := rule.Take(0, clouds.Call{Input: 40_000}, 1); a.Verdict != clouds.Admit || a.Charged != 43_000 { // of 37,500 a minute, in one go
		t.Error(a)
	}
	if a := rule.Take(0, clouds.Call{Input: 1}, 1); a.Verdict != clouds.Refuse || a.RetryAfter != 8_800*ms { // 5,500 at 625 a second
		t.Error(a)
	}
	for units, sold := range map[int64]int64{0: 15, 15: 15, 16: 20, 20: 20, 21: 25} {
		if got := gpt4o.Sold(units); got != sold {
			t.Errorf("%d units are sold as %d, want %d", units, got, sold)
		}
	}
	for want, f := range map[string]func() error{
		"from 15 on in steps of 5": func() error { _, err := gpt4o.Apply(clouds.Bought{Units: 17, OutputWeight: 3}); return err },
		"an output token counts":   func() error { _, err := gpt4o.Apply(clouds.Bought{Units: 15}); return err },
		"what a unit holds":        func() error { _, err := preset("azure-ptu-gpt-5").Apply(clouds.Bought{Units: 15}); return err },
		"no rules are known":       func() error { _, err := clouds.Named("azure"); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, p := range clouds.Presets() {
		if p.Rule == "" || p.Assumed == "" || p.Source == "" {
			t.Errorf("%+v does not say where it is from", p)
		}
		if _, err := p.Apply(clouds.Bought{Units: p.Min, PerMinute: 1000, OutputWeight: 1, Output: 10, MaxOutput: 100}); err != nil {
			t.Error(err)
		}
	}
}
