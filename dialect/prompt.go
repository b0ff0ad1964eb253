package dialect

import (
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Prompt-style families: one text in the model's own template. Source: Bedrock user
// guide, "Inference request parameters and response fields" of each family; templates
// from the model cards.

var promptMembers = map[string]member{
	"prompt": {ctl: ctlText}, "inputText": {ctl: ctlText}, "max_gen_len": {ctl: ctlMax}, "max_tokens": {ctl: ctlMax},
	"textGenerationConfig": {ctl: ctlNest, nested: map[string]control{"maxTokenCount": ctlMax}},
	"stop":                 {uses: infer.UsesStop}, "top_k": {uses: infer.UsesTopK},
}

func init() { //nolint:gochecknoinits // four codecs of one shape
	for _, c := range []*Codec{
		{
			Name: infer.DialectLlama, DecodeChat: decodeLlama, EncodeChat: encodeLlama, EncodeResult: encodeLlamaResult,
			DecodeResult: decodeLlamaResult, NewStreamEncoder: promptEncoder(llamaChunk), NewStreamDecoder: promptDecoder(decodeLlamaResult),
		},
		{
			Name: infer.DialectMistral, DecodeChat: decodeMistral, EncodeChat: encodeMistral, EncodeResult: encodeMistralResult,
			DecodeResult: decodeMistralResult, NewStreamEncoder: promptEncoder(mistralChunk), NewStreamDecoder: promptDecoder(decodeMistralResult),
		},
		{
			Name: infer.DialectTitanText, DecodeChat: decodeTitan, EncodeChat: encodeTitan, EncodeResult: encodeTitanResult,
			DecodeResult: decodeTitanResult, NewStreamEncoder: promptEncoder(titanChunk), NewStreamDecoder: promptDecoder(decodeTitanChunk),
		},
		{
			Name: infer.DialectDeepSeek, DecodeChat: decodeDeepSeek, EncodeChat: encodeDeepSeek, EncodeResult: encodeDeepSeekResult,
			DecodeResult: decodeDeepSeekResult, NewStreamEncoder: promptEncoder(deepSeekChunk), NewStreamDecoder: promptDecoder(decodeDeepSeekResult),
		},
	} {
		c.Inspect = inspector(promptMembers)
		c.RawUsage = noUsage
		register(c)
	}
}

// promptOf returns the text for a prompt-style family: the caller's own, or the chat in
// the family's template.
func promptOf(c *infer.Chat, d infer.Dialect, render func(system string, turns []infer.Message) string) (string, error) {
	if c.Prompt != nil {
		return *c.Prompt, nil
	}
	if len(c.Tools) > 0 {
		return "", unsupported("tools", d)
	}
	if c.ResponseFormat != nil && c.ResponseFormat.Type != "text" {
		return "", unsupported("response_format", d)
	}
	if c.N != nil && *c.N > 1 {
		return "", unsupported("n", d)
	}
	for _, m := range c.Messages {
		for _, b := range m.Content {
			switch b.Kind {
			case infer.BlockText, infer.BlockCachePoint, infer.BlockThinking, infer.BlockRedacted:
			default:
				return "", unsupported(blockNames[b.Kind], d)
			}
		}
	}
	return render(joinText(c.System), c.Messages), nil
}

func renderLlama(system string, turns []infer.Message) string {
	var b strings.Builder
	b.WriteString("<|begin_of_text|>")
	turn := func(role, text string) {
		b.WriteString("<|start_header_id|>" + role + "<|end_header_id|>\n\n" + text + "<|eot_id|>")
	}
	if system != "" {
		turn("system", system)
	}
	for _, m := range turns {
		turn(string(m.Role), joinText(m.Content))
	}
	b.WriteString("<|start_header_id|>assistant<|end_header_id|>\n\n")
	return b.String()
}

func renderMistral(system string, turns []infer.Message) string {
	var b strings.Builder
	b.WriteString("<s>")
	for i, m := range turns {
		text := joinText(m.Content)
		if m.Role == infer.RoleAssistant {
			b.WriteString(" " + text + "</s>")
			continue
		}
		if i == 0 && system != "" {
			text = system + "\n\n" + text
		}
		b.WriteString("[INST] " + text + " [/INST]")
	}
	return b.String()
}

func renderTitan(system string, turns []infer.Message) string {
	var b strings.Builder
	if system != "" {
		b.WriteString(system + "\n\n")
	}
	for _, m := range turns {
		who := "User: "
		if m.Role == infer.RoleAssistant {
			who = "Bot: "
		}
		b.WriteString(who + joinText(m.Content) + "\n")
	}
	b.WriteString("Bot:")
	return b.String()
}

func renderDeepSeek(system string, turns []infer.Message) string {
	var b strings.Builder
	b.WriteString("<｜begin▁of▁sentence｜>" + system)
	for _, m := range turns {
		if m.Role == infer.RoleAssistant {
			b.WriteString("<｜Assistant｜>" + joinText(m.Content) + "<｜end▁of▁sentence｜>")
			continue
		}
		b.WriteString("<｜User｜>" + joinText(m.Content))
	}
	b.WriteString("<｜Assistant｜><think>\n")
	return b.String()
}

// chunkFunc encodes one payload of a prompt-style stream: a piece of text, or the end
// when stop is set.
type chunkFunc func(h Head, text string, stop infer.StopReason, u infer.Usage, first bool) []byte

type promptStream struct {
	h     Head
	chunk chunkFunc
	first bool
	stop  infer.StopReason
	usage infer.Usage
}

func promptEncoder(f chunkFunc) func(Head) StreamEncoder {
	return func(h Head) StreamEncoder { return &promptStream{h: h, chunk: f, first: true, stop: infer.StopEndTurn} }
}

// Encode implements StreamEncoder.
func (s *promptStream) Encode(ev *infer.Event, emit Emit) error {
	if ev.HasUsage {
		s.usage = ev.Usage
	}
	if ev.Choice > 0 {
		return nil
	}
	switch {
	case ev.Kind == infer.EventDelta && ev.Delta == infer.BlockText:
		emit("", s.chunk(s.h, ev.Text, "", s.usage, s.first))
		s.first = false
	case ev.Kind == infer.EventStop:
		s.stop = ev.Stop
	}
	return nil
}

// Finish implements StreamEncoder.
func (s *promptStream) Finish(emit Emit) { emit("", s.chunk(s.h, "", s.stop, s.usage, s.first)) }

// promptReader decodes the chunks of a prompt-style stream, which have the form of results.
type promptReader struct {
	decode  func([]byte) (*infer.Result, error)
	started bool
	done    bool
}

func promptDecoder(f func([]byte) (*infer.Result, error)) func() StreamDecoder {
	return func() StreamDecoder { return &promptReader{decode: f} }
}

// Complete implements StreamDecoder.
func (p *promptReader) Complete() bool { return p.done }

// Decode implements StreamDecoder.
func (p *promptReader) Decode(_ string, payload []byte, events []infer.Event) ([]infer.Event, error) {
	res, err := p.decode(payload)
	if err != nil {
		return events, err
	}
	if !p.started {
		p.started = true
		events = append(events, infer.Event{Kind: infer.EventStart}, infer.Event{Kind: infer.EventBlockStart})
	}
	if len(res.Choices) == 0 {
		return events, nil
	}
	c := res.Choices[0]
	if text := blocksText(c.Content); text != "" {
		events = append(events, infer.Event{Kind: infer.EventDelta, Text: text, Tokens: 1})
	}
	if c.Stop != "" {
		p.done = true
		events = append(events, infer.Event{Kind: infer.EventBlockStop}, infer.Event{Kind: infer.EventStop, Stop: c.Stop})
		if res.Usage != (infer.Usage{}) && !res.Usage.Estimated {
			events = append(events, infer.Event{Kind: infer.EventUsage, Usage: res.Usage, HasUsage: true})
		}
	}
	return events, nil
}

func firstChoice(res *infer.Result) (text string, stop infer.StopReason) {
	if len(res.Choices) == 0 {
		return "", infer.StopEndTurn
	}
	return blocksText(res.Choices[0].Content), res.Choices[0].Stop
}

func textResult(text string, stop infer.StopReason, u infer.Usage) *infer.Result {
	r := &infer.Result{Usage: u, Choices: []infer.Choice{{Stop: stop}}}
	if text != "" {
		r.Choices[0].Content = []infer.Block{{Kind: infer.BlockText, Text: text}}
	}
	return r
}

// shortStop is the stop reason of the families that know only "stop" and "length".
func shortStop(s infer.StopReason) *string {
	if s == "" {
		return nil
	}
	out := "stop"
	if s == infer.StopMaxTokens {
		out = "length"
	}
	return &out
}

type llamaRequest struct {
	Prompt      *string        `json:"prompt,omitzero"`
	Temperature *float64       `json:"temperature,omitzero"`
	TopP        *float64       `json:"top_p,omitzero"`
	MaxGenLen   *int64         `json:"max_gen_len,omitzero"`
	Images      jsontext.Value `json:"images,omitzero"`
}

type llamaResponse struct {
	Generation       string  `json:"generation"`
	PromptTokens     *int64  `json:"prompt_token_count"`
	GenerationTokens *int64  `json:"generation_token_count"`
	StopReason       *string `json:"stop_reason"`
}

func decodeLlama(body []byte) (*infer.Chat, error) {
	var r llamaRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	if r.Prompt == nil {
		return nil, missing("prompt")
	}
	if len(r.Images) > 0 {
		return nil, unsupported("images", infer.DialectLlama)
	}
	if r.MaxGenLen == nil {
		n := int64(512) // the family's documented default
		r.MaxGenLen = &n
	}
	return &infer.Chat{Prompt: r.Prompt, Temperature: r.Temperature, TopP: r.TopP, MaxTokens: r.MaxGenLen}, nil
}

func encodeLlama(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
	p, err := promptOf(c, infer.DialectLlama, renderLlama)
	if err != nil {
		return nil, nil, err
	}
	if len(c.Stop) > 0 {
		return nil, nil, unsupported("stop sequences", infer.DialectLlama)
	}
	b, err := marshal(&llamaRequest{Prompt: &p, Temperature: c.Temperature, TopP: c.TopP, MaxGenLen: c.MaxTokens})
	return b, nil, err
}

func encodeLlamaResult(_ Head, res *infer.Result) ([]byte, error) {
	text, stop := firstChoice(res)
	return marshal(&llamaResponse{Generation: text, PromptTokens: &res.Usage.Input, GenerationTokens: &res.Usage.Output, StopReason: shortStop(stop)})
}

func llamaChunk(_ Head, text string, stop infer.StopReason, u infer.Usage, first bool) []byte {
	r := llamaResponse{Generation: text, StopReason: shortStop(stop)}
	if first || stop != "" {
		r.PromptTokens = &u.Input
	}
	if stop != "" {
		r.GenerationTokens = &u.Output
	}
	return must(&r)
}

func decodeLlamaResult(body []byte) (*infer.Result, error) {
	var r llamaResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	u := infer.Usage{Estimated: true}
	if r.PromptTokens != nil && r.GenerationTokens != nil {
		u = infer.Usage{Input: *r.PromptTokens, Output: *r.GenerationTokens}
	}
	return textResult(r.Generation, stopOf(r.StopReason), u), nil
}
