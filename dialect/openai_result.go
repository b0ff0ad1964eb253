package dialect

import (
	"slices"
	"strings"
	"time"

	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// oaResponse is a chat completion or text completion as we write it.
type oaResponse struct {
	ID      string     `json:"id"`
	Object  string     `json:"object,omitzero"`
	Created *int64     `json:"created,omitzero"`
	Model   string     `json:"model"`
	Choices []oaChoice `json:"choices"`
	Usage   *oaUsage   `json:"usage,omitzero"`
	Tier    string     `json:"service_tier,omitzero"`
	Meta    *oaMeta    `json:"meta,omitzero"` // Jamba
}

type oaMeta struct {
	DurationMillis int64 `json:"requestDurationMillis"`
}

type oaChoice struct {
	Index        int            `json:"index"`
	Message      *oaAnswer      `json:"message,omitzero"`
	Text         *string        `json:"text,omitzero"`
	Logprobs     jsontext.Value `json:"logprobs,omitzero"`
	FinishReason *string        `json:"finish_reason"`
}

type oaAnswer struct {
	Role      string         `json:"role,omitzero"`
	Content   *string        `json:"content"`
	Refusal   jsontext.Value `json:"refusal,omitzero"`
	Reasoning string         `json:"reasoning_content,omitzero"`
	ToolCalls jsontext.Value `json:"tool_calls,omitzero"`
}

type oaUsage struct {
	Prompt         int64             `json:"prompt_tokens"`
	Completion     int64             `json:"completion_tokens"`
	Total          int64             `json:"total_tokens"`
	PromptInfo     *oaPromptInfo     `json:"prompt_tokens_details,omitzero"`
	CompletionInfo *oaCompletionInfo `json:"completion_tokens_details,omitzero"`
}

type oaPromptInfo struct {
	Cached int64 `json:"cached_tokens"`
}

type oaCompletionInfo struct {
	Reasoning int64 `json:"reasoning_tokens"`
}

// newOAUsage adds what was read from or written to a cache back to the prompt.
func newOAUsage(u infer.Usage) *oaUsage {
	in := u.Input + u.CacheRead + u.CacheWrite
	out := &oaUsage{Prompt: in, Completion: u.Output, Total: in + u.Output}
	if u.CacheRead > 0 {
		out.PromptInfo = &oaPromptInfo{u.CacheRead}
	}
	if u.Reasoning > 0 {
		out.CompletionInfo = &oaCompletionInfo{u.Reasoning}
	}
	return out
}

var oaStops = map[string]infer.StopReason{
	"stop": infer.StopEndTurn, "length": infer.StopMaxTokens, "tool_calls": infer.StopToolUse,
	"function_call": infer.StopToolUse, "content_filter": infer.StopFiltered, "stop_sequence": infer.StopSequence,
	"model_length": infer.StopContextWindow, "max_tokens": infer.StopMaxTokens,
}

func oaFinish(s infer.StopReason) string {
	switch s {
	case infer.StopMaxTokens, infer.StopContextWindow:
		return "length"
	case infer.StopToolUse:
		return "tool_calls"
	case infer.StopFiltered, infer.StopGuardrail, infer.StopRefusal:
		return "content_filter"
	default:
		return "stop"
	}
}

// stopOf reads a finish reason. Engines send null or "" while a choice goes on.
func stopOf(reason *string) infer.StopReason {
	if reason == nil || *reason == "" {
		return ""
	}
	if s, ok := oaStops[*reason]; ok {
		return s
	}
	return infer.StopEndTurn
}

// answer writes a choice's content. Tags puts reasoning into the text, as gpt-oss on
// Bedrock has it.
func answer(blocks []infer.Block, tags bool) *oaAnswer {
	out := &oaAnswer{Role: "assistant"}
	var text, think []byte
	var calls []oaToolCall
	for _, b := range blocks {
		switch b.Kind {
		case infer.BlockText:
			text = append(text, b.Text...)
		case infer.BlockThinking:
			think = append(think, b.Text...)
		case infer.BlockToolUse:
			tc := oaToolCall{ID: b.ToolID, Type: "function"}
			tc.Function.Name, tc.Function.Arguments = b.ToolName, string(objectOr(b.ToolInput))
			calls = append(calls, tc)
		}
	}
	if tags && len(think) > 0 {
		text = slices.Concat([]byte(tagOpen), think, []byte(tagClose), text)
		think = nil
	}
	out.Reasoning = string(think)
	if len(calls) > 0 {
		out.ToolCalls = must(calls)
	}
	if len(text) > 0 || len(calls) == 0 {
		s := string(text)
		out.Content = &s
	}
	return out
}

func encodeOpenAIResult(h Head, res *infer.Result) ([]byte, error) {
	return encodeChoices(h, res, false)
}

func encodeGPTOSSResult(h Head, res *infer.Result) ([]byte, error) {
	return encodeChoices(h, res, true)
}

func encodeChoices(h Head, res *infer.Result, tags bool) ([]byte, error) {
	created := h.Created.Unix()
	out := oaResponse{
		ID: "chatcmpl-" + h.ID, Object: "chat.completion", Created: &created, Model: h.Model, Usage: newOAUsage(res.Usage), Choices: []oaChoice{},
		Tier: h.Tier,
	}
	for i, c := range res.Choices {
		msg := answer(c.Content, tags)
		msg.Refusal = jsontext.Value("null")
		stop := oaFinish(c.Stop)
		out.Choices = append(out.Choices, oaChoice{Index: i, Message: msg, FinishReason: &stop, Logprobs: nullable(c.Logprobs)})
	}
	return marshal(&out)
}

func encodeJambaResult(h Head, res *infer.Result) ([]byte, error) {
	out := oaResponse{
		ID: "chatcmpl-" + h.ID, Model: h.Model, Usage: newOAUsage(res.Usage), Choices: []oaChoice{},
		Meta: &oaMeta{time.Since(h.Created).Milliseconds()},
	}
	for i, c := range res.Choices {
		msg := answer(c.Content, false)
		if msg.ToolCalls == nil {
			msg.ToolCalls = jsontext.Value("null")
		}
		stop := oaFinish(c.Stop)
		out.Choices = append(out.Choices, oaChoice{Index: i, Message: msg, FinishReason: &stop})
	}
	return marshal(&out)
}

func nullable(b []byte) jsontext.Value {
	if len(b) == 0 {
		return jsontext.Value("null")
	}
	return b
}

// engineAnswer is a whole answer or one chunk as engines send it.
type engineAnswer struct {
	ID      string         `json:"id"`
	Model   string         `json:"model"`
	Created jsontext.Value `json:"created"`
	Choices []engineChoice `json:"choices"`
	Usage   jsontext.Value `json:"usage"`
	Error   jsontext.Value `json:"error"`
}

type engineChoice struct {
	Index        int            `json:"index"`
	Message      *engineMessage `json:"message"`
	Delta        *engineMessage `json:"delta"`
	Text         *string        `json:"text"`
	Logprobs     jsontext.Value `json:"logprobs"`
	FinishReason *string        `json:"finish_reason"`
	// StopReason is Mistral's name of the finish reason on Bedrock; vLLM has the stop
	// sequence or token that matched under it.
	StopReason jsontext.Value `json:"stop_reason"`
}

type engineMessage struct {
	Content   jsontext.Value `json:"content"`
	Reasoning *string        `json:"reasoning_content"`
	Thinking  jsontext.Value `json:"reasoning"` // Ollama's and vLLM's other spelling
	Refusal   *string        `json:"refusal"`
	ToolCalls []engineCall   `json:"tool_calls"`
}

type engineCall struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string         `json:"name"`
		Arguments jsontext.Value `json:"arguments"` // a string; an object from some engines
	} `json:"function"`
}

