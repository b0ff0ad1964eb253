package dialect

import (
	"strconv"
	"time"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The Anthropic Messages dialect, as the Anthropic API and as Bedrock have it. Source:
// Anthropic API reference, "Messages"; Bedrock user guide, "Anthropic Claude Messages API".

var anthropicMembers = map[string]member{
	"model": {ctl: ctlModel}, "stream": {ctl: ctlStream}, "max_tokens": {ctl: ctlMax}, "service_tier": {ctl: ctlTier},
	"messages": {ctl: ctlText}, "system": {ctl: ctlText, uses: infer.UsesSystem, system: true},
	"tools": {ctl: ctlText, uses: infer.UsesTools}, "stop_sequences": {uses: infer.UsesStop}, "top_k": {ctl: ctlTopK, uses: infer.UsesTopK},
	"anthropic_version": {ctl: ctlVersion},
	"cache_control":     {uses: infer.UsesCachePoints},
	"thinking":          {ctl: ctlNest, uses: infer.UsesReasoning, nested: within(map[string]control{"type": ctlOff})},
	"output_config":     {ctl: ctlNest, nested: within(map[string]control{"format": ctlFormat})},
	"metadata":          {ctl: ctlNest, nested: within(map[string]control{"user_id": ctlUser})},
}

func init() { // a codec enters the register
	register(&Codec{
		Name: infer.DialectAnthropic, needs: []string{"messages"}, Inspect: inspector(wordsAnthropic, false, anthropicMembers), DecodeChat: decodeAnthropic, EncodeChat: encodeAnthropic,
		EncodeResult: encodeAnthropicResult, DecodeResult: decodeAnthropicResult,
		NewStreamEncoder: newAnthropicEncoder, NewStreamDecoder: newAnthropicDecoder, RawUsage: rawUsage,
	})
}

// What Bedrock has beyond the Anthropic API (user guide, "Anthropic Claude Messages API": anthropic_version is required, top_k has a maximum).
const (
	bedrockVersion = "bedrock-2023-05-31"
	bedrockTopK    = 500
)

// CheckAnthropicOnBedrock reports what the body of an InvokeModel of Claude must say and does not, and what it may not say, in the words
// of the validator in front of it.
func CheckAnthropicOnBedrock(f *infer.Facts) error {
	switch {
	case f.MaxTokens == 0:
		return wordsNative.fault(missing("max_tokens"))
	case f.Version == "":
		return wordsNative.fault(missing("anthropic_version"))
	case !versionOnBedrock(f.Version):
		return wordsNative.fault(badEnum("anthropic_version", f.Version, bedrockVersion))
	case f.TopK > bedrockTopK:
		return wordsNative.fault(outOfRange(breachMax, "top_k", strconv.Itoa(bedrockTopK), strconv.FormatInt(f.TopK, 10)))
	default:
		return nil
	}
}

// versionOnBedrock reports whether a version is Bedrock's own or, as newer releases of Anthropic's client for Bedrock send, a date.
func versionOnBedrock(v string) bool {
	if v == bedrockVersion {
		return true
	}
	_, err := time.Parse(time.DateOnly, v)
	return err == nil
}

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
	Output      *anOutput                 `json:"output_config,omitzero"`
	Extra       map[string]jsontext.Value `json:",embed"`
}

type anOutput struct {
	Effort string    `json:"effort,omitzero"`
	Format *anFormat `json:"format,omitzero"`
}

type anFormat struct {
	Type   string         `json:"type"`
	Schema jsontext.Value `json:"schema,omitzero"`
}

type anMetadata struct {
	UserID *string `json:"user_id,omitzero"`
}

type anThinking struct {
	Type    string `json:"type"`
	Budget  *int64 `json:"budget_tokens,omitzero"`
	Display string `json:"display,omitzero"` // how thinking is shown; the default where it is converted
}

type anChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name,omitzero"`
	DisableParallel *bool  `json:"disable_parallel_tool_use,omitzero"`
}

type anTool struct {
	Type         string         `json:"type,omitzero"`
	Name         string         `json:"name"`
	Description  string         `json:"description,omitzero"`
	InputSchema  jsontext.Value `json:"input_schema,omitzero"`
	Strict       *bool          `json:"strict,omitzero"`
	CacheControl *anCache       `json:"cache_control,omitzero"`

	// Ways of offering a tool that no other dialect has.
	Eager    jsontext.Value `json:"eager_input_streaming,omitzero"`
	Deferred *bool          `json:"defer_loading,omitzero"`
	Callers  jsontext.Value `json:"allowed_callers,omitzero"`
	Examples jsontext.Value `json:"input_examples,omitzero"`
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
	Citations    jsontext.Value `json:"citations,omitzero"` // on text: of an earlier answer; on documents: whether to cite
	Context      string         `json:"context,omitzero"`
	Caller       jsontext.Value `json:"caller,omitzero"`
	Toolset      jsontext.Value `json:"toolset_name,omitzero"`
}

type anSource struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitzero"`
	Data      string `json:"data,omitzero"`
	URL       string `json:"url,omitzero"`
	FileID    string `json:"file_id,omitzero"`

	Content jsontext.Value `json:"content,omitzero"`
}
