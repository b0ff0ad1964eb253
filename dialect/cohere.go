package dialect

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Cohere Command R. Source: Bedrock user guide, "Cohere Command R and Command R+ models".

var cohereMembers = map[string]member{
	"message": {ctl: ctlText}, "chat_history": {ctl: ctlText}, "preamble": {ctl: ctlText, uses: infer.UsesSystem, system: true},
	"documents": {ctl: ctlText}, "max_tokens": {ctl: ctlMax}, "tools": {ctl: ctlText, uses: infer.UsesTools},
	"stop_sequences": {uses: infer.UsesStop}, "seed": {uses: infer.UsesSeed},
}

func init() { // a codec enters the register
	register(&Codec{
		Name: infer.DialectCohereCommand, words: wordsNative, needs: []string{"message"}, Inspect: inspector(wordsNative, false, cohereMembers), DecodeChat: decodeCohere, EncodeChat: encodeCohere,
		EncodeResult: encodeCohereResult, DecodeResult: decodeCohereResult, NewStreamEncoder: newCohereEncoder,
		NewStreamDecoder: func() StreamDecoder { return &cohereDecoder{} }, RawUsage: metricsUsage,
	})
}

type cohereRequest struct {
	Message          *string            `json:"message,omitzero"`
	History          []cohereTurn       `json:"chat_history,omitzero"`
	Preamble         string             `json:"preamble,omitzero"`
	MaxTokens        *int64             `json:"max_tokens,omitzero"`
	Temperature      *float64           `json:"temperature,omitzero"`
	P                *float64           `json:"p,omitzero"`
	K                *int64             `json:"k,omitzero"`
	Stop             []string           `json:"stop_sequences,omitzero"`
	Seed             *int64             `json:"seed,omitzero"`
	FrequencyPenalty *float64           `json:"frequency_penalty,omitzero"`
	PresencePenalty  *float64           `json:"presence_penalty,omitzero"`
	Documents        []jsontext.Value   `json:"documents,omitzero"`
	Tools            []cohereTool       `json:"tools,omitzero"`
	ToolResults      []cohereToolResult `json:"tool_results,omitzero"`
	// Switches of which only the default can be converted.
	QueriesOnly   bool   `json:"search_queries_only,omitzero"`
	ReturnPrompt  bool   `json:"return_prompt,omitzero"`
	RawPrompting  bool   `json:"raw_prompting,omitzero"`
	Truncation    string `json:"prompt_truncation,omitzero"`
	ForceOneStep  bool   `json:"force_single_step,omitzero"`
	CitationStyle string `json:"citation_quality,omitzero"`
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

type cohereToolResult struct {
	Call    cohereCall       `json:"call"`
	Outputs []jsontext.Value `json:"outputs"`
}

type cohereResponse struct {
	ResponseID   string           `json:"response_id"`
	Text         string           `json:"text"`
	GenerationID string           `json:"generation_id"`
	FinishReason string           `json:"finish_reason"`
	Citations    []cohereCitation `json:"citations,omitzero"`
	ToolCalls    []cohereCall     `json:"tool_calls,omitzero"`
	ChatHistory  []cohereTurn     `json:"chat_history"`
	Meta         *cohereMeta      `json:"meta,omitzero"`
}

type cohereMeta struct {
	Billed struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	} `json:"billed_units"`
}

func decodeCohere(body []byte) (*infer.Chat, error) {
	var r cohereRequest
	if err := unmarshal("", body, &r); err != nil {
		return nil, err
	}
	if r.Message == nil {
		return nil, missing("message")
	}
	if what := r.unserved(); what != "" {
		return nil, unsupported(what, infer.DialectCohereCommand)
	}
	c := &infer.Chat{
		MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.P, TopK: r.K, Stop: r.Stop, Seed: r.Seed,
		FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty,
	}
	if err := ranges(infer.DialectCohereCommand, c); err != nil {
		return nil, err
	}
	if c.TopK != nil && *c.TopK == 0 {
		c.TopK = nil // the family's way to say: no limit
	}
	docs, err := decodeCohereDocuments(r.Documents)
	if err != nil {
		return nil, err
	}
	if r.Preamble != "" {
		c.System = []infer.Block{{Kind: infer.BlockText, Text: r.Preamble}}
	}
	for i, t := range append(r.History, cohereTurn{"USER", *r.Message}) {
		role := infer.RoleUser
		switch t.Role {
		case "USER":
		case "CHATBOT":
			role = infer.RoleAssistant
		default:
			return nil, badEnum("chat_history."+strconv.Itoa(i)+".role", t.Role, "USER", "CHATBOT")
		}
		c.Messages = append(c.Messages, textTurn(role, t.Message))
	}
	last := &c.Messages[len(c.Messages)-1]
	last.Content = append(docs, last.Content...)
	for _, t := range r.Tools {
		c.Tools = append(c.Tools, t.tool())
	}
	if len(r.ToolResults) == 0 {
		return c, nil
	}
	calls, results := infer.Message{Role: infer.RoleAssistant}, infer.Message{Role: infer.RoleUser}
	for i, t := range r.ToolResults {
		id := callID("", i)
		calls.Content = append(calls.Content, infer.Block{Kind: infer.BlockToolUse, ToolID: id, ToolName: t.Call.Name, ToolInput: objectOr(t.Call.Parameters)})
		res := infer.Block{Kind: infer.BlockToolResult, ToolID: id}
		for _, o := range t.Outputs {
			res.Content = append(res.Content, infer.Block{Kind: infer.BlockText, Text: string(o)})
		}
		results.Content = append(results.Content, res)
	}
	c.Messages = append(c.Messages, calls, results)
	return c, nil
}

