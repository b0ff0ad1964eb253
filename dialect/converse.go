package dialect

import (
	"strconv"

	"forebay/fault"
	"forebay/infer"
	"forebay/wire"
	shapes "forebay/wire/shapes/bedrockruntime"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The Converse dialect of Bedrock and, sharing its blocks, the Nova dialect. Source:
// botocore's bedrock-runtime service model; Bedrock user guide, "Amazon Nova request schema".

var converseMembers = map[string]member{
	"messages": {ctl: ctlText}, "system": {ctl: ctlText, uses: infer.UsesSystem, system: true}, "toolConfig": {ctl: ctlText, uses: infer.UsesTools},
	"inferenceConfig": {ctl: ctlNest, nested: within(map[string]control{"maxTokens": ctlMax, "max_new_tokens": ctlMax, "stopSequences": ctlStop})},
	"serviceTier":     {ctl: ctlNest, nested: within(map[string]control{"type": ctlTier})},
	"guardrailConfig": {uses: infer.UsesGuardrail}, "additionalModelRequestFields": {}, "outputConfig": {uses: infer.UsesResponseFormat},
}

func init() { // two codecs over one set of functions
	register(&Codec{
		Name: infer.DialectConverse, words: wordsConverse, Inspect: inspector(wordsConverse, false, converseMembers), DecodeChat: decodeConverse,
		EncodeChat: encodeConverse, EncodeResult: encodeConverseResult, DecodeResult: decodeConverseResult,
		NewStreamEncoder: func(h Head) StreamEncoder { return newConverseEncoder(h, false) },
		NewStreamDecoder: newConverseDecoder, RawUsage: rawUsage,
	})
	register(&Codec{
		Name: infer.DialectNova, words: wordsNative, needs: []string{"messages"}, Inspect: inspector(wordsNative, false, converseMembers), DecodeChat: decodeNova,
		EncodeChat: encodeNova, EncodeResult: encodeNovaResult, DecodeResult: decodeConverseResult,
		NewStreamEncoder: func(h Head) StreamEncoder { return newConverseEncoder(h, true) },
		NewStreamDecoder: newConverseDecoder, RawUsage: rawUsage,
	})
}

// ConverseRequest is the body of Converse and ConverseStream, and of Nova.
type ConverseRequest struct {
	SchemaVersion string                    `json:"schemaVersion,omitzero"` // Nova
	Messages      []cvMessage               `json:"messages"`
	System        []cvBlock                 `json:"system,omitzero"`
	Inference     *cvInference              `json:"inferenceConfig,omitzero"`
	ToolConfig    *cvToolConfig             `json:"toolConfig,omitzero"`
	Guardrail     jsontext.Value            `json:"guardrailConfig,omitzero"`
	Additional    map[string]jsontext.Value `json:"additionalModelRequestFields,omitzero"`
	ResponsePaths []string                  `json:"additionalModelResponseFieldPaths,omitzero"`
	PromptVars    jsontext.Value            `json:"promptVariables,omitzero"`
	Metadata      map[string]string         `json:"requestMetadata,omitzero"`
	Performance   *cvPerformance            `json:"performanceConfig,omitzero"`
	ServiceTier   *cvType                   `json:"serviceTier,omitzero"`
	OutputConfig  *cvOutputConfig           `json:"outputConfig,omitzero"`
}

type cvPerformance struct {
	Latency string `json:"latency,omitzero"`
}

type cvType struct {
	Type string `json:"type"`
}

type cvOutputConfig struct {
	TextFormat *cvTextFormat `json:"textFormat,omitzero"`
}

type cvTextFormat struct {
	Type      string       `json:"type"`
	Structure *cvStructure `json:"structure,omitzero"`
}

type cvStructure struct {
	JSONSchema *cvJSONSchema `json:"jsonSchema,omitzero"`
}

type cvJSONSchema struct {
	Schema string `json:"schema"`
	Name   string `json:"name,omitzero"`
}

type cvInference struct {
	MaxTokens    *int64    `json:"maxTokens,omitzero"`
	MaxNewTokens *int64    `json:"max_new_tokens,omitzero"` // Nova's older spelling
	Temperature  *float64  `json:"temperature,omitzero"`
	TopP         *float64  `json:"topP,omitzero"`
	TopK         *int64    `json:"topK,omitzero"`            // Nova
	Reasoning    *cvEffort `json:"reasoningConfig,omitzero"` // Nova 2
	Stop         []string  `json:"stopSequences,omitzero"`
}

// cvEffort is Nova 2's reasoning.
type cvEffort struct {
	Type   string `json:"type"` // enabled, disabled
	Effort string `json:"maxReasoningEffort,omitzero"`
}

func (e *cvEffort) reasoning() *infer.Reasoning {
	if e == nil {
		return nil
	}
	return &infer.Reasoning{Enabled: e.Type != "disabled", Effort: e.Effort}
}

type cvToolConfig struct {
	Tools      []cvTool      `json:"tools"`
	ToolChoice *cvToolChoice `json:"toolChoice,omitzero"`
}

type cvToolChoice struct {
	Auto *struct{}   `json:"auto,omitzero"`
	Any  *struct{}   `json:"any,omitzero"`
	Tool *cvToolName `json:"tool,omitzero"`
}

type cvToolName struct {
	Name string `json:"name"`
}

type cvTool struct {
	Spec       *cvToolSpec    `json:"toolSpec,omitzero"`
	CachePoint *cvCachePoint  `json:"cachePoint,omitzero"`
	System     jsontext.Value `json:"systemTool,omitzero"`
}

type cvToolSpec struct {
	Name        string        `json:"name"`
	Description string        `json:"description,omitzero"`
	InputSchema cvInputSchema `json:"inputSchema"`
	Strict      *bool         `json:"strict,omitzero"`
}

type cvInputSchema struct {
	JSON jsontext.Value `json:"json,omitzero"`
}

type cvCachePoint struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitzero"`
}

