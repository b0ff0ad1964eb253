package dialect

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/infer"
)

// A prompt for an engine of messages: taken apart, or one message, or refused.
func TestPromptsForEnginesOfMessages(t *testing.T) {
	openai := codecs[infer.DialectOpenAI]
	for prompt, want := range map[string]string{
		"What is a weir?": `[{"role":"user","content":"What is a weir?"}]`,
		// as the Bedrock user guide writes it, with single line ends
		"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\nhi\n<|eot_id|>\n<|start_header_id|>assistant<|end_header_id|>\n": `[{"role":"user","content":"hi"}]`,
		"<s>[INST] be brief: hi [/INST]": `[{"role":"user","content":"be brief: hi"}]`,
		"User: hi\nBot:":                 `[{"role":"user","content":"hi"}]`,
		"<｜begin▁of▁sentence｜>be brief<｜User｜>hi<｜Assistant｜><think>\n": `[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}]`,
		"Bot: I am no template\nUser: nor am I":                         `[{"role":"user","content":"Bot: I am no template\nUser: nor am I"}]`,
		// parts of a template
		"<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>": "",
		"<|begin_of_text|>once upon a time":                        "",
		"tell me about [INST] marks":                               "",
		"<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nSure, ": "",
		"<|start_header_id|>ipython<|end_header_id|>\n\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n":    "",
		"<｜User｜>hi": "",
	} {
		body, dropped, err := openai.EncodeChat(&infer.Chat{Prompt: &prompt}, EncodeOptions{})
		if want == "" {
			e := fault.From(err)
			if err == nil || e.Kind != fault.Invalid || !strings.Contains(e.Message, "cannot be taken apart") || !strings.Contains(e.Reason, "prompt template") {
				t.Errorf("%q: %s %v", prompt, body, err)
			}
			continue
		}
		if err != nil || len(dropped) > 0 || string(body) != `{"messages":`+want+`}` {
			t.Errorf("%q: %s %v %v, want %s", prompt, body, dropped, err, want)
		}
	}
}

// Llama's images stand where the prompt marks them, or ahead of the last turn.
func TestLlamaImages(t *testing.T) {
	pixel := base64.StdEncoding.EncodeToString([]byte(pngPixel))
	img := infer.Block{Kind: infer.BlockImage, Media: infer.Media{Format: "png", Data: []byte(pngPixel)}}
	txt := func(s string) infer.Block { return infer.Block{Text: s} }
	const head, tail = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\\n\\n", "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\\n\\n"
	codec := codecs[infer.DialectLlama]
	for prompt, want := range map[string][]infer.Block{
		"what is this?":                                       {img, txt("what is this?")},
		head + "<|image|>what is this?" + tail:                {img, txt("what is this?")},
		head + "look: <|image|> and say what it is" + tail:    {txt("look: "), img, txt(" and say what it is")},
		head + "<|image|>one and <|image|>two" + tail:         nil, // two marks for one image
		"<|begin_of_text|><|image|>If I had to write a haiku": nil, // for a base model
	} {
		c, err := codec.DecodeChat([]byte(`{"prompt":"` + prompt + `","images":["` + pixel + `"]}`))
		if want == nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v", prompt, err)
			}
			continue
		}
		if err != nil || c.Prompt != nil || len(c.Messages) != 1 || !reflect.DeepEqual(c.Messages[0].Content, want) {
			t.Errorf("%s: %+v %v", prompt, c, err)
			continue
		}
		body, dropped, err := codec.EncodeChat(c, EncodeOptions{})
		if err != nil || len(dropped) > 0 {
			t.Fatalf("%v %v", dropped, err)
		}
		again, err := codec.DecodeChat(body)
		if err != nil || !slices.ContainsFunc(again.Messages[0].Content, func(b infer.Block) bool { return b.Kind == infer.BlockImage }) {
			t.Errorf("%s: came back as %+v %v", body, again, err)
		}
	}
	for _, images := range []string{`["@"]`, `["AAAA"]`} {
		if _, err := codec.DecodeChat([]byte(`{"prompt":"q","images":` + images + `}`)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", images, err)
		}
	}
}

