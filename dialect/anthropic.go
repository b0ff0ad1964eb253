package dialect

import (
	"encoding/base64"
	"strconv"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The Anthropic Messages dialect, as the Anthropic API and as Bedrock have it. Source:
// Anthropic API reference, "Messages"; Bedrock user guide, "Anthropic Claude Messages API".

var anthropicMembers = map[string]member{
	"model": {ctl: ctlModel}, "stream": {ctl: ctlStream}, "max_tokens": {ctl: ctlMax}, "service_tier": {ctl: ctlTier},
	"messages": {ctl: ctlText}, "system": {ctl: ctlText, uses: infer.UsesSystem}, "tools": {ctl: ctlText, uses: infer.UsesTools},
	"stop_sequences": {uses: infer.UsesStop}, "thinking": {uses: infer.UsesReasoning}, "top_k": {uses: infer.UsesTopK},
}

var anthropicCodec = register(&Codec{
	Name: infer.DialectAnthropic, Inspect: inspector(anthropicMembers), DecodeChat: decodeAnthropic, EncodeChat: encodeAnthropic,
	EncodeResult: encodeAnthropicResult, DecodeResult: decodeAnthropicResult,
	NewStreamEncoder: newAnthropicEncoder, NewStreamDecoder: newAnthropicDecoder, RawUsage: anthropicRawUsage,
})

type anRequest struct {
	Version     string                    `json:"anthropic_version,omitzero"`
	Model       string                    `json:"model,omitzero"`
	MaxTokens   *int64                    `json:"max_tokens,omitzero"`
	Messages    []anMessage               `json:"messages"`
	System      jsontext.Value            `json:"system,omitzero"`
	Temperature *float64                  `json:"temperature,omitzero"`
	TopP        *float64                  `json:"top_p,omitzero"`
	TopK        *int64                    `json:"top_k,omitzero"`
	Stop        []string                  `json:"stop_sequences,omitzero"`
	Tools       []anTool                  `json:"tools,omitzero"`
	ToolChoice  *anChoice                 `json:"tool_choice,omitzero"`
	Thinking    *anThinking               `json:"thinking,omitzero"`
	Stream      bool                      `json:"stream,omitzero"`
	Metadata    *anMetadata               `json:"metadata,omitzero"`
	Beta        jsontext.Value            `json:"anthropic_beta,omitzero"`
	ServiceTier *string                   `json:"service_tier,omitzero"`
	Extra       map[string]jsontext.Value `json:",inline"`
}

type anMetadata struct {
	UserID string `json:"user_id,omitzero"`
}

type anThinking struct {
	Type   string `json:"type"`
	Budget int64  `json:"budget_tokens,omitzero"`
}

type anChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name,omitzero"`
	DisableParallel bool   `json:"disable_parallel_tool_use,omitzero"`
}

type anTool struct {
	Type         string         `json:"type,omitzero"`
	Name         string         `json:"name"`
	Description  string         `json:"description,omitzero"`
	InputSchema  jsontext.Value `json:"input_schema,omitzero"`
	Strict       *bool          `json:"strict,omitzero"`
	CacheControl *anCache       `json:"cache_control,omitzero"`
}

type anCache struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitzero"`
}

type anMessage struct {
	Role    string         `json:"role"`
	Content jsontext.Value `json:"content"`
}

type anBlock struct {
	Type         string         `json:"type"`
	Text         *string        `json:"text,omitzero"`
	Source       *anSource      `json:"source,omitzero"`
	Title        string         `json:"title,omitzero"`
	ID           string         `json:"id,omitzero"`
	Name         string         `json:"name,omitzero"`
	Input        jsontext.Value `json:"input,omitzero"`
	ToolUseID    string         `json:"tool_use_id,omitzero"`
	Content      jsontext.Value `json:"content,omitzero"`
	IsError      bool           `json:"is_error,omitzero"`
	Thinking     *string        `json:"thinking,omitzero"`
	Signature    *string        `json:"signature,omitzero"`
	Data         string         `json:"data,omitzero"`
	CacheControl *anCache       `json:"cache_control,omitzero"`
}

