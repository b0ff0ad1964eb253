package dialect

import (
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Families whose bodies are close to chat completions: Mistral chat, AI21 Jamba and
// OpenAI's gpt-oss on Bedrock. Their bodies carry no model or stream member.

func init() { //nolint:gochecknoinits // three codecs of one shape
	for _, d := range []infer.Dialect{infer.DialectMistralChat, infer.DialectJamba, infer.DialectGPTOSS} {
		c := *openAICodec
		c.Name = d
		c.EncodeChat = encodeOpenAI(d)
		if d == infer.DialectMistralChat {
			c.EncodeResult = encodeMistralChatResult
			c.DecodeResult = decodeMistralChatResult
			c.NewStreamEncoder = func(h Head) StreamEncoder {
				return &mistralChatEncoder{openAIEncoder: *newOpenAIEncoder(h).(*openAIEncoder)}
			}
		}
		register(&c)
	}
}

// Mistral's chat on Bedrock says stop_reason where OpenAI says finish_reason.
type mistralChatChoice struct {
	Index      int       `json:"index"`
	Message    *oaAnswer `json:"message"`
	StopReason *string   `json:"stop_reason"`
}

type mistralChatResponse struct {
	Choices []mistralChatChoice `json:"choices"`
}

func encodeMistralChatResult(h Head, res *infer.Result) ([]byte, error) {
	b, err := encodeOpenAIResult(h, res)
	if err != nil {
		return nil, err
	}
	var r oaResponse
	if err := decodeEngine(b, &r); err != nil {
		return nil, err
	}
	out := mistralChatResponse{Choices: []mistralChatChoice{}}
	for _, c := range r.Choices {
		out.Choices = append(out.Choices, mistralChatChoice{c.Index, c.Message, c.FinishReason})
	}
	return marshal(&out)
}

func decodeMistralChatResult(body []byte) (*infer.Result, error) {
	var r mistralChatResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	res := &infer.Result{Usage: infer.Usage{Estimated: true}}
	for _, c := range r.Choices {
		ch := infer.Choice{Stop: stopOf(c.StopReason)}
		if c.Message != nil {
			ch.Content = answerBlocks(c.Message)
		}
		res.Choices = append(res.Choices, ch)
	}
	return res, nil
}

// mistralChatEncoder writes each delta as a choice with a message and a stop reason.
type mistralChatEncoder struct{ openAIEncoder }

// Encode implements StreamEncoder.
func (e *mistralChatEncoder) Encode(ev *infer.Event, emit Emit) error {
	return e.openAIEncoder.Encode(ev, rename(emit))
}

// Finish implements StreamEncoder.
func (e *mistralChatEncoder) Finish(emit Emit) { e.openAIEncoder.Finish(rename(emit)) }

func rename(emit Emit) Emit {
	return func(name string, payload []byte) {
		var r oaResponse
		if decodeEngine(payload, &r) != nil {
			return
		}
		out := mistralChatResponse{Choices: []mistralChatChoice{}}
		for _, c := range r.Choices {
			out.Choices = append(out.Choices, mistralChatChoice{c.Index, c.Delta, c.FinishReason})
		}
		emit(name, must(&out))
	}
}

// Cohere Command R. Source: Bedrock user guide, "Cohere Command R and Command R+ models".

var cohereMembers = map[string]member{
	"message": {ctl: ctlText}, "chat_history": {ctl: ctlText}, "preamble": {ctl: ctlText, uses: infer.UsesSystem},
	"documents": {ctl: ctlText}, "max_tokens": {ctl: ctlMax}, "tools": {ctl: ctlText, uses: infer.UsesTools},
	"stop_sequences": {uses: infer.UsesStop}, "seed": {uses: infer.UsesSeed},
}

var _ = register(&Codec{
	Name: infer.DialectCohereCommand, Inspect: inspector(cohereMembers), DecodeChat: decodeCohere, EncodeChat: encodeCohere,
	EncodeResult: encodeCohereResult, DecodeResult: decodeCohereResult, NewStreamEncoder: newCohereEncoder,
	NewStreamDecoder: func() StreamDecoder { return &cohereDecoder{} }, RawUsage: noUsage,
})

type cohereRequest struct {
	Message          *string        `json:"message,omitzero"`
	History          []cohereTurn   `json:"chat_history,omitzero"`
	Preamble         string         `json:"preamble,omitzero"`
	MaxTokens        *int64         `json:"max_tokens,omitzero"`
	Temperature      *float64       `json:"temperature,omitzero"`
	P                *float64       `json:"p,omitzero"`
	K                *int64         `json:"k,omitzero"`
	Stop             []string       `json:"stop_sequences,omitzero"`
	Seed             *int64         `json:"seed,omitzero"`
	FrequencyPenalty *float64       `json:"frequency_penalty,omitzero"`
	PresencePenalty  *float64       `json:"presence_penalty,omitzero"`
	Documents        jsontext.Value `json:"documents,omitzero"`
	Tools            []cohereTool   `json:"tools,omitzero"`
	ToolResults      jsontext.Value `json:"tool_results,omitzero"`
}

type cohereTurn struct {
	Role    string `json:"role"`
	Message string `json:"message"`
}

type cohereTool struct {
	Name        string                     `json:"name"`
	Description string                     `json:"description"`
	Parameters  map[string]cohereParameter `json:"parameter_definitions,omitzero"`
}

type cohereParameter struct {
	Description string `json:"description,omitzero"`
	Type        string `json:"type"`
	Required    bool   `json:"required,omitzero"`
}

type cohereCall struct {
	Name       string         `json:"name"`
	Parameters jsontext.Value `json:"parameters"`
}

type cohereResponse struct {
	ResponseID   string       `json:"response_id"`
	Text         string       `json:"text"`
	GenerationID string       `json:"generation_id"`
	FinishReason string       `json:"finish_reason"`
	ToolCalls    []cohereCall `json:"tool_calls,omitzero"`
	ChatHistory  []cohereTurn `json:"chat_history"`
	Meta         *cohereMeta  `json:"meta,omitzero"`
}

type cohereMeta struct {
	Billed struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	} `json:"billed_units"`
}

