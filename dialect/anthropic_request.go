package dialect

import (
	"encoding/base64"
	"strconv"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// minThinking is the smallest budget of thinking that Anthropic takes.
const minThinking = 1024

func decodeAnthropic(body []byte) (*infer.Chat, error) {
	var r anRequest
	extra, err := unmarshalOpen(body, &r)
	if err != nil {
		return nil, err
	}
	if r.Messages == nil {
		return nil, missing("messages")
	}
	if len(r.Messages) == 0 {
		return nil, invalid("messages", "at least one message is required")
	}
	if err := anthropicRanges(&r); err != nil {
		return nil, err
	}
	c := &infer.Chat{MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, Stop: r.Stop}
	extraOf(extra, infer.DialectAnthropic, c)
	if len(r.Beta) > 0 {
		extraOf(map[string]jsontext.Value{"anthropic_beta": r.Beta}, infer.DialectAnthropic, c)
	}
	if err := decodeAnthropicTools(c, &r); err != nil {
		return nil, err
	}
	system, err := decodeAnthropicBlocks("system", r.System)
	if err != nil {
		return nil, err
	}
	c.System = append(c.System, system...)
	for i, m := range r.Messages {
		if err := decodeAnthropicMessage(c, i, &m, i == len(r.Messages)-1); err != nil {
			return nil, err
		}
	}
	return c, decodeAnthropicControls(c, &r)
}

func decodeAnthropicMessage(c *infer.Chat, i int, m *anMessage, last bool) error {
	path := "messages." + strconv.Itoa(i)
	switch {
	case m.Role == "":
		return missing(path + ".role")
	case m.Role != "user" && m.Role != "assistant":
		return badEnum(path+".role", m.Role, "user", "assistant")
	case m.Content == nil:
		return missing(path + ".content")
	case i == 0 && m.Role != "user":
		return invalid("messages", "first message must use the \"user\" role")
	}
	blocks, err := decodeAnthropicBlocks(path+".content", m.Content)
	if err != nil {
		return err
	}
	if len(blocks) == 0 || len(blocks) == 1 && m.Content.Kind() == '"' && blocks[0].Text == "" {
		if !last || m.Role != "assistant" {
			return invalid(path, "all messages must have non-empty content except for the optional final assistant message")
		}
	} else if m.Content.Kind() == '[' {
		for _, b := range blocks {
			if b.Kind == infer.BlockText && b.Text == "" {
				return invalid("messages", "text content blocks must be non-empty")
			}
		}
	}
	c.Messages = append(c.Messages, infer.Message{Role: infer.Role(m.Role), Content: blocks})
	return nil
}

func anthropicRanges(r *anRequest) error {
	float := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	switch {
	case r.MaxTokens != nil && *r.MaxTokens < 1:
		return outOfRange(breachMin, "max_tokens", "1", strconv.FormatInt(*r.MaxTokens, 10))
	case r.Temperature != nil && *r.Temperature < 0:
		return outOfRange(breachMin, "temperature", "0", float(*r.Temperature))
	case r.Temperature != nil && *r.Temperature > 1:
		return outOfRange(breachMax, "temperature", "1", float(*r.Temperature))
	case r.TopP != nil && *r.TopP < 0:
		return outOfRange(breachMin, "top_p", "0", float(*r.TopP))
	case r.TopP != nil && *r.TopP > 1:
		return outOfRange(breachMax, "top_p", "1", float(*r.TopP))
	case r.TopK != nil && *r.TopK < 0:
		return outOfRange(breachMin, "top_k", "0", strconv.FormatInt(*r.TopK, 10))
	default:
		return nil
	}
}

// decodeAnthropicTools also notes a cache point behind the tools: tools come before the
// system prompt in what the model reads, so it opens System.
func decodeAnthropicTools(c *infer.Chat, r *anRequest) error {
	for i, t := range r.Tools {
		path := "tools." + strconv.Itoa(i)
		switch {
		case t.Type != "" && t.Type != "custom":
			return unsupported("tool of type "+t.Type, infer.DialectAnthropic)
		case t.Deferred != nil && *t.Deferred || notNull(t.Callers) != nil || notNull(t.Examples) != nil:
			return unsupported("defer_loading, allowed_callers or input_examples", infer.DialectAnthropic)
		case t.Name == "":
			return missing(path + ".name")
		case t.InputSchema == nil:
			return missing(path + ".input_schema")
		case t.InputSchema.Kind() != '{':
			return badType(path+".input_schema", "object", jsonKind(t.InputSchema.Kind(), t.InputSchema))
		}
		c.Tools = append(c.Tools, infer.Tool{Name: t.Name, Description: t.Description, Schema: t.InputSchema, Strict: t.Strict})
		if cc := t.CacheControl; cc != nil && len(c.System) == 0 {
			c.System = append(c.System, infer.Block{Kind: infer.BlockCachePoint, CacheTTL: cc.TTL})
		}
	}
	tc := r.ToolChoice
	if tc == nil {
		return nil
	}
	switch tc.Type {
	case "auto", "any", "none":
	case "tool":
		if tc.Name == "" {
			return missing("tool_choice.name")
		}
	default:
		return invalid("tool_choice", "Input tag '%s' found using 'type' does not match any of the expected tags: 'any', 'auto', 'none', 'tool'", tc.Type)
	}
	c.ToolChoice = infer.ToolChoice{Mode: tc.Type, Name: tc.Name}
	if p := tc.DisableParallel; p != nil {
		parallel := !*p
		c.ParallelToolCalls = &parallel
	}
	return nil
}

func decodeAnthropicControls(c *infer.Chat, r *anRequest) error {
	if o := r.Output; o != nil {
		if o.Effort != "" {
			c.Reasoning = &infer.Reasoning{Effort: o.Effort}
		}
		if f := o.Format; f != nil {
			if f.Type != "json_schema" {
				return badEnum("output_config.format.type", f.Type, "json_schema")
			}
			c.ResponseFormat = &infer.ResponseFormat{Type: f.Type, Name: "response", Schema: f.Schema}
		}
	}
	if r.Metadata != nil {
		c.User = deref(r.Metadata.UserID)
	}
	t := r.Thinking
	if t == nil {
		return nil
	}
	if c.Reasoning == nil {
		c.Reasoning = &infer.Reasoning{}
	}
	c.Reasoning.Enabled = true
	switch t.Type {
	case "adaptive":
	case "disabled":
		c.Reasoning.Enabled = false
	case "enabled":
		switch {
		case t.Budget == nil:
			return missing("thinking.enabled.budget_tokens")
		case *t.Budget < minThinking:
			return outOfRange(breachMin, "thinking.enabled.budget_tokens", strconv.Itoa(minThinking), strconv.FormatInt(*t.Budget, 10))
		case c.MaxTokens != nil && *c.MaxTokens <= *t.Budget:
			return fault.New(fault.Invalid, "`max_tokens` must be greater than `thinking.budget_tokens`.")
		}
		c.Reasoning.Budget = *t.Budget
	default:
		return invalid("thinking", "Input tag '%s' found using 'type' does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'", t.Type)
	}
	return nil
}

func decodeAnthropicBlocks(path string, v jsontext.Value) ([]infer.Block, error) {
	switch v.Kind() {
	case 0, 'n':
		return nil, nil
	case '"':
		var s string
		if err := unmarshal(path, v, &s); err != nil {
			return nil, err
		}
		return []infer.Block{{Kind: infer.BlockText, Text: s}}, nil
	case '[':
	default:
		return nil, badType(path, "list", jsonKind(v.Kind(), v))
	}
	var list []anBlock
	if err := unmarshal(path, v, &list); err != nil {
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

func decodeAnthropicBlock(path string, b *anBlock) (infer.Block, error) {
	if notNull(b.Toolset) != nil {
		return infer.Block{}, unsupported("toolset_name", infer.DialectAnthropic)
	}
	switch b.Type {
	case "":
		return infer.Block{}, missing(path + ".type")
	case "text":
		if b.Text == nil {
			return infer.Block{}, missing(path + ".text.text")
		}
		return infer.Block{Kind: infer.BlockText, Text: *b.Text, Citations: decodeAnCitations(b.Citations)}, nil
	case "image", "document":
		return decodeAnthropicMedia(path+"."+b.Type, b)
	case "tool_use":
		if b.ID == "" {
			return infer.Block{}, missing(path + ".tool_use.id")
		}
		if b.Name == "" {
			return infer.Block{}, missing(path + ".tool_use.name")
		}
		input := b.Input
		if len(input) == 0 {
			input = jsontext.Value("{}")
		}
		if input.Kind() != '{' {
			return infer.Block{}, badType(path+".tool_use.input", "object", jsonKind(input.Kind(), input))
		}
		return infer.Block{Kind: infer.BlockToolUse, ToolID: b.ID, ToolName: b.Name, ToolInput: input}, nil
	case "tool_result":
		if b.ToolUseID == "" {
			return infer.Block{}, missing(path + ".tool_result.tool_use_id")
		}
		content, err := decodeAnthropicBlocks(path+".tool_result.content", b.Content)
		return infer.Block{Kind: infer.BlockToolResult, ToolID: b.ToolUseID, ToolError: b.IsError, Content: content}, err
	case "thinking":
		return infer.Block{Kind: infer.BlockThinking, Text: deref(b.Thinking), Signature: deref(b.Signature)}, nil
	case "redacted_thinking":
		return infer.Block{Kind: infer.BlockRedacted, Data: []byte(b.Data)}, nil
	case "search_result", "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
		"bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "mcp_tool_use", "mcp_tool_result", "container_upload":
		return infer.Block{}, unsupported("content block of type "+b.Type, infer.DialectAnthropic)
	default:
		return infer.Block{}, invalid(path, "Input tag '%s' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'search_result', 'text', 'thinking', 'tool_result', 'tool_use'", b.Type)
	}
}

func decodeAnthropicMedia(path string, b *anBlock) (infer.Block, error) {
	s := b.Source
	switch {
	case s == nil:
		return infer.Block{}, missing(path + ".source")
	case s.Type == "file" || s.Type == "content":
		return infer.Block{}, unsupported("source of type "+s.Type, infer.DialectAnthropic)
	case b.Type == "document":
		return decodeAnthropicDocument(path, b)
	}
	switch s.Type {
	case "base64":
		m, err := decodeMedia(path+".source.base64", s.MediaType, s.Data)
		return infer.Block{Kind: infer.BlockImage, Media: m}, err
	case "url":
		m, err := dataURL(path+".source.url.url", s.URL)
		return infer.Block{Kind: infer.BlockImage, Media: m}, err
	default:
		return infer.Block{}, invalid(path+".source", "Input tag '%s' found using 'type' does not match any of the expected tags: 'base64', 'file', 'url'", s.Type)
	}
}

func decodeAnthropicDocument(path string, b *anBlock) (infer.Block, error) {
	s := b.Source
	blk := infer.Block{Kind: infer.BlockDocument, Media: infer.Media{Name: b.Title, URI: s.URL, Format: "pdf"}}
	if b.Context != "" {
		return blk, unsupported("context of a document", infer.DialectAnthropic)
	}
	var cite struct {
		Enabled bool `json:"enabled"`
	}
	if b.Citations.Kind() == '{' {
		if err := unmarshal(path+".citations", b.Citations, &cite); err != nil {
			return blk, err
		}
	}
	blk.Cite = cite.Enabled
	switch s.Type {
	case "text":
		blk.Media.Format, blk.Media.Data = "txt", []byte(s.Data)
	case "base64":
		if s.MediaType != "application/pdf" {
			return blk, badEnum(path+".source.base64.media_type", s.MediaType, "application/pdf")
		}
		data, err := base64.StdEncoding.DecodeString(s.Data)
		if err != nil {
			return blk, invalid(path+".source.base64.data", "invalid base64 data")
		}
		blk.Media.Data = data
	case "url":
		if s.URL == "" {
			return blk, missing(path + ".source.url.url")
		}
	default:
		return blk, invalid(path+".source", "Input tag '%s' found using 'type' does not match any of the expected tags: 'base64', 'content', 'file', 'text', 'url'", s.Type)
	}
	return blk, nil
}
