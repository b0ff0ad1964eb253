package dialect

import (
	"encoding/base64"
	"strconv"
	"strings"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

func decodeConverseBlock(path string, b cvBlock) (infer.Block, error) {
	switch {
	case b.Text != nil:
		return infer.Block{Kind: infer.BlockText, Text: *b.Text}, nil
	case b.Cited != nil:
		return b.Cited.block(), nil
	case b.Guard != nil && b.Guard.Text != nil:
		return infer.Block{Kind: infer.BlockText, Text: b.Guard.Text.Text}, nil
	case b.JSON != nil:
		return infer.Block{Kind: infer.BlockText, Text: string(b.JSON)}, nil
	case b.Image != nil:
		m, err := decodeConverseMedia(path+".image", b.Image)
		if err == nil && m.Data != nil {
			err = checkImage(path, b.Image.Format, m.Data)
		}
		return infer.Block{Kind: infer.BlockImage, Media: m}, err
	case b.Document != nil:
		m, err := decodeConverseMedia(path+".document", b.Document)
		return infer.Block{Kind: infer.BlockDocument, Media: m, Cite: b.Document.Citations != nil && b.Document.Citations.Enabled}, err
	case b.Video != nil:
		m, err := decodeConverseMedia(path+".video", b.Video)
		return infer.Block{Kind: infer.BlockVideo, Media: m}, err
	case b.Audio != nil:
		m, err := decodeConverseMedia(path+".audio", b.Audio)
		return infer.Block{Kind: infer.BlockAudio, Media: m}, err
	case b.ToolUse != nil:
		return decodeConverseToolUse(path, b.ToolUse)
	case b.ToolResult != nil:
		return decodeConverseToolResult(path, b.ToolResult)
	case b.CachePoint != nil:
		return infer.Block{Kind: infer.BlockCachePoint, CacheTTL: b.CachePoint.TTL}, nil
	case b.Reasoning != nil:
		if b.Reasoning.Text != nil {
			return infer.Block{Kind: infer.BlockThinking, Text: b.Reasoning.Text.Text, Signature: b.Reasoning.Text.Signature}, nil
		}
		return infer.Block{Kind: infer.BlockRedacted, Data: []byte(b.Reasoning.Redacted)}, nil
	default:
		return infer.Block{}, fault.Newf(fault.Invalid, "The content block at '%s' must set exactly one of the members that are supported here.", path)
	}
}

func decodeConverseToolUse(path string, t *cvToolUse) (infer.Block, error) {
	if k := t.Input.Kind(); k != 0 && k != 'n' && k != '{' {
		return infer.Block{}, fault.Newf(fault.Invalid, "The format of the value at %s.toolUse.input is invalid. Provide a json object for the field and try again.", strings.ReplaceAll(path, ".member", ""))
	}
	if t.Type != "" {
		return infer.Block{}, unsupported("toolUse of type "+t.Type, infer.DialectConverse)
	}
	return infer.Block{Kind: infer.BlockToolUse, ToolID: t.ID, ToolName: t.Name, ToolInput: objectOr(notNull(t.Input))}, nil
}

func decodeConverseToolResult(path string, t *cvToolResult) (infer.Block, error) {
	out := infer.Block{Kind: infer.BlockToolResult, ToolID: t.ID, ToolError: t.Status == "error"}
	for i, inner := range t.Content {
		blk, err := decodeConverseBlock(path+".toolResult.content."+strconv.Itoa(i+1)+".member", inner)
		if err != nil {
			return out, err
		}
		out.Content = append(out.Content, blk)
	}
	return out, nil
}

func decodeConverseMedia(path string, m *cvMedia) (infer.Media, error) {
	out := infer.Media{Format: m.Format, Name: m.Name}
	switch {
	case m.Context != "":
		return out, unsupported("context of a document", infer.DialectConverse)
	case m.Source.Content != nil:
		return out, unsupported("source of type content", infer.DialectConverse)
	case m.Source.Bytes != nil:
		b, err := base64.StdEncoding.DecodeString(*m.Source.Bytes)
		if err != nil {
			return out, fault.Newf(fault.Invalid, "The bytes at '%s' are not valid base64.", path)
		}
		out.Data = b
	case m.Source.Text != nil:
		out.Data = []byte(*m.Source.Text)
		if out.Format == "" {
			out.Format = "txt"
		}
	case m.Source.S3 != nil:
		out.URI = m.Source.S3.URI
	default:
		return out, fault.Newf(fault.Invalid, "The source at '%s' must be set.", path)
	}
	return out, nil
}

func (w *writer) converseBlocks(blocks []infer.Block) ([]cvBlock, error) {
	var out []cvBlock
	for _, b := range blocks {
		var c cvBlock
		var err error
		switch b.Kind {
		case infer.BlockText:
			switch {
			case len(b.Citations) == 0:
				c.Text = &b.Text
			case w.answer:
				c.Cited = newCvCitations(&b)
			default:
				w.drop("citations of earlier turns")
				c.Text = &b.Text
			}
		case infer.BlockImage:
			c.Image, err = w.converseMedia(b)
		case infer.BlockDocument:
			c.Document, err = w.converseMedia(b)
		case infer.BlockVideo:
			c.Video, err = w.converseMedia(b)
		case infer.BlockAudio:
			if w.d == infer.DialectNova {
				return nil, unsupported("audio", w.d)
			}
			c.Audio, err = w.converseMedia(b)
		case infer.BlockToolUse:
			c.ToolUse = &cvToolUse{ID: b.ToolID, Name: b.ToolName, Input: objectOr(b.ToolInput)}
		case infer.BlockToolResult:
			c.ToolResult = &cvToolResult{ID: b.ToolID, Content: []cvBlock{}}
			if b.ToolError {
				c.ToolResult.Status = "error"
			}
			var inner []cvBlock
			inner, err = w.converseBlocks(b.Content)
			c.ToolResult.Content = append(c.ToolResult.Content, inner...)
		case infer.BlockThinking:
			if b.Signature == "" && !w.answer {
				w.drop("reasoning of earlier turns")
				continue
			}
			c.Reasoning = &cvReasoning{Text: &cvReasoningText{b.Text, b.Signature}}
		case infer.BlockRedacted:
			c.Reasoning = &cvReasoning{Redacted: string(b.Data)}
		case infer.BlockCachePoint:
			c.CachePoint = &cvCachePoint{Type: "default", TTL: b.CacheTTL}
		default:
			err = unsupported(blockNames[b.Kind], w.d)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (w *writer) converseMedia(b infer.Block) (*cvMedia, error) {
	m := b.Media
	out := &cvMedia{Format: m.Format, Name: m.Name}
	if b.Kind == infer.BlockDocument && out.Name == "" {
		out.Name = "document" // the service demands one
	}
	if m.Detail != "" && m.Detail != "auto" {
		w.drop("image detail")
	}
	if b.Cite && w.d == infer.DialectConverse {
		out.Citations = &cvCitations{Enabled: true}
	} else {
		w.cited(&b)
	}
	switch {
	case m.Data != nil:
		s := base64.StdEncoding.EncodeToString(m.Data)
		out.Source.Bytes = &s
	case strings.HasPrefix(m.URI, "s3://"):
		out.Source.S3 = &cvS3{URI: m.URI}
	default:
		return nil, unsupported(blockNames[b.Kind]+" behind a URL", w.d)
	}
	return out, nil
}

// encodeConverse writes a chat for Converse.
func encodeConverse(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
	w := writer{d: infer.DialectConverse}
	has := familyLimits[o.Family]
	has.format, has.tools = true, true
	if err := w.refuse(c, has); err != nil {
		return nil, nil, err
	}
	r, err := w.converse(c, o)
	if err != nil {
		return nil, nil, err
	}
	if r.Additional, err = w.extras(c); err != nil {
		return nil, nil, err
	}
	r.ResponsePaths = c.ResponseFields
	maxTokens := int64(defaultMaxTokens)
	if r.Inference != nil && r.Inference.MaxTokens != nil {
		maxTokens = *r.Inference.MaxTokens
	}
	for name, v := range w.familyFields(c, o.Family, maxTokens) {
		if r.Additional == nil {
			r.Additional = map[string]jsontext.Value{}
		}
		r.Additional[name] = v
	}
	if f := c.ResponseFormat; f != nil && f.Type != "text" {
		if f.Type != "json_schema" {
			return nil, nil, unsupported("response_format of type "+f.Type, w.d)
		}
		s := &cvStructure{JSONSchema: &cvJSONSchema{Schema: string(f.Schema), Name: f.Name}}
		r.OutputConfig = &cvOutputConfig{TextFormat: &cvTextFormat{Type: f.Type, Structure: s}}
	}
	b, err := marshal(r)
	return b, w.dropped, err
}

// encodeNova writes a chat in Nova's own schema.
func encodeNova(c *infer.Chat, o EncodeOptions) ([]byte, []string, error) {
	w := writer{d: infer.DialectNova}
	if err := w.refuse(c, limits{tools: true, topK: true, reasoning: true}); err != nil {
		return nil, nil, err
	}
	r, err := w.converse(c, o)
	if err != nil {
		return nil, nil, err
	}
	r.SchemaVersion = "messages-v1"
	if c.TopK != nil || c.Reasoning != nil {
		if r.Inference == nil {
			r.Inference = &cvInference{}
		}
		r.Inference.TopK, r.Inference.Reasoning = c.TopK, novaReasoning(c.Reasoning)
	}
	return w.finish(c, r)
}

// converse writes what Converse and Nova share.
func (w *writer) converse(c *infer.Chat, o EncodeOptions) (*ConverseRequest, error) {
	r := &ConverseRequest{Messages: []cvMessage{}}
	maxTokens := c.MaxTokens
	if maxTokens == nil && o.MaxTokens > 0 {
		maxTokens = &o.MaxTokens
	}
	if maxTokens != nil || c.Temperature != nil || c.TopP != nil || len(c.Stop) > 0 {
		r.Inference = &cvInference{MaxTokens: maxTokens, Temperature: c.Temperature, TopP: c.TopP, Stop: c.Stop}
	}
	w.parallel(c)
	if w.d == infer.DialectConverse && c.User != "" {
		w.drop("user")
	}
	if err := w.converseTools(r, c); err != nil {
		return nil, err
	}
	system, turns, err := w.conversation(c)
	if err != nil {
		return nil, err
	}
	if len(system) > 0 && system[0].Kind == infer.BlockCachePoint && r.ToolConfig != nil {
		r.ToolConfig.Tools = append(r.ToolConfig.Tools, cvTool{CachePoint: &cvCachePoint{Type: "default", TTL: system[0].CacheTTL}})
		system = system[1:]
	}
	if r.System, err = w.converseBlocks(system); err != nil {
		return nil, err
	}
	for _, m := range alternating(turns) {
		if m.Name != "" {
			w.drop("name")
		}
		blocks, err := w.converseBlocks(m.Content)
		if err != nil {
			return nil, err
		}
		if len(blocks) > 0 {
			r.Messages = append(r.Messages, cvMessage{Role: string(m.Role), Content: blocks})
		}
	}
	return r, nil
}

func (w *writer) converseTools(r *ConverseRequest, c *infer.Chat) error {
	if c.ToolChoice.Mode == "none" {
		if hasToolBlocks(c) {
			return unsupported("tool_choice none", w.d)
		}
		return nil // without tools there is nothing to choose
	}
	if len(c.Tools) == 0 {
		return nil
	}
	r.ToolConfig = &cvToolConfig{}
	for _, t := range c.Tools {
		r.ToolConfig.Tools = append(r.ToolConfig.Tools, cvTool{Spec: &cvToolSpec{
			Name: t.Name, Description: t.Description, Strict: t.Strict, InputSchema: cvInputSchema{JSON: schemaOf(t)},
		}})
	}
	switch c.ToolChoice.Mode {
	case "auto":
		r.ToolConfig.ToolChoice = &cvToolChoice{Auto: &struct{}{}}
	case "any":
		r.ToolConfig.ToolChoice = &cvToolChoice{Any: &struct{}{}}
	case "tool":
		r.ToolConfig.ToolChoice = &cvToolChoice{Tool: &cvToolName{c.ToolChoice.Name}}
	}
	return nil
}
