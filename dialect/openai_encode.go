package dialect

import (
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// encodeOpenAI returns the function that writes a chat in chat completions. Blocks that
// the dialect has no place for and that do not change what the model reads (cache
// points, signed reasoning of earlier turns) are dropped and named.
func encodeOpenAI(d infer.Dialect) func(*infer.Chat, EncodeOptions) ([]byte, []string, error) {
	return func(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
		w := oaWriter{d: d}
		r := oaRequest{
			Model: o.Model, Stream: o.Stream, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, TopK: c.TopK,
			MinP: c.MinP, N: c.N, Seed: c.Seed, FrequencyPenalty: c.FrequencyPenalty, PresencePenalty: c.PresencePenalty,
			Logprobs: c.Logprobs, TopLogprobs: c.TopLogprobs, ParallelToolCalls: c.ParallelToolCalls, User: c.User,
		}
		if o.Stream {
			r.StreamOptions = &oaStreamOptions{IncludeUsage: true}
		}
		if r.MaxTokens == nil && o.MaxTokens > 0 {
			r.MaxTokens = &o.MaxTokens
		}
		if len(c.Stop) > 0 {
			r.Stop = must(c.Stop)
		}
		if len(c.Extra) > 0 {
			r.Extra = make(map[string]jsontext.Value, len(c.Extra))
			for k, v := range c.Extra {
				r.Extra[k] = v
			}
		}
		w.tools(&r, c)
		if c.Reasoning != nil && c.Reasoning.Effort != "" {
			r.ReasoningEffort = c.Reasoning.Effort
		} else if c.Reasoning != nil && c.Reasoning.Enabled {
			w.drop("reasoning budget")
		}
		if f := c.ResponseFormat; f != nil {
			r.ResponseFormat = &oaFormat{Type: f.Type}
			if f.Type == "json_schema" {
				r.ResponseFormat.JSONSchema = &oaJSONSchema{Name: f.Name, Schema: f.Schema, Strict: f.Strict}
			}
		}
		if err := w.messages(&r, c); err != nil {
			return nil, nil, err
		}
		b, err := marshal(&r)
		return b, w.dropped, err
	}
}

type oaWriter struct {
	d       infer.Dialect
	dropped []string
}

func (w *oaWriter) drop(what string) {
	for _, d := range w.dropped {
		if d == what {
			return
		}
	}
	w.dropped = append(w.dropped, what)
}

func (w *oaWriter) tools(r *oaRequest, c *infer.Chat) {
	for _, t := range c.Tools {
		schema := t.Schema
		if len(schema) == 0 {
			schema = []byte(`{"type":"object","properties":{}}`)
		}
		r.Tools = append(r.Tools, oaTool{Type: "function", Function: oaFunction{
			Name: t.Name, Description: t.Description, Parameters: schema, Strict: t.Strict,
		}})
	}
	switch c.ToolChoice.Mode {
	case "auto", "none":
		r.ToolChoice = must(c.ToolChoice.Mode)
	case "any":
		r.ToolChoice = jsontext.Value(`"required"`)
	case "tool":
		r.ToolChoice = must(map[string]any{"type": "function", "function": map[string]string{"name": c.ToolChoice.Name}})
	}
}

func (w *oaWriter) messages(r *oaRequest, c *infer.Chat) error {
	if c.Prompt != nil {
		r.Messages = append(r.Messages, oaMessage{Role: "user", Content: must(*c.Prompt)})
		return nil
	}
	if text := joinText(c.System); text != "" {
		r.Messages = append(r.Messages, oaMessage{Role: "system", Content: must(text)})
	}
	for _, b := range c.System {
		if b.Kind == infer.BlockCachePoint {
			w.drop("cache point")
		}
	}
	for _, m := range c.Messages {
		if err := w.message(r, &m); err != nil {
			return err
		}
	}
	return nil
}

func joinText(blocks []infer.Block) string {
	var parts []string
	for _, b := range blocks {
		if b.Kind == infer.BlockText {
			parts = append(parts, b.Text)
		}
	}
	return strings.Join(parts, "\n")
}

// message writes one turn; the tool results in it become messages of their own, ahead of the rest.
func (w *oaWriter) message(r *oaRequest, m *infer.Message) error {
	out := oaMessage{Role: string(m.Role), Name: m.Name}
	var parts []oaPart
	for _, b := range m.Content {
		switch b.Kind {
		case infer.BlockText:
			parts = append(parts, oaPart{Type: "text", Text: b.Text})
		case infer.BlockImage:
			p := oaPart{Type: "image_url"}
			p.ImageURL = &struct {
				URL    string `json:"url"`
				Detail string `json:"detail,omitzero"`
			}{URL: encodeDataURL(b.Media), Detail: b.Media.Detail}
			parts = append(parts, p)
		case infer.BlockToolUse:
			tc := oaToolCall{ID: b.ToolID, Type: "function"}
			tc.Function.Name, tc.Function.Arguments = b.ToolName, string(b.ToolInput)
			out.ToolCalls = append(out.ToolCalls, tc)
		case infer.BlockToolResult:
			text := toolResultText(b.Content)
			r.Messages = append(r.Messages, oaMessage{Role: "tool", ToolCallID: b.ToolID, Content: must(text)})
		case infer.BlockThinking, infer.BlockRedacted:
			w.drop("reasoning of earlier turns")
		case infer.BlockCachePoint:
			w.drop("cache point")
		default:
			return unsupported(blockNames[b.Kind], w.d)
		}
	}
	if len(parts) == 0 && len(out.ToolCalls) == 0 {
		return nil
	}
	switch {
	case len(parts) == 1 && parts[0].Type == "text":
		out.Content = must(parts[0].Text)
	case len(parts) > 0 && allText(parts) && m.Role == infer.RoleAssistant:
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(p.Text)
		}
		out.Content = must(b.String())
	case len(parts) > 0:
		out.Content = must(parts)
	}
	r.Messages = append(r.Messages, out)
	return nil
}

func allText(parts []oaPart) bool {
	for _, p := range parts {
		if p.Type != "text" {
			return false
		}
	}
	return true
}

// blockNames name content in messages to callers.
var blockNames = map[infer.BlockKind]string{
	infer.BlockText: "text", infer.BlockImage: "image", infer.BlockDocument: "document", infer.BlockVideo: "video",
	infer.BlockAudio: "audio", infer.BlockToolUse: "tool use", infer.BlockToolResult: "tool result",
	infer.BlockThinking: "reasoning content", infer.BlockRedacted: "reasoning content", infer.BlockCachePoint: "cache point",
}

// toolResultText is what a dialect with text-only tool results is told.
func toolResultText(blocks []infer.Block) string {
	var parts []string
	for _, b := range blocks {
		switch b.Kind {
		case infer.BlockText:
			parts = append(parts, b.Text)
		case infer.BlockImage, infer.BlockDocument:
			parts = append(parts, "["+blockNames[b.Kind]+"]")
		}
	}
	return strings.Join(parts, "\n")
}
