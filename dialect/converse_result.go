package dialect

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// cvUsage is the usage of Converse, and of Nova, which has the longer names of the cache
// counts and always says them. Converse says them by both names when there is a cache.
type cvUsage struct {
	Input           int64  `json:"inputTokens"`
	Output          int64  `json:"outputTokens"`
	Total           *int64 `json:"totalTokens,omitzero"`
	CacheRead       *int64 `json:"cacheReadInputTokens,omitzero"`
	CacheWrite      *int64 `json:"cacheWriteInputTokens,omitzero"`
	CacheReadCount  *int64 `json:"cacheReadInputTokenCount,omitzero"`
	CacheWriteCount *int64 `json:"cacheWriteInputTokenCount,omitzero"`
}

func newCvUsage(u infer.Usage, nova bool) *cvUsage {
	total := u.Total()
	out := &cvUsage{Input: u.Input, Output: u.Output, Total: &total}
	cached := u.CacheRead > 0 || u.CacheWrite > 0
	if cached && !nova {
		out.CacheRead, out.CacheWrite = &u.CacheRead, &u.CacheWrite
	}
	if cached || nova {
		out.CacheReadCount, out.CacheWriteCount = &u.CacheRead, &u.CacheWrite
	}
	return out
}

type cvMetrics struct {
	LatencyMs *int64 `json:"latencyMs,omitzero"`
}

type cvResponse struct {
	Metrics    *cvMetrics `json:"metrics,omitzero"`
	Output     cvOutput   `json:"output"`
	StopReason string     `json:"stopReason"`
	Usage      *cvUsage   `json:"usage,omitzero"`
	Tier       *cvType    `json:"serviceTier,omitzero"`

	Performance *cvPerformance `json:"performanceConfig,omitzero"`

	Fields jsontext.Value `json:"additionalModelResponseFields,omitzero"`
}

type cvOutput struct {
	Message cvMessage `json:"message"`
}

// cvStop names a stop reason as the service does; it has no refusal.
func cvStop(s infer.StopReason) string {
	switch s {
	case "":
		return string(infer.StopEndTurn)
	case infer.StopRefusal:
		return string(infer.StopFiltered)
	default:
		return string(s)
	}
}

// stopOfConverse reads a stop reason; one that is newer than this code ends the turn.
func stopOfConverse(s string) infer.StopReason {
	switch r := infer.StopReason(s); r {
	case "", infer.StopToolUse, infer.StopMaxTokens, infer.StopSequence, infer.StopGuardrail, infer.StopFiltered,
		infer.StopContextWindow, infer.StopMalformedTools:
		return r
	default:
		return infer.StopEndTurn
	}
}

func cvTier(h Head) *cvType {
	if h.Tier == "" {
		return nil
	}
	return &cvType{h.Tier}
}

func cvPerformed(h Head) *cvPerformance {
	if h.Latency == "" {
		return nil
	}
	return &cvPerformance{h.Latency}
}

// ConversePerformance reads the performance configuration out of an answer of Converse; "" where it says none.
func ConversePerformance(body []byte) string {
	var r struct {
		Performance cvPerformance `json:"performanceConfig"`
	}
	if decodeEngine(body, &r) != nil {
		return ""
	}
	return r.Performance.Latency
}

func latency(h Head) *cvMetrics {
	ms := time.Since(h.Created).Milliseconds()
	return &cvMetrics{LatencyMs: &ms}
}

func encodeConverseResult(h Head, res *infer.Result) ([]byte, error) {
	return converseBody(h, res, infer.DialectConverse, latency(h))
}

func encodeNovaResult(_ Head, res *infer.Result) ([]byte, error) {
	return converseBody(Head{}, res, infer.DialectNova, nil)
}

// fieldStopSequence is the one member of a model's own answer that every engine's answer can be
// asked for: the stop sequence that matched.
const fieldStopSequence = "/stop_sequence"

// responseFields are the members that were asked for: as the engine gave them, or the stop
// sequence if there was one; nil for none.
func responseFields(asked []string, given []byte, stop infer.StopReason, text string) jsontext.Value {
	switch {
	case len(given) > 0:
		return given
	case stop == infer.StopSequence && slices.Contains(asked, fieldStopSequence):
		return must(map[string]string{"stop_sequence": text})
	default:
		return nil
	}
}

