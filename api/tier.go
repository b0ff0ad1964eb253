package api

import (
	"slices"

	"forebay/dialect"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

// tierName maps the APIs' other names of service tiers to ours.
func tierName(s string) string {
	switch s {
	case "auto", "standard", "standard_only", "scale":
		return infer.TierDefault.String()
	default:
		return s
	}
}

// capped is the tier that must be within the ceiling of the caller's policy. Who only counts, or looks a model up, asks for none.
func (in *Intent) capped() string {
	if in.Action != "" {
		return identity.NoTier
	}
	return tierName(in.Tier)
}

// The tiers that a caller may name in each API. Anthropic's has auto and standard_only; that it takes ours too lets its clients
// use them.
var (
	tiersOpenAI    = []string{"auto", "default", "flex", "priority", "scale"}
	tiersAnthropic = []string{"auto", "standard_only", "priority", "flex", "default", "standard"}
	tiersBedrock   = []string{"priority", "default", "flex", "reserved", "auto", "standard_only"} // the last two in the body of Claude
)

// tier gives the request the tier that the caller names, as far as the API has one of that name. Reserved is bought: the scheduler finds the purchase of
// who asks for it, and what exceeds that, or has none, is served at the default tier (Bedrock user guide, "Service tiers").
func (in *Intent) tier(req *infer.Request) error {
	if in.Tier == "" {
		return nil
	}
	allowed := tiersBedrock
	switch in.API {
	case "openai":
		allowed = tiersOpenAI
	case "anthropic":
		allowed = tiersAnthropic
	}
	tier, ok := infer.ParseTier(tierName(in.Tier))
	if !ok || !slices.Contains(allowed, in.Tier) {
		return in.noTier()
	}
	req.TierAsked = tier.String()
	if req.Tier = tier; tier == infer.TierReserved {
		req.Tier = infer.TierDefault
	}
	return nil
}

// noTier refuses a tier that is none, in the words of the API.
func (in *Intent) noTier() error {
	named := HeaderValue(in.Tier)
	switch in.API {
	case "openai":
		e := fault.Newf(fault.Invalid, "Invalid value: '%s'. Supported values are: 'auto', 'default', 'flex', and 'priority'.", named)
		e.Param, e.Code = "service_tier", "invalid_value"
		return e
	case "anthropic":
		e := fault.New(fault.Invalid, "service_tier: Input should be 'auto' or 'standard_only'")
		return e.WithReason("here it may also be 'priority' or 'flex', not '%s'", named)
	default:
		return fault.Newf(fault.Invalid, "Value '%s' at 'serviceTier' failed to satisfy constraint: Member must satisfy enum value set: [priority, default, flex, reserved]", named)
	}
}

// served completes the head of an answer with the tier that served, for a caller whose body named one, and with the performance
// configuration for one who has asked for any.
func served(c *Call, head *dialect.Head, req *infer.Request, resp *infer.Response) {
	head.Latency = Latency(c, req, &resp.Head)
	if req.Facts.Tier != "" {
		head.Tier = resp.Head.Tier.String()
	}
}