type anSource struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitzero"`
	Data      string `json:"data,omitzero"`
	URL       string `json:"url,omitzero"`
}

func decodeAnthropic(body []byte) (*infer.Chat, error) {
	var r anRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	if r.Messages == nil {
		return nil, missing("messages")
	}
	if len(r.Messages) == 0 {
		return nil, invalid("messages", "at least one message is required")
	}
	if err := ranges(&r); err != nil {
		return nil, err
	}
	c := &infer.Chat{
		MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, Stop: r.Stop, Extra: extraOf(r.Extra),
	}
	var err error
	if c.System, err = decodeAnthropicBlocks("system", r.System); err != nil {
		return nil, err
	}
	for i, m := range r.Messages {
		path := "messages." + strconv.Itoa(i)
		if m.Role != "user" && m.Role != "assistant" {
			return nil, invalid(path+".role", "Input should be 'user' or 'assistant'")
		}
		blocks, err := decodeAnthropicBlocks(path+".content", m.Content)
		if err != nil {
			return nil, err
		}
		c.Messages = append(c.Messages, infer.Message{Role: infer.Role(m.Role), Content: blocks})
	}
	for i, t := range r.Tools {
		if t.Name == "" {
			return nil, missing("tools." + strconv.Itoa(i) + ".name")
		}
		c.Tools = append(c.Tools, infer.Tool{Name: t.Name, Description: t.Description, Schema: t.InputSchema, Strict: t.Strict})
	}
	decodeAnthropicControls(c, &r)
	return c, nil
}

func ranges(r *anRequest) error {
	if t := r.Temperature; t != nil && (*t < 0 || *t > 1) {
		return invalid("temperature", "range: 0..1")
	}
	if p := r.TopP; p != nil && (*p < 0 || *p > 1) {
		return invalid("top_p", "range: 0..1")
	}
	return nil
}

func decodeAnthropicControls(c *infer.Chat, r *anRequest) {
	if tc := r.ToolChoice; tc != nil {
		c.ToolChoice = infer.ToolChoice{Mode: tc.Type, Name: tc.Name}
		if tc.DisableParallel {
			no := false
			c.ParallelToolCalls = &no
		}
	}
	if t := r.Thinking; t != nil {
		c.Reasoning = &infer.Reasoning{Enabled: t.Type != "disabled", Budget: t.Budget}
	}
	if r.Metadata != nil {
		c.User = r.Metadata.UserID
	}
}