func converseBody(h Head, res *infer.Result, d infer.Dialect, m *cvMetrics) ([]byte, error) {
	out := cvResponse{Usage: newCvUsage(res.Usage, d == infer.DialectNova), Metrics: m, StopReason: cvStop(""), Tier: cvTier(h), Performance: cvPerformed(h)}
	out.Output.Message = cvMessage{Role: "assistant", Content: []cvBlock{}}
	if len(res.Choices) > 0 {
		c := res.Choices[0]
		w := writer{d: d, answer: true}
		blocks, err := w.converseBlocks(c.Content)
		if err != nil {
			return nil, err
		}
		out.Output.Message.Content = append(out.Output.Message.Content, blocks...)
		out.StopReason = cvStop(c.Stop)
		out.Fields = responseFields(h.Fields, res.Fields, c.Stop, c.StopText)
	}
	return marshal(&out)
}

func decodeConverseResult(body []byte) (*infer.Result, error) {
	var r struct {
		Output     cvOutput       `json:"output"`
		StopReason string         `json:"stopReason"`
		Usage      jsontext.Value `json:"usage"`
		Fields     jsontext.Value `json:"additionalModelResponseFields"`
	}
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	res := &infer.Result{Usage: resultUsage(r.Usage), Fields: notNull(r.Fields)}
	c := infer.Choice{Stop: stopOfConverse(r.StopReason)}
	for _, b := range r.Output.Message.Content {
		// a kind of block newer than this code is passed over: nothing of a caller's depends on it
		if blk, err := decodeConverseBlock("content", b); err == nil && !emptyReasoning(b) {
			c.Content = append(c.Content, blk)
		}
	}
	res.Choices = []infer.Choice{c}
	return res, nil
}

func emptyReasoning(b cvBlock) bool {
	return b.Reasoning != nil && b.Reasoning.Text == nil && b.Reasoning.Redacted == ""
}

// The members of a ConverseStream event.
type (
	cvIndex struct {
		Index int `json:"contentBlockIndex"`
	}
	cvRole struct {
		Role string `json:"role"`
	}
	cvStopEvent struct {
		StopReason string         `json:"stopReason"`
		Fields     jsontext.Value `json:"additionalModelResponseFields,omitzero"`
	}
	cvBlockStart struct {
		Start cvStart `json:"start"`
		Index int     `json:"contentBlockIndex"`
	}
	cvStart struct {
		ToolUse *cvToolStart `json:"toolUse,omitzero"`
	}
	cvToolStart struct {
		ID   string `json:"toolUseId"`
		Name string `json:"name"`
	}
	cvBlockDelta struct {
		Delta cvDelta `json:"delta"`
		Index int     `json:"contentBlockIndex"`
	}
	cvDelta struct {
		Text      *string           `json:"text,omitzero"`
		ToolUse   *cvToolDelta      `json:"toolUse,omitzero"`
		Reasoning *cvReasoningDelta `json:"reasoningContent,omitzero"`
		Citation  *cvCitation       `json:"citation,omitzero"`
	}
	cvToolDelta struct {
		Input string `json:"input"`
	}
	cvReasoningDelta struct {
		Text      *string `json:"text,omitzero"`
		Signature *string `json:"signature,omitzero"`
		Redacted  string  `json:"redactedContent,omitzero"`
	}
	cvMetadata struct {
		Usage   *cvUsage   `json:"usage"`
		Metrics *cvMetrics `json:"metrics"`
		Trace   *struct{}  `json:"trace,omitzero"` // Nova's, always empty
		Tier    *cvType    `json:"serviceTier,omitzero"`

		Performance *cvPerformance `json:"performanceConfig,omitzero"`
	}
)

// converseEncoder writes the members of ConverseStream, or for Nova the same wrapped in an
// object with the member's name. Nova's own stream gives every piece of text a block of
// its own; the blocks are numbered anew for that.
type converseEncoder struct {
	h       Head
	nova    bool
	started bool
	next    int         // Nova: the next block's number
	open    map[int]int // blocks that have begun and not ended, with their number
	usage   infer.Usage
	stop    infer.StopReason
	fields  jsontext.Value
}

func newConverseEncoder(h Head, nova bool) StreamEncoder {
	return &converseEncoder{h: h, nova: nova, open: map[int]int{}}
}

