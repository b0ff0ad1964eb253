package dialect

import (
	"slices"

	"forebay/infer"
)

// Support is what becomes of a feature of a call when it is written in a dialect.
type Support string

// The kinds of support.
const (
	Served  Support = "yes"
	Dropped Support = "dropped" // left out, and named in x-forebay-dropped
	Refused Support = "no"      // the call is refused, naming the feature
)

// Feature is a row of the matrix: a feature, and what each dialect makes of it.
type Feature struct {
	Name string
	In   map[infer.Dialect]Support
}

// ChatDialects are the dialects of conversations and prompts, in the order of the matrix.
func ChatDialects() []infer.Dialect {
	return []infer.Dialect{
		infer.DialectAnthropic, infer.DialectConverse, infer.DialectNova, infer.DialectOpenAI, infer.DialectGPTOSS, infer.DialectMistralChat,
		infer.DialectJamba, infer.DialectCohereCommand, infer.DialectOpenAICompletions, infer.DialectLlama, infer.DialectMistral,
		infer.DialectDeepSeek, infer.DialectTitanText,
	}
}

// Matrix tells what each dialect makes of each feature. It asks the encoders themselves,
// with a call that uses the one feature and nothing else.
func Matrix() []Feature {
	var out []Feature
	for _, p := range probes() {
		f := Feature{Name: p.name, In: map[infer.Dialect]Support{}}
		for _, d := range ChatDialects() {
			f.In[d] = probeDialect(codecs[d], p.use)
		}
		out = append(out, f)
	}
	return out
}

func probeDialect(c *Codec, use func(*infer.Chat)) Support {
	chat := &infer.Chat{Messages: []infer.Message{textTurn(infer.RoleUser, "q")}}
	if c.Name == infer.DialectOpenAICompletions {
		prompt := "q"
		chat = &infer.Chat{Prompt: &prompt}
	}
	use(chat)
	if chat.Prompt != nil && len(chat.Messages) > 0 {
		return Refused // completions take a prompt and no messages
	}
	_, dropped, err := c.EncodeChat(chat, EncodeOptions{MaxTokens: 8192})
	switch {
	case err != nil:
		return Refused
	case len(dropped) > 0:
		return Dropped
	default:
		return Served
	}
}

type probe struct {
	name string
	use  func(*infer.Chat)
}

func probes() []probe {
	return slices.Concat(contentProbes(), toolProbes(), samplingProbes())
}

func with(b infer.Block) func(*infer.Chat) {
	return func(c *infer.Chat) {
		c.Messages = append([]infer.Message{}, c.Messages...)
		if len(c.Messages) == 0 {
			c.Messages = append(c.Messages, textTurn(infer.RoleUser, "q"))
		}
		c.Messages[0].Content = append(slices.Clone(c.Messages[0].Content), b)
	}
}

func media(k infer.BlockKind, m infer.Media) func(*infer.Chat) {
	return with(infer.Block{Kind: k, Media: m})
}

func contentProbes() []probe {
	data := []byte("x")
	return []probe{
		{"system prompt", func(c *infer.Chat) { c.System = []infer.Block{{Text: "s"}}; with(infer.Block{Text: "r"})(c) }},
		{"conversation", func(c *infer.Chat) {
			c.Messages = append(c.Messages, textTurn(infer.RoleAssistant, "a"), textTurn(infer.RoleUser, "r"))
		}},
		{"image, inline", media(infer.BlockImage, infer.Media{Format: "png", Data: data})},
		{"image by https URL", media(infer.BlockImage, infer.Media{URI: "https://images.example/a.png"})},
		{"image in S3", media(infer.BlockImage, infer.Media{Format: "png", URI: "s3://bucket/a.png"})},
		{"document, PDF", media(infer.BlockDocument, infer.Media{Format: "pdf", Name: "n", Data: data})},
		{"document, plain text", media(infer.BlockDocument, infer.Media{Format: "txt", Name: "n", Data: data})},
		{"document, other formats", media(infer.BlockDocument, infer.Media{Format: "docx", Name: "n", Data: data})},
		{"citations of a document", func(c *infer.Chat) {
			with(infer.Block{Kind: infer.BlockDocument, Cite: true, Media: infer.Media{Format: "txt", Name: "n", Data: data}})(c)
		}},
		{"video", media(infer.BlockVideo, infer.Media{Format: "mp4", Data: data})},
		{"audio", media(infer.BlockAudio, infer.Media{Format: "wav", Data: data})},
		{"cache point", with(infer.Block{Kind: infer.BlockCachePoint})},
		{"signed reasoning of earlier turns", with(infer.Block{Kind: infer.BlockThinking, Text: "t", Signature: "s"})},
		{"unsigned reasoning of earlier turns", with(infer.Block{Kind: infer.BlockThinking, Text: "t"})},
	}
}

