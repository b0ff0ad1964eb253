package dialect

import (
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The legacy text completions dialect. Source: OpenAI API reference, "Create completion".

func init() { // a codec enters the register
	register(&Codec{
		Name: infer.DialectOpenAICompletions, needs: []string{"prompt"}, words: wordsOpenAI, Inspect: inspector(wordsOpenAI, true, openAIMembers),
		DecodeChat: decodeCompletions, EncodeChat: encodeCompletions,
		EncodeResult: encodeCompletionsResult, DecodeResult: decodeOpenAIResult,
		NewStreamEncoder: func(h Head) StreamEncoder { return openAIStream(h, true, false, false) },
		NewStreamDecoder: newOpenAIDecoder, RawUsage: rawUsage,
	})
}

type completionsRequest struct {
	Model            string                    `json:"model,omitzero"`
	Prompt           jsontext.Value            `json:"prompt"`
	Suffix           string                    `json:"suffix,omitzero"`
	MaxTokens        *int64                    `json:"max_tokens,omitzero"`
	Temperature      *float64                  `json:"temperature,omitzero"`
	TopP             *float64                  `json:"top_p,omitzero"`
	TopK             *int64                    `json:"top_k,omitzero"`
	MinP             *float64                  `json:"min_p,omitzero"`
	Logprobs         *int64                    `json:"logprobs,omitzero"`
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
	Extra            map[string]jsontext.Value `json:",embed"`
}

func decodeCompletions(body []byte) (*infer.Chat, error) {
	var r completionsRequest
	extra, err := unmarshalOpen(body, &r)
	if err != nil {
		return nil, err
	}
	if k := r.Prompt.Kind(); k == 0 || k == 'n' {
		return nil, missing("prompt")
	}
	prompt, err := decodeStop("prompt", r.Prompt)
	if err != nil || len(prompt) != 1 {
		return nil, unsupported("a prompt that is not one string", infer.DialectOpenAICompletions)
	}
	if r.Logprobs != nil && *r.Logprobs > 0 {
		return nil, unsupported("logprobs", infer.DialectOpenAICompletions)
	}
	rules := oaRequest{
		Messages: []oaMessage{{}}, MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, N: r.N,
		FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty,
	}
	if err := openAIRules(&rules); err != nil {
		return nil, err
	}
	c := &infer.Chat{
		Prompt: &prompt[0], Suffix: r.Suffix, MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK,
		MinP: r.MinP, N: r.N, Seed: r.Seed, FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty, Echo: r.Echo, User: r.User,
	}
	extraOf(extra, infer.DialectOpenAICompletions, c)
	c.Stop, err = decodeStop("stop", r.Stop)
	return c, err
}

func encodeCompletions(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
	w := writer{d: infer.DialectOpenAICompletions}
	if c.Prompt == nil {
		return nil, nil, unsupported("messages", w.d)
	}
	if err := w.refuse(c, limits{n: true, seed: true, penalties: true, topK: true, minP: true, echo: true, suffix: true}); err != nil {
		return nil, nil, err
	}
	r := completionsRequest{
		Model: o.Model, Prompt: must(*c.Prompt), Suffix: c.Suffix, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP,
		TopK: c.TopK, MinP: c.MinP, N: c.N, Seed: c.Seed, FrequencyPenalty: c.FrequencyPenalty, PresencePenalty: c.PresencePenalty, Echo: c.Echo,
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
	var err error
	if r.Extra, err = w.extras(c); err != nil {
		return nil, nil, err
	}
	b, err := marshal(&r)
	return b, w.dropped, err
}

func encodeCompletionsResult(h Head, res *infer.Result) ([]byte, error) {
	created := h.Created.Unix()
	out := oaResponse{
		ID: "cmpl-" + h.ID, Object: "text_completion", Created: &created, Model: h.Model, Usage: newOAUsage(res.Usage), Choices: []oaChoice{},
	}
	for i, c := range res.Choices {
		text, stop := blocksText(c.Content), oaFinish(c.Stop)
		out.Choices = append(out.Choices, oaChoice{Index: i, Text: &text, FinishReason: &stop, Logprobs: nullable(c.Logprobs)})
	}
	return marshal(&out)
}
