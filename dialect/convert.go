package dialect

import (
	"maps"
	"slices"
	"strings"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// writer gathers what the encoding of a request leaves out.
type writer struct {
	d       infer.Dialect
	answer  bool // a result is written, not a request
	dropped []string
}

func (w *writer) drop(what string) {
	if !slices.Contains(w.dropped, what) {
		w.dropped = append(w.dropped, what)
	}
}

// chatLike are the dialects that share the members of chat completions.
var chatLike = map[infer.Dialect]bool{
	infer.DialectOpenAI: true, infer.DialectOpenAICompletions: true, infer.DialectMistralChat: true,
	infer.DialectJamba: true, infer.DialectGPTOSS: true,
}

// harmless are members without influence on what the model answers, or that only hint at
// how: they are dropped, and named, where a dialect has no place for them.
var harmless = map[string]bool{
	"metadata": true, "store": true, "safety_identifier": true, "prompt_cache_key": true, "prompt_cache_retention": true,
	"verbosity": true, "prediction": true, "anthropic_beta": true, "context_management": true, "inference_geo": true, "service_tier": true, "prompt_cache_options": true,
	"cache_control": true, "diagnostics": true, "user_profile_id": true, "workspace_id": true, "speed": true,
}

// extras returns the members of Extra that go into the body: all of them to the dialect
// they came from and, from Converse, to every dialect, since they are meant for the model.
// What else there is must be harmless, or is refused.
func (w *writer) extras(c *infer.Chat) (map[string]jsontext.Value, error) {
	if len(c.Extra) == 0 {
		return nil, nil
	}
	pass := c.ExtraFrom == w.d || c.ExtraFrom == "" || c.ExtraFrom == infer.DialectConverse || chatLike[c.ExtraFrom] && chatLike[w.d]
	var out map[string]jsontext.Value
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		switch {
		case pass:
			if out == nil {
				out = map[string]jsontext.Value{}
			}
			out[name] = c.Extra[name]
		case harmless[name]:
			w.drop(name)
		default:
			return nil, unsupported(name, w.d)
		}
	}
	return out, nil
}

func extraOf(m map[string]jsontext.Value, d infer.Dialect, c *infer.Chat) {
	for k, v := range m {
		if v.Kind() == 'n' {
			continue // null is how clients say nothing
		}
		if c.Extra == nil {
			c.Extra, c.ExtraFrom = map[string][]byte{}, d
		}
		c.Extra[k] = v
	}
}

// limits are what a dialect cannot express beyond its own members.
type limits struct {
	n, logprobs, format, tools, seed, penalties, topK, minP, echo, suffix, reasoning bool
}

// refuse holds a chat against what a dialect has no member for. Seeds and penalties are
// hints to sampling and are dropped; the rest would change the answer's form or meaning.
func (w *writer) refuse(c *infer.Chat, has limits) error {
	switch {
	case !has.n && c.N != nil && *c.N > 1:
		return unsupported("n", w.d)
	case !has.logprobs && (c.Logprobs != nil && *c.Logprobs || c.TopLogprobs != nil && *c.TopLogprobs > 0):
		return unsupported("logprobs", w.d)
	case !has.format && c.ResponseFormat != nil && c.ResponseFormat.Type != "text":
		return unsupported("response_format", w.d)
	case !has.tools && (len(c.Tools) > 0 || hasToolBlocks(c)):
		return unsupported("tools", w.d)
	case !has.echo && c.Echo:
		return unsupported("echo", w.d)
	case !has.suffix && c.Suffix != "":
		return unsupported("suffix", w.d)
	}
	if !has.seed && c.Seed != nil {
		w.drop("seed")
	}
	if !has.penalties && c.FrequencyPenalty != nil && *c.FrequencyPenalty != 0 {
		w.drop("frequency_penalty")
	}
	if !has.penalties && c.PresencePenalty != nil && *c.PresencePenalty != 0 {
		w.drop("presence_penalty")
	}
	if !has.topK && c.TopK != nil {
		w.drop("top_k")
	}
	if !has.minP && c.MinP != nil {
		w.drop("min_p")
	}
	for _, field := range c.ResponseFields {
		if w.d != infer.DialectConverse && field != fieldStopSequence {
			w.drop("response field " + field)
		}
	}
	if !has.reasoning && c.Reasoning != nil && c.Reasoning.Enabled {
		w.drop("reasoning")
	}
	return nil
}