func toolProbes() []probe {
	tool := func(c *infer.Chat) {
		c.Tools = []infer.Tool{{Name: "f", Schema: []byte(`{"type":"object","properties":{"a":{"type":"string"}}}`)}}
	}
	choice := func(mode string) func(*infer.Chat) {
		return func(c *infer.Chat) { tool(c); c.ToolChoice = infer.ToolChoice{Mode: mode, Name: "f"} }
	}
	result := func(b infer.Block) func(*infer.Chat) {
		return func(c *infer.Chat) {
			tool(c)
			c.Messages = append(c.Messages,
				infer.Message{Role: infer.RoleAssistant, Content: []infer.Block{{Kind: infer.BlockToolUse, ToolID: "i", ToolName: "f", ToolInput: []byte(`{}`)}}},
				infer.Message{Role: infer.RoleUser, Content: []infer.Block{b}})
		}
	}
	ok := infer.Block{Kind: infer.BlockToolResult, ToolID: "i", Content: []infer.Block{{Text: "r"}}}
	failed, image := ok, ok
	failed.ToolError = true
	image.Content = []infer.Block{{Kind: infer.BlockImage, Media: infer.Media{Format: "png", Data: []byte("x")}}}
	return []probe{
		{"tools", tool},
		{"tools with nested schemas", func(c *infer.Chat) {
			c.Tools = []infer.Tool{{Name: "f", Schema: []byte(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}}}}`)}}
		}},
		{"tool choice: any", choice("any")},
		{"tool choice: none", choice("none")},
		{"tool choice: one by name", choice("tool")},
		{"no parallel tool calls", func(c *infer.Chat) { tool(c); c.ParallelToolCalls = new(bool) }},
		{"tool results", result(ok)},
		{"failed tool results", result(failed)},
		{"images in tool results", result(image)},
	}
}

func samplingProbes() []probe {
	half, five, yes := 0.5, int64(5), true
	format := func(kind string) func(*infer.Chat) {
		return func(c *infer.Chat) {
			c.ResponseFormat = &infer.ResponseFormat{Type: kind, Name: "r", Schema: []byte(`{"type":"object"}`)}
		}
	}
	return []probe{
		{"max tokens", func(c *infer.Chat) { c.MaxTokens = &five }},
		{"temperature", func(c *infer.Chat) { c.Temperature = &half }},
		{"top_p", func(c *infer.Chat) { c.TopP = &half }},
		{"top_k", func(c *infer.Chat) { c.TopK = &five }},
		{"min_p", func(c *infer.Chat) { c.MinP = &half }},
		{"stop sequences", func(c *infer.Chat) { c.Stop = []string{"x"} }},
		{"seed", func(c *infer.Chat) { c.Seed = &five }},
		{"frequency and presence penalty", func(c *infer.Chat) { c.FrequencyPenalty, c.PresencePenalty = &half, &half }},
		{"several choices (n)", func(c *infer.Chat) { c.N = &five }},
		{"logprobs", func(c *infer.Chat) { c.Logprobs = &yes }},
		{"response format: JSON object", format("json_object")},
		{"response format: JSON schema", format("json_schema")},
		{"reasoning, by effort", func(c *infer.Chat) { c.Reasoning = &infer.Reasoning{Enabled: true, Effort: "low"} }},
		{"reasoning, by budget", func(c *infer.Chat) { c.Reasoning = &infer.Reasoning{Enabled: true, Budget: 2048} }},
		{"end user id", func(c *infer.Chat) { c.User = "u" }},
		{"suffix (fill in the middle)", func(c *infer.Chat) { c.Suffix = "x" }},
		{"echo", func(c *infer.Chat) { c.Echo = true }},
	}
}
