package dialect

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Reasoning of gpt-oss on Bedrock stands in these tags at the start of the content.
const (
	tagOpen  = "<reasoning>"
	tagClose = "</reasoning>"
)

// openAIEncoder writes chunks of chat completions and of the dialects close to them. Chunks
// are written into one buffer; nothing else is allocated for text.
type openAIEncoder struct {
	h       Head
	legacy  bool // text completions
	tags    bool // gpt-oss
	mistral bool // Mistral chat on Bedrock: message and stop_reason, and no envelope
	prefix  []byte
	buf     []byte
	usage   infer.Usage
	states  map[int]*oaOutState
}

type oaOutState struct {
	started bool
	tagged  bool        // an opened tag waits for its end
	calls   map[int]int // block -> index of its tool call
	stop    infer.StopReason
}

func newOpenAIEncoder(h Head) StreamEncoder { return openAIStream(h, false, false, false) }

func openAIStream(h Head, legacy, tags, mistral bool) *openAIEncoder {
	e := &openAIEncoder{h: h, legacy: legacy, tags: tags, mistral: mistral, states: map[int]*oaOutState{}}
	if mistral {
		e.prefix = []byte(`{"choices":[`)
		return e
	}
	id, object := "chatcmpl-", "chat.completion.chunk"
	if legacy {
		id, object = "cmpl-", "text_completion"
	}
	e.prefix = append(quote([]byte(`{"id":`), id+h.ID), `,"object":"`+object+`","created":`...)
	e.prefix = strconv.AppendInt(e.prefix, h.Created.Unix(), 10)
	e.prefix = quote(append(e.prefix, `,"model":`...), h.Model)
	if h.Tier != "" && !legacy {
		e.prefix = quote(append(e.prefix, `,"service_tier":`...), h.Tier)
	}
	e.prefix = append(e.prefix, `,"choices":[`...)
	return e
}

// quote appends s as a JSON string; what is no UTF-8 is replaced.
func quote(dst []byte, s string) []byte {
	out, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return out
}

func (e *openAIEncoder) state(choice int) *oaOutState {
	st := e.states[choice]
	if st == nil {
		st = &oaOutState{calls: map[int]int{}}
		e.states[choice] = st
	}
	return st
}

// open begins a chunk of one choice, to its delta; shut ends it.
func (e *openAIEncoder) open(choice int) {
	e.buf = append(append(e.buf[:0], e.prefix...), `{"index":`...)
	e.buf = strconv.AppendInt(e.buf, int64(choice), 10)
	switch {
	case e.legacy:
		e.buf = append(e.buf, `,"text":`...)
	case e.mistral:
		e.buf = append(e.buf, `,"message":`...)
	default:
		e.buf = append(e.buf, `,"delta":`...)
	}
}

func (e *openAIEncoder) shut(emit Emit, logprobs []byte, stop infer.StopReason) {
	reason := `,"finish_reason":`
	if e.mistral {
		reason = `,"stop_reason":`
	} else {
		e.buf = append(append(e.buf, `,"logprobs":`...), nullable(logprobs)...)
	}
	e.buf = append(e.buf, reason...)
	if stop == "" {
		e.buf = append(e.buf, `null}]`...)
	} else {
		e.buf = append(quote(e.buf, oaFinish(stop)), `}]`...)
	}
	if e.h.IncludeUsage && !e.mistral {
		e.buf = append(e.buf, `,"usage":null`...)
	}
	e.buf = append(e.buf, '}')
	emit("", e.buf)
}

func (e *openAIEncoder) text(emit Emit, ev *infer.Event, name, before, text string) {
	e.open(ev.Choice)
	if !e.legacy {
		e.buf = append(e.buf, '{')
		if e.mistral {
			e.buf = append(e.buf, `"role":"assistant",`...)
		}
		e.buf = append(e.buf, name...)
	}
	if before != "" {
		text = before + text
	}
	e.buf = quote(e.buf, text)
	if !e.legacy {
		e.buf = append(e.buf, '}')
	}
	e.shut(emit, ev.Logprobs, "")
}

// Encode implements StreamEncoder.
func (e *openAIEncoder) Encode(ev *infer.Event, emit Emit) error {
	if ev.HasUsage {
		e.usage = ev.Usage
	}
	if ev.Kind == infer.EventUsage {
		return nil
	}
	st := e.state(ev.Choice)
	if !st.started {
		st.started = true
		if !e.legacy && !e.mistral {
			e.open(ev.Choice)
			e.buf = append(e.buf, `{"role":"assistant","content":"","refusal":null}`...)
			e.shut(emit, nil, "")
		}
	}
	switch ev.Kind {
	case infer.EventBlockStart:
		if ev.Block.Kind == infer.BlockToolUse && !e.legacy {
			st.calls[ev.Index] = len(st.calls)
			e.call(emit, ev, st.calls[ev.Index], ev.Block.ToolID, ev.Block.ToolName)
		}
	case infer.EventDelta:
		e.delta(ev, st, emit)
	case infer.EventStop:
		st.stop = ev.Stop
		if st.stop == "" {
			st.stop = infer.StopEndTurn
		}
	}
	return nil
}

