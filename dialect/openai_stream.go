package dialect

import (
	"forebay/infer"
)

// openAIEncoder writes chat completion chunks.
type openAIEncoder struct {
	h       Head
	object  string
	text    bool // legacy completions: text instead of deltas
	usage   infer.Usage
	tools   map[[2]int]int // choice and block -> index of the tool call
	count   map[int]int    // tool calls of a choice
	stops   []oaChoice
	started map[int]bool
}

func newOpenAIEncoder(h Head) StreamEncoder {
	return &openAIEncoder{h: h, object: "chat.completion.chunk", tools: map[[2]int]int{}, count: map[int]int{}, started: map[int]bool{}}
}

type oaChunk struct {
	ID      string     `json:"id"`
	Object  string     `json:"object"`
	Created int64      `json:"created"`
	Model   string     `json:"model"`
	Choices []oaChoice `json:"choices"`
	Usage   *oaUsage   `json:"usage,omitzero"`
}

func (e *openAIEncoder) chunk(choices ...oaChoice) []byte {
	prefix := "chatcmpl-"
	if e.text {
		prefix = "cmpl-"
	}
	for i := range choices {
		choices[i].Logprobs = nullable(choices[i].Logprobs)
	}
	return must(&oaChunk{ID: prefix + e.h.ID, Object: e.object, Created: e.h.Created.Unix(), Model: e.h.Model, Choices: choices})
}

// Encode implements StreamEncoder.
func (e *openAIEncoder) Encode(ev *infer.Event, emit Emit) error {
	if ev.HasUsage {
		e.usage = ev.Usage
	}
	if e.text {
		return e.encodeText(ev, emit)
	}
	d := &oaAnswer{}
	if !e.started[ev.Choice] && ev.Kind != infer.EventUsage {
		e.started[ev.Choice] = true
		empty := ""
		emit("", e.chunk(oaChoice{Index: ev.Choice, Delta: &oaAnswer{Role: "assistant", Content: &empty}}))
	}
	switch ev.Kind {
	case infer.EventBlockStart:
		if ev.Block.Kind != infer.BlockToolUse {
			return nil
		}
		i := e.count[ev.Choice]
		e.count[ev.Choice]++
		e.tools[[2]int{ev.Choice, ev.Index}] = i
		tc := oaToolCall{Index: &i, ID: ev.Block.ToolID, Type: "function"}
		tc.Function.Name = ev.Block.ToolName
		d.ToolCalls = []oaToolCall{tc}
	case infer.EventDelta:
		switch ev.Delta {
		case infer.BlockToolUse:
			i := e.tools[[2]int{ev.Choice, ev.Index}]
			tc := oaToolCall{Index: &i}
			tc.Function.Arguments = ev.Text
			d.ToolCalls = []oaToolCall{tc}
		case infer.BlockThinking:
			if ev.Text == "" {
				return nil
			}
			d.Reasoning = &ev.Text
		case infer.BlockText:
			d.Content = &ev.Text
		default:
			return nil
		}
	case infer.EventStop:
		e.stops = append(e.stops, oaChoice{Index: ev.Choice, Delta: &oaAnswer{}, FinishReason: oaFinish(ev.Stop)})
		return nil
	default:
		return nil
	}
	emit("", e.chunk(oaChoice{Index: ev.Choice, Delta: d, Logprobs: ev.Logprobs}))
	return nil
}

func (e *openAIEncoder) encodeText(ev *infer.Event, emit Emit) error {
	switch {
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockText:
		emit("", e.chunk(oaChoice{Index: ev.Choice, Text: &ev.Text, Logprobs: ev.Logprobs}))
	case ev.Kind == infer.EventStop:
		empty := ""
		e.stops = append(e.stops, oaChoice{Index: ev.Choice, Text: &empty, FinishReason: oaFinish(ev.Stop)})
	}
	return nil
}

// Finish implements StreamEncoder.
func (e *openAIEncoder) Finish(emit Emit) {
	if len(e.stops) == 0 {
		stop := oaChoice{FinishReason: oaFinish(infer.StopEndTurn)}
		if e.text {
			empty := ""
			stop.Text = &empty
		} else {
			stop.Delta = &oaAnswer{}
		}
		e.stops = append(e.stops, stop)
	}
	for _, s := range e.stops {
		emit("", e.chunk(s))
	}
	if e.h.IncludeUsage {
		emit("", must(&oaChunk{
			ID: "chatcmpl-" + e.h.ID, Object: e.object, Created: e.h.Created.Unix(), Model: e.h.Model,
			Choices: []oaChoice{}, Usage: newOAUsage(e.usage),
		}))
	}
}

