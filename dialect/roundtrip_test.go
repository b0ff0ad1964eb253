package dialect

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"forebay/infer"

	"pgregory.net/rapid"
)

// expresses is what a dialect's requests can say, as the matrix of the documentation has it
// and as the generator below makes it.
type expresses struct {
	system     int // largest number of system blocks
	user       []infer.BlockKind
	assistant  []infer.BlockKind
	results    bool
	apart      bool // tool results stand in a turn of their own, with one text each
	blocks     int  // most blocks in a turn
	images     bool // images by URL as well
	tools      bool
	strict     bool
	choices    []string
	parallel   bool
	needsMax   bool
	topK       bool
	seed       bool
	penalties  bool
	choicesN   bool
	logprobs   bool
	format     []string
	user_      bool
	budget     bool
	effort     bool
	stop       bool
	minP       bool
	prompt     bool
	completion bool
	maxDefault int64
}

var expressed = map[infer.Dialect]expresses{
	infer.DialectAnthropic: {
		system: 3, blocks: 3, user: []infer.BlockKind{infer.BlockText, infer.BlockImage, infer.BlockDocument},
		assistant: []infer.BlockKind{infer.BlockText, infer.BlockThinking, infer.BlockRedacted, infer.BlockToolUse}, results: true, images: true,
		tools: true, strict: true, choices: []string{"", "auto", "any", "none", "tool"}, parallel: true, needsMax: true, topK: true,
		format: []string{"json_schema"}, user_: true, budget: true, stop: true,
	},
	infer.DialectOpenAI: {
		system: 1, blocks: 3, user: []infer.BlockKind{infer.BlockText, infer.BlockImage, infer.BlockAudio, infer.BlockDocument},
		assistant: []infer.BlockKind{infer.BlockText, infer.BlockToolUse}, results: true, apart: true, images: true,
		tools: true, strict: true, choices: []string{"", "auto", "any", "none", "tool"}, parallel: true, topK: true, seed: true, penalties: true,
		choicesN: true, logprobs: true, format: []string{"text", "json_object", "json_schema"}, user_: true, effort: true, stop: true, minP: true,
	},
	infer.DialectGPTOSS: {
		system: 1, blocks: 1, user: []infer.BlockKind{infer.BlockText}, assistant: []infer.BlockKind{infer.BlockText, infer.BlockToolUse},
		results: true, apart: true, tools: true, strict: true, choices: []string{"", "auto", "any", "none", "tool"}, seed: true, penalties: true,
		choicesN: true, logprobs: true, format: []string{"json_object", "json_schema"}, effort: true, stop: true,
	},
	infer.DialectJamba: {
		system: 1, blocks: 1, user: []infer.BlockKind{infer.BlockText}, assistant: []infer.BlockKind{infer.BlockText, infer.BlockToolUse},
		results: true, apart: true, tools: true, choices: []string{""}, penalties: true, choicesN: true, stop: true,
	},
	infer.DialectMistralChat: {
		system: 1, blocks: 2, user: []infer.BlockKind{infer.BlockText, infer.BlockImage}, assistant: []infer.BlockKind{infer.BlockText, infer.BlockToolUse},
		results: true, apart: true, tools: true, choices: []string{"", "auto", "any", "none"}, stop: true,
	},
	infer.DialectConverse: {
		system: 3, blocks: 3, user: []infer.BlockKind{infer.BlockText, infer.BlockImage, infer.BlockDocument, infer.BlockVideo},
		assistant: []infer.BlockKind{infer.BlockText, infer.BlockThinking, infer.BlockToolUse}, results: true,
		tools: true, strict: true, choices: []string{"", "auto", "any", "tool"}, format: []string{"json_schema"}, stop: true,
	},
	infer.DialectNova: {
		system: 2, blocks: 3, user: []infer.BlockKind{infer.BlockText, infer.BlockImage, infer.BlockDocument, infer.BlockVideo},
		assistant: []infer.BlockKind{infer.BlockText, infer.BlockToolUse}, results: true,
		tools: true, choices: []string{"", "auto", "any", "tool"}, topK: true, stop: true,
	},
	infer.DialectCohereCommand: {
		system: 1, blocks: 1, user: []infer.BlockKind{infer.BlockText}, assistant: []infer.BlockKind{infer.BlockText},
		tools: true, choices: []string{""}, topK: true, seed: true, penalties: true, stop: true,
	},
	infer.DialectLlama:             {prompt: true, maxDefault: llamaGenLen},
	infer.DialectTitanText:         {prompt: true, stop: true, maxDefault: titanTokens},
	infer.DialectMistral:           {prompt: true, stop: true, topK: true},
	infer.DialectDeepSeek:          {prompt: true, stop: true},
	infer.DialectOpenAICompletions: {prompt: true, stop: true, topK: true, minP: true, seed: true, penalties: true, choicesN: true, user_: true, completion: true},
}

