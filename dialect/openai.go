package dialect

import (
	"strconv"
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The chat completions dialect. Source: OpenAI API reference, "Create chat completion".

var openAIMembers = map[string]member{
	"model": {ctl: ctlModel}, "stream": {ctl: ctlStream}, "max_tokens": {ctl: ctlMax}, "max_completion_tokens": {ctl: ctlMax},
	"n": {ctl: ctlN}, "service_tier": {ctl: ctlTier}, "user": {ctl: ctlUser}, "messages": {ctl: ctlText}, "prompt": {ctl: ctlText},
	"stream_options": {ctl: ctlNest, nested: map[string]control{"include_usage": ctlUsage}},
	"tools":          {ctl: ctlText, uses: infer.UsesTools}, "stop": {uses: infer.UsesStop},
	"response_format": {uses: infer.UsesResponseFormat}, "logprobs": {uses: infer.UsesLogprobs}, "seed": {uses: infer.UsesSeed},
	"reasoning_effort": {uses: infer.UsesReasoning}, "top_k": {uses: infer.UsesTopK},
}

var openAICodec = register(&Codec{
	Name: infer.DialectOpenAI, Inspect: inspector(openAIMembers),
	DecodeChat: decodeOpenAI, EncodeChat: encodeOpenAI(infer.DialectOpenAI),
	EncodeResult: encodeOpenAIResult, DecodeResult: decodeOpenAIResult,
	NewStreamEncoder: newOpenAIEncoder, NewStreamDecoder: newOpenAIDecoder, RawUsage: openAIRawUsage,
})

// oaRequest is a chat completions request. Extra keeps members we do not know.
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
	Extra               map[string]jsontext.Value `json:",inline"`
}

type oaStreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type oaMessage struct {
	Role       string         `json:"role"`
	Name       string         `json:"name,omitzero"`
	Content    jsontext.Value `json:"content,omitzero"`
	Reasoning  string         `json:"reasoning_content,omitzero"`
	ToolCalls  []oaToolCall   `json:"tool_calls,omitzero"`
	ToolCallID string         `json:"tool_call_id,omitzero"`
}

type oaPart struct {
	Type     string `json:"type"`
	Text     string `json:"text,omitzero"`
	Refusal  string `json:"refusal,omitzero"`
	ImageURL *struct {
		URL    string `json:"url"`
		Detail string `json:"detail,omitzero"`
	} `json:"image_url,omitzero"`
}

type oaTool struct {
	Type     string     `json:"type"`
	Function oaFunction `json:"function"`
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
	Name   string         `json:"name"`
	Schema jsontext.Value `json:"schema,omitzero"`
	Strict *bool          `json:"strict,omitzero"`
}

func decodeOpenAI(body []byte) (*infer.Chat, error) {
	var r oaRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	if len(r.Messages) == 0 {
		return nil, invalid("messages", "array too short. Expected an array with minimum length 1, but got an empty array instead")
	}
	c := &infer.Chat{
		MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, MinP: r.MinP, N: r.N, Seed: r.Seed,
		FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty, Logprobs: r.Logprobs,
		TopLogprobs: r.TopLogprobs, ParallelToolCalls: r.ParallelToolCalls, User: r.User, Extra: extraOf(r.Extra),
	}
	if r.MaxCompletionTokens != nil {
		c.MaxTokens = r.MaxCompletionTokens
	}
	var err error
	if c.Stop, err = decodeStop("stop", r.Stop); err != nil {
		return nil, err
	}
	if r.ReasoningEffort != "" {
		c.Reasoning = &infer.Reasoning{Enabled: r.ReasoningEffort != "none", Effort: r.ReasoningEffort}
	}
	for i := range r.Messages {
		if err := decodeOpenAIMessage(c, &r.Messages[i], i); err != nil {
			return nil, err
		}
	}
	for i, t := range r.Tools {
		if t.Type != "function" || t.Function.Name == "" {
			return nil, invalid("tools."+strconv.Itoa(i), "only tools of type function with a name are supported")
		}
		c.Tools = append(c.Tools, infer.Tool{
			Name: t.Function.Name, Description: t.Function.Description, Schema: t.Function.Parameters, Strict: t.Function.Strict,
		})
	}
	if c.ToolChoice, err = decodeOpenAIChoice(r.ToolChoice); err != nil {
		return nil, err
	}
	if f := r.ResponseFormat; f != nil {
		c.ResponseFormat = &infer.ResponseFormat{Type: f.Type}
		if f.JSONSchema != nil {
			c.ResponseFormat.Name, c.ResponseFormat.Schema, c.ResponseFormat.Strict = f.JSONSchema.Name, f.JSONSchema.Schema, f.JSONSchema.Strict
		}
	}
	return c, nil
}

