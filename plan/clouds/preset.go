package clouds

import (
	"time"

	"forebay/fault"
)

// Preset is a unit of another cloud, as published.
type Preset struct {
	Name string
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

// Presets are those that figures are published for, by name.
func Presets() []Preset {
	return []Preset{
		{"azure-ptu-gpt-4.1", 0, 4, 15, 5, azureRule, azureOpen, azureSource},
		{"azure-ptu-gpt-4o", 2_500, 0, 15, 5, azureRule, azureOpen, azureSource},
		{"azure-ptu-gpt-5", 0, 8, 15, 5, azureRule, azureOpen, azureSource},
		{
			"reserved-by-the-minute", 0, 0, 1, 1, "billed by the minute, lost at its end if not used, and list price beyond it",
			"the call that uses up a minute is served whole", "documents of OpenAI's Reserved Tier, Fireworks' Reserved Throughput and Databricks",
		},
		{
			"vertex-provisioned", 0, 0, 1, 1, "the answer's size is estimated at arrival and put right at the end; what does not fit goes to pay-as-you-go, or is refused to callers of dedicated capacity",
			"windows of the largest length, 30 s, one after the other; what is owed is paid from the next ones", "Google Cloud, Provisioned Throughput on Vertex AI",
		},
	}
}

// VertexWindow is the longest time over which Vertex enforces a rate.
const VertexWindow = 30 * time.Second

// Bucket is the leaky bucket of a number of units. The output weight is that of the preset, or, where none is published, has to be given.
func (p Preset) Bucket(units, outputWeight int64) (*LeakyBucket, error) {
	if p.OutputWeight > 0 {
		outputWeight = p.OutputWeight
	}
	switch {
	case p.Rule != azureRule:
		return nil, fault.Newf(fault.Invalid, "%s is no leaky bucket", p.Name)
	case p.PerMinute == 0:
		return nil, fault.Newf(fault.Invalid, "%s: what a unit holds is not known: set PerMinute", p.Name)
	case outputWeight <= 0:
		return nil, fault.Newf(fault.Invalid, "%s: what an output token counts for is not known: give it", p.Name)
	case units < p.Min || (units-p.Min)%p.Step != 0:
		return nil, fault.Newf(fault.Invalid, "%d units of %s: they are sold from %d on in steps of %d", units, p.Name, p.Min, p.Step)
	}
	return &LeakyBucket{PerMinute: units * p.PerMinute, Depth: time.Minute, OutputWeight: outputWeight, DefaultOutput: 4096}, nil
}
