package dialect

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"forebay/infer"
)

// Prompt-style families: one text in the model's own template. Source: Bedrock user
// guide, "Inference request parameters and response fields" of each family; templates
// from the model cards.

var (
	llamaMembers   = map[string]member{"prompt": {ctl: ctlText}, "max_gen_len": {ctl: ctlMax}, "images": {ctl: ctlText, uses: infer.UsesImages}}
	mistralMembers = map[string]member{
		"prompt": {ctl: ctlText}, "max_tokens": {ctl: ctlMax}, "stop": {uses: infer.UsesStop}, "top_k": {uses: infer.UsesTopK},
	}
	titanMembers = map[string]member{
		"inputText":            {ctl: ctlText},
		"textGenerationConfig": {ctl: ctlNest, nested: within(map[string]control{"maxTokenCount": ctlMax, "stopSequences": ctlStop})},
	}
)

func init() { // four codecs of one shape
	for _, c := range []*Codec{
		{
			Name: infer.DialectLlama, needs: []string{"prompt"}, Inspect: inspector(wordsNative, false, llamaMembers), DecodeChat: decodeLlama, EncodeChat: encodeLlama, EncodeResult: encodeLlamaResult,
			DecodeResult: decodeLlamaResult, NewStreamEncoder: promptEncoder(llamaChunk), NewStreamDecoder: promptDecoder(decodeLlamaResult),
		},
		{
			Name: infer.DialectMistral, needs: []string{"prompt"}, Inspect: inspector(wordsNative, false, mistralMembers), DecodeChat: decodeMistralLike(infer.DialectMistral), EncodeChat: encodeMistral, EncodeResult: encodeMistralResult,
			DecodeResult: decodeMistralResult, NewStreamEncoder: promptEncoder(mistralChunk), NewStreamDecoder: promptDecoder(decodeMistralResult),
		},
		{
			Name: infer.DialectTitanText, needs: []string{"inputText"}, Inspect: inspector(wordsNative, false, titanMembers), DecodeChat: decodeTitan, EncodeChat: encodeTitan, EncodeResult: encodeTitanResult,
			DecodeResult: decodeTitanResult, NewStreamEncoder: promptEncoder(titanChunk), NewStreamDecoder: promptDecoder(decodeTitanChunk),
		},
		{
			Name: infer.DialectDeepSeek, needs: []string{"prompt"}, Inspect: inspector(wordsNative, false, mistralMembers), DecodeChat: decodeMistralLike(infer.DialectDeepSeek), EncodeChat: encodeDeepSeek, EncodeResult: encodeDeepSeekResult,
			DecodeResult: decodeDeepSeekResult, NewStreamEncoder: promptEncoder(deepSeekChunk), NewStreamDecoder: promptDecoder(decodeDeepSeekResult),
		},
	} {
		c.words = wordsNative
		c.RawUsage = metricsUsage
		register(c)
	}
}

// promptOf returns the text for a prompt-style family: the caller's own, or the chat in
// the family's template.
func (w *writer) promptOf(c *infer.Chat, render func(system string, turns []infer.Message) string) (string, error) {
	if c.Prompt != nil {
		return *c.Prompt, nil
	}
	system, turns := w.hoisted(c)
	turns = w.inlineDocuments(turns)
	for _, m := range turns {
		if m.Name != "" {
			w.drop("name")
		}
		for _, b := range m.Content {
			switch b.Kind {
			case infer.BlockText:
			case infer.BlockCachePoint:
				w.drop("cache point")
			case infer.BlockThinking, infer.BlockRedacted:
				w.drop("reasoning of earlier turns")
			default:
				return "", unsupported(blockNames[b.Kind], w.d)
			}
		}
	}
	return render(joinText(system), turns), nil
}

// user notes that the family has no member for an end user.
func (w *writer) user(c *infer.Chat) {
	if c.User != "" {
		w.drop("user")
	}
}

