package dialect

import (
	"bytes"
	"strconv"
	"time"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type oaResponse struct {
	ID      string     `json:"id"`
	Object  string     `json:"object"`
	Created int64      `json:"created"`
	Model   string     `json:"model"`
	Choices []oaChoice `json:"choices"`
	Usage   *oaUsage   `json:"usage,omitzero"`
	Error   *oaError   `json:"error,omitzero"`
}

type oaChoice struct {
	Index        int            `json:"index"`
	Message      *oaAnswer      `json:"message,omitzero"`
	Delta        *oaAnswer      `json:"delta,omitzero"`
	Text         *string        `json:"text,omitzero"`
	Logprobs     jsontext.Value `json:"logprobs"`
	FinishReason *string        `json:"finish_reason"`
}

type oaAnswer struct {
	Role      string       `json:"role,omitzero"`
	Content   *string      `json:"content"`
	Reasoning *string      `json:"reasoning_content,omitzero"`
	Thinking  *string      `json:"reasoning,omitzero"` // Ollama's and vLLM's other spelling
	Refusal   *string      `json:"refusal,omitzero"`
	ToolCalls []oaToolCall `json:"tool_calls,omitzero"`
}

type oaUsage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Total      int64 `json:"total_tokens"`
	PromptInfo *struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details,omitzero"`
	CompletionInfo *struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details,omitzero"`
}

type oaError struct {
	Message string         `json:"message"`
	Type    string         `json:"type"`
	Code    jsontext.Value `json:"code,omitzero"`
}

// usage takes the cached part out of the prompt, as infer counts.
func (u *oaUsage) usage() infer.Usage {
	out := infer.Usage{Input: u.Prompt, Output: u.Completion}
	if u.PromptInfo != nil {
		out.CacheRead = min(u.PromptInfo.Cached, u.Prompt)
		out.Input -= out.CacheRead
	}
	if u.CompletionInfo != nil {
		out.Reasoning = u.CompletionInfo.Reasoning
	}
	return out
}

func newOAUsage(u infer.Usage) *oaUsage {
	in := u.Input + u.CacheRead + u.CacheWrite
	out := &oaUsage{Prompt: in, Completion: u.Output, Total: in + u.Output}
	if u.CacheRead > 0 {
		out.PromptInfo = &struct {
			Cached int64 `json:"cached_tokens"`
		}{u.CacheRead}
	}
	if u.Reasoning > 0 {
		out.CompletionInfo = &struct {
			Reasoning int64 `json:"reasoning_tokens"`
		}{u.Reasoning}
	}
	return out
}

var oaStops = map[string]infer.StopReason{
	"stop": infer.StopEndTurn, "length": infer.StopMaxTokens, "tool_calls": infer.StopToolUse,
	"function_call": infer.StopToolUse, "content_filter": infer.StopFiltered, "stop_sequence": infer.StopSequence,
}

func oaFinish(s infer.StopReason) *string {
	out := "stop"
	switch s {
	case infer.StopMaxTokens, infer.StopContextWindow:
		out = "length"
	case infer.StopToolUse:
		out = "tool_calls"
	case infer.StopFiltered, infer.StopGuardrail, infer.StopRefusal:
		out = "content_filter"
	}
	return &out
}

func stopOf(reason *string) infer.StopReason {
	if reason == nil {
		return ""
	}
	if s, ok := oaStops[*reason]; ok {
		return s
	}
	return infer.StopEndTurn
}

func encodeOpenAIResult(h Head, res *infer.Result) ([]byte, error) {
	out := oaResponse{ID: "chatcmpl-" + h.ID, Object: "chat.completion", Created: h.Created.Unix(), Model: h.Model, Usage: newOAUsage(res.Usage)}
	out.Choices = []oaChoice{}
	for i, c := range res.Choices {
		msg := &oaAnswer{Role: "assistant"}
		var text, think []byte
		for _, b := range c.Content {
			switch b.Kind {
			case infer.BlockText:
				text = append(text, b.Text...)
			case infer.BlockThinking:
				think = append(think, b.Text...)
			case infer.BlockToolUse:
				tc := oaToolCall{ID: b.ToolID, Type: "function"}
				tc.Function.Name, tc.Function.Arguments = b.ToolName, string(b.ToolInput)
				msg.ToolCalls = append(msg.ToolCalls, tc)
			}
		}
		if len(text) > 0 || len(msg.ToolCalls) == 0 {
			s := string(text)
			msg.Content = &s
		}
		if len(think) > 0 {
			s := string(think)
			msg.Reasoning = &s
		}
		out.Choices = append(out.Choices, oaChoice{Index: i, Message: msg, FinishReason: oaFinish(c.Stop), Logprobs: nullable(c.Logprobs)})
	}
	return marshal(&out)
}

