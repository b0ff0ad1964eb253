package dialect

import (
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The legacy text completions dialect. Source: OpenAI API reference, "Create completion".

var completionsCodec = register(&Codec{
	Name: infer.DialectOpenAICompletions, Inspect: inspector(openAIMembers),
	DecodeChat: decodeCompletions, EncodeChat: encodeCompletions,
	EncodeResult: encodeCompletionsResult, DecodeResult: decodeOpenAIResult,
	NewStreamEncoder: func(h Head) StreamEncoder { return &openAIEncoder{h: h, object: "text_completion", text: true} },
	NewStreamDecoder: newOpenAIDecoder, RawUsage: openAIRawUsage,
})

type completionsRequest struct {
	Model            string                    `json:"model,omitzero"`
	Prompt           jsontext.Value            `json:"prompt"`
	Suffix           string                    `json:"suffix,omitzero"`
	MaxTokens        *int64                    `json:"max_tokens,omitzero"`
	Temperature      *float64                  `json:"temperature,omitzero"`
	TopP             *float64                  `json:"top_p,omitzero"`
	TopK             *int64                    `json:"top_k,omitzero"`
	N                *int64                    `json:"n,omitzero"`
	Stop             jsontext.Value            `json:"stop,omitzero"`
	Seed             *int64                    `json:"seed,omitzero"`
	FrequencyPenalty *float64                  `json:"frequency_penalty,omitzero"`
	PresencePenalty  *float64                  `json:"presence_penalty,omitzero"`
	Echo             bool                      `json:"echo,omitzero"`
	User             string                    `json:"user,omitzero"`
	Stream           bool                      `json:"stream,omitzero"`
	StreamOptions    *oaStreamOptions          `json:"stream_options,omitzero"`
	ServiceTier      *string                   `json:"service_tier,omitzero"`
	Extra            map[string]jsontext.Value `json:",inline"`
}

func decodeCompletions(body []byte) (*infer.Chat, error) {
	var r completionsRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	prompt, err := decodeStop("prompt", r.Prompt)
	if err != nil || len(prompt) > 1 {
		return nil, invalid("prompt", "only one prompt as a string is supported with this model")
	}
	if len(prompt) == 0 {
		return nil, missing("prompt")
	}
	c := &infer.Chat{
		Prompt: &prompt[0], Suffix: r.Suffix, MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK,
		N: r.N, Seed: r.Seed, FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty, Echo: r.Echo, User: r.User,
		Extra: extraOf(r.Extra),
	}
	c.Stop, err = decodeStop("stop", r.Stop)
	return c, err
}

func encodeCompletions(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
	if c.Prompt == nil {
		return nil, nil, unsupported("messages", infer.DialectOpenAICompletions)
	}
	r := completionsRequest{
		Model: o.Model, Prompt: must(*c.Prompt), Suffix: c.Suffix, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP,
		TopK: c.TopK, N: c.N, Seed: c.Seed, FrequencyPenalty: c.FrequencyPenalty, PresencePenalty: c.PresencePenalty, Echo: c.Echo,
		User: c.User, Stream: o.Stream,
	}
	if o.Stream {
		r.StreamOptions = &oaStreamOptions{IncludeUsage: true}
	}
	if r.MaxTokens == nil && o.MaxTokens > 0 {
		r.MaxTokens = &o.MaxTokens
	}
	if len(c.Stop) > 0 {
		r.Stop = must(c.Stop)
	}
	b, err := marshal(&r)
	return b, nil, err
}

func encodeCompletionsResult(h Head, res *infer.Result) ([]byte, error) {
	out := oaResponse{ID: "cmpl-" + h.ID, Object: "text_completion", Created: h.Created.Unix(), Model: h.Model, Usage: newOAUsage(res.Usage), Choices: []oaChoice{}}
	for i, c := range res.Choices {
		text := blocksText(c.Content)
		out.Choices = append(out.Choices, oaChoice{Index: i, Text: &text, FinishReason: oaFinish(c.Stop), Logprobs: nullable(c.Logprobs)})
	}
	return marshal(&out)
}

// blocksText is the text of a choice, without reasoning and tools.
func blocksText(blocks []infer.Block) string {
	var out []byte
	for _, b := range blocks {
		if b.Kind == infer.BlockText {
			out = append(out, b.Text...)
		}
	}
	return string(out)
}