// finish ends the encoding of a native body, which has no room for members of others.
func (w *writer) finish(c *infer.Chat, body any) ([]byte, []string, error) {
	w.user(c)
	extra, err := w.extras(c)
	if err != nil {
		return nil, nil, err
	}
	for name := range extra {
		return nil, nil, unsupported(name, w.d)
	}
	b, err := marshal(body)
	return b, w.dropped, err
}

// progress is what a payload of a prompt-style stream may say beside its text.
type progress struct {
	first  bool // the stream's first payload
	told   bool // the first payload knew the tokens of the prompt
	tokens int64
	stop   infer.StopReason // set at the end
	usage  infer.Usage
}

// chunkFunc encodes one payload of a prompt-style stream: a piece of text, or the end.
type chunkFunc func(text string, p progress) []byte

type promptStream struct {
	chunk chunkFunc
	progress
}

func promptEncoder(f chunkFunc) func(Head) StreamEncoder {
	return func(Head) StreamEncoder { return &promptStream{chunk: f, progress: progress{first: true}} }
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
		s.tokens += ev.Tokens
		p := s.progress
		p.stop = ""
		emit("", s.chunk(ev.Text, p))
		if s.first {
			s.first, s.told = false, s.usage.Input > 0
		}
	case ev.Kind == infer.EventStop:
		s.stop = ev.Stop
	}
	return nil
}

// Finish implements StreamEncoder. The end comes as a payload of its own: whether a piece of
// text is the last is not known when it leaves.
func (s *promptStream) Finish(emit Emit) {
	if s.stop == "" {
		s.stop = infer.StopEndTurn
	}
	emit("", s.chunk("", s.progress))
}