const pngPixel = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01"

var (
	drawText   = rapid.StringMatching(`[a-zé<"\\ \n{}|]{1,12}x`)
	drawSchema = rapid.SampledFrom([]string{
		`{"type":"object","properties":{"city":{"type":"string","description":"d"}},"required":["city"]}`,
		`{"type":"object","properties":{"n":{"type":"integer"}}}`,
	})
	drawInput = rapid.SampledFrom([]string{`{}`, `{"a":[1,{"b":null}]}`, `{"url":"https://x.example","data":"é"}`})
)

func maybe[T any](t *rapid.T, name string, g *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(t, name+"?") {
		return nil
	}
	v := g.Draw(t, name)
	return &v
}

// quarters are floats that survive every way of writing them.
func quarters() *rapid.Generator[float64] {
	return rapid.Map(rapid.IntRange(0, 4), func(i int) float64 { return float64(i) / 4 })
}

func (e *expresses) chat(t *rapid.T) *infer.Chat {
	c := &infer.Chat{
		MaxTokens:   maybe(t, "max", rapid.Int64Range(2048, 2048)),
		Temperature: maybe(t, "temperature", quarters()),
		TopP:        maybe(t, "top_p", quarters()),
	}
	if e.needsMax {
		n := int64(4000)
		c.MaxTokens = &n
	}
	if e.maxDefault > 0 && c.MaxTokens == nil {
		c.MaxTokens = &e.maxDefault
	}
	if e.stop {
		c.Stop = rapid.SliceOfN(drawText, 0, 3).Draw(t, "stop")
	}
	if e.topK {
		c.TopK = maybe(t, "top_k", rapid.Int64Range(1, 100))
	}
	if e.minP {
		c.MinP = maybe(t, "min_p", quarters())
	}
	if e.seed {
		c.Seed = maybe(t, "seed", rapid.Int64Range(-5, 1<<40))
	}
	if e.penalties {
		c.FrequencyPenalty, c.PresencePenalty = maybe(t, "frequency", quarters()), maybe(t, "presence", quarters())
	}
	if e.choicesN {
		c.N = maybe(t, "n", rapid.Int64Range(1, 4))
	}
	if e.user_ {
		c.User = rapid.SampledFrom([]string{"", "someone"}).Draw(t, "user")
	}
	if e.prompt {
		p := drawText.Draw(t, "prompt")
		c.Prompt = &p
		if e.completion {
			c.Echo, c.Suffix = rapid.Bool().Draw(t, "echo"), rapid.SampledFrom([]string{"", "end"}).Draw(t, "suffix")
		}
		return c
	}
	e.modes(t, c)
	e.turns(t, c)
	return c
}