func (e *openAIEncoder) delta(ev *infer.Event, st *oaOutState, emit Emit) {
	switch ev.Delta {
	case infer.BlockText:
		before := ""
		if st.tagged {
			st.tagged, before = false, tagClose
		}
		e.text(emit, ev, `"content":`, before, ev.Text)
	case infer.BlockThinking:
		switch {
		case ev.Text == "" || e.legacy || e.mistral:
		case !e.tags:
			e.text(emit, ev, `"reasoning_content":`, "", ev.Text)
		case st.tagged:
			e.text(emit, ev, `"content":`, "", ev.Text)
		default:
			st.tagged = true
			e.text(emit, ev, `"content":`, tagOpen, ev.Text)
		}
	case infer.BlockToolUse:
		if e.legacy {
			return
		}
		i, ok := st.calls[ev.Index]
		if !ok {
			i = len(st.calls)
			st.calls[ev.Index] = i
		}
		e.call(emit, ev, i, "", "")
	}
}

// call writes the start of a tool call, or a fragment of its arguments.
func (e *openAIEncoder) call(emit Emit, ev *infer.Event, i int, id, name string) {
	before := ""
	if st := e.state(ev.Choice); st.tagged {
		st.tagged, before = false, tagClose
	}
	e.open(ev.Choice)
	e.buf = append(e.buf, '{')
	if before != "" {
		e.buf = append(quote(append(e.buf, `"content":`...), before), ',')
	}
	e.buf = strconv.AppendInt(append(e.buf, `"tool_calls":[{"index":`...), int64(i), 10)
	if ev.Kind == infer.EventBlockStart {
		e.buf = append(quote(append(e.buf, `,"id":`...), id), `,"type":"function"`...)
	}
	e.buf = append(e.buf, `,"function":{`...)
	if ev.Kind == infer.EventBlockStart {
		e.buf = append(quote(append(e.buf, `"name":`...), name), ',')
	}
	e.buf = append(quote(append(e.buf, `"arguments":`...), ev.Text), `}}]}`...)
	e.shut(emit, nil, "")
}

// Finish implements StreamEncoder.
func (e *openAIEncoder) Finish(emit Emit) {
	if len(e.states) == 0 {
		e.state(0)
	}
	for _, choice := range slices.Sorted(maps.Keys(e.states)) {
		st := e.states[choice]
		if st.stop == "" {
			st.stop = infer.StopEndTurn
		}
		e.open(choice)
		switch {
		case e.legacy:
			e.buf = append(e.buf, `""`...)
		case st.tagged:
			e.buf = append(quote(append(e.buf, `{"content":`...), tagClose), '}')
		case e.mistral:
			e.buf = append(e.buf, `{"role":"assistant","content":""}`...)
		default:
			e.buf = append(e.buf, `{}`...)
		}
		e.shut(emit, nil, st.stop)
	}
	if e.h.IncludeUsage && !e.mistral {
		e.buf = append(append(e.buf[:0], e.prefix...), `],"usage":`...)
		e.buf = append(append(e.buf, must(newOAUsage(e.usage))...), '}')
		emit("", e.buf)
	}
}

// openAIDecoder reads chat completion chunks as real engines send them: usage in a chunk
// of its own, in the last one or in each; null contents; empty choices; finish reasons apart.
type openAIDecoder struct {
	tags    bool
	mistral bool
	native  bool // a body of Bedrock's: the finish reason ends it, not a [DONE]
	choices map[int]*oaChoiceState
	started bool
	done    bool
}

type oaChoiceState struct {
	next  int // index of the next block
	open  int // index of the block that is open, -1 for none
	kind  infer.BlockKind
	tool  int    // the engine's index of the open tool call
	id    string // and its id
	calls int
	ended bool
	tag   tagReader
}

func newOpenAIDecoder() StreamDecoder { return &openAIDecoder{choices: map[int]*oaChoiceState{}} }

// Complete implements StreamDecoder.
func (d *openAIDecoder) Complete() bool { return d.done }

// Decode implements StreamDecoder.
func (d *openAIDecoder) Decode(_ string, payload []byte, events []infer.Event) ([]infer.Event, error) {
	if string(bytes.TrimSpace(payload)) == "[DONE]" {
		d.done = true
		return events, nil
	}
	var r engineAnswer
	if err := decodeEngine(payload, &r); err != nil {
		return events, err
	}
	if k := r.Error.Kind(); k == '{' || k == '"' {
		return events, engineError(r.Error)
	}
	if !d.started {
		d.started = true
		events = append(events, infer.Event{Kind: infer.EventStart, Block: infer.Block{ToolID: r.ID, Text: r.Model}})
	}
	for i := range r.Choices {
		events = d.choice(&r.Choices[i], events)
	}
	if u, ok := engineUsage(r.Usage); ok && u.Total() > 0 {
		events = append(events, infer.Event{Kind: infer.EventUsage, Usage: u, HasUsage: true})
	}
	return events, nil
}

