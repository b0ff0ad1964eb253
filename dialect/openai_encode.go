package dialect

import (
	"encoding/base64"
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// chatLimits are what the dialects close to chat completions lack.
var chatLimits = map[infer.Dialect]limits{
	infer.DialectOpenAI:      {n: true, logprobs: true, format: true, tools: true, seed: true, penalties: true, topK: true, minP: true, reasoning: true},
	infer.DialectGPTOSS:      {n: true, logprobs: true, format: true, tools: true, seed: true, penalties: true, reasoning: true},
	infer.DialectJamba:       {n: true, tools: true, penalties: true},
	infer.DialectMistralChat: {tools: true},
}

// encodeOpenAI returns the function that writes a chat in chat completions. Blocks that
// the dialect has no place for and that do not change what the model reads (cache
// points, signed reasoning of earlier turns) are dropped and named.
func encodeOpenAI(d infer.Dialect) func(*infer.Chat, EncodeOptions) ([]byte, []string, error) {
	return func(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
		w := writer{d: d}
		if err := w.refuse(c, chatLimits[d]); err != nil {
			return nil, nil, err
		}
		r := oaRequest{
			Model: o.Model, Stream: o.Stream, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP,
			N: c.N, ParallelToolCalls: c.ParallelToolCalls, User: c.User, Messages: []oaMessage{},
		}
		w.sampling(&r, c)
		if d != infer.DialectOpenAI {
			// Bedrock's native bodies have neither; the path says both.
			r.Model, r.Stream, r.User = "", false, ""
			w.user(c)
		} else if o.Stream {
			r.StreamOptions = &oaStreamOptions{IncludeUsage: true}
		}
		if r.MaxTokens == nil && o.MaxTokens > 0 {
			r.MaxTokens = &o.MaxTokens
		}
		if len(c.Stop) > 0 {
			r.Stop = must(c.Stop)
		}
		var err error
		if r.Extra, err = w.extras(c); err != nil {
			return nil, nil, err
		}
		if err := w.tools(&r, c); err != nil {
			return nil, nil, err
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

// sampling sets the parameters that only some of the dialects have.
func (w *writer) sampling(r *oaRequest, c *infer.Chat) {
	has := chatLimits[w.d]
	if has.seed {
		r.Seed = c.Seed
	}
	if has.penalties {
		r.FrequencyPenalty, r.PresencePenalty = c.FrequencyPenalty, c.PresencePenalty
	}
	if has.logprobs {
		r.Logprobs, r.TopLogprobs = c.Logprobs, c.TopLogprobs
	}
	if has.topK {
		r.TopK = c.TopK
	}
	if has.minP {
		r.MinP = c.MinP
	}
	if has.reasoning {
		r.ReasoningEffort = openAIEffort(c.Reasoning)
	}
}

func (w *writer) tools(r *oaRequest, c *infer.Chat) error {
	if r.ParallelToolCalls != nil && (w.d == infer.DialectMistralChat || w.d == infer.DialectJamba) {
		w.parallel(c)
		r.ParallelToolCalls = nil
	}
	for _, t := range c.Tools {
		r.Tools = append(r.Tools, oaTool{Type: "function", Function: &oaFunction{
			Name: t.Name, Description: t.Description, Parameters: schemaOf(t), Strict: t.Strict,
		}})
	}
	mode := c.ToolChoice.Mode
	switch {
	case mode == "" || mode == "auto" && w.d == infer.DialectJamba:
	case w.d == infer.DialectJamba || mode == "tool" && w.d == infer.DialectMistralChat:
		return unsupported("tool_choice", w.d)
	case mode == "auto" || mode == "none":
		r.ToolChoice = must(mode)
	case mode == "any":
		r.ToolChoice = jsontext.Value(`"required"`)
		if w.d == infer.DialectMistralChat {
			r.ToolChoice = jsontext.Value(`"any"`)
		}
	case mode == "tool":
		r.ToolChoice = must(map[string]any{"type": "function", "function": map[string]string{"name": c.ToolChoice.Name}})
	}
	return nil
}

// parallel notes that calls one at a time were asked for and cannot be.
func (w *writer) parallel(c *infer.Chat) {
	if p := c.ParallelToolCalls; p != nil && !*p {
		w.drop("parallel_tool_calls")
	}
}

func (w *writer) messages(r *oaRequest, c *infer.Chat) error {
	system, turns, err := w.conversation(c)
	if err != nil {
		return err
	}
	if text := joinText(system); text != "" {
		r.Messages = append(r.Messages, oaMessage{Role: "system", Content: must(text)})
	}
	for _, b := range system {
		switch b.Kind {
		case infer.BlockText:
		case infer.BlockCachePoint:
			w.drop("cache point")
		default:
			return unsupported(blockNames[b.Kind]+" in a system prompt", w.d)
		}
	}
	for i := range turns {
		if err := w.message(r, &turns[i]); err != nil {
			return err
		}
	}
	return nil
}

// message writes one turn; the tool results in it become messages of their own, ahead of the rest.
func (w *writer) message(r *oaRequest, m *infer.Message) error {
	out := oaMessage{Role: string(m.Role), Name: m.Name}
	var parts []oaPart
	for i := range m.Content {
		b := &m.Content[i]
		switch b.Kind {
		case infer.BlockToolUse:
			tc := oaToolCall{ID: b.ToolID, Type: "function"}
			tc.Function.Name, tc.Function.Arguments = b.ToolName, string(objectOr(b.ToolInput))
			out.ToolCalls = append(out.ToolCalls, tc)
		case infer.BlockToolResult:
			if b.ToolError {
				w.drop("error mark of a tool result")
			}
			text, err := w.resultText(b.Content)
			if err != nil {
				return err
			}
			r.Messages = append(r.Messages, oaMessage{Role: "tool", ToolCallID: b.ToolID, Content: must(text)})
		case infer.BlockThinking, infer.BlockRedacted:
			if w.d == infer.DialectGPTOSS && b.Kind == infer.BlockThinking && m.Role == infer.RoleAssistant {
				text := tagOpen + b.Text + tagClose
				parts = append(parts, oaPart{Type: "text", Text: &text})
				continue
			}
			w.drop("reasoning of earlier turns")
		case infer.BlockCachePoint:
			w.drop("cache point")
		default:
			p, err := w.part(b)
			if err != nil {
				return err
			}
			parts = append(parts, p)
		}
	}
	switch {
	case len(parts) == 0 && len(out.ToolCalls) == 0:
		if len(m.Content) > 0 {
			return nil // all of it stands elsewhere
		}
		out.Content = jsontext.Value(`""`)
	case len(parts) == 1 && parts[0].Type == "text":
		out.Content = must(parts[0].Text)
	case len(parts) > 0 && m.Role == infer.RoleAssistant && allText(parts):
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(*p.Text)
		}
		out.Content = must(b.String())
	case len(parts) > 0:
		out.Content = must(parts)
	}
	r.Messages = append(r.Messages, out)
	return nil
}

func (w *writer) part(b *infer.Block) (oaPart, error) {
	text := w.inlined(b)
	b = &text
	m := &b.Media
	switch {
	case b.Kind == infer.BlockText:
		return oaPart{Type: "text", Text: &b.Text}, nil
	case b.Kind == infer.BlockImage && strings.HasPrefix(m.URI, "s3:"):
		return oaPart{}, unsupported("image in S3", w.d)
	case b.Kind == infer.BlockImage && w.d != infer.DialectJamba:
		return oaPart{Type: "image_url", ImageURL: must(oaImageURL{URL: encodeDataURL(*m), Detail: m.Detail})}, nil
	case b.Kind == infer.BlockAudio && w.d == infer.DialectOpenAI && m.Data != nil:
		return oaPart{Type: "input_audio", InputAudio: &oaAudio{Data: base64.StdEncoding.EncodeToString(m.Data), Format: m.Format}}, nil
	case b.Kind == infer.BlockDocument && w.d == infer.DialectOpenAI && m.Format == "pdf" && m.Data != nil:
		w.cited(b)
		return oaPart{Type: "file", File: &oaFile{Data: pdfURL + base64.StdEncoding.EncodeToString(m.Data), Name: m.Name}}, nil
	default:
		return oaPart{}, unsupported(blockNames[b.Kind], w.d)
	}
}

func allText(parts []oaPart) bool {
	for _, p := range parts {
		if p.Type != "text" {
			return false
		}
	}
	return true
}

// resultText is a tool's result in a dialect that takes only text for it.
func (w *writer) resultText(blocks []infer.Block) (string, error) {
	for _, b := range blocks {
		switch b.Kind {
		case infer.BlockText:
		case infer.BlockCachePoint:
			w.drop("cache point")
		default:
			return "", unsupported(blockNames[b.Kind]+" in a tool result", w.d)
		}
	}
	return joinText(blocks), nil
}