// unserved names what of the request has no expression in other dialects.
func (r *cohereRequest) unserved() string {
	switch {
	case r.QueriesOnly:
		return "search_queries_only"
	case r.ReturnPrompt:
		return "return_prompt"
	case r.RawPrompting:
		return "raw_prompting"
	case r.Truncation != "" && r.Truncation != "OFF":
		return "prompt_truncation"
	default:
		return ""
	}
}

func encodeCohere(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
	w := writer{d: infer.DialectCohereCommand}
	if err := w.refuse(c, limits{tools: true, seed: true, penalties: true, topK: true}); err != nil {
		return nil, nil, err
	}
	system, turns, err := w.conversation(c)
	if err != nil {
		return nil, nil, err
	}
	r := cohereRequest{
		MaxTokens: c.MaxTokens, Temperature: c.Temperature, P: c.TopP, K: c.TopK, Stop: c.Stop, Seed: c.Seed,
		FrequencyPenalty: c.FrequencyPenalty, PresencePenalty: c.PresencePenalty, Preamble: joinText(system),
	}
	w.parallel(c)
	switch c.ToolChoice.Mode {
	case "", "auto":
	default:
		return nil, nil, unsupported("tool_choice", w.d)
	}
	for _, t := range c.Tools {
		tool, err := w.cohereTool(t)
		if err != nil {
			return nil, nil, err
		}
		r.Tools = append(r.Tools, tool)
	}
	if n := len(turns); n >= 3 && isToolResults(&turns[n-1]) {
		var err error
		if r.ToolResults, err = w.cohereResults(&turns[n-2], &turns[n-1]); err != nil {
			return nil, nil, err
		}
		turns = turns[:n-2]
	}
	if n := len(turns); n > 0 {
		turns = slices.Clone(turns)
		r.Documents, turns[n-1] = cohereDocuments(turns[n-1])
	}
	for i := range turns {
		text, err := w.plainText(&turns[i])
		if err != nil {
			return nil, nil, err
		}
		switch {
		case i == len(turns)-1 && turns[i].Role == infer.RoleUser:
			r.Message = &text
		case i == len(turns)-1:
			return nil, nil, unsupported("a conversation that ends with the assistant", w.d)
		case turns[i].Role == infer.RoleAssistant:
			r.History = append(r.History, cohereTurn{"CHATBOT", text})
		default:
			r.History = append(r.History, cohereTurn{"USER", text})
		}
	}
	return w.finish(c, &r)
}

// cohereResults pairs the calls of the last answer with what the tools gave.
func (w *writer) cohereResults(calls, results *infer.Message) ([]cohereToolResult, error) {
	var out []cohereToolResult
	for _, b := range results.Content {
		i := slices.IndexFunc(calls.Content, func(c infer.Block) bool { return c.Kind == infer.BlockToolUse && c.ToolID == b.ToolID })
		if b.Kind != infer.BlockToolResult || i < 0 {
			return nil, unsupported("content beside tool results", w.d)
		}
		if b.ToolError {
			w.drop("error mark of a tool result")
		}
		t := cohereToolResult{Call: cohereCall{calls.Content[i].ToolName, objectOr(calls.Content[i].ToolInput)}, Outputs: []jsontext.Value{}}
		for _, o := range b.Content {
			v := jsontext.Value(o.Text)
			if o.Kind != infer.BlockText {
				return nil, unsupported(blockNames[o.Kind]+" in a tool result", w.d)
			}
			if !v.IsValid() || v.Kind() != '{' {
				v = must(map[string]string{"result": o.Text})
			}
			t.Outputs = append(t.Outputs, v)
		}
		out = append(out, t)
	}
	return out, nil
}