// promptReader decodes the chunks of a prompt-style stream, which have the form of results.
type promptReader struct {
	decode  func([]byte) (*infer.Result, error)
	started bool
	done    bool
	usage   infer.Usage
	counted bool
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
	if !res.Usage.Estimated {
		p.usage, p.counted = res.Usage, true
	} else if p.counted && res.Usage.Output > 0 {
		p.usage.Output = res.Usage.Output // Llama counts the prompt in the first payload only
	}
	if !p.started {
		p.started = true
		events = append(events, infer.Event{Kind: infer.EventStart, Usage: p.usage, HasUsage: p.counted}, infer.Event{Kind: infer.EventBlockStart})
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
		if p.counted {
			events = append(events, infer.Event{Kind: infer.EventUsage, Usage: p.usage, HasUsage: true})
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
	Prompt      *string  `json:"prompt,omitzero"`
	Temperature *float64 `json:"temperature,omitzero"`
	TopP        *float64 `json:"top_p,omitzero"`
	MaxGenLen   *int64   `json:"max_gen_len,omitzero"`
	Images      []string `json:"images,omitzero"`
}

type llamaResponse struct {
	Generation       string  `json:"generation"`
	PromptTokens     *int64  `json:"prompt_token_count"`
	GenerationTokens *int64  `json:"generation_token_count"`
	StopReason       *string `json:"stop_reason"`
}

// llamaGenLen is the family's default of max_gen_len.
const llamaGenLen = int64(512)

func decodeLlama(body []byte) (*infer.Chat, error) {
	var r llamaRequest
	if err := unmarshal("", body, &r); err != nil {
		return nil, err
	}
	if r.Prompt == nil {
		return nil, missing("prompt")
	}
	if r.MaxGenLen == nil {
		n := llamaGenLen
		r.MaxGenLen = &n
	}
	c := &infer.Chat{Prompt: r.Prompt, Temperature: r.Temperature, TopP: r.TopP, MaxTokens: r.MaxGenLen}
	if err := ranges(infer.DialectLlama, c); err != nil || len(r.Images) == 0 {
		return c, err
	}
	return c, decodeLlamaImages(c, r.Images)
}

// llamaImage stands in a prompt for the next image of the list.
const llamaImage = "<|image|>"

// decodeLlamaImages turns a prompt with images into messages, which alone have a place for
// both. Images that the prompt does not mark stand ahead of the last turn.
func decodeLlamaImages(c *infer.Chat, images []string) error {
	var err error
	if c.System, c.Messages, err = promptTurns(*c.Prompt); err != nil {
		return err
	}
	c.Prompt = nil
	blocks := make([]infer.Block, len(images))
	for i, data := range images {
		m, err := sniffMedia("images."+strconv.Itoa(i), data)
		if err != nil {
			return err
		}
		blocks[i] = infer.Block{Kind: infer.BlockImage, Media: m}
	}
	marks := 0
	for i := range c.Messages {
		marks += strings.Count(joinText(c.Messages[i].Content), llamaImage)
	}
	last := &c.Messages[len(c.Messages)-1]
	switch {
	case marks == 0:
		last.Content = slices.Concat(blocks, last.Content)
		return nil
	case marks != len(images):
		return invalid("images", "the prompt has %d marks %s for %d images", marks, llamaImage, len(images))
	}
	for i := range c.Messages {
		var content []infer.Block
		rest, found := joinText(c.Messages[i].Content), true
		for found {
			var text string
			if text, rest, found = strings.Cut(rest, llamaImage); text != "" {
				content = append(content, infer.Block{Kind: infer.BlockText, Text: text})
			}
			if found {
				content, blocks = append(content, blocks[0]), blocks[1:]
			}
		}
		c.Messages[i].Content = content
	}
	return nil
}

// llamaTurns marks the images of a conversation where they stand, and lists them.
func (w *writer) llamaTurns(turns []infer.Message) (out []infer.Message, images []string, err error) {
	for _, m := range turns {
		content := make([]infer.Block, 0, len(m.Content))
		for _, b := range m.Content {
			if b.Kind != infer.BlockImage {
				content = append(content, b)
				continue
			}
			if b.Media.Data == nil {
				return nil, nil, unsupported("image by reference", w.d)
			}
			images = append(images, base64.StdEncoding.EncodeToString(b.Media.Data))
			content = append(content, infer.Block{Kind: infer.BlockText, Text: llamaImage})
		}
		out = append(out, infer.Message{Role: m.Role, Name: m.Name, Content: content})
	}
	return out, images, nil
}

func encodeLlama(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
	w := writer{d: infer.DialectLlama}
	if err := w.refuse(c, limits{}); err != nil {
		return nil, nil, err
	}
	if len(c.Stop) > 0 {
		return nil, nil, unsupported("stop sequences", w.d)
	}
	turns, images, err := w.llamaTurns(c.Messages)
	if err != nil {
		return nil, nil, err
	}
	marked := *c
	marked.Messages = turns
	p, err := w.promptOf(&marked, renderLlama)
	if err != nil {
		return nil, nil, err
	}
	return w.finish(c, &llamaRequest{Images: images, Prompt: &p, Temperature: c.Temperature, TopP: c.TopP, MaxGenLen: c.MaxTokens})
}

func encodeLlamaResult(_ Head, res *infer.Result) ([]byte, error) {
	text, stop := firstChoice(res)
	return marshal(&llamaResponse{Generation: text, PromptTokens: &res.Usage.Input, GenerationTokens: &res.Usage.Output, StopReason: shortStop(stop)})
}

func llamaChunk(text string, p progress) []byte {
	r := llamaResponse{Generation: text, GenerationTokens: &p.tokens, StopReason: shortStop(p.stop)}
	if p.first || p.stop != "" && !p.told {
		r.PromptTokens = &p.usage.Input
	}
	if p.stop != "" && p.usage.Output > 0 {
		r.GenerationTokens = &p.usage.Output
	}
	return must(&r)
}

func decodeLlamaResult(body []byte) (*infer.Result, error) {
	var r llamaResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	u, ok := metricsUsage(body)
	switch {
	case ok:
	case r.PromptTokens != nil && r.GenerationTokens != nil:
		u = infer.Usage{Input: *r.PromptTokens, Output: *r.GenerationTokens}
	case r.GenerationTokens != nil:
		u = infer.Usage{Output: *r.GenerationTokens, Estimated: true}
	default:
		u.Estimated = true
	}
	return textResult(r.Generation, stopOf(r.StopReason), u), nil
}
