package clouds

import (
	"math"
	"time"

	"forebay/fault"
)

// Call is what is known of a call as it arrives, in tokens.
type Call struct {
	Input, Cached int64
	// MaxOutput is what the caller allows; 0 where it says nothing.
	MaxOutput int64
}

// Verdict is what becomes of a call.
type Verdict uint8

const (
	// Admit serves it from the bought capacity.
	Admit Verdict = iota
	// Spill serves it by the token, beside the capacity.
	Spill
	// Refuse is status 429.
	Refuse
)

// Answer is a verdict with what the rule took the call for.
type Answer struct {
	Verdict Verdict
	// Charged is what it counts for until it ends, in weighted tokens; Settle takes it back.
	Charged int64
	// RetryAfter is when a call would be admitted, from now on, if no other came: whole milliseconds, as the header retry-after-ms has it. It is 0
	// where the call was not refused, and where only the end of calls can tell.
	RetryAfter time.Duration
}

// LeakyBucket is the admission of Azure's provisioned units, as documented (MicrosoftDocs/azure-ai-docs, concepts/provisioned-throughput): while utilisation is
// above 100 % calls are refused, with the time until it is not; a call that is admitted adds its prompt, less what is cached, and its maximum of output; when
// it ends, the difference to what it really used is added or taken off; and all the time utilisation falls at the rate that was bought.
//
// What the documents leave open is what 100 % is, as a time: how much of the rate may be owed before calls are refused. Depth is that time.
type LeakyBucket struct {
	// PerMinute is the rate that was bought, in weighted tokens a minute.
	PerMinute int64
	// Depth is the time at the rate that 100 % stands for.
	Depth time.Duration
	// OutputWeight is how many tokens of the rate an output token counts for.
	OutputWeight int64
	// DefaultOutput is what a call that says no maximum is taken to write.
	DefaultOutput int64

	level int64 // owed, in weighted tokens x a minute's nanoseconds
	at    time.Duration
}

// scale is what levels are counted in, so that a nanosecond at the rate is a whole number.
const scale = int64(time.Minute)

// most is the largest amount of weighted tokens that is told apart; more is as much.
const most = math.MaxInt64 / 4 / scale

// drain brings the level to an instant. Instants do not go back.
func (b *LeakyBucket) drain(now time.Duration) {
	if gone := int64(now - b.at); gone > 0 {
		if b.PerMinute > 0 && gone > b.level/b.PerMinute {
			b.level = 0
		} else {
			b.level -= gone * b.PerMinute
		}
		b.at = now
	}
}

// full is the level of 100 %: Depth x PerMinute.
func (b *LeakyBucket) full() int64 { return clamp(b.PerMinute, int64(b.Depth)) }

// clamp is a x b, at most half of what a level can be.
func clamp(a, b int64) int64 {
	if a > 0 && b > most*scale/a {
		return most * scale
	}
	return a * b
}

// estimate is what a call is charged as it arrives.
func (b *LeakyBucket) estimate(c Call) int64 {
	output := c.MaxOutput
	if output == 0 {
		output = b.DefaultOutput
	}
	return weigh(c, output, b.OutputWeight)
}

func weigh(c Call, output, weight int64) int64 {
	return min(most, max(0, c.Input-c.Cached)+min(most, clamp(output, weight)))
}

// Arrive admits a call or refuses it.
func (b *LeakyBucket) Arrive(now time.Duration, c Call) Answer {
	b.drain(now)
	if over := b.level - b.full(); over > 0 {
		if b.PerMinute <= 0 {
			return Answer{Verdict: Refuse}
		}
		wait := (over + b.PerMinute - 1) / b.PerMinute // nanoseconds
		ms := (wait + int64(time.Millisecond) - 1) / int64(time.Millisecond)
		return Answer{Verdict: Refuse, RetryAfter: time.Duration(ms * int64(time.Millisecond))}
	}
	charged := b.estimate(c)
	b.add(charged)
	return Answer{Verdict: Admit, Charged: charged}
}

// Settle puts right what a call was charged, at its end, by the tokens that it really used. What was charged too much may have drained already; the
// level does not fall below zero.
func (b *LeakyBucket) Settle(now time.Duration, a Answer, c Call, output int64) {
	b.drain(now)
	b.add(weigh(c, output, b.OutputWeight) - a.Charged)
}

func (b *LeakyBucket) add(tokens int64) {
	b.level = min(most*scale*2, max(0, b.level+tokens*scale))
}

