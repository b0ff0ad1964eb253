package identity

import (
	"fmt"
	"slices"
	"strings"
)

// Exceeds says in which member, by its name in forebay.yaml, a policy is wider than another, and
// how; "" when all that it allows is allowed by the other too. Where two lists of patterns are not
// evidently one within the other, the first counts as wider.
func (p *Policy) Exceeds(other *Policy) string {
	actions := p.Actions
	if len(actions) == 0 && len(other.Actions) > 0 {
		actions = []string{"*"} // all but what must be listed, which no list of patterns but * says
	}
	if len(actions) > 0 && len(other.Actions) == 0 {
		for _, a := range actions {
			if mayCommit(a) {
				return fmt.Sprintf("actions: %q administers, or commits the account", a)
			}
		}
	}
	if why := beyond("actions", actions, other.Actions); why != "" {
		return why
	}
	models := p.Models
	if len(models) == 0 && len(other.Models) > 0 {
		models = []string{"*"}
	}
	if why := beyond("models", models, other.Models); why != "" {
		return why
	}
	if LowerTier(p.Tier, other.Tier) != p.Tier {
		return fmt.Sprintf("max_tier: %s is the highest", other.Tier)
	}
	return p.Limits.exceed(&other.Limits)
}

// mayCommit reports whether a pattern of actions covers, or may cover, one that must be listed.
func mayCommit(pattern string) bool {
	if slices.ContainsFunc(privileged, func(action string) bool { return Match(pattern, action) }) {
		return true
	}
	fixed, _, wild := strings.Cut(strings.ReplaceAll(pattern, "?", "*"), "*")
	return strings.HasPrefix(fixed, AdminPrefix) || wild && strings.HasPrefix(AdminPrefix, fixed)
}

// beyond names the first pattern that none of the others covers; no others cover all.
func beyond(member string, patterns, others []string) string {
	if len(others) == 0 {
		return ""
	}
	for _, p := range patterns {
		if !slices.ContainsFunc(others, func(o string) bool { return covers(o, p) }) {
			return fmt.Sprintf("%s: %q is not within %s", member, p, strings.Join(others, ", "))
		}
	}
	return ""
}

// covers reports whether every name that matches the pattern inner matches the pattern outer, by
// matching outer against the text of inner: its * stands for wildcards too, its ? for a ? alone. It may say no where
// the answer is yes, as for "?*" and "*x".
func covers(outer, inner string) bool {
	o, i := 0, 0
	star, back := -1, 0
	for i < len(inner) {
		switch {
		case o < len(outer) && outer[o] == '*':
			star, back = o, i
			o++
		case o < len(outer) && inner[i] != '*' && (outer[o] == '?' || outer[o] == inner[i]):
			o++
			i++
		case star >= 0:
			back++
			o, i = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(outer[o:], "*") == ""
}

// exceed names the first limit that is higher than the other's, or missing where the other has one.
func (l *Limits) exceed(other *Limits) string {
	for _, x := range []struct {
		name       string
		own, other int64
		money      bool
	}{
		{"requests_per_minute", l.RequestsPerMinute, other.RequestsPerMinute, false},
		{"tokens_per_minute", l.TokensPerMinute, other.TokensPerMinute, false},
		{"tokens_per_day", l.TokensPerDay, other.TokensPerDay, false},
		{"concurrent_calls", l.ConcurrentCalls, other.ConcurrentCalls, false},
		{"spend_per_day", l.SpendPerDay, other.SpendPerDay, true},
		{"spend_per_month", l.SpendPerMonth, other.SpendPerMonth, true},
	} {
		switch {
		case x.other == 0:
		case x.own == 0:
			return "limits." + x.name + ": one must be set"
		case x.own > x.other:
			return "limits." + x.name + ": it is higher"
		case x.money && l.Currency != other.Currency:
			return "limits." + x.name + ": it must be in " + other.Currency
		}
	}
	return ""
}
