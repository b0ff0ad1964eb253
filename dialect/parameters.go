package dialect

import (
	"strconv"

	"forebay/infer"
)

// field is a number of a chat that has a range in the families' bodies.
type field uint8

const (
	fieldTemperature field = iota
	fieldTopP
	fieldTopK
	fieldMaxTokens
	fieldN
	fieldFrequency
	fieldPresence
)

// of returns where the field stands in a chat, the other one nil.
func (f field) of(c *infer.Chat) (float **float64, whole **int64) {
	switch f {
	case fieldTemperature:
		return &c.Temperature, nil
	case fieldTopP:
		return &c.TopP, nil
	case fieldFrequency:
		return &c.FrequencyPenalty, nil
	case fieldPresence:
		return &c.PresencePenalty, nil
	case fieldTopK:
		return nil, &c.TopK
	case fieldN:
		return nil, &c.N
	default:
		return nil, &c.MaxTokens
	}
}

// Parameter is a number that a family's body takes, with the range that decoding holds it to.
type Parameter struct {
	Name     string // path in the body
	field    field
	Min, Max string // "" is no bound
	// Default is what the family's service takes where a body says nothing.
	Default string
	// Applied says that a chat that says nothing is given the default, so that an engine of
	// another dialect samples as the family does; else it is left to the engine.
	Applied bool
}

// parameters are those of the families. Source: Bedrock user guide, "Inference request
// parameters and response fields" of each family; Amazon Nova user guide, "Complete request
// schema". Defaults that differ between a family's models are those of its models in the
// catalogue; where the source gives none there is none.
var parameters = map[infer.Dialect][]Parameter{
	infer.DialectAnthropic: {
		{"temperature", fieldTemperature, "0", "1", "1", false}, {"top_p", fieldTopP, "0", "1", "0.999", false}, {"top_k", fieldTopK, "0", "", "", false}, {"max_tokens", fieldMaxTokens, "1", "", "", false},
	},
	infer.DialectNova: {
		{"inferenceConfig.temperature", fieldTemperature, "0", "1", "0.7", true},
		{"inferenceConfig.topP", fieldTopP, "0", "1", "0.9", true},
		{"inferenceConfig.topK", fieldTopK, "0", "128", "", false},
		{"inferenceConfig.maxTokens", fieldMaxTokens, "1", "", "", false},
	},
	infer.DialectLlama: {
		{"temperature", fieldTemperature, "0", "1", "0.5", true}, {"top_p", fieldTopP, "0", "1", "0.9", true}, {"max_gen_len", fieldMaxTokens, "1", "2048", "512", true},
	},
	infer.DialectMistral: {
		{"temperature", fieldTemperature, "0", "1", "0.5", true},
		{"top_p", fieldTopP, "0", "1", "0.9", true},
		{"top_k", fieldTopK, "1", "200", "50", true},
		{"max_tokens", fieldMaxTokens, "1", "8192", "512", true},
	},
	infer.DialectMistralChat: {
		{"temperature", fieldTemperature, "0", "1", "0.7", true}, {"top_p", fieldTopP, "0", "1", "1", true}, {"max_tokens", fieldMaxTokens, "1", "8192", "8192", true},
	},
	infer.DialectTitanText: {
		{"textGenerationConfig.temperature", fieldTemperature, "0", "1", "0.7", true},
		{"textGenerationConfig.topP", fieldTopP, "0", "1", "0.9", true},
		{"textGenerationConfig.maxTokenCount", fieldMaxTokens, "1", "", "512", true},
	},
	infer.DialectCohereCommand: {
		{"temperature", fieldTemperature, "0", "1", "0.3", true}, {"p", fieldTopP, "0", "1", "0.75", true}, {"k", fieldTopK, "0", "500", "0", false}, {"max_tokens", fieldMaxTokens, "1", "", "", false},
	},
	infer.DialectJamba: {
		{"temperature", fieldTemperature, "0", "2", "1", true},
		{"top_p", fieldTopP, "0", "1", "1", true},
		{"n", fieldN, "1", "16", "1", false},
		{"frequency_penalty", fieldFrequency, "-2", "2", "0", false},
		{"presence_penalty", fieldPresence, "-2", "2", "0", false},
		{"max_tokens", fieldMaxTokens, "1", "4096", "4096", true},
	},
	infer.DialectDeepSeek: {
		{"temperature", fieldTemperature, "0", "1", "", false}, {"top_p", fieldTopP, "0", "1", "", false}, {"max_tokens", fieldMaxTokens, "1", "32768", "", false},
	},
	infer.DialectGPTOSS: {
		{"temperature", fieldTemperature, "0", "2", "", false},
		{"top_p", fieldTopP, "0", "1", "", false},
		{"n", fieldN, "1", "", "1", false},
		{"max_completion_tokens", fieldMaxTokens, "1", "", "", false},
		{"frequency_penalty", fieldFrequency, "-2", "2", "0", false},
		{"presence_penalty", fieldPresence, "-2", "2", "0", false},
	},
}

// Defaults gives a chat that was decoded from the family's own body what the family's service
// takes where it says nothing.
func (c *Codec) Defaults(chat *infer.Chat) {
	for i := range parameters[c.Name] {
		p := &parameters[c.Name][i]
		v, err := strconv.ParseFloat(p.Default, 64)
		if !p.Applied || err != nil {
			continue
		}
		float, whole := p.field.of(chat)
		if float != nil && *float == nil {
			*float = &v
		}
		if whole != nil && *whole == nil {
			*whole = new(int64(v))
		}
	}
}

// ranges holds the numbers of a chat against the ranges of the family's body.
func ranges(d infer.Dialect, c *infer.Chat) error {
	for i := range parameters[d] {
		p := &parameters[d][i]
		float, whole := p.field.of(c)
		var v float64
		switch {
		case float != nil && *float != nil:
			v = **float
		case whole != nil && *whole != nil:
			v = float64(**whole)
		default:
			continue
		}
		text := strconv.FormatFloat(v, 'f', -1, 64)
		if low, err := strconv.ParseFloat(p.Min, 64); err == nil && v < low {
			return outOfRange(breachMin, p.Name, p.Min, text)
		}
		if high, err := strconv.ParseFloat(p.Max, 64); err == nil && v > high {
			return outOfRange(breachMax, p.Name, p.Max, text)
		}
	}
	return nil
}