func hasToolBlocks(c *infer.Chat) bool {
	for _, m := range c.Messages {
		for _, b := range m.Content {
			if b.Kind == infer.BlockToolUse || b.Kind == infer.BlockToolResult {
				return true
			}
		}
	}
	return false
}

// conversation returns system prompt and turns for a dialect of messages. A prompt in a
// published template is taken apart. One without a template is what one user says; one with
// only parts of a template is refused, because the engine would read its marks as text.
// System messages within the conversation stay where only chat completions has them; elsewhere
// they join the system prompt.
func (w *writer) conversation(c *infer.Chat) (system []infer.Block, turns []infer.Message, err error) {
	if c.Prompt == nil {
		system, turns = w.hoisted(c)
		return system, turns, nil
	}
	return promptTurns(*c.Prompt)
}

// promptTurns takes a prompt apart into system prompt and turns.
func promptTurns(prompt string) (system []infer.Block, turns []infer.Message, err error) {
	sys, turns, ok := parseTemplate(prompt)
	switch {
	case !ok && templateMark(prompt) != "":
		return nil, nil, fault.New(fault.Invalid, "The prompt cannot be taken apart into the messages that the engine of this model needs.").
			WithReason("the prompt has %q of a prompt template, but is not in that template from its start to where the model is to speak; send messages, or bind the model to an engine with text completions", templateMark(prompt))
	case !ok:
		return nil, []infer.Message{textTurn(infer.RoleUser, prompt)}, nil
	case sys != "":
		system = []infer.Block{{Kind: infer.BlockText, Text: sys}}
	}
	return system, turns, nil
}

func (w *writer) hoisted(c *infer.Chat) (system []infer.Block, turns []infer.Message) {
	isSystem := func(m infer.Message) bool { return m.Role == infer.RoleSystem }
	if chatLike[w.d] || !slices.ContainsFunc(c.Messages, isSystem) {
		return c.System, c.Messages
	}
	w.drop("position of a system message")
	system = slices.Clip(c.System)
	for _, m := range c.Messages {
		if isSystem(m) {
			system = append(system, m.Content...)
		} else {
			turns = append(turns, m)
		}
	}
	return system, turns
}

// alternating joins neighbouring turns of one role, for dialects that demand that roles
// alternate, and leaves out empty texts, which those dialects refuse.
func alternating(turns []infer.Message) []infer.Message {
	var out []infer.Message
	for _, m := range turns {
		content := slices.DeleteFunc(slices.Clone(m.Content), func(b infer.Block) bool {
			return b.Kind == infer.BlockText && b.Text == ""
		})
		if len(content) == 0 {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Role == m.Role {
			out[n-1].Content = append(slices.Clip(out[n-1].Content), content...)
			continue
		}
		out = append(out, infer.Message{Role: m.Role, Name: m.Name, Content: content})
	}
	return out
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

// blocksText is the text of a choice, without reasoning and tools.
func blocksText(blocks []infer.Block) string {
	var out []byte
	for _, b := range blocks {
		if b.Kind == infer.BlockText {
			out = append(out, b.Text...)
		}
	}
	return string(out)
}

// blockNames name content in messages to callers.
var blockNames = map[infer.BlockKind]string{
	infer.BlockText: "text", infer.BlockImage: "image", infer.BlockDocument: "document", infer.BlockVideo: "video",
	infer.BlockAudio: "audio", infer.BlockToolUse: "tool use", infer.BlockToolResult: "tool result",
	infer.BlockThinking: "reasoning content", infer.BlockRedacted: "reasoning content", infer.BlockCachePoint: "cache point",
}

var emptySchema = jsontext.Value(`{"type":"object","properties":{}}`)

func schemaOf(t infer.Tool) jsontext.Value {
	if len(t.Schema) == 0 {
		return emptySchema
	}
	return t.Schema
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Tokens of reasoning for the efforts that OpenAI's dialect names, where another one wants
// a number: the smallest that Anthropic takes, and multiples of four above it.
var effortBudget = map[string]int64{"minimal": 1024, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768}

// effortOf is the way back.
func effortOf(budget int64) string {
	switch {
	case budget <= 0:
		return ""
	case budget <= 2048:
		return "low"
	case budget <= 8192:
		return "medium"
	default:
		return "high"
	}
}
