package dialect

import (
	"encoding/base64"
	"strconv"
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

func decodeOpenAI(d infer.Dialect) func([]byte) (*infer.Chat, error) {
	return func(body []byte) (*infer.Chat, error) {
		var r oaRequest
		extra, err := unmarshalOpen(body, &r)
		if err != nil {
			return nil, err
		}
		if err := openAIRules(&r); err != nil {
			return nil, err
		}
		c := &infer.Chat{
			MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, MinP: r.MinP, N: r.N, Seed: r.Seed,
			FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty, Logprobs: r.Logprobs,
			TopLogprobs: r.TopLogprobs, ParallelToolCalls: r.ParallelToolCalls, User: r.User,
		}
		extraOf(extra, d, c)
		if r.MaxCompletionTokens != nil {
			c.MaxTokens = r.MaxCompletionTokens
		}
		if c.Stop, err = decodeStop("stop", r.Stop); err != nil {
			return nil, err
		}
		if r.ReasoningEffort != "" {
			c.Reasoning = &infer.Reasoning{Enabled: r.ReasoningEffort != "none", Effort: r.ReasoningEffort}
		}
		for i := range r.Messages {
			if err := decodeOpenAIMessage(c, &r.Messages[i], i); err != nil {
				return nil, err
			}
		}
		if d == infer.DialectGPTOSS {
			untag(c)
		}
		if err := ranges(d, c); err != nil {
			return nil, err
		}
		if err := decodeOpenAITools(c, &r); err != nil {
			return nil, err
		}
		return c, decodeOpenAIFormat(c, r.ResponseFormat)
	}
}

func openAIRules(r *oaRequest) error {
	float := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	within := func(path string, v *float64, low, high float64) error {
		switch {
		case v == nil:
			return nil
		case *v < low:
			return decimalOutOfRange(breachMin, path, float(low), float(*v))
		case *v > high:
			return decimalOutOfRange(breachMax, path, float(high), float(*v))
		default:
			return nil
		}
	}
	switch {
	case r.Messages == nil:
		return missing("messages")
	case len(r.Messages) == 0:
		return outOfRange(breachMinItems, "messages", "1", "0")
	case r.MaxTokens != nil && r.MaxCompletionTokens != nil:
		return bothBounds()
	}
	for name, v := range map[string]*int64{"max_tokens": r.MaxTokens, "max_completion_tokens": r.MaxCompletionTokens, "n": r.N} {
		if v != nil && *v < 1 {
			return outOfRange(breachMin, name, "1", strconv.FormatInt(*v, 10))
		}
	}
	if err := within("temperature", r.Temperature, 0, 2); err != nil {
		return err
	}
	if err := within("top_p", r.TopP, 0, 1); err != nil {
		return err
	}
	if err := within("frequency_penalty", r.FrequencyPenalty, -2, 2); err != nil {
		return err
	}
	return within("presence_penalty", r.PresencePenalty, -2, 2)
}

// decodeStop reads a parameter that is a string or a list of them.
func decodeStop(path string, v jsontext.Value) ([]string, error) {
	switch v.Kind() {
	case 0, 'n':
		return nil, nil
	case '"':
		var s string
		if err := unmarshal(path, v, &s); err != nil {
			return nil, err
		}
		return []string{s}, nil
	case '[':
		var list []string
		err := unmarshal(path, v, &list)
		return list, err
	default:
		return nil, badType(path, "string", jsonKind(v.Kind(), v))
	}
}

func decodeOpenAIMessage(c *infer.Chat, m *oaMessage, i int) error {
	path := "messages." + strconv.Itoa(i)
	if m.Role == "" {
		return missing(path + ".role")
	}
	switch {
	case notNull(m.Audio) != nil:
		return unsupported("audio of an earlier answer", infer.DialectOpenAI)
	case notNull(m.FunctionCall) != nil:
		return unsupported("function_call", infer.DialectOpenAI)
	case m.Reasoning == nil && m.Reasoning2.Kind() == '"':
		m.Reasoning = new(unquote(m.Reasoning2)) // the other spelling of reasoning_content
	}
	blocks, err := decodeOpenAIContent(path+".content", m.Content)
	if err != nil {
		return err
	}
	if blocks == nil && m.Role != "assistant" {
		return missing(path + ".content")
	}
	switch m.Role {
	case "system", "developer":
		for _, b := range blocks {
			if b.Kind != infer.BlockText && b.Kind != infer.BlockCachePoint {
				return badEnum(path+".content", blockNames[b.Kind], "text")
			}
		}
		if len(c.Messages) > 0 {
			c.Messages = append(c.Messages, infer.Message{Role: infer.RoleSystem, Name: m.Name, Content: blocks})
			return nil
		}
		c.System = append(c.System, blocks...)
	case "user":
		c.Messages = append(c.Messages, infer.Message{Role: infer.RoleUser, Name: m.Name, Content: blocks})
	case "assistant":
		return decodeOpenAIAnswer(c, m, path, blocks)
	case "tool":
		if m.ToolCallID == "" {
			return missing(path + ".tool_call_id")
		}
		b := infer.Block{Kind: infer.BlockToolResult, ToolID: m.ToolCallID, Content: blocks}
		if n := len(c.Messages); n > 0 && isToolResults(&c.Messages[n-1]) {
			c.Messages[n-1].Content = append(c.Messages[n-1].Content, b)
			return nil
		}
		c.Messages = append(c.Messages, infer.Message{Role: infer.RoleUser, Content: []infer.Block{b}})
	case "function":
		return unsupported("role function", infer.DialectOpenAI)
	default:
		return badEnum(path+".role", m.Role, "system", "assistant", "user", "tool", "developer")
	}
	return nil
}

// decodeOpenAIAnswer reads an earlier turn of the model.
func decodeOpenAIAnswer(c *infer.Chat, m *oaMessage, path string, blocks []infer.Block) error {
	if t := deref(m.Reasoning); t != "" {
		blocks = append([]infer.Block{{Kind: infer.BlockThinking, Text: t}}, blocks...)
	}
	if t := deref(m.Refusal); t != "" {
		blocks = append(blocks, infer.Block{Kind: infer.BlockText, Text: t})
	}
	for j, t := range m.ToolCalls {
		at := path + ".tool_calls." + strconv.Itoa(j)
		input := jsontext.Value(t.Function.Arguments)
		switch {
		case t.ID == "":
			return missing(at + ".id")
		case t.Type != "" && t.Type != "function":
			return unsupported("tool call of type "+t.Type, infer.DialectOpenAI)
		case t.Function.Name == "":
			return missing(at + ".function.name")
		case len(input) == 0:
			input = jsontext.Value("{}")
		}
		if !input.IsValid() || input.Kind() != '{' {
			return invalid(at+".function.arguments", "Input should be a JSON object")
		}
		blocks = append(blocks, infer.Block{Kind: infer.BlockToolUse, ToolID: t.ID, ToolName: t.Function.Name, ToolInput: input})
	}
	if len(blocks) == 0 && m.Content == nil {
		return missing(path + ".content")
	}
	c.Messages = append(c.Messages, infer.Message{Role: infer.RoleAssistant, Name: m.Name, Content: blocks})
	return nil
}

// untag takes the reasoning out of the tags in which gpt-oss has it in the text of its answers,
// and in which clients send earlier answers back.
func untag(c *infer.Chat) {
	for i := range c.Messages {
		m := &c.Messages[i]
		if m.Role != infer.RoleAssistant || len(m.Content) == 0 || m.Content[0].Kind != infer.BlockText {
			continue
		}
		think, text, ok := tagged(m.Content[0].Text)
		if !ok {
			continue
		}
		blocks := []infer.Block{{Kind: infer.BlockThinking, Text: think}}
		if text != "" {
			blocks = append(blocks, infer.Block{Kind: infer.BlockText, Text: text})
		}
		m.Content = append(blocks, m.Content[1:]...)
	}
}

// tagged splits a text that opens with reasoning in tags.
func tagged(s string) (think, text string, ok bool) {
	rest, ok := strings.CutPrefix(s, tagOpen)
	if !ok {
		return "", s, false
	}
	think, text, _ = strings.Cut(rest, tagClose)
	return think, text, true
}

func isToolResults(m *infer.Message) bool {
	return m.Role == infer.RoleUser && len(m.Content) > 0 && m.Content[len(m.Content)-1].Kind == infer.BlockToolResult
}

func decodeOpenAIContent(path string, v jsontext.Value) ([]infer.Block, error) {
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
		return nil, badType(path, "string", jsonKind(v.Kind(), v))
	}
	var parts []oaPart
	if err := unmarshal(path, v, &parts); err != nil {
		return nil, err
	}
	out := []infer.Block{}
	for i := range parts {
		b, err := decodeOpenAIPart(path+"."+strconv.Itoa(i), &parts[i])
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		if cc := parts[i].CacheControl; cc != nil {
			out = append(out, infer.Block{Kind: infer.BlockCachePoint, CacheTTL: cc.TTL})
		} else if notNull(parts[i].CacheBreak) != nil {
			out = append(out, infer.Block{Kind: infer.BlockCachePoint})
		}
	}
	return out, nil
}

