package dialect

import (
	"encoding/base64"
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// defaultMaxTokens stands in where Anthropic demands a bound and nobody gave one.
const defaultMaxTokens = 4096

func encodeAnthropic(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
	w := writer{d: infer.DialectAnthropic}
	if err := w.refuse(c, limits{format: true, tools: true, topK: true, reasoning: true}); err != nil {
		return nil, nil, err
	}
	r := anRequest{
		Model: o.Model, Stream: o.Stream, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, TopK: c.TopK, Stop: c.Stop,
	}
	if r.MaxTokens == nil {
		n := o.MaxTokens
		if n <= 0 {
			n = defaultMaxTokens
		}
		r.MaxTokens = &n
	}
	if c.User != "" {
		r.Metadata = &anMetadata{UserID: &c.User}
	}
	var err error
	if r.Extra, err = w.extras(c); err != nil {
		return nil, nil, err
	}
	if err := encodeAnthropicControls(&w, &r, c); err != nil {
		return nil, nil, err
	}
	if err := encodeAnthropicTurns(&w, &r, c); err != nil {
		return nil, nil, err
	}
	b, err := marshal(&r)
	return b, w.dropped, err
}

func encodeAnthropicTurns(w *writer, r *anRequest, c *infer.Chat) error {
	system, turns, err := w.conversation(c)
	if err != nil {
		return err
	}
	if len(system) > 0 && system[0].Kind == infer.BlockCachePoint && len(r.Tools) > 0 {
		r.Tools[len(r.Tools)-1].CacheControl = &anCache{Type: "ephemeral", TTL: system[0].CacheTTL}
		system = system[1:]
	}
	blocks, err := encodeAnthropicBlocks(w, system)
	if err != nil {
		return err
	}
	if len(blocks) > 0 {
		r.System = must(blocks)
	}
	for _, m := range alternating(turns) {
		if m.Name != "" {
			w.drop("name")
		}
		blocks, err := encodeAnthropicBlocks(w, m.Content)
		if err != nil {
			return err
		}
		if len(blocks) > 0 {
			r.Messages = append(r.Messages, anMessage{Role: string(m.Role), Content: must(blocks)})
		}
	}
	return nil
}

func encodeAnthropicControls(w *writer, r *anRequest, c *infer.Chat) error {
	for _, t := range c.Tools {
		r.Tools = append(r.Tools, anTool{Name: t.Name, Description: t.Description, InputSchema: schemaOf(t), Strict: t.Strict})
	}
	if m := c.ToolChoice.Mode; m != "" {
		r.ToolChoice = &anChoice{Type: m, Name: c.ToolChoice.Name}
	}
	if p := c.ParallelToolCalls; p != nil && len(c.Tools) > 0 {
		if r.ToolChoice == nil {
			r.ToolChoice = &anChoice{Type: "auto"}
		}
		disable := !*p
		if r.ToolChoice.Type != "none" {
			r.ToolChoice.DisableParallel = &disable
		}
	}
	if f := c.ResponseFormat; f != nil && f.Type != "text" {
		if f.Type != "json_schema" {
			return unsupported("response_format of type "+f.Type, w.d)
		}
		r.Output = &anOutput{Format: &anFormat{Type: f.Type, Schema: f.Schema}}
	}
	r.Thinking = w.thinking(c.Reasoning, *r.MaxTokens)
	return nil
}

// thinking turns an effort into a budget within the bound on output, which must leave room
// for the answer; nil when nothing is asked for, or there is no room.
func (w *writer) thinking(t *infer.Reasoning, maxTokens int64) *anThinking {
	switch {
	case t == nil:
		return nil
	case !t.Enabled:
		return &anThinking{Type: "disabled"}
	case t.Budget == 0 && t.Effort == "":
		return &anThinking{Type: "adaptive"}
	}
	budget := t.Budget
	if budget == 0 {
		budget = max(minThinking, effortBudget[t.Effort])
		budget = min(budget, maxTokens/2)
	}
	if budget < minThinking || budget >= maxTokens {
		w.drop("reasoning")
		return nil
	}
	return &anThinking{Type: "enabled", Budget: &budget}
}

// encodeAnthropicBlocks writes blocks. A cache point is a member of the block before it.
func encodeAnthropicBlocks(w *writer, blocks []infer.Block) ([]anBlock, error) {
	out := []anBlock{}
	for _, b := range blocks {
		switch b.Kind {
		case infer.BlockCachePoint:
			if n := len(out); n > 0 {
				out[n-1].CacheControl = &anCache{Type: "ephemeral", TTL: b.CacheTTL}
			} else {
				w.drop("cache point")
			}
		case infer.BlockThinking:
			if b.Signature == "" && !w.answer {
				w.drop("reasoning of earlier turns") // Anthropic takes signed reasoning only
				continue
			}
			out = append(out, anBlock{Type: "thinking", Thinking: &b.Text, Signature: &b.Signature})
		default:
			a, err := encodeAnthropicBlock(w, b)
			if err != nil {
				return nil, err
			}
			out = append(out, a)
		}
	}
	return out, nil
}

func encodeAnthropicBlock(w *writer, b infer.Block) (anBlock, error) {
	switch b.Kind {
	case infer.BlockText:
		out := anBlock{Type: "text", Text: &b.Text}
		if w.answer {
			out.Citations = encodeAnCitations(b.Citations)
		} else if len(b.Citations) > 0 {
			w.drop("citations of earlier turns")
		}
		return out, nil
	case infer.BlockImage:
		if b.Media.Detail != "" && b.Media.Detail != "auto" {
			w.drop("image detail")
		}
		if strings.HasPrefix(b.Media.URI, "s3:") {
			return anBlock{}, unsupported("image in S3", w.d)
		}
		return anBlock{Type: "image", Source: anthropicSource(b.Media, "image/"+b.Media.Format)}, nil
	case infer.BlockDocument:
		src := anthropicSource(b.Media, "application/pdf")
		switch {
		case isText(&b.Media):
			src = &anSource{Type: "text", MediaType: "text/plain", Data: string(b.Media.Data)}
		case b.Media.Format != "pdf" || strings.HasPrefix(b.Media.URI, "s3:"):
			return anBlock{}, unsupported("document of format "+b.Media.Format, w.d)
		}
		out := anBlock{Type: "document", Title: b.Media.Name, Source: src}
		if b.Cite {
			out.Citations = jsontext.Value(`{"enabled":true}`)
		}
		return out, nil
	case infer.BlockToolUse:
		return anBlock{Type: "tool_use", ID: b.ToolID, Name: b.ToolName, Input: objectOr(b.ToolInput)}, nil
	case infer.BlockToolResult:
		content, err := encodeAnthropicBlocks(w, b.Content)
		if err != nil {
			return anBlock{}, err
		}
		return anBlock{Type: "tool_result", ToolUseID: b.ToolID, IsError: b.ToolError, Content: must(content)}, nil
	case infer.BlockRedacted:
		return anBlock{Type: "redacted_thinking", Data: string(b.Data)}, nil
	default:
		return anBlock{}, unsupported(blockNames[b.Kind], w.d)
	}
}

// objectOr is a tool's input, which must not be absent.
func objectOr(v []byte) jsontext.Value {
	if len(v) == 0 {
		return jsontext.Value("{}")
	}
	return v
}

func anthropicSource(m infer.Media, mediaType string) *anSource {
	if m.URI != "" {
		return &anSource{Type: "url", URL: m.URI}
	}
	return &anSource{Type: "base64", MediaType: mediaType, Data: base64.StdEncoding.EncodeToString(m.Data)}
}