func (e *expresses) modes(t *rapid.T, c *infer.Chat) {
	if e.logprobs && rapid.Bool().Draw(t, "logprobs") {
		yes, n := true, int64(3)
		c.Logprobs, c.TopLogprobs = &yes, &n
	}
	if len(e.format) > 0 && rapid.Bool().Draw(t, "format?") {
		c.ResponseFormat = &infer.ResponseFormat{Type: rapid.SampledFrom(e.format).Draw(t, "format")}
		if c.ResponseFormat.Type == "json_schema" {
			c.ResponseFormat.Name, c.ResponseFormat.Schema = "response", []byte(drawSchema.Draw(t, "schema"))
		}
	}
	if e.budget && rapid.Bool().Draw(t, "thinking") {
		c.Reasoning = rapid.SampledFrom([]*infer.Reasoning{{Enabled: true, Budget: 2000}, {Enabled: true}, {}}).Draw(t, "reasoning")
	}
	if e.effort && rapid.Bool().Draw(t, "effort") {
		c.Reasoning = rapid.SampledFrom([]*infer.Reasoning{{Enabled: true, Effort: "low"}, {Effort: "none"}}).Draw(t, "reasoning")
	}
	if !e.tools || !rapid.Bool().Draw(t, "tools") {
		return
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "ntools") {
		tool := infer.Tool{Name: fmt.Sprint("tool", i), Description: "what it does", Schema: []byte(drawSchema.Draw(t, "input"))}
		if e.strict {
			tool.Strict = maybe(t, "strict", rapid.Bool())
		}
		c.Tools = append(c.Tools, tool)
	}
	c.ToolChoice.Mode = rapid.SampledFrom(e.choices).Draw(t, "choice")
	if c.ToolChoice.Mode == "tool" {
		c.ToolChoice.Name = "tool0"
	}
	if e.parallel && c.ToolChoice.Mode != "" && c.ToolChoice.Mode != "none" {
		c.ParallelToolCalls = maybe(t, "parallel", rapid.Bool())
	}
}

func (e *expresses) turns(t *rapid.T, c *infer.Chat) {
	for range rapid.IntRange(0, e.system).Draw(t, "nsystem") {
		c.System = append(c.System, infer.Block{Text: drawText.Draw(t, "system")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "exchanges") {
		c.Messages = append(c.Messages, infer.Message{Role: infer.RoleUser, Content: e.content(t, e.user)})
		answer := infer.Message{Role: infer.RoleAssistant, Content: e.content(t, e.assistant)}
		c.Messages = append(c.Messages, answer)
		results := infer.Message{Role: infer.RoleUser}
		for _, b := range answer.Content {
			if b.Kind == infer.BlockToolUse {
				r := infer.Block{Kind: infer.BlockToolResult, ToolID: b.ToolID, Content: []infer.Block{{Text: drawText.Draw(t, "result")}}}
				if !e.apart {
					r.ToolError = rapid.Bool().Draw(t, "failed")
					r.Content = append(r.Content, infer.Block{Kind: infer.BlockImage, Media: infer.Media{Format: "png", Data: []byte(pngPixel)}})
				}
				results.Content = append(results.Content, r)
			}
		}
		if len(results.Content) > 0 {
			c.Messages = append(c.Messages, results, infer.Message{Role: infer.RoleAssistant, Content: []infer.Block{{Text: "noted"}}})
		}
	}
	c.Messages = append(c.Messages, infer.Message{Role: infer.RoleUser, Content: e.content(t, e.user)})
}

// content draws a turn. Each kind comes once, in the order in which every dialect keeps it.
func (e *expresses) content(t *rapid.T, kinds []infer.BlockKind) []infer.Block {
	n := rapid.IntRange(1, min(e.blocks, len(kinds))).Draw(t, "blocks")
	out := []infer.Block{}
	order := kinds
	if !slices.Contains(kinds, infer.BlockToolUse) {
		order = rapid.Permutation(kinds).Draw(t, "kinds")
	}
	for _, k := range order[:n] {
		out = append(out, e.block(t, k))
	}
	if !slices.ContainsFunc(out, func(b infer.Block) bool { return b.Kind == infer.BlockText }) {
		out = append([]infer.Block{{Text: drawText.Draw(t, "text")}}, out...) // documents need a text beside them
	}
	return out
}

func (e *expresses) block(t *rapid.T, k infer.BlockKind) infer.Block {
	b := infer.Block{Kind: k}
	switch k {
	case infer.BlockText:
		b.Text = drawText.Draw(t, "text")
	case infer.BlockThinking:
		b.Text, b.Signature = drawText.Draw(t, "thought"), "c2ln"
	case infer.BlockRedacted:
		b.Data = []byte("ZW5j")
	case infer.BlockImage:
		b.Media = infer.Media{Format: "png", Data: []byte(pngPixel)}
		if e.images && rapid.Bool().Draw(t, "by url") {
			b.Media = infer.Media{URI: "https://images.example/a.png"}
		}
	case infer.BlockDocument:
		b.Media = infer.Media{Format: "pdf", Name: "report", Data: []byte("%PDF-1.7")}
	case infer.BlockVideo:
		b.Media = infer.Media{Format: "mp4", URI: "s3://bucket/a.mp4"}
	case infer.BlockAudio:
		b.Media = infer.Media{Format: "wav", Data: []byte("RIFF")}
	case infer.BlockToolUse:
		b.ToolID, b.ToolName, b.ToolInput = "call_"+rapid.StringMatching(`[a-z]{3}`).Draw(t, "id"), "tool0", []byte(drawInput.Draw(t, "input"))
	}
	return b
}

// tidy makes absent and empty lists alike.
func tidy(c *infer.Chat) *infer.Chat {
	if len(c.Stop) == 0 {
		c.Stop = nil
	}
	return c
}

// TestRequestRoundTrip: what a dialect can express comes back as it was, nothing is
// dropped on the way, and Inspect accepts and agrees.
func TestRequestRoundTrip(t *testing.T) {
	for d, e := range expressed {
		c, ok := Get(d)
		if !ok {
			t.Fatal(d)
		}
		t.Run(string(d), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := tidy(e.chat(t))
				body, dropped, err := c.EncodeChat(want, EncodeOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if len(dropped) > 0 {
					t.Fatalf("dropped %v of %s", dropped, body)
				}
				got, err := c.DecodeChat(body)
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				if !reflect.DeepEqual(tidy(got), want) {
					t.Fatalf("%s\ngot  %+v\nwant %+v", body, got, want)
				}
				var f infer.Facts
				if err := c.Inspect(body, &f); err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				agrees(t, &f, want)
			})
		})
	}
	for d, c := range codecs {
		if _, ok := expressed[d]; !ok && c.EncodeChat != nil {
			t.Errorf("%s is not tested", d)
		}
	}
}