func (d *openAIDecoder) choice(c *engineChoice, events []infer.Event) []infer.Event {
	st := d.choices[c.Index]
	if st == nil {
		st = &oaChoiceState{open: -1}
		st.tag.done = !d.tags
		d.choices[c.Index] = st
	}
	if c.Text != nil && *c.Text != "" {
		events = st.delta(c, infer.BlockText, *c.Text, events)
	}
	a := c.Delta
	if a == nil {
		a = c.Message
	}
	if a != nil {
		text, think := a.text()
		if think != "" {
			events = st.delta(c, infer.BlockThinking, think, events)
		}
		if text += deref(a.Refusal); text != "" {
			events = st.content(c, text, events)
		}
		for i := range a.ToolCalls {
			events = st.toolCall(c, &a.ToolCalls[i], events)
		}
	}
	if stop, text := c.stop(d.mistral); stop != "" && !st.ended {
		st.ended = true
		events = st.rest(c, events)
		events = st.close(c.Index, events)
		events = append(events, infer.Event{Kind: infer.EventStop, Choice: c.Index, Stop: stop, StopText: text})
		d.done = d.done || d.native
	}
	return events
}

// content gives out text, and what stands in reasoning tags as reasoning.
func (st *oaChoiceState) content(c *engineChoice, text string, events []infer.Event) []infer.Event {
	think, text := st.tag.read(text)
	if think != "" {
		events = st.delta(c, infer.BlockThinking, think, events)
	}
	if text != "" {
		events = st.delta(c, infer.BlockText, text, events)
	}
	return events
}

// rest gives out what was kept back as the possible start of a tag.
func (st *oaChoiceState) rest(c *engineChoice, events []infer.Event) []infer.Event {
	kind, text := st.tag.rest()
	if text == "" {
		return events
	}
	return st.delta(c, kind, text, events)
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

func (st *oaChoiceState) delta(c *engineChoice, kind infer.BlockKind, text string, events []infer.Event) []infer.Event {
	if st.open < 0 || st.kind != kind {
		events = st.start(c.Index, infer.Block{Kind: kind}, events)
	}
	return append(events, infer.Event{
		Kind: infer.EventDelta, Choice: c.Index, Index: st.open, Delta: kind, Text: text, Tokens: 1, Logprobs: notNull(c.Logprobs),
	})
}

// toolCall reads a fragment of a call. A new call has another index or, from engines that
// number all calls alike, another id; some repeat id and name in each fragment.
func (st *oaChoiceState) toolCall(c *engineChoice, t *engineCall, events []infer.Event) []infer.Event {
	events = st.rest(c, events)
	index := st.tool
	if t.Index != nil {
		index = *t.Index
	}
	fresh := st.open < 0 || st.kind != infer.BlockToolUse || index != st.tool || t.ID != "" && t.ID != st.id ||
		t.Index == nil && t.ID == "" && t.Function.Name != ""
	if fresh {
		id := callID(t.ID, st.calls)
		st.calls++
		events = st.start(c.Index, infer.Block{Kind: infer.BlockToolUse, ToolID: id, ToolName: t.Function.Name}, events)
		st.tool, st.id = index, t.ID
	}
	args := t.arguments()
	if args == "" {
		return events
	}
	return append(events, infer.Event{
		Kind: infer.EventDelta, Choice: c.Index, Index: st.open, Delta: infer.BlockToolUse, Text: args, Tokens: 1,
	})
}

// tagReader splits content into what stands in the reasoning tags and the rest, when the
// tags may be cut anywhere.
type tagReader struct {
	inside bool
	done   bool   // no tag can come any more
	kept   string // what may be the start of a tag
}

func (t *tagReader) read(s string) (think, text string) {
	if t.done {
		return "", s
	}
	s = t.kept + s
	t.kept = ""
	if !t.inside {
		rest, ok := strings.CutPrefix(s, tagOpen)
		if !ok {
			if strings.HasPrefix(tagOpen, s) {
				t.kept = s
				return "", ""
			}
			t.done = true
			return "", s
		}
		t.inside, s = true, rest
	}
	if think, text, ok := strings.Cut(s, tagClose); ok {
		t.inside, t.done = false, true
		return think, text
	}
	for n := min(len(tagClose)-1, len(s)); n > 0; n-- {
		if strings.HasSuffix(s, tagClose[:n]) {
			t.kept = s[len(s)-n:]
			return s[:len(s)-n], ""
		}
	}
	return s, ""
}

func (t *tagReader) rest() (infer.BlockKind, string) {
	kept := t.kept
	t.kept = ""
	if t.inside {
		return infer.BlockThinking, kept
	}
	t.done = true
	return infer.BlockText, kept
}