func (e *converseEncoder) put(emit Emit, name string, v any) {
	b := must(v)
	if e.nova {
		b = slices.Concat([]byte(`{"`+name+`":`), b, []byte{'}'})
	}
	emit(name, b)
}

func (e *converseEncoder) start(emit Emit) {
	if !e.started {
		e.started = true
		e.put(emit, "messageStart", cvRole{"assistant"})
	}
}

// number returns the number of the block that an event belongs to.
func (e *converseEncoder) number(index int) int {
	n, ok := e.open[index]
	if !ok {
		n = index
		if e.nova {
			n = e.next
			e.next++
		}
		e.open[index] = n
	}
	return n
}

// Encode implements StreamEncoder.
func (e *converseEncoder) Encode(ev *infer.Event, emit Emit) error {
	if ev.HasUsage {
		e.usage = ev.Usage
	}
	if ev.Choice > 0 || ev.Kind == infer.EventUsage {
		return nil
	}
	e.start(emit)
	switch ev.Kind {
	case infer.EventBlockStart:
		switch {
		case e.nova && ev.Block.Kind == infer.BlockText:
		case ev.Block.Kind == infer.BlockToolUse:
			e.put(emit, "contentBlockStart", &cvBlockStart{cvStart{&cvToolStart{ev.Block.ToolID, ev.Block.ToolName}}, e.number(ev.Index)})
		case ev.Block.Kind == infer.BlockRedacted:
			e.put(emit, "contentBlockDelta", &cvBlockDelta{cvDelta{Reasoning: &cvReasoningDelta{Redacted: string(ev.Block.Data)}}, e.number(ev.Index)})
		default:
			e.number(ev.Index)
		}
	case infer.EventDelta:
		e.delta(ev, emit)
	case infer.EventBlockStop:
		if n, ok := e.open[ev.Index]; ok {
			delete(e.open, ev.Index)
			e.put(emit, "contentBlockStop", cvIndex{n})
		}
	case infer.EventStop:
		e.stop = ev.Stop
		e.fields = bytes.Clone(responseFields(e.h.Fields, ev.Fields, ev.Stop, ev.StopText))
	}
	return nil
}

func (e *converseEncoder) delta(ev *infer.Event, emit Emit) {
	var d cvDelta
	switch ev.Delta {
	case infer.BlockText:
		if d.Text = &ev.Text; ev.Citation != nil {
			d = cvDelta{Citation: newCvCitation(ev.Citation)}
		}
	case infer.BlockToolUse:
		d.ToolUse = &cvToolDelta{ev.Text}
	case infer.BlockThinking:
		if ev.Text != "" {
			e.put(emit, "contentBlockDelta", &cvBlockDelta{cvDelta{Reasoning: &cvReasoningDelta{Text: &ev.Text}}, e.number(ev.Index)})
		}
		if ev.Signature == "" {
			return
		}
		d.Reasoning = &cvReasoningDelta{Signature: &ev.Signature}
	default:
		return
	}
	n := e.number(ev.Index)
	e.put(emit, "contentBlockDelta", &cvBlockDelta{d, n})
	if e.nova && ev.Delta == infer.BlockText {
		delete(e.open, ev.Index)
		e.put(emit, "contentBlockStop", cvIndex{n})
	}
}

// Finish implements StreamEncoder.
func (e *converseEncoder) Finish(emit Emit) {
	e.start(emit)
	for _, i := range slices.Sorted(maps.Keys(e.open)) {
		e.put(emit, "contentBlockStop", cvIndex{e.open[i]})
	}
	e.put(emit, "messageStop", cvStopEvent{cvStop(e.stop), e.fields})
	m := &cvMetadata{Usage: newCvUsage(e.usage, e.nova), Metrics: latency(e.h), Tier: cvTier(e.h), Performance: cvPerformed(e.h)}
	if e.nova {
		m.Usage.Total, m.Metrics, m.Trace, m.Performance = nil, &cvMetrics{}, &struct{}{}, nil
	}
	e.put(emit, "metadata", m)
}

// converseDecoder reads ConverseStream members (by name) and Nova's wrapped chunks. Pieces
// of text that come as blocks of their own become one block.
type converseDecoder struct {
	next int // index of the next block
	open int // the engine's index of the open block, -1 for none
	kind infer.BlockKind
	shut bool // the engine has ended the open block, which is text
	done bool
}