func decodeOpenAIPart(at string, p *oaPart) (infer.Block, error) {
	switch p.Type {
	case "":
		return infer.Block{}, missing(at + ".type")
	case "text":
		if p.Text == nil {
			return infer.Block{}, missing(at + ".text")
		}
		return infer.Block{Kind: infer.BlockText, Text: *p.Text}, nil
	case "refusal":
		return infer.Block{Kind: infer.BlockText, Text: p.Refusal}, nil
	case "image_url":
		var u oaImageURL
		switch p.ImageURL.Kind() {
		case '"': // Mistral's form
			if err := unmarshal(at+".image_url", p.ImageURL, &u.URL); err != nil {
				return infer.Block{}, err
			}
		case '{':
			if err := unmarshal(at+".image_url", p.ImageURL, &u); err != nil {
				return infer.Block{}, err
			}
		default:
			return infer.Block{}, missing(at + ".image_url")
		}
		m, err := dataURL(at+".image_url.url", u.URL)
		m.Detail = u.Detail
		return infer.Block{Kind: infer.BlockImage, Media: m}, err
	case "input_audio":
		if p.InputAudio == nil {
			return infer.Block{}, missing(at + ".input_audio")
		}
		data, err := base64.StdEncoding.DecodeString(p.InputAudio.Data)
		if err != nil {
			return infer.Block{}, invalid(at+".input_audio.data", "invalid base64 data")
		}
		return infer.Block{Kind: infer.BlockAudio, Media: infer.Media{Format: p.InputAudio.Format, Data: data}}, nil
	case "file":
		return decodeOpenAIFile(at, p.File)
	default:
		return infer.Block{}, badEnum(at+".type", p.Type, "text", "image_url", "input_audio", "refusal", "file")
	}
}

