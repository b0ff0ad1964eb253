package dialect

import (
	"bytes"
	"encoding/base64"
	"time"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// encodeConverse returns the function that writes a chat for Converse, or for Nova.
func encodeConverse(nova bool) func(*infer.Chat, EncodeOptions) ([]byte, []string, error) {
	d := infer.DialectConverse
	if nova {
		d = infer.DialectNova
	}
	return func(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
		w := writer{d: d}
		r := ConverseRequest{Messages: []cvMessage{}, System: encodeConverseBlocks(c.System)}
		if nova {
			r.SchemaVersion = "messages-v1"
		}
		in := cvInference{MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, Stop: c.Stop}
		if nova {
			in.TopK = c.TopK
		} else if c.TopK != nil {
			w.drop("top_k")
		}
		r.Inference = &in
		switch {
		case c.N != nil && *c.N > 1:
			return nil, nil, unsupported("n", d)
		case c.Logprobs != nil && *c.Logprobs:
			return nil, nil, unsupported("logprobs", d)
		case c.ResponseFormat != nil && c.ResponseFormat.Type != "text":
			return nil, nil, unsupported("response_format", d)
		}
		if c.Seed != nil {
			w.drop("seed")
		}
		if c.FrequencyPenalty != nil || c.PresencePenalty != nil {
			w.drop("penalties")
		}
		if len(c.Extra) > 0 && !nova {
			r.Additional = map[string]jsontext.Value{}
			for k, v := range c.Extra {
				r.Additional[k] = v
			}
		}
		encodeConverseTools(&r, c)
		if c.Prompt != nil {
			r.Messages = append(r.Messages, cvMessage{Role: "user", Content: []cvBlock{{Text: c.Prompt}}})
		}
		for _, m := range c.Messages {
			r.Messages = append(r.Messages, cvMessage{Role: string(m.Role), Content: encodeConverseBlocks(m.Content)})
		}
		b, err := marshal(&r)
		return b, w.dropped, err
	}
}

func encodeConverseTools(r *ConverseRequest, c *infer.Chat) {
	if len(c.Tools) == 0 || c.ToolChoice.Mode == "none" {
		return
	}
	r.ToolConfig = &cvToolConfig{}
	for _, t := range c.Tools {
		ct := cvTool{}
		ct.Spec = &struct {
			Name        string `json:"name"`
			Description string `json:"description,omitzero"`
			InputSchema struct {
				JSON jsontext.Value `json:"json,omitzero"`
			} `json:"inputSchema"`
			Strict *bool `json:"strict,omitzero"`
		}{Name: t.Name, Description: t.Description}
		ct.Spec.InputSchema.JSON = t.Schema
		if len(t.Schema) == 0 {
			ct.Spec.InputSchema.JSON = jsontext.Value(`{"type":"object","properties":{}}`)
		}
		r.ToolConfig.Tools = append(r.ToolConfig.Tools, ct)
	}
	if c.ToolChoice.Mode == "" {
		return
	}
	r.ToolConfig.ToolChoice = &struct {
		Auto *struct{} `json:"auto,omitzero"`
		Any  *struct{} `json:"any,omitzero"`
		Tool *struct {
			Name string `json:"name"`
		} `json:"tool,omitzero"`
	}{}
	switch c.ToolChoice.Mode {
	case "any":
		r.ToolConfig.ToolChoice.Any = &struct{}{}
	case "tool":
		r.ToolConfig.ToolChoice.Tool = &struct {
			Name string `json:"name"`
		}{c.ToolChoice.Name}
	default:
		r.ToolConfig.ToolChoice.Auto = &struct{}{}
	}
}

func encodeConverseBlocks(blocks []infer.Block) []cvBlock {
	var out []cvBlock
	for _, b := range blocks {
		switch b.Kind {
		case infer.BlockText:
			out = append(out, cvBlock{Text: &b.Text})
		case infer.BlockImage:
			out = append(out, cvBlock{Image: encodeConverseMedia(b.Media)})
		case infer.BlockDocument:
			out = append(out, cvBlock{Document: encodeConverseMedia(b.Media)})
		case infer.BlockVideo:
			out = append(out, cvBlock{Video: encodeConverseMedia(b.Media)})
		case infer.BlockToolUse:
			out = append(out, cvBlock{ToolUse: &cvToolUse{ID: b.ToolID, Name: b.ToolName, Input: b.ToolInput}})
		case infer.BlockToolResult:
			tr := &cvToolResult{ID: b.ToolID, Content: encodeConverseBlocks(b.Content)}
			if tr.Content == nil {
				tr.Content = []cvBlock{}
			}
			if b.ToolError {
				tr.Status = "error"
			}
			out = append(out, cvBlock{ToolResult: tr})
		case infer.BlockThinking:
			r := &cvReasoning{}
			r.Text = &struct {
				Text      string `json:"text"`
				Signature string `json:"signature,omitzero"`
			}{b.Text, b.Signature}
			out = append(out, cvBlock{Reasoning: r})
		case infer.BlockRedacted:
			out = append(out, cvBlock{Reasoning: &cvReasoning{Redacted: string(b.Data)}})
		case infer.BlockCachePoint:
			out = append(out, cvBlock{CachePoint: &cvCachePoint{Type: "default", TTL: b.CacheTTL}})
		}
	}
	return out
}

func encodeConverseMedia(m infer.Media) *cvMedia {
	out := &cvMedia{Format: m.Format, Name: m.Name}
	if m.Data != nil {
		s := base64.StdEncoding.EncodeToString(m.Data)
		out.Source.Bytes = &s
	} else {
		out.Source.S3 = &struct {
			URI string `json:"uri"`
		}{m.URI}
	}
	return out
}

type cvUsage struct {
	Input      int64  `json:"inputTokens"`
	Output     int64  `json:"outputTokens"`
	Total      int64  `json:"totalTokens"`
	CacheRead  *int64 `json:"cacheReadInputTokens,omitzero"`
	CacheWrite *int64 `json:"cacheWriteInputTokens,omitzero"`
}

func newCvUsage(u infer.Usage) *cvUsage {
	out := &cvUsage{Input: u.Input, Output: u.Output, Total: u.Total()}
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		out.CacheRead, out.CacheWrite = &u.CacheRead, &u.CacheWrite
	}
	return out
}