func (c *engineCall) arguments() string {
	if c.Function.Arguments.Kind() == '{' {
		return string(c.Function.Arguments)
	}
	return unquote(c.Function.Arguments)
}

// unquote returns a JSON string's text, "" for every other value.
func unquote(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(b)
}

// text returns content and reasoning of a message. Content is a string or, from Mistral's
// own API, a list of parts.
func (m *engineMessage) text() (text, think string) {
	think = deref(m.Reasoning)
	if think == "" {
		think = unquote(m.Thinking)
	}
	if m.Content.Kind() != '[' {
		return unquote(m.Content), think
	}
	var parts []struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Thinking []struct {
			Text string `json:"text"`
		} `json:"thinking"`
	}
	_ = json.Unmarshal(m.Content, &parts, lenient)
	var said, thought strings.Builder
	for _, p := range parts {
		said.WriteString(p.Text)
		for _, t := range p.Thinking {
			thought.WriteString(t.Text)
		}
	}
	return said.String(), think + thought.String()
}

// stop returns why the choice ended, and the stop sequence if the engine tells it.
func (c *engineChoice) stop(mistral bool) (infer.StopReason, string) {
	if mistral && c.FinishReason == nil {
		s := unquote(c.StopReason)
		return stopOf(&s), ""
	}
	s := stopOf(c.FinishReason)
	if text := unquote(c.StopReason); s == infer.StopEndTurn && text != "" && !mistral {
		return infer.StopSequence, text
	}
	return s, ""
}