func decodeCohere(body []byte) (*infer.Chat, error) {
	var r cohereRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	if r.Message == nil {
		return nil, missing("message")
	}
	if len(r.Documents) > 0 || len(r.ToolResults) > 0 {
		return nil, unsupported("documents or tool_results", infer.DialectCohereCommand)
	}
	c := &infer.Chat{
		MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.P, TopK: r.K, Stop: r.Stop, Seed: r.Seed,
		FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty,
	}
	if c.TopK != nil && *c.TopK == 0 {
		c.TopK = nil // the family's way to say: no limit
	}
	if r.Preamble != "" {
		c.System = []infer.Block{{Text: r.Preamble}}
	}
	for i, t := range append(r.History, cohereTurn{"USER", *r.Message}) {
		role := infer.RoleUser
		switch t.Role {
		case "USER":
		case "CHATBOT":
			role = infer.RoleAssistant
		default:
			return nil, invalid("chat_history", "%q at %d is not a valid enum value: USER, CHATBOT", t.Role, i)
		}
		c.Messages = append(c.Messages, infer.Message{Role: role, Content: []infer.Block{{Text: t.Message}}})
	}
	for _, t := range r.Tools {
		props := map[string]any{}
		var required []string
		for name, p := range t.Parameters {
			props[name] = map[string]string{"type": jsonType(p.Type), "description": p.Description}
			if p.Required {
				required = append(required, name)
			}
		}
		schema := map[string]any{"type": "object", "properties": props}
		if len(required) > 0 {
			schema["required"] = required
		}
		c.Tools = append(c.Tools, infer.Tool{Name: t.Name, Description: t.Description, Schema: must(schema)})
	}
	return c, nil
}

// jsonType maps the Python names that the family uses.
func jsonType(t string) string {
	switch t {
	case "str":
		return "string"
	case "int":
		return "integer"
	case "float":
		return "number"
	case "bool":
		return "boolean"
	case "list", "List":
		return "array"
	case "dict", "Dict":
		return "object"
	default:
		return t
	}
}

func encodeCohere(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
	if len(c.Tools) > 0 {
		return nil, nil, unsupported("tools", infer.DialectCohereCommand)
	}
	r := cohereRequest{
		MaxTokens: c.MaxTokens, Temperature: c.Temperature, P: c.TopP, K: c.TopK, Stop: c.Stop, Seed: c.Seed,
		FrequencyPenalty: c.FrequencyPenalty, PresencePenalty: c.PresencePenalty, Preamble: joinText(c.System), Message: c.Prompt,
	}
	for i, m := range c.Messages {
		text := joinText(m.Content)
		if i == len(c.Messages)-1 {
			r.Message = &text
			break
		}
		role := "USER"
		if m.Role == infer.RoleAssistant {
			role = "CHATBOT"
		}
		r.History = append(r.History, cohereTurn{role, text})
	}
	b, err := marshal(&r)
	return b, nil, err
}

func cohereFinish(s infer.StopReason) string {
	switch s {
	case infer.StopMaxTokens:
		return "MAX_TOKENS"
	case infer.StopFiltered, infer.StopGuardrail:
		return "ERROR_TOXIC"
	default:
		return "COMPLETE"
	}
}

func cohereBody(h Head, text string, calls []cohereCall, stop infer.StopReason, u infer.Usage) *cohereResponse {
	r := &cohereResponse{
		ResponseID: h.ID, GenerationID: h.ID, Text: text, FinishReason: cohereFinish(stop), ToolCalls: calls, ChatHistory: []cohereTurn{}, Meta: &cohereMeta{},
	}
	r.Meta.Billed.Input, r.Meta.Billed.Output = u.Input, u.Output
	return r
}