func extraOf(m map[string]jsontext.Value) map[string][]byte {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// decodeStop reads a stop parameter: a string or a list of them.
func decodeStop(path string, v jsontext.Value) ([]string, error) {
	switch v.Kind() {
	case 0, 'n':
		return nil, nil
	case '"':
		var s string
		if err := unmarshal(v, &s); err != nil {
			return nil, err
		}
		return []string{s}, nil
	case '[':
		var list []string
		if err := unmarshal(v, &list); err != nil {
			return nil, invalid(path, "Input should be a string or a list of strings")
		}
		return list, nil
	default:
		return nil, invalid(path, "Input should be a string or a list of strings")
	}
}

func decodeOpenAIMessage(c *infer.Chat, m *oaMessage, i int) error {
	path := "messages." + strconv.Itoa(i)
	blocks, err := decodeOpenAIContent(path+".content", m.Content)
	if err != nil {
		return err
	}
	switch m.Role {
	case "system", "developer":
		c.System = append(c.System, blocks...)
	case "user":
		c.Messages = append(c.Messages, infer.Message{Role: infer.RoleUser, Name: m.Name, Content: blocks})
	case "assistant":
		if m.Reasoning != "" {
			blocks = append([]infer.Block{{Kind: infer.BlockThinking, Text: m.Reasoning}}, blocks...)
		}
		for _, t := range m.ToolCalls {
			input := []byte(t.Function.Arguments)
			if len(input) == 0 {
				input = []byte("{}")
			}
			if !jsontext.Value(input).IsValid() {
				return invalid(path+".tool_calls", "arguments are not valid JSON")
			}
			blocks = append(blocks, infer.Block{Kind: infer.BlockToolUse, ToolID: t.ID, ToolName: t.Function.Name, ToolInput: input})
		}
		c.Messages = append(c.Messages, infer.Message{Role: infer.RoleAssistant, Name: m.Name, Content: blocks})
	case "tool":
		if m.ToolCallID == "" {
			return missing(path + ".tool_call_id")
		}
		b := infer.Block{Kind: infer.BlockToolResult, ToolID: m.ToolCallID, Content: blocks}
		if n := len(c.Messages); n > 0 && isToolResults(&c.Messages[n-1]) {
			c.Messages[n-1].Content = append(c.Messages[n-1].Content, b)
			return nil
		}
		c.Messages = append(c.Messages, infer.Message{Role: infer.RoleUser, Content: []infer.Block{b}})
	default:
		return invalid(path+".role", "Invalid value: '%s'. Supported values are: 'system', 'assistant', 'user', 'tool', and 'developer'", m.Role)
	}
	return nil
}

func isToolResults(m *infer.Message) bool {
	return m.Role == infer.RoleUser && len(m.Content) > 0 && m.Content[len(m.Content)-1].Kind == infer.BlockToolResult
}

func decodeOpenAIContent(path string, v jsontext.Value) ([]infer.Block, error) {
	switch v.Kind() {
	case 0, 'n':
		return nil, nil
	case '"':
		var s string
		if err := unmarshal(v, &s); err != nil {
			return nil, err
		}
		return []infer.Block{{Kind: infer.BlockText, Text: s}}, nil
	case '[':
	default:
		return nil, invalid(path, "Input should be a string or a list of content parts")
	}
	var parts []oaPart
	if err := unmarshal(v, &parts); err != nil {
		return nil, err
	}
	var out []infer.Block
	for i, p := range parts {
		at := path + "." + strconv.Itoa(i)
		switch {
		case p.Type == "text":
			out = append(out, infer.Block{Kind: infer.BlockText, Text: p.Text})
		case p.Type == "refusal":
			out = append(out, infer.Block{Kind: infer.BlockText, Text: p.Refusal})
		case p.Type == "image_url" && p.ImageURL != nil:
			m, err := dataURL(at, p.ImageURL.URL)
			if err != nil {
				return nil, err
			}
			m.Detail = p.ImageURL.Detail
			out = append(out, infer.Block{Kind: infer.BlockImage, Media: m})
		default:
			return nil, invalid(at+".type", "content part of type '%s' is not supported", p.Type)
		}
	}
	return out, nil
}

func decodeOpenAIChoice(v jsontext.Value) (infer.ToolChoice, error) {
	switch v.Kind() {
	case 0, 'n':
		return infer.ToolChoice{}, nil
	case '"':
		switch s := strings.Trim(string(v), `"`); s {
		case "auto", "none":
			return infer.ToolChoice{Mode: s}, nil
		case "required", "any":
			return infer.ToolChoice{Mode: "any"}, nil
		}
	case '{':
		var o struct {
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		}
		if err := unmarshal(v, &o); err == nil && o.Function.Name != "" {
			return infer.ToolChoice{Mode: "tool", Name: o.Function.Name}, nil
		}
	}
	return infer.ToolChoice{}, invalid("tool_choice", "Input should be 'none', 'auto', 'required' or a function")
}