func (u *cvUsage) usage() infer.Usage {
	out := infer.Usage{Input: u.Input, Output: u.Output}
	if u.CacheRead != nil {
		out.CacheRead = *u.CacheRead
	}
	if u.CacheWrite != nil {
		out.CacheWrite = *u.CacheWrite
	}
	return out
}

type cvMetrics struct {
	LatencyMs int64 `json:"latencyMs"`
}

type cvResponse struct {
	Metrics *cvMetrics `json:"metrics,omitzero"`
	Output  struct {
		Message cvMessage `json:"message"`
	} `json:"output"`
	StopReason string   `json:"stopReason"`
	Usage      *cvUsage `json:"usage,omitzero"`
}

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

func latency(h Head) *cvMetrics { return &cvMetrics{LatencyMs: time.Since(h.Created).Milliseconds()} }

func encodeConverseResult(h Head, res *infer.Result) ([]byte, error) {
	out := cvResponse{Usage: newCvUsage(res.Usage), Metrics: latency(h), StopReason: string(infer.StopEndTurn)}
	out.Output.Message = cvMessage{Role: "assistant", Content: []cvBlock{}}
	if len(res.Choices) > 0 {
		c := res.Choices[0]
		if blocks := encodeConverseBlocks(c.Content); blocks != nil {
			out.Output.Message.Content = blocks
		}
		out.StopReason = cvStop(c.Stop)
	}
	return marshal(&out)
}

func decodeConverseResult(body []byte) (*infer.Result, error) {
	var r cvResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	res := &infer.Result{}
	if r.Usage != nil {
		res.Usage = r.Usage.usage()
	}
	c := infer.Choice{Stop: infer.StopReason(r.StopReason)}
	var bad faults
	for _, b := range r.Output.Message.Content {
		if blk, err := decodeConverseBlock("content", b, &bad); err == nil {
			c.Content = append(c.Content, blk)
		}
	}
	res.Choices = []infer.Choice{c}
	return res, nil
}

type cvEvent struct {
	MessageStart *struct {
		Role string `json:"role"`
	} `json:"messageStart,omitzero"`
	BlockStart *cvBlockStart `json:"contentBlockStart,omitzero"`
	Delta      *cvBlockDelta `json:"contentBlockDelta,omitzero"`
	BlockStop  *cvIndex      `json:"contentBlockStop,omitzero"`
	Stop       *cvStopEvent  `json:"messageStop,omitzero"`
	Metadata   *cvMetadata   `json:"metadata,omitzero"`
}

