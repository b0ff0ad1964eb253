package clouds

import (
	"slices"
	"time"

	"forebay/fault"
)

// Kind is one of the rules by which calls are admitted.
type Kind string

// The rules.
const (
	Leaky    Kind = "leaky bucket"
	Estimate Kind = "estimated and put right"
	Minutely Kind = "by the minute"
)

// Preset is a unit of another cloud, as published.
type Preset struct {
	Name string
	Kind Kind
	// PerMinute is what one unit holds, in input tokens a minute, and OutputWeight how many of them an output token counts for; 0 is not published here.
	PerMinute, OutputWeight int64
	// Min and Step are the smallest number of units that is sold, and what it grows by.
	Min, Step int64
	// Rule is the admission in words, Assumed what its documents leave open, and Source where the rest is from.
	Rule, Assumed, Source string
}

const (
	azureRule   = "a leaky bucket: 429 with retry-after-ms above 100 %, prompt less cached plus max_tokens at arrival, put right at the end"
	azureOpen   = "100 % is a minute at the rate"
	azureSource = "MicrosoftDocs/azure-ai-docs, how-to/provisioned-throughput-onboarding and concepts/provisioned-throughput"
)

// Presets are those that figures are published for, by name, and the rules alone, for units whose size is said by whoever asks.
func Presets() []Preset {
	return []Preset{
		{"azure-ptu", Leaky, 0, 0, 1, 1, azureRule, azureOpen + "; the smallest number of units and its step hang on the model", azureSource},
		{"azure-ptu-gpt-4.1", Leaky, 0, 4, 15, 5, azureRule, azureOpen, azureSource},
		{"azure-ptu-gpt-4o", Leaky, 2_500, 0, 15, 5, azureRule, azureOpen, azureSource},
		{"azure-ptu-gpt-5", Leaky, 0, 8, 15, 5, azureRule, azureOpen, azureSource},
		{
			"by-the-minute", Minutely, 0, 0, 1, 1, "billed by the minute, lost at its end if not used, and list price beyond it",
			"the call that uses up a minute is served whole", "documents of OpenAI's Reserved Tier, Fireworks' Reserved Throughput and Databricks",
		},
		{
			"vertex-gsu", Estimate, 0, 0, 1, 1, "the answer's size is estimated at arrival and put right at the end; what does not fit goes to pay-as-you-go, or is refused to callers of dedicated capacity",
			"windows of the largest length, 30 s, one after the other; what is owed is paid from the next ones; an answer is expected to be of the mean size", "Google Cloud, Provisioned Throughput on Vertex AI",
		},
	}
}

// Named returns a preset by its name.
func Named(name string) (Preset, error) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fault.Newf(fault.Invalid, "no rules are known by the name %q: there are %q", name, names)
}

// VertexWindow is the longest time over which Vertex enforces a rate.
const VertexWindow = 30 * time.Second

// Rule is an admission as a replay uses it: it is told of calls in order of time.
type Rule interface {
	// Take says what becomes of a call that will write a number of tokens.
	Take(now time.Duration, c Call, output int64) Answer
	// Settle puts right what a call that was admitted was charged, at its end.
	Settle(now time.Duration, a Answer, c Call, output int64)
}

// Bought is what a rule is applied to.
type Bought struct {
	Units int64
	// PerMinute and OutputWeight are those of a unit, where the preset has none.
	PerMinute, OutputWeight int64
	// Output is how many tokens a call is expected to write, and MaxOutput how many where its caller says no maximum.
	Output, MaxOutput int64
	// Dedicated says that callers ask for what was bought or nothing, where the rule lets them choose.
	Dedicated bool
}

// Sized is the preset with the sizes that it lacks.
func (p Preset) Sized(perMinute, outputWeight int64) (Preset, error) {
	if p.PerMinute == 0 {
		p.PerMinute = perMinute
	}
	if p.OutputWeight == 0 {
		p.OutputWeight = outputWeight
	}
	switch {
	case p.PerMinute <= 0:
		return p, fault.Newf(fault.Invalid, "%s: what a unit holds is not published: say how many tokens a minute", p.Name)
	case p.OutputWeight <= 0:
		return p, fault.Newf(fault.Invalid, "%s: what an output token counts for is not published: say how many input tokens", p.Name)
	}
	return p, nil
}

// Sold returns the smallest number of units that is sold, of at least so many.
func (p Preset) Sold(units int64) int64 {
	if units <= p.Min {
		return p.Min
	}
	return p.Min + (units-p.Min+p.Step-1)/p.Step*p.Step
}

// Apply makes the rule of a number of units.
func (p Preset) Apply(b Bought) (Rule, error) {
	p, err := p.Sized(b.PerMinute, b.OutputWeight)
	switch {
	case err != nil:
		return nil, err
	case b.Units != p.Sold(b.Units):
		return nil, fault.Newf(fault.Invalid, "%d units of %s: they are sold from %d on in steps of %d", b.Units, p.Name, p.Min, p.Step)
	}
	rate := clamp(b.Units, p.PerMinute)
	switch p.Kind {
	case Leaky:
		return leaky{&LeakyBucket{PerMinute: rate, Depth: time.Minute, OutputWeight: p.OutputWeight, DefaultOutput: b.MaxOutput}}, nil
	case Estimate:
		e := &estimate{EstimateReconcile: &EstimateReconcile{PerSecond: max(1, rate/60), Window: VertexWindow, OutputWeight: p.OutputWeight, Output: b.Output}}
		if b.Dedicated {
			e.request = Dedicated
		}
		return e, nil
	default:
		return minutely{&ByTheMinute{PerMinute: rate, OutputWeight: p.OutputWeight}}, nil
	}
}

// Refuses says whether the rule can refuse calls, rather than let all spill that it does not take.
func (p Preset) Refuses() bool { return slices.Contains([]Kind{Leaky, Estimate}, p.Kind) }

type leaky struct{ *LeakyBucket }

func (l leaky) Take(now time.Duration, c Call, _ int64) Answer { return l.Arrive(now, c) }

type estimate struct {
	*EstimateReconcile
	request Request
}

func (e *estimate) Take(now time.Duration, c Call, _ int64) Answer {
	return e.Arrive(now, c, e.request)
}

type minutely struct{ *ByTheMinute }

func (m minutely) Take(now time.Duration, c Call, output int64) Answer {
	return m.Arrive(now, c, output)
}
func (m minutely) Settle(time.Duration, Answer, Call, int64) {}
