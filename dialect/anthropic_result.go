package dialect

import (
	"bytes"
	"maps"
	"slices"
	"strconv"

	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type anResponse struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Role         string    `json:"role"`
	Model        string    `json:"model"`
	Content      []anBlock `json:"content"`
	StopReason   *string   `json:"stop_reason"`
	StopSequence *string   `json:"stop_sequence"`
	Usage        anUsage   `json:"usage"`

	Error jsontext.Value `json:"error,omitzero"`
}

type anUsage struct {
	Input      int64  `json:"input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens,omitzero"`
	CacheRead  *int64 `json:"cache_read_input_tokens,omitzero"`
	Output     int64  `json:"output_tokens"`
	Tier       string `json:"service_tier,omitzero"`
}

func (u *anUsage) usage() infer.Usage {
	out := infer.Usage{Input: u.Input, Output: u.Output}
	if u.CacheRead != nil {
		out.CacheRead = *u.CacheRead
	}
	if u.CacheWrite != nil {
		out.CacheWrite = *u.CacheWrite
	}
	return out
}

// anTier is the API's name of a tier: its default is standard. It has no flex, which is ours.
func anTier(tier string) string {
	if tier == "default" {
		return "standard"
	}
	return tier
}

func newAnUsage(u infer.Usage) anUsage {
	out := anUsage{Input: u.Input, Output: u.Output}
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		out.CacheRead, out.CacheWrite = &u.CacheRead, &u.CacheWrite
	}
	return out
}

func anStop(s infer.StopReason) *string {
	out := string(s)
	switch s {
	case infer.StopEndTurn, infer.StopToolUse, infer.StopMaxTokens, infer.StopSequence, infer.StopRefusal, infer.StopContextWindow:
	case infer.StopFiltered, infer.StopGuardrail:
		out = string(infer.StopRefusal)
	default:
		out = string(infer.StopEndTurn)
	}
	return &out
}

// anthropicStop reads a stop reason; one that is newer than this code ends the turn.
func anthropicStop(s *string) infer.StopReason {
	if s == nil {
		return ""
	}
	switch r := infer.StopReason(*s); r {
	case infer.StopEndTurn, infer.StopToolUse, infer.StopMaxTokens, infer.StopSequence, infer.StopRefusal, infer.StopContextWindow:
		return r
	default:
		return infer.StopEndTurn
	}
}

func anMessageID(id string) string {
	return "msg_" + string(bytes.ReplaceAll([]byte(id), []byte("-"), nil))
}

func encodeAnthropicResult(h Head, res *infer.Result) ([]byte, error) {
	out := anResponse{ID: anMessageID(h.ID), Type: "message", Role: "assistant", Model: h.Model, Usage: newAnUsage(res.Usage)}
	out.Usage.Tier, out.Content = anTier(h.Tier), []anBlock{}
	if len(res.Choices) > 0 {
		c := res.Choices[0]
		blocks, err := encodeAnthropicBlocks(&writer{d: infer.DialectAnthropic, answer: true}, c.Content)
		if err != nil {
			return nil, err
		}
		out.Content = blocks
		out.StopReason = anStop(c.Stop)
		if c.Stop == infer.StopSequence {
			out.StopSequence = &c.StopText
		}
	}
	return marshal(&out)
}

func decodeAnthropicResult(body []byte) (*infer.Result, error) {
	var r anResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	res := &infer.Result{ID: r.ID, Model: r.Model, Usage: r.Usage.usage()}
	if r.Error != nil {
		return nil, engineError(r.Error)
	}
	ch := infer.Choice{Stop: anthropicStop(r.StopReason), StopText: deref(r.StopSequence)}
	for i := range r.Content {
		b, err := decodeAnthropicBlock("content", &r.Content[i])
		if err != nil {
			continue // a kind of block newer than this code: nothing of a caller's depends on it
		}
		ch.Content = append(ch.Content, b)
	}
	res.Choices = []infer.Choice{ch}
	return res, nil
}

// anEvent is one event of an Anthropic stream, of any type.
type anEvent struct {
	Type         string      `json:"type"`
	Message      *anResponse `json:"message,omitzero"`
	Index        *int        `json:"index,omitzero"`
	ContentBlock *anBlock    `json:"content_block,omitzero"`
	Delta        *anDelta    `json:"delta,omitzero"`
	Usage        *anTotals   `json:"usage,omitzero"`

	Error jsontext.Value `json:"error,omitzero"`
}

type anDelta struct {
	Type         string         `json:"type,omitzero"`
	Text         *string        `json:"text,omitzero"`
	PartialJSON  *string        `json:"partial_json,omitzero"`
	Thinking     *string        `json:"thinking,omitzero"`
	Signature    *string        `json:"signature,omitzero"`
	Citation     *anCitation    `json:"citation,omitzero"`
	StopReason   *string        `json:"stop_reason,omitzero"`
	StopSequence jsontext.Value `json:"stop_sequence,omitzero"`
}

