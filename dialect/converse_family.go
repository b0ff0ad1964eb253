package dialect

import (
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Converse has no members of its own for what only some families know: it takes them in
// additionalModelRequestFields, in the names of the family's own body. Source: Bedrock user
// guide, "Inference request parameters and response fields" of each family.

// familyLimits are what of it the families have.
var familyLimits = map[infer.Dialect]limits{
	infer.DialectAnthropic:     {topK: true, reasoning: true},
	infer.DialectNova:          {topK: true, reasoning: true},
	infer.DialectMistral:       {topK: true},
	infer.DialectCohereCommand: {topK: true, seed: true, penalties: true},
	infer.DialectJamba:         {penalties: true},
	infer.DialectGPTOSS:        {reasoning: true, seed: true, penalties: true},
	infer.DialectOpenAI:        {reasoning: true, seed: true, penalties: true},
}

// familyFields writes the parameters in the family's names.
func (w *writer) familyFields(c *infer.Chat, family infer.Dialect, maxTokens int64) map[string]jsontext.Value {
	has, out := familyLimits[family], map[string]jsontext.Value{}
	if has.seed && c.Seed != nil {
		out["seed"] = must(*c.Seed)
	}
	if has.penalties && c.FrequencyPenalty != nil {
		out["frequency_penalty"] = must(*c.FrequencyPenalty)
	}
	if has.penalties && c.PresencePenalty != nil {
		out["presence_penalty"] = must(*c.PresencePenalty)
	}
	switch family {
	case infer.DialectNova:
		i := cvInference{TopK: c.TopK, Reasoning: novaReasoning(c.Reasoning)}
		if i.TopK != nil || i.Reasoning != nil {
			out["inferenceConfig"] = must(&i)
		}
	case infer.DialectAnthropic:
		if c.TopK != nil {
			out["top_k"] = must(*c.TopK)
		}
		if t := w.thinking(c.Reasoning, maxTokens); t != nil {
			out["thinking"] = must(t)
		}
	case infer.DialectCohereCommand:
		if c.TopK != nil {
			out["k"] = must(*c.TopK)
		}
	case infer.DialectMistral:
		if c.TopK != nil {
			out["top_k"] = must(*c.TopK)
		}
	case infer.DialectGPTOSS, infer.DialectOpenAI:
		if e := openAIEffort(c.Reasoning); e != "" {
			out["reasoning_effort"] = must(e)
		}
	}
	return out
}

// novaReasoning is the reasoning of Nova 2, which knows three efforts.
func novaReasoning(t *infer.Reasoning) *cvEffort {
	switch {
	case t == nil:
		return nil
	case !t.Enabled:
		return &cvEffort{Type: "disabled"}
	}
	effort := t.Effort
	switch effort {
	case "":
		effort = effortOf(t.Budget)
	case "minimal":
		effort = "low"
	case "xhigh":
		effort = "high"
	}
	if effort == "" {
		effort = "medium"
	}
	return &cvEffort{Type: "enabled", Effort: effort}
}

// openAIEffort is how chat completions say how much to reason; "" is nothing said.
func openAIEffort(t *infer.Reasoning) string {
	switch {
	case t == nil:
		return ""
	case t.Effort != "":
		return t.Effort
	case !t.Enabled:
		return "none"
	default:
		return effortOf(t.Budget)
	}
}