// gpt-oss has its reasoning in tags of the text, in answers and where clients send them back.
func TestReasoningTagsOfEarlierTurns(t *testing.T) {
	body := `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"<reasoning>hm</reasoning>a"},{"role":"user","content":"r"}]}`
	c, err := codecs[infer.DialectGPTOSS].DecodeChat([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := []infer.Block{{Kind: infer.BlockThinking, Text: "hm"}, {Text: "a"}}
	if !reflect.DeepEqual(c.Messages[1].Content, want) {
		t.Errorf("%+v", c.Messages[1].Content)
	}
	back, dropped, err := codecs[infer.DialectGPTOSS].EncodeChat(c, EncodeOptions{})
	if err != nil || len(dropped) > 0 || string(back) != body {
		t.Errorf("%s %v %v", back, dropped, err)
	}
	out, dropped, err := codecs[infer.DialectOpenAI].EncodeChat(c, EncodeOptions{})
	if err != nil || strings.Contains(string(out), "reasoning") || !slices.Equal(dropped, []string{"reasoning of earlier turns"}) {
		t.Errorf("%s %v %v", out, dropped, err)
	}
}

// What Converse takes in additionalModelRequestFields goes there in the names of the family.
func TestFamilyFieldsOfConverse(t *testing.T) {
	chat := func() *infer.Chat {
		return &infer.Chat{
			Messages: []infer.Message{user("q")}, TopK: new(int64(7)), Seed: new(int64(3)), FrequencyPenalty: new(0.5), MaxTokens: new(int64(9000)),
			Reasoning: &infer.Reasoning{Enabled: true, Effort: "medium"},
		}
	}
	for family, want := range map[infer.Dialect]struct {
		fields  string
		dropped []string
	}{
		infer.DialectAnthropic:     {`{"thinking":{"type":"enabled","budget_tokens":4096},"top_k":7}`, []string{"frequency_penalty", "seed"}},
		infer.DialectNova:          {`{"inferenceConfig":{"topK":7,"reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}}}`, []string{"frequency_penalty", "seed"}},
		infer.DialectCohereCommand: {`{"frequency_penalty":0.5,"k":7,"seed":3}`, []string{"reasoning"}},
		infer.DialectMistral:       {`{"top_k":7}`, []string{"frequency_penalty", "reasoning", "seed"}},
		infer.DialectGPTOSS:        {`{"frequency_penalty":0.5,"reasoning_effort":"medium","seed":3}`, []string{"top_k"}},
		infer.DialectLlama:         {"", []string{"frequency_penalty", "reasoning", "seed", "top_k"}},
	} {
		body, dropped, err := codecs[infer.DialectConverse].EncodeChat(chat(), EncodeOptions{Family: family})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(dropped)
		if !strings.Contains(string(body), `"additionalModelRequestFields":`+want.fields) != (want.fields == "") || !slices.Equal(dropped, want.dropped) {
			t.Errorf("%s: %s, dropped %v; want %s and %v", family, body, dropped, want.fields, want.dropped)
		}
		if want.fields == "" {
			continue
		}
		back, err := codecs[infer.DialectConverse].DecodeChat(body)
		if err != nil || family != infer.DialectGPTOSS && (back.TopK == nil || *back.TopK != 7) {
			t.Errorf("%s: comes back as %+v %v", family, back, err)
		}
	}
}

// Nova's own body has reasoning within inferenceConfig; Converse has it in either place.
func TestNovaReasoning(t *testing.T) {
	const config = `"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}`
	for d, body := range map[infer.Dialect]string{
		infer.DialectNova:     `{"messages":[{"role":"user","content":[{"text":"q"}]}],"inferenceConfig":{` + config + `}}`,
		infer.DialectConverse: `{"messages":[{"role":"user","content":[{"text":"q"}]}],"additionalModelRequestFields":{` + config + `}}`,
	} {
		c, err := codecs[d].DecodeChat([]byte(body))
		if err != nil || c.Reasoning == nil || !c.Reasoning.Enabled || c.Reasoning.Effort != "low" || len(c.Extra) > 0 {
			t.Errorf("%s: %+v %v", d, c, err)
		}
	}
}

// Documents of Command R become documents of plain text, and text where there are none.
func TestCohereDocuments(t *testing.T) {
	c, err := codecs[infer.DialectCohereCommand].DecodeChat([]byte(
		`{"message":"How tall?","documents":[{"title":"Weirs","snippet":"A weir is low."},{"text":"Dams are tall."}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for d, want := range map[infer.Dialect]string{
		infer.DialectAnthropic: `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"snippet: A weir is low.\n"},"title":"Weirs","citations":{"enabled":true}}`,
		infer.DialectOpenAI:    `{"type":"text","text":"<document name=\"Weirs\">\nsnippet: A weir is low.\n\n</document>"}`,
		infer.DialectConverse:  `{"document":{"format":"txt","name":"Weirs","source":{"bytes":"` + base64.StdEncoding.EncodeToString([]byte("snippet: A weir is low.\n")) + `"},"citations":{"enabled":true}}}`,
		infer.DialectTitanText: `snippet: A weir is low.`,
	} {
		cites := d == infer.DialectAnthropic || d == infer.DialectConverse
		body, dropped, err := codecs[d].EncodeChat(c, EncodeOptions{MaxTokens: 10})
		if err != nil || !strings.Contains(string(body), want) || slices.Equal(dropped, []string{"citations"}) == cites {
			t.Errorf("%s: %s %v %v, want %s", d, body, dropped, err, want)
		}
	}
	if _, err := codecs[infer.DialectCohereCommand].DecodeChat([]byte(`{"message":"q","documents":[{"n":1}]}`)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a document with a number: %v", err)
	}
}

// Parameters of Command R's tools have Python's types.
func TestCohereTypes(t *testing.T) {
	for python, schema := range map[string]string{
		"str": `{"type":"string"}`, "int": `{"type":"integer"}`, "List[str]": `{"type":"array","items":{"type":"string"}}`,
		"Dict[str, List[float]]": `{"type":"object","additionalProperties":{"type":"array","items":{"type":"number"}}}`,
		"list":                   `{"type":"array"}`,
	} {
		c, err := codecs[infer.DialectCohereCommand].DecodeChat([]byte(
			`{"message":"q","tools":[{"name":"f","description":"d","parameter_definitions":{"a":{"type":"` + python + `","required":true}}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		want := `{"type":"object","properties":{"a":` + schema + `},"required":["a"]}`
		if got := string(c.Tools[0].Schema); got != want {
			t.Errorf("%s: %s, want %s", python, got, want)
		}
		back, dropped, err := codecs[infer.DialectCohereCommand].EncodeChat(c, EncodeOptions{})
		if err != nil || len(dropped) > 0 || !strings.Contains(string(back), `"type":"`+python+`"`) {
			t.Errorf("%s: %s %v %v", python, back, dropped, err)
		}
	}
	for in, want := range map[string]string{"Optional[int]": `{"type":"integer"}`, "string": `{"type":"string"}`} {
		if got := string(must(schemaOfPython(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// Cohere packs eight signs into a byte, as NumPy's packbits does; "binary" counts from -128.
func TestPackedEmbeddings(t *testing.T) {
	v := infer.Embedding{Floats: []float32{1, -1, 1, 1, -1, -1, -1, 1, 0.5, -0.5}}
	h := Head{ID: "i", Embed: &infer.Embed{Inputs: []string{"x"}, Types: []string{"float", "binary", "ubinary"}}}
	body, err := codecs[infer.DialectCohereEmbed].EncodeResult(h, &infer.Result{Embeddings: []infer.Embedding{v}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"ubinary":[[177,128]]`, `"binary":[[49,0]]`, `"float":[[1,-1,`} { // 10110001, 10000000
		if !strings.Contains(string(body), want) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
}

// Embed v4 has vectors of four sizes.
func TestCohereDimensions(t *testing.T) {
	for size, ok := range map[string]bool{"256": true, "1536": true, "100": false, "2048": false} {
		_, err := codecs[infer.DialectCohereEmbed].DecodeEmbed([]byte(`{"texts":["a"],"input_type":"clustering","output_dimension":` + size + `}`))
		if (err == nil) != ok {
			t.Errorf("%s: %v", size, err)
		}
	}
}

// Titan's vectors have length one unless the caller wants them otherwise.
func TestTitanNormalizes(t *testing.T) {
	res := &infer.Result{Embeddings: []infer.Embedding{{Floats: []float32{3, 4}}}}
	for _, k := range []struct {
		e    *infer.Embed
		want string
	}{
		{&infer.Embed{}, `"embedding":[0.6,0.8]`},
		{&infer.Embed{Normalize: new(true)}, `"embedding":[0.6,0.8]`},
		{&infer.Embed{Normalize: new(false)}, `"embedding":[3,4]`},
	} {
		body, err := codecs[infer.DialectTitanEmbed].EncodeResult(Head{Embed: k.e}, res)
		if err != nil || !strings.Contains(string(body), k.want) {
			t.Errorf("%s %v, want %s", body, err, k.want)
		}
	}
}

// Converse's additionalModelResponseFields: the stop sequence of every engine, and what a Bedrock
// engine gave, streamed and whole; the rest is named as dropped.
func TestResponseFields(t *testing.T) {
	body := `{"messages":[{"role":"user","content":[{"text":"q"}]}],"additionalModelResponseFieldPaths":["/stop_sequence","/x"]}`
	converse := codecs[infer.DialectConverse]
	c, err := converse.DecodeChat([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if again, dropped, err := converse.EncodeChat(c, EncodeOptions{}); err != nil || string(again) != body || len(dropped) > 0 {
		t.Errorf("%s %v %v", again, dropped, err)
	}
	if _, dropped, err := codecs[infer.DialectOpenAI].EncodeChat(c, EncodeOptions{}); err != nil || !slices.Equal(dropped, []string{"response field /x"}) {
		t.Errorf("%v %v", dropped, err)
	}
	h := Head{Fields: c.ResponseFields}
	for _, k := range []struct {
		given []byte
		stop  infer.StopReason
		want  string
	}{
		{nil, infer.StopSequence, `"additionalModelResponseFields":{"stop_sequence":"END"}`},
		{[]byte(`{"stop_sequence":"END","x":1}`), infer.StopSequence, `"additionalModelResponseFields":{"stop_sequence":"END","x":1}`},
		{nil, infer.StopEndTurn, ""},
	} {
		res := &infer.Result{Fields: k.given, Choices: []infer.Choice{{Content: text("a"), Stop: k.stop, StopText: "END"}}}
		whole, err := converse.EncodeResult(h, res)
		if err != nil || !strings.Contains(string(whole), k.want) || strings.Contains(string(whole), "Fields") != (k.want != "") {
			t.Errorf("whole: %s %v, want %s", whole, err, k.want)
		}
		if back, err := converse.DecodeResult(whole); err != nil || k.given != nil && string(back.Fields) != string(k.given) {
			t.Errorf("comes back with %s %v", back.Fields, err)
		}
		enc := converse.NewStreamEncoder(h)
		var all strings.Builder
		emit := func(name string, payload []byte) { all.WriteString(name + string(payload)) }
		if err := enc.Encode(&infer.Event{Kind: infer.EventStop, Stop: k.stop, StopText: "END", Fields: k.given}, emit); err != nil {
			t.Fatal(err)
		}
		enc.Finish(emit)
		if !strings.Contains(all.String(), k.want) || strings.Contains(all.String(), "Fields") != (k.want != "") {
			t.Errorf("streamed: %s, want %s", all.String(), k.want)
		}
	}
}

// Each prompt of a list is answered, and tokens are read like the text that they stand for.
func TestListsOfPrompts(t *testing.T) {
	for _, k := range []struct {
		d       infer.Dialect
		body    string
		n, text int64
	}{
		{infer.DialectOpenAICompletions, `{"prompt":"abcd"}`, 0, 4},
		{infer.DialectOpenAICompletions, `{"prompt":["abcd"]}`, 0, 4},
		{infer.DialectOpenAICompletions, `{"prompt":["abcd","ef"],"n":3}`, 6, 6},
		{infer.DialectOpenAICompletions, `{"n":2,"prompt":[1,2,3]}`, 2, 12},
		{infer.DialectOpenAICompletions, `{"prompt":[[1,2,3],[4]]}`, 2, 16},
		{infer.DialectOpenAIEmbeddings, `{"input":[[1,2,3],[4]]}`, 0, 16},
		{infer.DialectOpenAI, `{"messages":[{"role":"user","content":[{"type":"text","text":"prompt"}]}],"n":2}`, 2, 6},
	} {
		var f infer.Facts
		if err := codecs[k.d].Inspect([]byte(k.body), &f); err != nil || f.N != k.n || f.TextBytes != k.text {
			t.Errorf("%s: n %d, text %d, %v; want %d and %d", k.body, f.N, f.TextBytes, err, k.n, k.text)
		}
	}
}