// openAIDecoder reads chat completion chunks as real engines send them: usage in a chunk
// of its own, in the last one or in each; null contents; empty choices; finish reasons apart.
type openAIDecoder struct {
	choices map[int]*oaChoiceState
	started bool
	done    bool
}

type oaChoiceState struct {
	next  int // index of the next block
	open  int // index of the block that is open, -1 for none
	kind  infer.BlockKind
	tool  int // the engine's index of the open tool call
	ended bool
}

func newOpenAIDecoder() StreamDecoder { return &openAIDecoder{choices: map[int]*oaChoiceState{}} }

// Complete implements StreamDecoder.
func (d *openAIDecoder) Complete() bool { return d.done }

// Decode implements StreamDecoder.
func (d *openAIDecoder) Decode(_ string, payload []byte, events []infer.Event) ([]infer.Event, error) {
	if string(payload) == "[DONE]" {
		d.done = true
		return events, nil
	}
	var r oaResponse
	if err := decodeEngine(payload, &r); err != nil {
		return events, err
	}
	if r.Error != nil {
		return events, engineError(r.Error)
	}
	if !d.started {
		d.started = true
		events = append(events, infer.Event{Kind: infer.EventStart, Block: infer.Block{ToolID: r.ID, Text: r.Model}})
	}
	for i := range r.Choices {
		events = d.choice(&r.Choices[i], events)
	}
	if r.Usage != nil && (r.Usage.Prompt > 0 || r.Usage.Completion > 0) {
		events = append(events, infer.Event{Kind: infer.EventUsage, Usage: r.Usage.usage(), HasUsage: true})
	}
	return events, nil
}

func (d *openAIDecoder) choice(c *oaChoice, events []infer.Event) []infer.Event {
	st := d.choices[c.Index]
	if st == nil {
		st = &oaChoiceState{open: -1}
		d.choices[c.Index] = st
	}
	if c.Text != nil && *c.Text != "" {
		events = st.delta(c, infer.BlockText, infer.Block{}, *c.Text, events)
	}
	if a := c.Delta; a != nil {
		if t := a.thought(); t != "" {
			events = st.delta(c, infer.BlockThinking, infer.Block{}, t, events)
		}
		if a.Content != nil && *a.Content != "" {
			events = st.delta(c, infer.BlockText, infer.Block{}, *a.Content, events)
		}
		for i := range a.ToolCalls {
			events = st.toolCall(c, &a.ToolCalls[i], events)
		}
	}
	if c.FinishReason != nil && !st.ended {
		st.ended = true
		events = st.close(c.Index, events)
		events = append(events, infer.Event{Kind: infer.EventStop, Choice: c.Index, Stop: stopOf(c.FinishReason)})
	}
	return events
}

func (st *oaChoiceState) close(choice int, events []infer.Event) []infer.Event {
	if st.open < 0 {
		return events
	}
	events = append(events, infer.Event{Kind: infer.EventBlockStop, Choice: choice, Index: st.open})
	st.open = -1
	return events
}

func (st *oaChoiceState) start(choice int, b infer.Block, events []infer.Event) []infer.Event {
	events = st.close(choice, events)
	st.open, st.kind = st.next, b.Kind
	st.next++
	return append(events, infer.Event{Kind: infer.EventBlockStart, Choice: choice, Index: st.open, Block: b})
}

func (st *oaChoiceState) delta(c *oaChoice, kind infer.BlockKind, b infer.Block, text string, events []infer.Event) []infer.Event {
	if st.open < 0 || st.kind != kind {
		b.Kind = kind
		events = st.start(c.Index, b, events)
	}
	return append(events, infer.Event{
		Kind: infer.EventDelta, Choice: c.Index, Index: st.open, Delta: kind, Text: text, Tokens: 1, Logprobs: notNull(c.Logprobs),
	})
}

func (st *oaChoiceState) toolCall(c *oaChoice, t *oaToolCall, events []infer.Event) []infer.Event {
	index := 0
	if t.Index != nil {
		index = *t.Index
	}
	if st.open < 0 || st.kind != infer.BlockToolUse || st.tool != index || t.ID != "" && t.Function.Name != "" {
		events = st.start(c.Index, infer.Block{Kind: infer.BlockToolUse, ToolID: t.ID, ToolName: t.Function.Name}, events)
		st.tool = index
	}
	if t.Function.Arguments == "" {
		return events
	}
	return append(events, infer.Event{
		Kind: infer.EventDelta, Choice: c.Index, Index: st.open, Delta: infer.BlockToolUse, Text: t.Function.Arguments, Tokens: 1,
	})
}