func nullable(b []byte) jsontext.Value {
	if len(b) == 0 {
		return jsontext.Value("null")
	}
	return b
}

// lenient accepts what real engines send beyond the standard's letter.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func decodeEngine(body []byte, v any) error {
	if err := json.Unmarshal(body, v, lenient); err != nil {
		return fault.Wrap(fault.StreamFailed, err, "The engine's answer could not be understood.")
	}
	return nil
}

func engineError(e *oaError) error {
	f := fault.New(fault.StreamFailed, "The model failed to answer.")
	f.OriginalStatus, f.OriginalMessage = 500, e.Message
	if n, err := strconv.Atoi(string(e.Code)); err == nil && n >= 400 && n < 600 {
		f.OriginalStatus = n
	}
	return f
}

func decodeOpenAIResult(body []byte) (*infer.Result, error) {
	var r oaResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	if r.Error != nil {
		return nil, engineError(r.Error)
	}
	res := &infer.Result{ID: r.ID, Model: r.Model, Created: time.Unix(r.Created, 0).UTC()}
	if r.Usage != nil {
		res.Usage = r.Usage.usage()
	} else {
		res.Usage.Estimated = true
	}
	for _, c := range r.Choices {
		ch := infer.Choice{Stop: stopOf(c.FinishReason), Logprobs: notNull(c.Logprobs)}
		if c.Text != nil {
			ch.Content = append(ch.Content, infer.Block{Kind: infer.BlockText, Text: *c.Text})
		}
		if m := c.Message; m != nil {
			ch.Content = append(ch.Content, answerBlocks(m)...)
		}
		res.Choices = append(res.Choices, ch)
	}
	return res, nil
}

func notNull(v jsontext.Value) []byte {
	if v.Kind() == 'n' || v.Kind() == 0 {
		return nil
	}
	return v
}

func (a *oaAnswer) thought() string {
	switch {
	case a.Reasoning != nil:
		return *a.Reasoning
	case a.Thinking != nil:
		return *a.Thinking
	default:
		return ""
	}
}

func answerBlocks(m *oaAnswer) []infer.Block {
	var out []infer.Block
	if t := m.thought(); t != "" {
		out = append(out, infer.Block{Kind: infer.BlockThinking, Text: t})
	}
	if m.Content != nil && *m.Content != "" {
		out = append(out, infer.Block{Kind: infer.BlockText, Text: *m.Content})
	}
	for _, t := range m.ToolCalls {
		out = append(out, infer.Block{Kind: infer.BlockToolUse, ToolID: t.ID, ToolName: t.Function.Name, ToolInput: toolInput(t.Function.Arguments)})
	}
	return out
}

// toolInput is the JSON object of a call's arguments. What a model wrote that is no JSON is
// kept as a string member, so that nothing is lost and nothing breaks.
func toolInput(s string) []byte {
	if s == "" {
		return []byte("{}")
	}
	if v := jsontext.Value(s); v.IsValid(jsontext.AllowDuplicateNames(true)) && v.Kind() == '{' {
		return []byte(s)
	}
	return must(map[string]string{"arguments": s})
}

// openAIRawUsage looks for usage in a payload that passes through.
func openAIRawUsage(payload []byte) (infer.Usage, bool) {
	i := bytes.LastIndex(payload, []byte(`"usage":`))
	if i < 0 {
		return infer.Usage{}, false
	}
	rest := bytes.TrimLeft(payload[i+len(`"usage":`):], " ")
	if len(rest) == 0 || rest[0] != '{' {
		return infer.Usage{}, false
	}
	var r struct {
		Usage *oaUsage `json:"usage"`
	}
	if json.Unmarshal(payload, &r, lenient) != nil || r.Usage == nil {
		return infer.Usage{}, false
	}
	return r.Usage.usage(), true
}