const pdfURL = "data:application/pdf;base64,"

func decodeOpenAIFile(at string, f *oaFile) (infer.Block, error) {
	if f == nil {
		return infer.Block{}, missing(at + ".file")
	}
	if f.ID != "" {
		return infer.Block{}, unsupported("file_id", infer.DialectOpenAI)
	}
	text, ok := strings.CutPrefix(f.Data, pdfURL)
	data, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return infer.Block{}, invalid(at+".file.file_data", "Input should be a data URL of a PDF in base64")
	}
	return infer.Block{Kind: infer.BlockDocument, Media: infer.Media{Format: "pdf", Name: f.Name, Data: data}}, nil
}

func decodeOpenAITools(c *infer.Chat, r *oaRequest) (err error) {
	for i, t := range r.Tools {
		path := "tools." + strconv.Itoa(i)
		switch {
		case t.Type == "":
			return missing(path + ".type")
		case t.Type != "function":
			return unsupported("tool of type "+t.Type, infer.DialectOpenAI)
		case t.Function == nil:
			return missing(path + ".function")
		case t.Function.Name == "":
			return missing(path + ".function.name")
		}
		f := t.Function
		c.Tools = append(c.Tools, infer.Tool{Name: f.Name, Description: f.Description, Schema: f.Parameters, Strict: f.Strict})
	}
	c.ToolChoice, err = decodeOpenAIChoice(r.ToolChoice)
	return err
}

func decodeOpenAIChoice(v jsontext.Value) (infer.ToolChoice, error) {
	switch v.Kind() {
	case 0, 'n':
		return infer.ToolChoice{}, nil
	case '"':
		switch s := strings.Trim(string(v), `"`); s {
		case "auto", "none":
			return infer.ToolChoice{Mode: s}, nil
		case "required", "any":
			return infer.ToolChoice{Mode: "any"}, nil
		default:
			return infer.ToolChoice{}, badEnum("tool_choice", s, "none", "auto", "required")
		}
	case '{':
		var o struct {
			Type     string `json:"type"`
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
			Name    string         `json:"name"`          // the Responses API's form, which clients mix up
			Allowed jsontext.Value `json:"allowed_tools"` // a choice that no other dialect has
		}
		if err := unmarshal("tool_choice", v, &o); err != nil {
			return infer.ToolChoice{}, err
		}
		name := o.Function.Name
		if name == "" {
			name = o.Name
		}
		switch {
		case o.Type != "function" && o.Type != "":
			return infer.ToolChoice{}, unsupported("tool_choice of type "+o.Type, infer.DialectOpenAI)
		case name == "":
			return infer.ToolChoice{}, missing("tool_choice.function.name")
		}
		return infer.ToolChoice{Mode: "tool", Name: name}, nil
	default:
		return infer.ToolChoice{}, badType("tool_choice", "string", jsonKind(v.Kind(), v))
	}
}

func decodeOpenAIFormat(c *infer.Chat, f *oaFormat) error {
	if f == nil {
		return nil
	}
	c.ResponseFormat = &infer.ResponseFormat{Type: f.Type}
	switch f.Type {
	case "":
		return missing("response_format.type")
	case "text", "json_object":
	case "json_schema":
		s := f.JSONSchema
		switch {
		case s == nil:
			return missing("response_format.json_schema")
		case s.Name == "":
			return missing("response_format.json_schema.name")
		}
		c.ResponseFormat.Name, c.ResponseFormat.Schema, c.ResponseFormat.Strict = s.Name, s.Schema, s.Strict
	default:
		return badEnum("response_format.type", f.Type, "json_object", "json_schema", "text")
	}
	return nil
}