type cvMessage struct {
	Role    string    `json:"role"`
	Content []cvBlock `json:"content"`
}

// cvBlock is a union: exactly one member is set.
type cvBlock struct {
	Text       *string       `json:"text,omitzero"`
	Image      *cvMedia      `json:"image,omitzero"`
	Document   *cvMedia      `json:"document,omitzero"`
	Video      *cvMedia      `json:"video,omitzero"`
	Audio      *cvMedia      `json:"audio,omitzero"`
	ToolUse    *cvToolUse    `json:"toolUse,omitzero"`
	ToolResult *cvToolResult `json:"toolResult,omitzero"`
	Guard      *struct {
		Text *struct {
			Text string `json:"text"`
		} `json:"text,omitzero"`
	} `json:"guardContent,omitzero"`
	CachePoint *cvCachePoint  `json:"cachePoint,omitzero"`
	Reasoning  *cvReasoning   `json:"reasoningContent,omitzero"`
	JSON       jsontext.Value `json:"json,omitzero"` // in tool results

	Cited *cvCitationsContent `json:"citationsContent,omitzero"`
}

type cvReasoning struct {
	Text     *cvReasoningText `json:"reasoningText,omitzero"`
	Redacted string           `json:"redactedContent,omitzero"`
}

type cvReasoningText struct {
	Text      string `json:"text"`
	Signature string `json:"signature,omitzero"`
}

type cvMedia struct {
	Format    string       `json:"format"`
	Name      string       `json:"name,omitzero"`
	Source    cvSource     `json:"source"`
	Context   string       `json:"context,omitzero"`
	Citations *cvCitations `json:"citations,omitzero"`
}

type cvSource struct {
	Bytes   *string        `json:"bytes,omitzero"`
	S3      *cvS3          `json:"s3Location,omitzero"`
	Text    *string        `json:"text,omitzero"`
	Content jsontext.Value `json:"content,omitzero"`
}

type cvS3 struct {
	URI   string `json:"uri"`
	Owner string `json:"bucketOwner,omitzero"`
}

type cvCitations struct {
	Enabled bool `json:"enabled"`
}

type cvToolUse struct {
	ID    string         `json:"toolUseId"`
	Name  string         `json:"name"`
	Input jsontext.Value `json:"input"`
	Type  string         `json:"type,omitzero"` // "server_tool_use"
}

type cvToolResult struct {
	ID      string    `json:"toolUseId"`
	Content []cvBlock `json:"content"`
	Status  string    `json:"status,omitzero"`
	Type    string    `json:"type,omitzero"`
}

// checkConverse holds a body against the service's model: every member that is missing or out of
// range is told, in the service's words.
func checkConverse(body []byte) error {
	var bad wire.Faults
	err := wire.UnmarshalBody(body, wire.Target{}.Fields(shapes.Converse.Input), &bad)
	if e := fault.From(err); e != nil && e.Kind == fault.Malformed && e.Message == "" {
		return malformed(err, malformedText[wordsConverse])
	}
	if err != nil {
		return err
	}
	return bad.Err()
}