// anTotals is the usage at the end of a stream: the output, and of the input what the start
// did not know.
type anTotals struct {
	Input      *int64 `json:"input_tokens,omitzero"`
	CacheWrite *int64 `json:"cache_creation_input_tokens,omitzero"`
	CacheRead  *int64 `json:"cache_read_input_tokens,omitzero"`
	Output     int64  `json:"output_tokens"`
}

// anthropicEncoder writes the events of an Anthropic stream. Anthropic has one choice; the others are not shown.
type anthropicEncoder struct {
	h       Head
	started bool
	open    map[int]bool
	usage   infer.Usage
	told    infer.Usage // what message_start said
	stop    infer.StopReason
	stopTxt string
	buf     []byte
}

func newAnthropicEncoder(h Head) StreamEncoder {
	return &anthropicEncoder{h: h, open: map[int]bool{}, stop: infer.StopEndTurn}
}

func (e *anthropicEncoder) start(emit Emit) {
	if e.started {
		return
	}
	e.started, e.told = true, e.usage
	u := newAnUsage(e.usage)
	u.Tier = anTier(e.h.Tier)
	emit("message_start", must(&anEvent{Type: "message_start", Message: &anResponse{
		ID: anMessageID(e.h.ID), Type: "message", Role: "assistant", Model: e.h.Model, Content: []anBlock{}, Usage: u,
	}}))
}

// Encode implements StreamEncoder.
func (e *anthropicEncoder) Encode(ev *infer.Event, emit Emit) error {
	if ev.HasUsage {
		e.usage = ev.Usage
	}
	if ev.Choice > 0 {
		return nil
	}
	i := ev.Index
	switch ev.Kind {
	case infer.EventStart:
		e.start(emit)
	case infer.EventBlockStart:
		e.start(emit)
		e.open[i] = true
		emit("content_block_start", must(&anEvent{Type: "content_block_start", Index: &i, ContentBlock: startBlock(ev.Block)}))
	case infer.EventDelta:
		e.start(emit)
		if !e.open[i] {
			e.open[i] = true
			emit("content_block_start", must(&anEvent{Type: "content_block_start", Index: &i, ContentBlock: startBlock(infer.Block{Kind: ev.Delta})}))
		}
		switch ev.Delta {
		case infer.BlockToolUse:
			e.delta(emit, i, "input_json_delta", "partial_json", ev.Text)
		case infer.BlockText:
			if ev.Citation != nil {
				c := newAnCitation(ev.Citation)
				emit("content_block_delta", must(&anEvent{Type: "content_block_delta", Index: &i, Delta: &anDelta{Type: "citations_delta", Citation: &c}}))
				return nil
			}
			e.delta(emit, i, "text_delta", "text", ev.Text)
		case infer.BlockThinking:
			if ev.Text != "" {
				e.delta(emit, i, "thinking_delta", "thinking", ev.Text)
			}
			if ev.Signature != "" {
				e.delta(emit, i, "signature_delta", "signature", ev.Signature)
			}
		}
	case infer.EventBlockStop:
		delete(e.open, i)
		emit("content_block_stop", must(&anEvent{Type: "content_block_stop", Index: &i}))
	case infer.EventStop:
		e.stop, e.stopTxt = ev.Stop, ev.StopText
	}
	return nil
}

func startBlock(b infer.Block) *anBlock {
	empty := ""
	switch b.Kind {
	case infer.BlockToolUse:
		return &anBlock{Type: "tool_use", ID: b.ToolID, Name: b.ToolName, Input: jsontext.Value("{}")}
	case infer.BlockThinking:
		return &anBlock{Type: "thinking", Thinking: &empty, Signature: &empty}
	case infer.BlockRedacted:
		return &anBlock{Type: "redacted_thinking", Data: string(b.Data)}
	default:
		return &anBlock{Type: "text", Text: &empty}
	}
}

// delta writes the event that most streams consist of into a buffer of its own.
func (e *anthropicEncoder) delta(emit Emit, index int, kind, member, text string) {
	e.buf = strconv.AppendInt(append(e.buf[:0], `{"type":"content_block_delta","index":`...), int64(index), 10)
	e.buf = append(append(append(e.buf, `,"delta":{"type":"`...), kind...), `","`...)
	e.buf = append(append(e.buf, member...), `":`...)
	e.buf = append(quote(e.buf, text), `}}`...)
	emit("content_block_delta", e.buf)
}