func newConverseDecoder() StreamDecoder { return &converseDecoder{open: -1} }

// Complete implements StreamDecoder.
func (d *converseDecoder) Complete() bool { return d.done }

type cvEvent struct {
	MessageStart jsontext.Value `json:"messageStart"`
	BlockStart   *cvBlockStart  `json:"contentBlockStart"`
	Delta        *cvBlockDelta  `json:"contentBlockDelta"`
	BlockStop    *cvIndex       `json:"contentBlockStop"`
	Stop         *cvStopEvent   `json:"messageStop"`
	Metadata     *struct {
		Usage jsontext.Value `json:"usage"`
	} `json:"metadata"`
}

// Decode implements StreamDecoder.
func (d *converseDecoder) Decode(name string, payload []byte, events []infer.Event) ([]infer.Event, error) {
	if name != "" && name != "chunk" && !bytes.HasPrefix(payload, []byte(`{"`+name+`":`)) {
		payload = slices.Concat(append(quote([]byte{'{'}, name), ':'), payload, []byte{'}'})
	}
	var r cvEvent
	if err := decodeEngine(payload, &r); err != nil {
		return events, err
	}
	switch {
	case len(r.MessageStart) > 0:
		events = append(events, infer.Event{Kind: infer.EventStart})
	case r.BlockStart != nil:
		b := infer.Block{}
		if t := r.BlockStart.Start.ToolUse; t != nil {
			b = infer.Block{Kind: infer.BlockToolUse, ToolID: t.ID, ToolName: t.Name}
		}
		events = d.start(r.BlockStart.Index, b, events)
	case r.Delta != nil:
		events = d.delta(r.Delta, events)
	case r.BlockStop != nil:
		if d.shut = true; d.kind != infer.BlockText {
			events = d.close(events)
		}
	case r.Stop != nil:
		d.done = true
		events = append(d.close(events), infer.Event{Kind: infer.EventStop, Stop: stopOfConverse(r.Stop.StopReason), Fields: notNull(r.Stop.Fields)})
	case r.Metadata != nil:
		if u, ok := engineUsage(r.Metadata.Usage); ok {
			events = append(events, infer.Event{Kind: infer.EventUsage, Usage: u, HasUsage: true})
		}
	}
	return events, nil
}

func (d *converseDecoder) close(events []infer.Event) []infer.Event {
	if d.open < 0 {
		return events
	}
	d.open, d.shut = -1, false
	d.next++
	return append(events, infer.Event{Kind: infer.EventBlockStop, Index: d.next - 1})
}

func (d *converseDecoder) start(index int, b infer.Block, events []infer.Event) []infer.Event {
	events = d.close(events)
	d.open, d.kind = max(index, 0), b.Kind
	return append(events, infer.Event{Kind: infer.EventBlockStart, Index: d.next, Block: b})
}

func (d *converseDecoder) delta(r *cvBlockDelta, events []infer.Event) []infer.Event {
	ev := infer.Event{Kind: infer.EventDelta, Tokens: 1}
	b := infer.Block{}
	switch x := r.Delta; {
	case x.Text != nil:
		ev.Text = *x.Text
	case x.Citation != nil:
		ev.Citation, ev.Tokens = x.Citation.citation(), 0
	case x.ToolUse != nil:
		ev.Delta, ev.Text = infer.BlockToolUse, x.ToolUse.Input
	case x.Reasoning != nil && x.Reasoning.Redacted != "":
		return d.start(r.Index, infer.Block{Kind: infer.BlockRedacted, Data: []byte(x.Reasoning.Redacted)}, events)
	case x.Reasoning != nil:
		ev.Delta, ev.Text, ev.Signature = infer.BlockThinking, deref(x.Reasoning.Text), deref(x.Reasoning.Signature)
	default:
		return events
	}
	b.Kind = ev.Delta
	joins := d.shut && d.kind == infer.BlockText && ev.Delta == infer.BlockText
	if d.open < 0 || !joins && (d.shut || r.Index != d.open) {
		events = d.start(r.Index, b, events)
	}
	d.open, d.shut = max(r.Index, 0), false
	ev.Index = d.next
	return append(events, ev)
}
