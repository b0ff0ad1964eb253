package invocationlog

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The answer that a stream of Converse makes up, in the form of Converse's.
type (
	converse struct {
		Output struct {
			Message struct {
				Role    string           `json:"role"`
				Content []map[string]any `json:"content"`
			} `json:"message"`
		} `json:"output"`
		StopReason string         `json:"stopReason,omitzero"`
		Additional jsontext.Value `json:"additionalModelResponseFields,omitempty"`
		Metrics    jsontext.Value `json:"metrics,omitempty"`
		Usage      jsontext.Value `json:"usage,omitempty"`
	}

	// streamed is any event of the stream.
	streamed struct {
		Role  string `json:"role"`
		Index int    `json:"contentBlockIndex"`
		Start struct {
			ToolUse map[string]any `json:"toolUse"`
		} `json:"start"`
		Delta struct {
			Text    *string `json:"text"`
			ToolUse *struct {
				Input string `json:"input"`
			} `json:"toolUse"`
			Reasoning *struct {
				Text      string `json:"text"`
				Signature string `json:"signature"`
				Redacted  []byte `json:"redactedContent"`
			} `json:"reasoningContent"`
		} `json:"delta"`
		StopReason string         `json:"stopReason"`
		Additional jsontext.Value `json:"additionalModelResponseFields"`
		Metrics    jsontext.Value `json:"metrics"`
		Usage      jsontext.Value `json:"usage"`
	}

	// block is a content block under way.
	block struct {
		tool                 map[string]any
		text, input          strings.Builder
		reasoning, signature strings.Builder
		redacted             []byte
		isText, isReasoning  bool
	}
)

// maxBlocks bounds the indexes that are believed.
const maxBlocks = 4096

// message puts the events of a ConverseStream together. What cannot be read is left out.
func message(events []event) []byte {
	var out converse
	var blocks []*block
	at := func(i int) *block {
		if i < 0 || i >= maxBlocks {
			return new(block)
		}
		for len(blocks) <= i {
			blocks = append(blocks, new(block))
		}
		return blocks[i]
	}
	for _, ev := range events {
		var x streamed
		if json.Unmarshal(ev.payload, &x) != nil {
			continue
		}
		switch ev.name {
		case "messageStart":
			out.Output.Message.Role = x.Role
		case "contentBlockStart":
			at(x.Index).tool = x.Start.ToolUse
		case "contentBlockDelta":
			at(x.Index).add(&x)
		case "messageStop":
			out.StopReason, out.Additional = x.StopReason, x.Additional
		case "metadata":
			out.Metrics, out.Usage = x.Metrics, x.Usage
		}
	}
	for _, b := range blocks {
		out.Output.Message.Content = append(out.Output.Message.Content, b.content())
	}
	text, err := json.Marshal(&out, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return text
}

func (b *block) add(x *streamed) {
	d := &x.Delta
	if d.Text != nil {
		b.isText = true
		b.text.WriteString(*d.Text)
	}
	if d.ToolUse != nil {
		b.input.WriteString(d.ToolUse.Input)
	}
	if r := d.Reasoning; r != nil {
		b.isReasoning = true
		b.reasoning.WriteString(r.Text)
		b.signature.WriteString(r.Signature)
		b.redacted = append(b.redacted, r.Redacted...)
	}
}

func (b *block) content() map[string]any {
	switch {
	case b.tool != nil:
		b.tool["input"] = jsontext.Value("{}")
		if in := valid([]byte(b.input.String())); in != nil {
			b.tool["input"] = in
		}
		return map[string]any{"toolUse": b.tool}
	case b.redacted != nil:
		return map[string]any{"reasoningContent": map[string]any{"redactedContent": b.redacted}}
	case b.isReasoning:
		text := map[string]any{"text": b.reasoning.String()}
		if b.signature.Len() > 0 {
			text["signature"] = b.signature.String()
		}
		return map[string]any{"reasoningContent": map[string]any{"reasoningText": text}}
	case b.isText:
		return map[string]any{"text": b.text.String()}
	default:
		return map[string]any{}
	}
}