func encodeCohereResult(h Head, res *infer.Result) ([]byte, error) {
	text, stop := firstChoice(res)
	var calls []cohereCall
	if len(res.Choices) > 0 {
		for _, b := range res.Choices[0].Content {
			if b.Kind == infer.BlockToolUse {
				calls = append(calls, cohereCall{b.ToolName, b.ToolInput})
			}
		}
	}
	return marshal(cohereBody(h, text, calls, stop, res.Usage))
}

var cohereStops = map[string]infer.StopReason{
	"COMPLETE": infer.StopEndTurn, "complete": infer.StopEndTurn, "MAX_TOKENS": infer.StopMaxTokens, "max_tokens": infer.StopMaxTokens,
	"ERROR_TOXIC": infer.StopFiltered, "error_toxic": infer.StopFiltered,
}

func decodeCohereResult(body []byte) (*infer.Result, error) {
	var r cohereResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	u := infer.Usage{Estimated: true}
	if r.Meta != nil {
		u = infer.Usage{Input: r.Meta.Billed.Input, Output: r.Meta.Billed.Output}
	}
	res := textResult(r.Text, cohereStops[r.FinishReason], u)
	for _, c := range r.ToolCalls {
		res.Choices[0].Content = append(res.Choices[0].Content, infer.Block{Kind: infer.BlockToolUse, ToolID: c.Name, ToolName: c.Name, ToolInput: c.Parameters})
		res.Choices[0].Stop = infer.StopToolUse
	}
	return res, nil
}

type cohereEvent struct {
	EventType    string          `json:"event_type"`
	IsFinished   bool            `json:"is_finished"`
	GenerationID string          `json:"generation_id,omitzero"`
	Text         *string         `json:"text,omitzero"`
	FinishReason string          `json:"finish_reason,omitzero"`
	Response     *cohereResponse `json:"response,omitzero"`
}

type cohereEncoder struct {
	h       Head
	started bool
	text    []byte
	tools   []cohereCall
	input   []byte
	stop    infer.StopReason
	usage   infer.Usage
}

func newCohereEncoder(h Head) StreamEncoder { return &cohereEncoder{h: h} }

// Encode implements StreamEncoder.
func (e *cohereEncoder) Encode(ev *infer.Event, emit Emit) error {
	if ev.HasUsage {
		e.usage = ev.Usage
	}
	if ev.Choice > 0 {
		return nil
	}
	if !e.started {
		e.started = true
		emit("", must(&cohereEvent{EventType: "stream-start", GenerationID: e.h.ID}))
	}
	switch {
	case ev.Kind == infer.EventBlockStart && ev.Block.Kind == infer.BlockToolUse:
		e.tools = append(e.tools, cohereCall{Name: ev.Block.ToolName})
		e.input = nil
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockToolUse:
		e.input = append(e.input, ev.Text...)
		if n := len(e.tools); n > 0 {
			e.tools[n-1].Parameters = append(jsontext.Value(nil), e.input...)
		}
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockText:
		e.text = append(e.text, ev.Text...)
		emit("", must(&cohereEvent{EventType: "text-generation", Text: &ev.Text}))
	case ev.Kind == infer.EventStop:
		e.stop = ev.Stop
	}
	return nil
}

// Finish implements StreamEncoder.
func (e *cohereEncoder) Finish(emit Emit) {
	r := cohereBody(e.h, string(e.text), e.tools, e.stop, e.usage)
	emit("", must(&cohereEvent{EventType: "stream-end", IsFinished: true, FinishReason: r.FinishReason, Response: r}))
}

type cohereDecoder struct {
	started bool
	done    bool
}

// Complete implements StreamDecoder.
func (d *cohereDecoder) Complete() bool { return d.done }

// Decode implements StreamDecoder.
func (d *cohereDecoder) Decode(_ string, payload []byte, events []infer.Event) ([]infer.Event, error) {
	var r cohereEvent
	if err := decodeEngine(payload, &r); err != nil {
		return events, err
	}
	if !d.started {
		d.started = true
		events = append(events, infer.Event{Kind: infer.EventStart}, infer.Event{Kind: infer.EventBlockStart})
	}
	if r.EventType == "text-generation" && r.Text != nil {
		events = append(events, infer.Event{Kind: infer.EventDelta, Text: *r.Text, Tokens: 1})
	}
	if r.IsFinished {
		d.done = true
		events = append(events, infer.Event{Kind: infer.EventBlockStop}, infer.Event{Kind: infer.EventStop, Stop: cohereStops[r.FinishReason]})
		if r.Response != nil && r.Response.Meta != nil {
			b := r.Response.Meta.Billed
			events = append(events, infer.Event{Kind: infer.EventUsage, HasUsage: true, Usage: infer.Usage{Input: b.Input, Output: b.Output}})
		}
	}
	return events, nil
}