func decodeConverse(body []byte) (*infer.Chat, error) {
	if err := checkConverse(body); err != nil {
		return nil, err
	}
	r, err := ParseConverse(body)
	if err != nil {
		return nil, err
	}
	return r.Chat()
}

// decodeNova is strict where Converse ignores what it does not know. What the two have in
// common has the same bounds.
func decodeNova(body []byte) (*infer.Chat, error) {
	var r ConverseRequest
	if err := unmarshal("", body, &r); err != nil {
		return nil, err
	}
	if r.Messages == nil {
		return nil, missing("messages")
	}
	if err := checkConverse(body); err != nil {
		return nil, err
	}
	if i := r.Inference; i != nil && i.MaxNewTokens != nil && *i.MaxNewTokens < 1 {
		return nil, outOfRange(breachMin, "inferenceConfig.max_new_tokens", "1", strconv.FormatInt(*i.MaxNewTokens, 10))
	}
	c, err := r.Chat()
	if err != nil {
		return nil, err
	}
	return c, ranges(infer.DialectNova, c)
}

// ParseConverse decodes a Converse body. It knows the types only: what the model says beyond them is
// for the operation to check.
func ParseConverse(body []byte) (*ConverseRequest, error) {
	r := new(ConverseRequest)
	if err := explain("", json.Unmarshal(body, r)); err != nil {
		return nil, wordsConverse.fault(err)
	}
	return r, nil
}

// Chat returns a request, which has been held against the model, in no particular dialect. It
// checks the rules that the service has beyond its model.
func (r *ConverseRequest) Chat() (*infer.Chat, error) {
	c := &infer.Chat{ResponseFields: r.ResponsePaths}
	r.inference(c)
	if err := r.tools(c); err != nil {
		return nil, err
	}
	for i, b := range r.System {
		blk, err := decodeConverseBlock("system."+strconv.Itoa(i+1)+".member", b)
		if err != nil {
			return nil, err
		}
		c.System = append(c.System, blk)
	}
	for i, m := range r.Messages {
		path := "messages." + strconv.Itoa(i+1) + ".member"
		msg := infer.Message{Role: infer.Role(m.Role)}
		for j, b := range m.Content {
			blk, err := decodeConverseBlock(path+".content."+strconv.Itoa(j+1)+".member", b)
			if err != nil {
				return nil, err
			}
			msg.Content = append(msg.Content, blk)
		}
		c.Messages = append(c.Messages, msg)
	}
	return c, converseRules(c)
}