func decodeOpenAIResult(body []byte) (*infer.Result, error) { return decodeChoices(body, false, false) }

func decodeGPTOSSResult(body []byte) (*infer.Result, error) { return decodeChoices(body, true, false) }

func decodeMistralChatResult(body []byte) (*infer.Result, error) {
	return decodeChoices(body, false, true)
}

func decodeChoices(body []byte, tags, mistral bool) (*infer.Result, error) {
	var r engineAnswer
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	if k := r.Error.Kind(); k == '{' || k == '"' {
		return nil, engineError(r.Error)
	}
	res := &infer.Result{ID: r.ID, Model: r.Model, Usage: resultUsage(r.Usage)}
	var created float64
	if json.Unmarshal(r.Created, &created, lenient) == nil && created > 0 && created < 1e11 {
		res.Created = time.Unix(int64(created), 0).UTC()
	}
	for i := range r.Choices {
		c := &r.Choices[i]
		ch := infer.Choice{Logprobs: notNull(c.Logprobs)}
		ch.Stop, ch.StopText = c.stop(mistral)
		if c.Text != nil && *c.Text != "" {
			ch.Content = append(ch.Content, infer.Block{Kind: infer.BlockText, Text: *c.Text})
		}
		if m := c.Message; m != nil {
			ch.Content = append(ch.Content, m.blocks(tags)...)
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

func (m *engineMessage) blocks(tags bool) []infer.Block {
	var out []infer.Block
	text, think := m.text()
	if tags {
		var inner string
		inner, text, _ = tagged(text)
		think += inner
	}
	if think != "" {
		out = append(out, infer.Block{Kind: infer.BlockThinking, Text: think})
	}
	if text += deref(m.Refusal); text != "" {
		out = append(out, infer.Block{Kind: infer.BlockText, Text: text})
	}
	for i := range m.ToolCalls {
		t := &m.ToolCalls[i]
		out = append(out, infer.Block{Kind: infer.BlockToolUse, ToolID: callID(t.ID, i), ToolName: t.Function.Name, ToolInput: toolInput(t.arguments())})
	}
	return out
}

// callID names a tool call that the engine left without an id: other dialects need one to
// answer it.
func callID(id string, n int) string {
	if id == "" {
		return "call_" + string(rune('a'+n%26))
	}
	return id
}

// toolInput is the JSON object of a call's arguments. What a model wrote that is no JSON is
// kept as a string member, so that nothing is lost and nothing breaks.
func toolInput(s string) []byte {
	if strings.TrimSpace(s) == "" {
		return []byte("{}")
	}
	if v := jsontext.Value(s); v.IsValid(jsontext.AllowDuplicateNames(true)) && v.Kind() == '{' {
		return []byte(s)
	}
	return must(map[string]string{"arguments": s})
}