type cvIndex struct {
	Index int `json:"contentBlockIndex"`
}

type cvStopEvent struct {
	StopReason string `json:"stopReason"`
}

type cvBlockStart struct {
	Start struct {
		ToolUse *struct {
			ID   string `json:"toolUseId"`
			Name string `json:"name"`
		} `json:"toolUse,omitzero"`
	} `json:"start"`
	Index int `json:"contentBlockIndex"`
}

type cvBlockDelta struct {
	Delta struct {
		Text    *string `json:"text,omitzero"`
		ToolUse *struct {
			Input string `json:"input"`
		} `json:"toolUse,omitzero"`
		Reasoning *cvReasoningDelta `json:"reasoningContent,omitzero"`
	} `json:"delta"`
	Index int `json:"contentBlockIndex"`
}

type cvReasoningDelta struct {
	Text      *string `json:"text,omitzero"`
	Signature *string `json:"signature,omitzero"`
	Redacted  string  `json:"redactedContent,omitzero"`
}

type cvMetadata struct {
	Usage   *cvUsage   `json:"usage"`
	Metrics *cvMetrics `json:"metrics"`
}

// converseEncoder writes the members of ConverseStream, or for Nova the same wrapped in
// an object with the member's name.
type converseEncoder struct {
	h       Head
	wrap    bool
	started bool
	open    map[int]bool
	usage   infer.Usage
	stop    infer.StopReason
	// Nova's own stream gives every piece of text a block of its own, without a start; next
	// numbers them, and place remembers the number of a tool's block.
	next  int
	place map[int]int
}

func newConverseEncoder(h Head, wrap bool) StreamEncoder {
	return &converseEncoder{h: h, wrap: wrap, open: map[int]bool{}, place: map[int]int{}}
}

func (e *converseEncoder) put(emit Emit, name string, v any) {
	b := must(v)
	if e.wrap {
		b = append(append([]byte(`{"`+name+`":`), b...), '}')
	}
	emit(name, b)
}

func (e *converseEncoder) start(emit Emit) {
	if !e.started {
		e.started = true
		e.put(emit, "messageStart", map[string]string{"role": "assistant"})
	}
}

// Encode implements StreamEncoder.
func (e *converseEncoder) Encode(ev *infer.Event, emit Emit) error {
	if ev.HasUsage {
		e.usage = ev.Usage
	}
	if ev.Choice > 0 {
		return nil
	}
	if ev.Kind != infer.EventUsage {
		e.start(emit)
	}
	if e.wrap && e.novaText(ev, emit) {
		return nil
	}
	switch ev.Kind {
	case infer.EventBlockStart:
		e.open[ev.Index] = true
		if ev.Block.Kind == infer.BlockToolUse {
			s := cvBlockStart{Index: ev.Index}
			s.Start.ToolUse = &struct {
				ID   string `json:"toolUseId"`
				Name string `json:"name"`
			}{ev.Block.ToolID, ev.Block.ToolName}
			e.put(emit, "contentBlockStart", &s)
		}
	case infer.EventDelta:
		e.delta(ev, emit)
	case infer.EventBlockStop:
		delete(e.open, ev.Index)
		e.put(emit, "contentBlockStop", cvIndex{ev.Index})
	case infer.EventStop:
		e.stop = ev.Stop
	}
	return nil
}

// novaText handles text blocks as Nova's own stream has them, and renumbers the others. It
// reports whether the event is done with.
func (e *converseEncoder) novaText(ev *infer.Event, emit Emit) bool {
	switch {
	case ev.Kind == infer.EventBlockStart && ev.Block.Kind == infer.BlockText:
		return true
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockText:
		d := cvBlockDelta{Index: e.next}
		d.Delta.Text = &ev.Text
		e.put(emit, "contentBlockDelta", &d)
		e.put(emit, "contentBlockStop", cvIndex{e.next})
		e.next++
		return true
	case ev.Kind == infer.EventBlockStart:
		e.place[ev.Index] = e.next
		e.next++
		ev.Index = e.place[ev.Index]
	case ev.Kind == infer.EventDelta:
		ev.Index = e.place[ev.Index]
	case ev.Kind == infer.EventBlockStop:
		n, other := e.place[ev.Index]
		ev.Index = n
		return !other // the text's blocks have ended with their text
	}
	return false
}

