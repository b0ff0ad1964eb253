package dialect

import (
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The chat completions dialect. Source: OpenAI API reference, "Create chat completion".

var openAIMembers = map[string]member{
	"model": {ctl: ctlModel}, "stream": {ctl: ctlStream}, "max_tokens": {ctl: ctlMax}, "max_completion_tokens": {ctl: ctlMax},
	"n": {ctl: ctlN}, "service_tier": {ctl: ctlTier}, "user": {ctl: ctlUser}, "messages": {ctl: ctlText}, "prompt": {ctl: ctlText},
	// What engines know beside OpenAI's members: llama-server reads n_predict in place of
	// max_tokens and n_cmpl in place of n; best_of, of completions, generates as many as n does.
	"n_predict": {ctl: ctlNoMax}, "n_cmpl": {ctl: ctlN}, "best_of": {ctl: ctlN},
	"stream_options": {ctl: ctlNest, nested: within(map[string]control{"include_usage": ctlUsage})},
	"tools":          {ctl: ctlText, uses: infer.UsesTools}, "functions": {ctl: ctlText, uses: infer.UsesTools},
	"stop": {uses: infer.UsesStop}, "logprobs": {uses: infer.UsesLogprobs}, "seed": {uses: infer.UsesSeed}, "top_k": {uses: infer.UsesTopK},
	"response_format":  {ctl: ctlNest, uses: infer.UsesResponseFormat, nested: within(map[string]control{"type": ctlOff})},
	"reasoning_effort": {ctl: ctlOff, uses: infer.UsesReasoning},
}

func init() { // a codec enters the register
	register(&Codec{
		Name: infer.DialectOpenAI, needs: []string{"messages"}, words: wordsOpenAI, Inspect: inspector(wordsOpenAI, true, openAIMembers),
		DecodeChat: decodeOpenAI(infer.DialectOpenAI), EncodeChat: encodeOpenAI(infer.DialectOpenAI),
		EncodeResult: encodeOpenAIResult, DecodeResult: decodeOpenAIResult,
		NewStreamEncoder: newOpenAIEncoder, NewStreamDecoder: newOpenAIDecoder, RawUsage: rawUsage,
	})
}

// oaRequest is a chat completions request. Extra are members we do not know, to be written.
type oaRequest struct {
	Model               string                    `json:"model,omitzero"`
	Messages            []oaMessage               `json:"messages"`
	MaxTokens           *int64                    `json:"max_tokens,omitzero"`
	MaxCompletionTokens *int64                    `json:"max_completion_tokens,omitzero"`
	Temperature         *float64                  `json:"temperature,omitzero"`
	TopP                *float64                  `json:"top_p,omitzero"`
	TopK                *int64                    `json:"top_k,omitzero"`
	MinP                *float64                  `json:"min_p,omitzero"`
	N                   *int64                    `json:"n,omitzero"`
	Stop                jsontext.Value            `json:"stop,omitzero"`
	Seed                *int64                    `json:"seed,omitzero"`
	FrequencyPenalty    *float64                  `json:"frequency_penalty,omitzero"`
	PresencePenalty     *float64                  `json:"presence_penalty,omitzero"`
	Logprobs            *bool                     `json:"logprobs,omitzero"`
	TopLogprobs         *int64                    `json:"top_logprobs,omitzero"`
	Tools               []oaTool                  `json:"tools,omitzero"`
	ToolChoice          jsontext.Value            `json:"tool_choice,omitzero"`
	ParallelToolCalls   *bool                     `json:"parallel_tool_calls,omitzero"`
	ResponseFormat      *oaFormat                 `json:"response_format,omitzero"`
	ReasoningEffort     string                    `json:"reasoning_effort,omitzero"`
	User                string                    `json:"user,omitzero"`
	Stream              bool                      `json:"stream,omitzero"`
	StreamOptions       *oaStreamOptions          `json:"stream_options,omitzero"`
	ServiceTier         *string                   `json:"service_tier,omitzero"`
	Extra               map[string]jsontext.Value `json:",embed"`
}

type oaStreamOptions struct {
	IncludeUsage bool           `json:"include_usage"`
	Obfuscation  jsontext.Value `json:"include_obfuscation,omitzero"`    // padding against traffic analysis
	Continuous   jsontext.Value `json:"continuous_usage_stats,omitzero"` // vLLM's
}

type oaMessage struct {
	Role       string         `json:"role"`
	Name       string         `json:"name,omitzero"`
	Content    jsontext.Value `json:"content,omitzero"`
	Reasoning  *string        `json:"reasoning_content,omitzero"`
	ToolCalls  []oaToolCall   `json:"tool_calls,omitzero"`
	ToolCallID string         `json:"tool_call_id,omitzero"`
	Refusal    *string        `json:"refusal,omitzero"`
	// Members of an answer that clients send back as they got it. Only annotations, which say
	// where an answer came from, can be passed over when they are set.
	Annotations  jsontext.Value `json:"annotations,omitzero"`
	Audio        jsontext.Value `json:"audio,omitzero"`
	FunctionCall jsontext.Value `json:"function_call,omitzero"`
	Reasoning2   jsontext.Value `json:"reasoning,omitzero"`
}

type oaPart struct {
	Type         string         `json:"type"`
	Text         *string        `json:"text,omitzero"`
	Refusal      string         `json:"refusal,omitzero"`
	ImageURL     jsontext.Value `json:"image_url,omitzero"`
	InputAudio   *oaAudio       `json:"input_audio,omitzero"`
	File         *oaFile        `json:"file,omitzero"`
	CacheControl *anCache       `json:"cache_control,omitzero"` // as several gateways take it
	CacheBreak   jsontext.Value `json:"prompt_cache_breakpoint,omitzero"`
}

type oaImageURL struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitzero"`
}

type oaAudio struct {
	Data   string `json:"data"`
	Format string `json:"format"`
}

type oaFile struct {
	Data string `json:"file_data,omitzero"`
	Name string `json:"filename,omitzero"`
	ID   string `json:"file_id,omitzero"`
}

type oaTool struct {
	Type     string      `json:"type"`
	Function *oaFunction `json:"function"`
}

type oaFunction struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitzero"`
	Parameters  jsontext.Value `json:"parameters,omitzero"`
	Strict      *bool          `json:"strict,omitzero"`
}

type oaToolCall struct {
	Index    *int   `json:"index,omitzero"`
	ID       string `json:"id,omitzero"`
	Type     string `json:"type,omitzero"`
	Function struct {
		Name      string `json:"name,omitzero"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type oaFormat struct {
	Type       string        `json:"type"`
	JSONSchema *oaJSONSchema `json:"json_schema,omitzero"`
}

type oaJSONSchema struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitzero"`
	Schema      jsontext.Value `json:"schema,omitzero"`
	Strict      *bool          `json:"strict,omitzero"`
}