// agrees holds what Inspect found against the decoded call.
func agrees(t *rapid.T, f *infer.Facts, c *infer.Chat) {
	images, docs := 0, 0
	count := func(blocks []infer.Block) {
		for _, b := range blocks {
			switch b.Kind {
			case infer.BlockImage:
				images++
			case infer.BlockDocument:
				docs++
			}
			for _, r := range b.Content {
				if r.Kind == infer.BlockImage {
					images++
				}
			}
		}
	}
	for _, m := range c.Messages {
		count(m.Content)
	}
	switch {
	case f.MaxTokens != 0 && f.MaxTokens != *c.MaxTokens:
		t.Fatalf("max tokens %d", f.MaxTokens)
	case c.N != nil && f.N != *c.N:
		t.Fatalf("n %d", f.N)
	case f.User != c.User:
		t.Fatalf("user %q, want %q", f.User, c.User)
	case f.Uses.Has(infer.UsesTools) != (len(c.Tools) > 0 || hasToolBlocks(c)):
		t.Fatalf("tools: %b", f.Uses)
	case f.Uses.Has(infer.UsesImages) != (images > 0):
		t.Fatalf("images: %b, %d", f.Uses, images)
	case f.Uses.Has(infer.UsesDocuments) != (docs > 0):
		t.Fatalf("documents: %b, %d", f.Uses, docs)
	case f.Uses.Has(infer.UsesReasoning) && (c.Reasoning == nil || !c.Reasoning.Enabled):
		t.Fatalf("reasoning: %b", f.Uses)
	case f.Uses.Has(infer.UsesResponseFormat) && (c.ResponseFormat == nil || c.ResponseFormat.Type == "text"):
		t.Fatalf("format: %b", f.Uses)
	}
}