// plainText is a turn in a dialect that has only text.
func (w *writer) plainText(m *infer.Message) (string, error) {
	if m.Name != "" {
		w.drop("name")
	}
	for _, b := range m.Content {
		switch b.Kind {
		case infer.BlockText:
		case infer.BlockCachePoint:
			w.drop("cache point")
		case infer.BlockThinking, infer.BlockRedacted:
			w.drop("reasoning of earlier turns")
		default:
			return "", unsupported(blockNames[b.Kind], w.d)
		}
	}
	return joinText(m.Content), nil
}

func cohereFinish(s infer.StopReason) string {
	switch s {
	case infer.StopMaxTokens:
		return "MAX_TOKENS"
	case infer.StopSequence:
		return "STOP_SEQUENCE"
	case infer.StopFiltered, infer.StopGuardrail, infer.StopRefusal:
		return "ERROR_TOXIC"
	default:
		return "COMPLETE"
	}
}

func cohereBody(h Head, text string, calls []cohereCall, stop infer.StopReason) *cohereResponse {
	r := &cohereResponse{ResponseID: h.ID, GenerationID: h.ID, Text: text, FinishReason: cohereFinish(stop), ToolCalls: calls, ChatHistory: []cohereTurn{}}
	if h.Chat != nil {
		for _, m := range h.Chat.Messages {
			role := "USER"
			if m.Role == infer.RoleAssistant {
				role = "CHATBOT"
			}
			r.ChatHistory = append(r.ChatHistory, cohereTurn{role, joinText(m.Content)})
		}
	}
	r.ChatHistory = append(r.ChatHistory, cohereTurn{"CHATBOT", text})
	return r
}

func encodeCohereResult(h Head, res *infer.Result) ([]byte, error) {
	text, stop := firstChoice(res)
	var calls []cohereCall
	if len(res.Choices) > 0 {
		for _, b := range res.Choices[0].Content {
			if b.Kind == infer.BlockToolUse {
				calls = append(calls, cohereCall{b.ToolName, objectOr(b.ToolInput)})
			}
		}
	}
	body := cohereBody(h, text, calls, stop)
	if len(res.Choices) > 0 {
		body.Citations = cohereCitations(res.Choices[0].Content)
	}
	return marshal(body)
}

func cohereStop(s string) infer.StopReason {
	switch strings.ToUpper(s) {
	case "MAX_TOKENS", "ERROR_LIMIT":
		return infer.StopMaxTokens
	case "STOP_SEQUENCE":
		return infer.StopSequence
	case "ERROR_TOXIC":
		return infer.StopFiltered
	default:
		return infer.StopEndTurn
	}
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
	res := textResult(r.Text, cohereStop(r.FinishReason), u)
	res.ID = r.ResponseID
	for i, c := range r.ToolCalls {
		res.Choices[0].Content = append(res.Choices[0].Content,
			infer.Block{Kind: infer.BlockToolUse, ToolID: callID("", i), ToolName: c.Name, ToolInput: objectOr(c.Parameters)})
		res.Choices[0].Stop = infer.StopToolUse
	}
	return res, nil
}

type cohereEvent struct {
	EventType    string           `json:"event_type"`
	IsFinished   bool             `json:"is_finished"`
	GenerationID string           `json:"generation_id,omitzero"`
	Text         *string          `json:"text,omitzero"`
	Citations    []cohereCitation `json:"citations,omitzero"`
	ToolCalls    []cohereCall     `json:"tool_calls,omitzero"`
	FinishReason string           `json:"finish_reason,omitzero"`
	Response     *cohereResponse  `json:"response,omitzero"`
}

type cohereEncoder struct {
	h       Head
	started bool
	text    []byte
	calls   []cohereCall
	at      map[int]int // block -> its call
	stop    infer.StopReason

	from  int // where the open text begins in text
	cited []infer.Citation
	spans []cohereCitation
}

func newCohereEncoder(h Head) StreamEncoder { return &cohereEncoder{h: h, at: map[int]int{}} }

func (e *cohereEncoder) start(emit Emit) {
	if !e.started {
		e.started = true
		emit("", must(&cohereEvent{EventType: "stream-start", GenerationID: e.h.ID}))
	}
}