// Utilisation is the level in millionths of 100 %.
func (b *LeakyBucket) Utilisation(now time.Duration) int64 {
	b.drain(now)
	full := b.full()
	if full <= 0 {
		return 0
	}
	return int64(math.Round(1e6 * float64(b.level) / float64(full)))
}

// EstimateReconcile is the admission of Vertex's provisioned throughput, as documented: the size of the answer is estimated as the call arrives, a call
// that does not fit into what is left of the enforcement window goes to pay-as-you-go, or is refused where the caller asks for dedicated capacity only, and
// what was estimated is put right when it ends. The window changes with the load, "up to 30 s": the shorter it is, the fewer bursts fit.
type EstimateReconcile struct {
	// PerSecond is the rate that was bought, in weighted tokens a second.
	PerSecond int64
	// Window is the time over which the rate is enforced.
	Window time.Duration
	// OutputWeight is how many tokens of the rate an output token counts for.
	OutputWeight int64
	// Output is the answer that is expected of a call; Call.MaxOutput bounds it.
	Output int64

	used int64 // in this window, weighted tokens
	last int64 // the number of this window
}

// Request is which capacity a caller asks for, by header.
type Request uint8

const (
	// Either is the default: bought capacity first, then pay-as-you-go.
	Either Request = iota
	// Dedicated is bought capacity or status 429.
	Dedicated
	// Shared is pay-as-you-go alone.
	Shared
)

// Arrive admits a call, lets it spill, or refuses it.
func (e *EstimateReconcile) Arrive(now time.Duration, c Call, r Request) Answer {
	if r == Shared {
		return Answer{Verdict: Spill}
	}
	e.advance(now)
	output := e.Output
	if c.MaxOutput > 0 {
		output = min(output, c.MaxOutput)
	}
	charged := weigh(c, output, e.OutputWeight)
	if charged <= e.budget()-e.used {
		e.used += charged
		return Answer{Verdict: Admit, Charged: charged}
	}
	if r == Dedicated {
		left := e.Window - now%e.Window
		return Answer{Verdict: Refuse, RetryAfter: (left + time.Millisecond - 1).Truncate(time.Millisecond)}
	}
	return Answer{Verdict: Spill}
}

// Settle puts right what a call that was admitted was charged. What it used beyond the estimate is owed, and carried over into the next windows.
func (e *EstimateReconcile) Settle(now time.Duration, a Answer, c Call, output int64) {
	if a.Verdict != Admit {
		return
	}
	e.advance(now)
	e.used = min(most, e.used+weigh(c, output, e.OutputWeight)-a.Charged)
}

// budget is what a window holds.
func (e *EstimateReconcile) budget() int64 {
	return clamp(e.PerSecond, int64(e.Window)) / int64(time.Second)
}

// advance goes on to the window of an instant: what is left in a window is lost, what is owed is paid from the next ones.
func (e *EstimateReconcile) advance(now time.Duration) {
	n := int64(now / e.Window)
	if n <= e.last {
		return
	}
	if budget := e.budget(); budget > 0 && n-e.last <= e.used/budget {
		e.used -= (n - e.last) * budget
	} else {
		e.used = 0
	}
	e.last = n
}

// ByTheMinute is capacity that is billed by the minute whether it is used or not, and lost at the end of each: reserved tiers and reserved throughput of
// OpenAI, Fireworks and Databricks, as their documents have it. Calls beyond it are served at list price.
type ByTheMinute struct {
	// PerMinute is what was bought, in weighted tokens.
	PerMinute    int64
	OutputWeight int64

	used, minute int64
	counted      bool
}

// Arrive admits a call as long as the minute is not used up; the call that uses it up is admitted whole. Output is what it will write: there is nothing to put right.
func (m *ByTheMinute) Arrive(now time.Duration, c Call, output int64) Answer {
	if n := int64(now / time.Minute); !m.counted || n != m.minute {
		m.used, m.minute, m.counted = 0, n, true
	}
	charged := weigh(c, output, m.OutputWeight)
	if m.used >= m.PerMinute {
		return Answer{Verdict: Spill}
	}
	m.used = min(most, m.used+charged)
	return Answer{Verdict: Admit, Charged: charged}
}

// Bill is what a time costs at a price per minute: each minute that has begun, used or not.
func (m *ByTheMinute) Bill(held time.Duration, minute int64) (int64, error) {
	n := int64((held + time.Minute - 1) / time.Minute)
	if held < 0 || minute < 0 || minute > 0 && n > math.MaxInt64/minute {
		return 0, fault.Newf(fault.Invalid, "%v at a price of %d a minute: look for a wrong unit", held, minute)
	}
	return n * minute, nil
}