// Finish implements StreamEncoder.
func (e *anthropicEncoder) Finish(emit Emit) {
	e.start(emit)
	for _, i := range slices.Sorted(maps.Keys(e.open)) {
		emit("content_block_stop", must(&anEvent{Type: "content_block_stop", Index: &i}))
	}
	u := anTotals{Output: e.usage.Output}
	if e.usage.Input != e.told.Input {
		u.Input = &e.usage.Input
	}
	if e.usage.CacheRead != e.told.CacheRead || e.usage.CacheWrite != e.told.CacheWrite {
		u.CacheRead, u.CacheWrite = &e.usage.CacheRead, &e.usage.CacheWrite
	}
	seq := jsontext.Value("null")
	if e.stop == infer.StopSequence {
		seq = must(e.stopTxt)
	}
	emit("message_delta", must(&anEvent{Type: "message_delta", Delta: &anDelta{StopReason: anStop(e.stop), StopSequence: seq}, Usage: &u}))
	emit("message_stop", must(&anEvent{Type: "message_stop"}))
}

type anthropicDecoder struct {
	usage infer.Usage
	done  bool
}

func newAnthropicDecoder() StreamDecoder { return &anthropicDecoder{} }

// Complete implements StreamDecoder.
func (d *anthropicDecoder) Complete() bool { return d.done }

// Decode implements StreamDecoder.
func (d *anthropicDecoder) Decode(_ string, payload []byte, events []infer.Event) ([]infer.Event, error) {
	var r anEvent
	if err := decodeEngine(payload, &r); err != nil {
		return events, err
	}
	index := 0
	if r.Index != nil {
		index = *r.Index
	}
	switch r.Type {
	case "message_start":
		if r.Message != nil {
			d.usage = r.Message.Usage.usage()
		}
		return append(events, infer.Event{Kind: infer.EventStart, Usage: d.usage, HasUsage: true}), nil
	case "content_block_start":
		return decodeAnthropicStart(index, r.ContentBlock, events), nil
	case "content_block_delta":
		return append(events, decodeAnthropicDelta(index, r.Delta)...), nil
	case "content_block_stop":
		return append(events, infer.Event{Kind: infer.EventBlockStop, Index: index}), nil
	case "message_delta":
		d.merge(r.Usage)
		if r.Delta != nil {
			ev := infer.Event{Kind: infer.EventStop, Stop: anthropicStop(r.Delta.StopReason)}
			_ = json.Unmarshal(r.Delta.StopSequence, &ev.StopText, lenient) // null or a string
			events = append(events, ev)
		}
		return append(events, infer.Event{Kind: infer.EventUsage, Usage: d.usage, HasUsage: true}), nil
	case "message_stop":
		d.done = true
	case "error":
		return events, engineError(r.Error)
	}
	return events, nil
}

// merge takes the later counts: output always, the others where the event repeats them.
func (d *anthropicDecoder) merge(u *anTotals) {
	if u == nil {
		return
	}
	d.usage.Output = u.Output
	if u.Input != nil {
		d.usage.Input = *u.Input
	}
	if u.CacheRead != nil {
		d.usage.CacheRead = *u.CacheRead
	}
	if u.CacheWrite != nil {
		d.usage.CacheWrite = *u.CacheWrite
	}
}

// decodeAnthropicStart begins a block. What content it has already, which Anthropic itself
// leaves empty, becomes a delta.
func decodeAnthropicStart(index int, a *anBlock, events []infer.Event) []infer.Event {
	var b infer.Block
	if a != nil {
		b, _ = decodeAnthropicBlock("content_block", a) // a kind that is newer than this code becomes an empty text
	}
	text := b.Text
	if b.Kind == infer.BlockToolUse && string(b.ToolInput) != "{}" {
		text = string(b.ToolInput)
	}
	start := infer.Block{Kind: b.Kind, ToolID: b.ToolID, ToolName: b.ToolName, Data: b.Data}
	events = append(events, infer.Event{Kind: infer.EventBlockStart, Index: index, Block: start})
	if text == "" {
		return events
	}
	return append(events, infer.Event{Kind: infer.EventDelta, Index: index, Delta: b.Kind, Text: text, Tokens: 1})
}

func decodeAnthropicDelta(index int, d *anDelta) []infer.Event {
	if d == nil {
		return nil
	}
	ev := infer.Event{Kind: infer.EventDelta, Index: index, Tokens: 1}
	switch d.Type {
	case "text_delta":
		ev.Delta, ev.Text = infer.BlockText, deref(d.Text)
	case "input_json_delta":
		ev.Delta, ev.Text = infer.BlockToolUse, deref(d.PartialJSON)
	case "thinking_delta":
		ev.Delta, ev.Text = infer.BlockThinking, deref(d.Thinking)
	case "citations_delta":
		if d.Citation == nil {
			return nil
		}
		if ev.Citation, ev.Tokens = d.Citation.citation(), 0; ev.Citation == nil {
			return nil
		}
	case "signature_delta":
		ev.Delta, ev.Signature, ev.Tokens = infer.BlockThinking, deref(d.Signature), 0
	default:
		return nil
	}
	return []infer.Event{ev}
}