func (e *cohereEncoder) call(ev *infer.Event) *cohereCall {
	i, ok := e.at[ev.Index]
	if !ok {
		i = len(e.calls)
		e.at[ev.Index] = i
		e.calls = append(e.calls, cohereCall{})
	}
	return &e.calls[i]
}

// Encode implements StreamEncoder. Calls come whole, at the end, as the family has them.
func (e *cohereEncoder) Encode(ev *infer.Event, emit Emit) error {
	if ev.Choice > 0 {
		return nil
	}
	e.start(emit)
	switch {
	case ev.Kind == infer.EventBlockStart && ev.Block.Kind == infer.BlockToolUse:
		e.call(ev).Name = ev.Block.ToolName
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockToolUse:
		c := e.call(ev)
		c.Parameters = append(c.Parameters, ev.Text...)
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockText && ev.Citation != nil:
		e.cited = append(e.cited, *ev.Citation)
	case ev.Kind == infer.EventBlockStop:
		e.cite(emit)
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockText:
		e.text = append(e.text, ev.Text...)
		emit("", must(&cohereEvent{EventType: "text-generation", Text: &ev.Text}))
	case ev.Kind == infer.EventStop:
		e.stop = ev.Stop
	}
	return nil
}

// cite tells what the text that has just ended rests on.
func (e *cohereEncoder) cite(emit Emit) {
	c, ok := newCohereCitation(utf8.RuneCount(e.text[:e.from]), string(e.text[e.from:]), e.cited)
	e.from, e.cited = len(e.text), nil
	if ok {
		e.spans = append(e.spans, c)
		emit("", must(&cohereEvent{EventType: "citation-generation", Citations: []cohereCitation{c}}))
	}
}

// Finish implements StreamEncoder.
func (e *cohereEncoder) Finish(emit Emit) {
	e.start(emit)
	for i := range e.calls {
		e.calls[i].Parameters = toolInput(string(e.calls[i].Parameters))
	}
	if len(e.calls) > 0 {
		emit("", must(&cohereEvent{EventType: "tool-calls-generation", ToolCalls: e.calls}))
	}
	e.cite(emit)
	r := cohereBody(e.h, string(e.text), e.calls, e.stop)
	r.Citations = e.spans
	emit("", must(&cohereEvent{EventType: "stream-end", IsFinished: true, FinishReason: r.FinishReason, Response: r}))
}

type cohereDecoder struct {
	started bool
	open    bool
	next    int
	calls   int
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
		events = append(events, infer.Event{Kind: infer.EventStart})
	}
	if t := deref(r.Text); r.EventType == "text-generation" && t != "" {
		if !d.open {
			d.open = true
			events = append(events, infer.Event{Kind: infer.EventBlockStart, Index: d.next})
		}
		events = append(events, infer.Event{Kind: infer.EventDelta, Index: d.next, Text: t, Tokens: 1})
	}
	if len(r.ToolCalls) > 0 || r.IsFinished {
		events = d.close(events)
	}
	for _, c := range r.ToolCalls {
		events = append(events,
			infer.Event{Kind: infer.EventBlockStart, Index: d.next, Block: infer.Block{Kind: infer.BlockToolUse, ToolID: callID("", d.calls), ToolName: c.Name}},
			infer.Event{Kind: infer.EventDelta, Index: d.next, Delta: infer.BlockToolUse, Text: string(objectOr(c.Parameters)), Tokens: 1},
			infer.Event{Kind: infer.EventBlockStop, Index: d.next})
		d.next++
		d.calls++
	}
	if !r.IsFinished {
		return events, nil
	}
	d.done = true
	stop := cohereStop(r.FinishReason)
	if d.calls > 0 {
		stop = infer.StopToolUse
	}
	events = append(events, infer.Event{Kind: infer.EventStop, Stop: stop})
	if r.Response != nil && r.Response.Meta != nil {
		b := r.Response.Meta.Billed
		events = append(events, infer.Event{Kind: infer.EventUsage, HasUsage: true, Usage: infer.Usage{Input: b.Input, Output: b.Output}})
	} else if u, ok := metricsUsage(payload); ok {
		events = append(events, infer.Event{Kind: infer.EventUsage, HasUsage: true, Usage: u})
	}
	return events, nil
}

func (d *cohereDecoder) close(events []infer.Event) []infer.Event {
	if !d.open {
		return events
	}
	d.open = false
	d.next++
	return append(events, infer.Event{Kind: infer.EventBlockStop, Index: d.next - 1})
}