// converseRules are checked by the service beyond its model.
func converseRules(c *infer.Chat) error {
	if len(c.Messages) == 0 {
		return fault.New(fault.Invalid, "A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	if c.Messages[0].Role != infer.RoleUser {
		return fault.New(fault.Invalid, "A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	for i, m := range c.Messages {
		if len(m.Content) == 0 {
			return fault.Newf(fault.Invalid, "The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
		}
		if i > 0 && m.Role == c.Messages[i-1].Role {
			return fault.New(fault.Invalid, "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
		}
		text := false
		doc := false
		for j, b := range m.Content {
			text = text || b.Kind == infer.BlockText
			doc = doc || b.Kind == infer.BlockDocument
			if b.Kind == infer.BlockText && b.Text == "" {
				return fault.Newf(fault.Invalid, "The text field in the ContentBlock object at messages.%d.content.%d is blank. Add text to the text field, and try again.", i, j)
			}
		}
		if doc && !text {
			return fault.New(fault.Invalid, "A text block must be included when a document is included in a message.")
		}
	}
	return nil
}

func (r *ConverseRequest) inference(c *infer.Chat) {
	r.additional(c)
	if f := r.OutputConfig; f != nil && f.TextFormat != nil {
		c.ResponseFormat = &infer.ResponseFormat{Type: f.TextFormat.Type}
		if s := f.TextFormat.Structure; s != nil && s.JSONSchema != nil {
			c.ResponseFormat.Name, c.ResponseFormat.Schema = s.JSONSchema.Name, []byte(s.JSONSchema.Schema)
			if c.ResponseFormat.Name == "" {
				c.ResponseFormat.Name = "response"
			}
		}
	}
	i := r.Inference
	if i == nil {
		return
	}
	c.MaxTokens, c.Temperature, c.TopP, c.Stop = i.MaxTokens, i.Temperature, i.TopP, i.Stop
	if i.TopK != nil {
		c.TopK = i.TopK
	}
	if c.MaxTokens == nil {
		c.MaxTokens = i.MaxNewTokens
	}
	if i.Reasoning != nil {
		c.Reasoning = i.Reasoning.reasoning()
	}
}

// additional lifts the model's own parameters that have a common meaning out of
// additionalModelRequestFields, so that they reach models of other families; the rest
// goes on as it is.
func (r *ConverseRequest) additional(c *infer.Chat) {
	rest := map[string]jsontext.Value{}
	for name, v := range r.Additional {
		ok := false
		switch name {
		case "top_k", "topK", "k":
			ok = json.Unmarshal(v, &c.TopK) == nil
		case "seed":
			ok = json.Unmarshal(v, &c.Seed) == nil
		case "reasoning_effort":
			var effort string
			if ok = json.Unmarshal(v, &effort) == nil; ok {
				c.Reasoning = &infer.Reasoning{Enabled: effort != "none", Effort: effort}
			}
		case "thinking", "reasoning_config":
			var t anThinking
			if ok = json.Unmarshal(v, &t, json.RejectUnknownMembers(true)) == nil; ok {
				c.Reasoning = &infer.Reasoning{Enabled: t.Type != "disabled"}
				if t.Budget != nil {
					c.Reasoning.Budget = *t.Budget
				}
			}
		case "inferenceConfig":
			var i struct {
				TopK      *int64    `json:"topK"`
				Reasoning *cvEffort `json:"reasoningConfig"`
			}
			if ok = json.Unmarshal(v, &i, json.RejectUnknownMembers(true)) == nil; ok {
				c.TopK = i.TopK
				if i.Reasoning != nil {
					c.Reasoning = i.Reasoning.reasoning()
				}
			}
		case "reasoningConfig":
			var e cvEffort
			if ok = json.Unmarshal(v, &e, json.RejectUnknownMembers(true)) == nil; ok {
				c.Reasoning = e.reasoning()
			}
		}
		if !ok {
			rest[name] = v
		}
	}
	extraOf(rest, infer.DialectConverse, c)
}

func (r *ConverseRequest) tools(c *infer.Chat) error {
	t := r.ToolConfig
	if t == nil {
		return nil
	}
	for _, tool := range t.Tools {
		switch {
		case tool.Spec != nil:
			c.Tools = append(c.Tools, infer.Tool{
				Name: tool.Spec.Name, Description: tool.Spec.Description, Schema: tool.Spec.InputSchema.JSON, Strict: tool.Spec.Strict,
			})
		case tool.CachePoint != nil:
			c.System = append(c.System, infer.Block{Kind: infer.BlockCachePoint, CacheTTL: tool.CachePoint.TTL})
		case tool.System != nil:
			return unsupported("systemTool", infer.DialectConverse)
		default:
			return unsupported("this kind of tool", infer.DialectConverse)
		}
	}
	if ch := t.ToolChoice; ch != nil {
		switch {
		case ch.Any != nil:
			c.ToolChoice.Mode = "any"
		case ch.Tool != nil:
			c.ToolChoice = infer.ToolChoice{Mode: "tool", Name: ch.Tool.Name}
		case ch.Auto != nil:
			c.ToolChoice.Mode = "auto"
		}
	}
	return nil
}

// Latency is the performance configuration that is asked for; "" when none is.
func (r *ConverseRequest) Latency() string {
	if r.Performance == nil {
		return ""
	}
	return r.Performance.Latency
}

// NamedGuardrail returns the guardrail of the request; nil when it names none.
func (r *ConverseRequest) NamedGuardrail() (*infer.Guardrail, error) {
	if r.Guardrail.Kind() != '{' {
		return nil, nil //nolint:nilnil // no guardrail is what most calls have
	}
	var g struct {
		ID         string `json:"guardrailIdentifier"`
		Version    string `json:"guardrailVersion"`
		Trace      string `json:"trace"`
		StreamMode string `json:"streamProcessingMode"`
	}
	if err := explain("guardrailConfig", json.Unmarshal(r.Guardrail, &g)); err != nil {
		return nil, wordsConverse.fault(err)
	}
	return &infer.Guardrail{ID: g.ID, Version: g.Version, Trace: g.Trace, StreamMode: g.StreamMode}, nil
}

// CheckUnserved refuses members that no engine here can honour.
func (r *ConverseRequest) CheckUnserved() error {
	if len(r.PromptVars) > 0 {
		return fault.New(fault.Invalid, "promptVariables are supported with a prompt ARN as the model only, and prompts are not supported by this server.")
	}
	return nil
}