func (e *converseEncoder) delta(ev *infer.Event, emit Emit) {
	e.open[ev.Index] = true
	d := cvBlockDelta{Index: ev.Index}
	switch ev.Delta {
	case infer.BlockText:
		d.Delta.Text = &ev.Text
	case infer.BlockToolUse:
		d.Delta.ToolUse = &struct {
			Input string `json:"input"`
		}{ev.Text}
	case infer.BlockThinking:
		d.Delta.Reasoning = &cvReasoningDelta{}
		if ev.Signature != "" {
			d.Delta.Reasoning.Signature = &ev.Signature
		} else {
			d.Delta.Reasoning.Text = &ev.Text
		}
	default:
		return
	}
	e.put(emit, "contentBlockDelta", &d)
}

// Finish implements StreamEncoder.
func (e *converseEncoder) Finish(emit Emit) {
	e.start(emit)
	for i := range 64 {
		if e.open[i] {
			e.put(emit, "contentBlockStop", cvIndex{i})
		}
	}
	e.put(emit, "messageStop", cvStopEvent{cvStop(e.stop)})
	e.put(emit, "metadata", &cvMetadata{Usage: newCvUsage(e.usage), Metrics: latency(e.h)})
}

// converseDecoder reads ConverseStream members (by name) and Nova's wrapped chunks.
type converseDecoder struct {
	open map[int]bool
	done bool
}

func newConverseDecoder() StreamDecoder { return &converseDecoder{open: map[int]bool{}} }

// Complete implements StreamDecoder.
func (d *converseDecoder) Complete() bool { return d.done }

// Decode implements StreamDecoder.
func (d *converseDecoder) Decode(name string, payload []byte, events []infer.Event) ([]infer.Event, error) {
	if name != "" && name != "chunk" && !bytes.HasPrefix(payload, []byte(`{"`+name+`":`)) {
		payload = append(append([]byte(`{"`+name+`":`), payload...), '}')
	}
	var r cvEvent
	if err := decodeEngine(payload, &r); err != nil {
		return events, err
	}
	switch {
	case r.MessageStart != nil:
		events = append(events, infer.Event{Kind: infer.EventStart})
	case r.BlockStart != nil:
		b := infer.Block{}
		if t := r.BlockStart.Start.ToolUse; t != nil {
			b = infer.Block{Kind: infer.BlockToolUse, ToolID: t.ID, ToolName: t.Name}
		}
		d.open[r.BlockStart.Index] = true
		events = append(events, infer.Event{Kind: infer.EventBlockStart, Index: r.BlockStart.Index, Block: b})
	case r.Delta != nil:
		events = d.delta(r.Delta, events)
	case r.BlockStop != nil:
		events = append(events, infer.Event{Kind: infer.EventBlockStop, Index: r.BlockStop.Index})
	case r.Stop != nil:
		d.done = true
		events = append(events, infer.Event{Kind: infer.EventStop, Stop: infer.StopReason(r.Stop.StopReason)})
	case r.Metadata != nil && r.Metadata.Usage != nil:
		events = append(events, infer.Event{Kind: infer.EventUsage, Usage: r.Metadata.Usage.usage(), HasUsage: true})
	}
	return events, nil
}

func (d *converseDecoder) delta(r *cvBlockDelta, events []infer.Event) []infer.Event {
	ev := infer.Event{Kind: infer.EventDelta, Index: r.Index, Tokens: 1}
	switch {
	case r.Delta.Text != nil:
		ev.Delta, ev.Text = infer.BlockText, *r.Delta.Text
	case r.Delta.ToolUse != nil:
		ev.Delta, ev.Text = infer.BlockToolUse, r.Delta.ToolUse.Input
	case r.Delta.Reasoning != nil:
		ev.Delta, ev.Text, ev.Signature = infer.BlockThinking, deref(r.Delta.Reasoning.Text), deref(r.Delta.Reasoning.Signature)
	default:
		return events
	}
	if !d.open[r.Index] {
		d.open[r.Index] = true
		events = append(events, infer.Event{Kind: infer.EventBlockStart, Index: r.Index, Block: infer.Block{Kind: ev.Delta}})
	}
	return append(events, ev)
}
