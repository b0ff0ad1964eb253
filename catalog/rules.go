package catalog

import (
	"slices"

	"forebay/infer"
)

// Rule says what becomes of a part of a request that not every model serves.
type Rule string

// The rules.
const (
	// RuleServe lets it through to the engine. One whose dialect cannot express it drops it and says
	// so, or the call is refused: docs/dialects.md is the table of that.
	RuleServe Rule = "serve"
	// RuleDrop leaves it out and names it in x-forebay-dropped.
	RuleDrop Rule = "drop"
	// RuleRefuse refuses the call.
	RuleRefuse Rule = "refuse"
)

// Part is a part of a request for which each model has a rule.
type Part struct {
	// Name is the part's name in the catalogue's features, in the configuration.
	Name string
	// Title is its name in x-forebay-dropped and in the documentation.
	Title string
	// Uses is how a request's facts tell of it.
	Uses infer.Features
	// Lacking is the rule of models that do not have the feature, Having that of the others.
	Lacking, Having Rule
	// ConverseOnly says that Lacking holds for Converse alone: the family's own body has
	// no room for the part, and in the other APIs the engine decides.
	ConverseOnly bool
	// Allowed are the rules that the configuration may set.
	Allowed []Rule
}

// Parts are the parts of requests that have rules, in the order in which they are checked.
// Cache points are hints, so a model without them drops them. Guardrails and
// latency-optimised inference are services of a cloud around the model: no model has
// them here, and only an engine that is that cloud can be told to serve them.
var Parts = []Part{
	{"system", "system prompt", infer.UsesSystem, RuleRefuse, RuleServe, true, []Rule{RuleServe, RuleRefuse}},
	{"tools", "tools", infer.UsesTools, RuleRefuse, RuleServe, true, []Rule{RuleServe, RuleRefuse}},
	{"images", "image", infer.UsesImages, RuleRefuse, RuleServe, false, []Rule{RuleServe, RuleDrop, RuleRefuse}},
	{"documents", "document", infer.UsesDocuments, RuleRefuse, RuleServe, false, []Rule{RuleServe, RuleDrop, RuleRefuse}},
	{"video", "video", infer.UsesVideo, RuleRefuse, RuleServe, false, []Rule{RuleServe, RuleDrop, RuleRefuse}},
	{"audio", "audio", infer.UsesAudio, RuleRefuse, RuleServe, false, []Rule{RuleServe, RuleDrop, RuleRefuse}},
	{"cachePoints", "cache point", infer.UsesCachePoints, RuleDrop, RuleServe, false, []Rule{RuleServe, RuleDrop, RuleRefuse}},
	{"guardrails", "guardrail", infer.UsesGuardrail, RuleRefuse, RuleRefuse, false, []Rule{RuleServe, RuleDrop, RuleRefuse}},
	{"latency", "optimized latency", infer.UsesLatency, RuleRefuse, RuleDrop, false, []Rule{RuleServe, RuleDrop, RuleRefuse}},
}

// Features are the names that a model's Features may have.
func Features() []string {
	out := []string{"stop", "reasoning"}
	for i := range Parts {
		out = append(out, Parts[i].Name)
	}
	return out
}

// Unknown are the features of a model that the catalogue does not know: all that its engine
// may have, which decides.
func Unknown() []string {
	return slices.DeleteFunc(Features(), func(f string) bool { return f == "guardrails" || f == "latency" })
}

// PartNamed returns the part with the name; nil when there is none.
func PartNamed(name string) *Part {
	i := slices.IndexFunc(Parts, func(p Part) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &Parts[i]
}

// Rule returns the model's rule for a part, and whether the configuration set it.
func (m *Model) Rule(p *Part) (r Rule, set bool) {
	if r, ok := m.Rules[p.Name]; ok {
		return r, true
	}
	if m.Has(p.Name) {
		return p.Having, false
	}
	return p.Lacking, false
}