func decodeAnthropicBlocks(path string, v jsontext.Value) ([]infer.Block, error) {
	switch v.Kind() {
	case 0, 'n':
		return nil, nil
	case '"':
		var s string
		if err := unmarshal(v, &s); err != nil {
			return nil, err
		}
		return []infer.Block{{Kind: infer.BlockText, Text: s}}, nil
	case '[':
	default:
		return nil, invalid(path, "Input should be a valid string or list")
	}
	var list []anBlock
	if err := unmarshal(v, &list); err != nil {
		return nil, err
	}
	var out []infer.Block
	for i := range list {
		b, err := decodeAnthropicBlock(path+"."+strconv.Itoa(i), &list[i])
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		if cc := list[i].CacheControl; cc != nil {
			out = append(out, infer.Block{Kind: infer.BlockCachePoint, CacheTTL: cc.TTL})
		}
	}
	return out, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func decodeAnthropicBlock(path string, b *anBlock) (infer.Block, error) {
	switch b.Type {
	case "text":
		if b.Text == nil {
			return infer.Block{}, missing(path + ".text")
		}
		return infer.Block{Kind: infer.BlockText, Text: *b.Text}, nil
	case "image", "document":
		return decodeAnthropicMedia(path, b)
	case "tool_use":
		if b.ID == "" || b.Name == "" {
			return infer.Block{}, missing(path + ".id")
		}
		input := b.Input
		if len(input) == 0 {
			input = jsontext.Value("{}")
		}
		return infer.Block{Kind: infer.BlockToolUse, ToolID: b.ID, ToolName: b.Name, ToolInput: input}, nil
	case "tool_result":
		if b.ToolUseID == "" {
			return infer.Block{}, missing(path + ".tool_use_id")
		}
		content, err := decodeAnthropicBlocks(path+".content", b.Content)
		return infer.Block{Kind: infer.BlockToolResult, ToolID: b.ToolUseID, ToolError: b.IsError, Content: content}, err
	case "thinking":
		return infer.Block{Kind: infer.BlockThinking, Text: deref(b.Thinking), Signature: deref(b.Signature)}, nil
	case "redacted_thinking":
		return infer.Block{Kind: infer.BlockRedacted, Data: []byte(b.Data)}, nil
	default:
		return infer.Block{}, invalid(path, "Input tag '%s' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'text', 'thinking', 'tool_result', 'tool_use'", b.Type)
	}
}

func decodeAnthropicMedia(path string, b *anBlock) (infer.Block, error) {
	if b.Source == nil {
		return infer.Block{}, missing(path + ".source")
	}
	s := b.Source
	if b.Type == "document" {
		blk := infer.Block{Kind: infer.BlockDocument, Media: infer.Media{Name: b.Title, URI: s.URL, Format: "pdf"}}
		switch s.Type {
		case "text":
			blk.Media.Format, blk.Media.Data = "txt", []byte(s.Data)
		case "base64":
			data, err := base64.StdEncoding.DecodeString(s.Data)
			if err != nil {
				return blk, invalid(path+".source", "document is not valid base64")
			}
			blk.Media.Data = data
		}
		return blk, nil
	}
	switch s.Type {
	case "base64":
		m, err := decodeMedia(path+".source", s.MediaType, s.Data)
		return infer.Block{Kind: infer.BlockImage, Media: m}, err
	case "url":
		m, err := dataURL(path+".source", s.URL)
		return infer.Block{Kind: infer.BlockImage, Media: m}, err
	default:
		return infer.Block{}, invalid(path+".source", "Input tag '%s' found using 'type' does not match any of the expected tags: 'base64', 'url'", s.Type)
	}
}

// anthropicVersion is the only version Bedrock takes.
const anthropicVersion = "bedrock-2023-05-31"

// defaultMaxTokens stands in where Anthropic demands a bound and nobody gave one.
const defaultMaxTokens = 4096

func encodeAnthropic(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
	r := anRequest{
		Model: o.Model, Stream: o.Stream, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, TopK: c.TopK, Stop: c.Stop,
	}
	w := oaWriter{d: infer.DialectAnthropic}
	if r.MaxTokens == nil {
		n := o.MaxTokens
		if n <= 0 {
			n = defaultMaxTokens
		}
		r.MaxTokens = &n
	}
	switch {
	case c.N != nil && *c.N > 1:
		return nil, nil, unsupported("n", infer.DialectAnthropic)
	case c.Logprobs != nil && *c.Logprobs:
		return nil, nil, unsupported("logprobs", infer.DialectAnthropic)
	case c.ResponseFormat != nil && c.ResponseFormat.Type != "text":
		return nil, nil, unsupported("response_format", infer.DialectAnthropic)
	}
	if c.Seed != nil {
		w.drop("seed")
	}
	if c.FrequencyPenalty != nil || c.PresencePenalty != nil {
		w.drop("penalties")
	}
	if c.Extra != nil {
		r.Extra = make(map[string]jsontext.Value, len(c.Extra))
		for k, v := range c.Extra {
			r.Extra[k] = v
		}
	}
	if c.User != "" {
		r.Metadata = &anMetadata{UserID: c.User}
	}
	encodeAnthropicControls(&r, c)
	sys, err := encodeAnthropicBlocks(c.System)
	if err != nil {
		return nil, nil, err
	}
	if len(sys) > 0 {
		r.System = must(sys)
	}
	if c.Prompt != nil {
		r.Messages = []anMessage{{Role: "user", Content: must(*c.Prompt)}}
	}
	for _, m := range c.Messages {
		blocks, err := encodeAnthropicBlocks(m.Content)
		if err != nil {
			return nil, nil, err
		}
		r.Messages = append(r.Messages, anMessage{Role: string(m.Role), Content: must(blocks)})
	}
	b, err := marshal(&r)
	return b, w.dropped, err
}

func encodeAnthropicControls(r *anRequest, c *infer.Chat) {
	for _, t := range c.Tools {
		schema := jsontext.Value(t.Schema)
		if len(schema) == 0 {
			schema = jsontext.Value(`{"type":"object","properties":{}}`)
		}
		r.Tools = append(r.Tools, anTool{Name: t.Name, Description: t.Description, InputSchema: schema, Strict: t.Strict})
	}
	if m := c.ToolChoice.Mode; m != "" {
		r.ToolChoice = &anChoice{Type: m, Name: c.ToolChoice.Name}
	}
	if p := c.ParallelToolCalls; p != nil && !*p && len(c.Tools) > 0 {
		if r.ToolChoice == nil {
			r.ToolChoice = &anChoice{Type: "auto"}
		}
		r.ToolChoice.DisableParallel = true
	}
	if t := c.Reasoning; t != nil && t.Enabled {
		r.Thinking = &anThinking{Type: "enabled", Budget: max(t.Budget, 1024)}
	}
}

func encodeAnthropicBlocks(blocks []infer.Block) ([]anBlock, error) {
	out := []anBlock{}
	for _, b := range blocks {
		switch b.Kind {
		case infer.BlockText:
			out = append(out, anBlock{Type: "text", Text: &b.Text})
		case infer.BlockImage:
			out = append(out, anBlock{Type: "image", Source: anthropicSource(b.Media, "image/"+b.Media.Format)})
		case infer.BlockDocument:
			if b.Media.Format != "pdf" && b.Media.Format != "txt" {
				return nil, unsupported("document of format "+b.Media.Format, infer.DialectAnthropic)
			}
			src := anthropicSource(b.Media, "application/pdf")
			if b.Media.Format == "txt" {
				src = &anSource{Type: "text", MediaType: "text/plain", Data: string(b.Media.Data)}
			}
			out = append(out, anBlock{Type: "document", Title: b.Media.Name, Source: src})
		case infer.BlockToolUse:
			out = append(out, anBlock{Type: "tool_use", ID: b.ToolID, Name: b.ToolName, Input: b.ToolInput})
		case infer.BlockToolResult:
			content, err := encodeAnthropicBlocks(b.Content)
			if err != nil {
				return nil, err
			}
			out = append(out, anBlock{Type: "tool_result", ToolUseID: b.ToolID, IsError: b.ToolError, Content: must(content)})
		case infer.BlockThinking:
			out = append(out, anBlock{Type: "thinking", Thinking: &b.Text, Signature: &b.Signature})
		case infer.BlockRedacted:
			out = append(out, anBlock{Type: "redacted_thinking", Data: string(b.Data)})
		case infer.BlockCachePoint:
			if n := len(out); n > 0 {
				out[n-1].CacheControl = &anCache{Type: "ephemeral", TTL: b.CacheTTL}
			}
		default:
			return nil, unsupported(blockNames[b.Kind], infer.DialectAnthropic)
		}
	}
	return out, nil
}

func anthropicSource(m infer.Media, mediaType string) *anSource {
	if m.URI != "" {
		return &anSource{Type: "url", URL: m.URI}
	}
	return &anSource{Type: "base64", MediaType: mediaType, Data: base64.StdEncoding.EncodeToString(m.Data)}
}
