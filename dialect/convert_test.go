package dialect

import (
	"slices"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/infer"
)

// TestRefusals: what a dialect cannot express is refused by name, or dropped and named.
func TestRefusals(t *testing.T) {
	tool := infer.Tool{Name: "t", Schema: []byte(`{"type":"object","properties":{"a":{"type":"string","enum":["x"]}}}`)}
	block := func(b infer.Block) infer.Chat {
		return infer.Chat{Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{b}}}}
	}
	pdf := infer.Block{Kind: infer.BlockDocument, Media: infer.Media{Format: "pdf", Data: []byte("%PDF")}}
	docx := infer.Block{Kind: infer.BlockDocument, Media: infer.Media{Format: "docx", Data: []byte("PK")}}
	video := infer.Block{Kind: infer.BlockVideo, Media: infer.Media{Format: "mp4", Data: []byte("x")}}
	web := infer.Block{Kind: infer.BlockImage, Media: infer.Media{URI: "https://x.example/a.png"}}
	s3 := infer.Block{Kind: infer.BlockImage, Media: infer.Media{URI: "s3://b/k", Format: "png"}}
	result := infer.Block{Kind: infer.BlockToolResult, ToolID: "t", Content: []infer.Block{web}}
	for _, k := range []struct {
		name string
		d    infer.Dialect
		c    infer.Chat
		want string // refused for
	}{
		{"n", infer.DialectAnthropic, infer.Chat{N: new(int64(2))}, "n"},
		{"n of one", infer.DialectAnthropic, infer.Chat{N: new(int64(1))}, ""},
		{"logprobs", infer.DialectConverse, infer.Chat{Logprobs: new(true)}, "logprobs"},
		{"JSON mode", infer.DialectAnthropic, infer.Chat{ResponseFormat: &infer.ResponseFormat{Type: "json_object"}}, "response_format of type json_object"},
		{"JSON schema", infer.DialectNova, infer.Chat{ResponseFormat: &infer.ResponseFormat{Type: "json_schema"}}, "response_format"},
		{"tools", infer.DialectLlama, infer.Chat{Tools: []infer.Tool{tool}}, "tools"},
		{"tool results", infer.DialectMistral, block(infer.Block{Kind: infer.BlockToolResult}), "tools"},
		{"stop", infer.DialectLlama, infer.Chat{Prompt: new("x"), Stop: []string{"a"}}, "stop sequences"},
		{"schema", infer.DialectCohereCommand, infer.Chat{Tools: []infer.Tool{tool}}, "the input schema of tool t"},
		{"choice", infer.DialectCohereCommand, infer.Chat{ToolChoice: infer.ToolChoice{Mode: "any"}}, "tool_choice"},
		{"video", infer.DialectOpenAI, block(video), "video"},
		{"document", infer.DialectOpenAI, block(docx), "document"},
		{"document of a format", infer.DialectAnthropic, block(docx), "document of format docx"},
		{"document", infer.DialectMistralChat, block(pdf), "document"},
		{"image in a prompt", infer.DialectTitanText, block(web), "image"},
		{"image by URL", infer.DialectNova, block(web), "image behind a URL"},
		{"image in S3", infer.DialectOpenAI, block(s3), "image in S3"},
		{"image in a result", infer.DialectOpenAI, block(result), "image in a tool result"},
		{"audio", infer.DialectAnthropic, block(infer.Block{Kind: infer.BlockAudio}), "audio"},
		{"messages", infer.DialectOpenAICompletions, block(pdf), "messages"},
		{"suffix", infer.DialectOpenAI, infer.Chat{Prompt: new("x"), Suffix: "y"}, "suffix"},
		{"echo", infer.DialectAnthropic, infer.Chat{Prompt: new("x"), Echo: true}, "echo"},
		{"a member of another dialect", infer.DialectAnthropic, infer.Chat{Extra: map[string][]byte{"logit_bias": []byte("{}")}, ExtraFrom: infer.DialectOpenAI}, "logit_bias"},
		{"a member of its own", infer.DialectAnthropic, infer.Chat{Extra: map[string][]byte{"mcp_servers": []byte("[]")}, ExtraFrom: infer.DialectAnthropic}, ""},
		{"a member of a cousin", infer.DialectGPTOSS, infer.Chat{Extra: map[string][]byte{"logit_bias": []byte("{}")}, ExtraFrom: infer.DialectOpenAI}, ""},
		{"a model's own field", infer.DialectAnthropic, infer.Chat{Extra: map[string][]byte{"x": []byte("1")}, ExtraFrom: infer.DialectConverse}, ""},
		{"a model's own field", infer.DialectLlama, infer.Chat{Prompt: new("x"), Extra: map[string][]byte{"x": []byte("1")}, ExtraFrom: infer.DialectConverse}, "x"},
	} {
		c, _ := Get(k.d)
		_, _, err := c.EncodeChat(&k.c, EncodeOptions{})
		e := fault.From(err)
		switch {
		case k.want == "" && err != nil:
			t.Errorf("%s for %s: %v", k.name, k.d, err)
		case k.want != "" && (e == nil || e.Kind != fault.Invalid || e.Param != k.want || e.Message != k.want+" is not supported with this model."):
			t.Errorf("%s for %s: %v, want %q", k.name, k.d, err, k.want)
		}
	}
}

func TestDrops(t *testing.T) {
	c := &infer.Chat{
		Seed: new(int64(1)), FrequencyPenalty: new(0.5), PresencePenalty: new(0.0), TopK: new(int64(4)), MinP: new(0.1), User: "u",
		Extra: map[string][]byte{"store": []byte("true")}, ExtraFrom: infer.DialectOpenAI, Reasoning: &infer.Reasoning{Enabled: true, Effort: "low"},
		System: []infer.Block{{Text: "s"}, {Kind: infer.BlockCachePoint}},
		Messages: []infer.Message{
			{Role: infer.RoleSystem, Content: text("late")},
			{Role: infer.RoleUser, Name: "ann", Content: text("a")},
			{Role: infer.RoleAssistant, Content: []infer.Block{{Kind: infer.BlockThinking, Text: "hm"}, {Text: "b"}}},
			user("c"),
		},
	}
	for d, want := range map[infer.Dialect][]string{
		infer.DialectAnthropic:     {"frequency_penalty", "min_p", "name", "position of a system message", "reasoning of earlier turns", "seed", "store"},
		infer.DialectConverse:      {"frequency_penalty", "min_p", "name", "position of a system message", "reasoning", "reasoning of earlier turns", "seed", "store", "top_k", "user"},
		infer.DialectOpenAI:        {"cache point", "reasoning of earlier turns"},
		infer.DialectLlama:         {"frequency_penalty", "min_p", "name", "position of a system message", "reasoning", "reasoning of earlier turns", "seed", "store", "top_k", "user"},
		infer.DialectCohereCommand: {"min_p", "name", "position of a system message", "reasoning", "reasoning of earlier turns", "store", "user"},
	} {
		codec, _ := Get(d)
		_, dropped, err := codec.EncodeChat(c, EncodeOptions{MaxTokens: 9000})
		slices.Sort(dropped)
		if d == infer.DialectOpenAI {
			dropped = slices.DeleteFunc(dropped, func(s string) bool { return s == "store" })
		}
		if err != nil || !slices.Equal(dropped, want) {
			t.Errorf("%s: %v %q, want %q", d, err, dropped, want)
		}
	}
}

// TestConversions follows whole calls from one dialect into another.
func TestConversions(t *testing.T) {
	for _, k := range []struct {
		from, to   infer.Dialect
		body, want string
	}{
		{
			infer.DialectAnthropic, infer.DialectOpenAI,
			`{"max_tokens":9,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"t1","name":"f","input":{"x":1}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"r"}]},{"type":"text","text":"go on"}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"thinking":{"type":"enabled","budget_tokens":4096},"max_tokens":9000}`,
			``,
		},
		{
			infer.DialectAnthropic, infer.DialectOpenAI,
			`{"max_tokens":9000,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"t1","name":"f","input":{"x":1}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"r"}]},{"type":"text","text":"go on"}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"thinking":{"type":"enabled","budget_tokens":4096}}`,
			`{"model":"up","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},` +
				`{"role":"tool","content":"r","tool_call_id":"t1"},{"role":"user","content":"go on"}],"max_tokens":9000,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"required","reasoning_effort":"medium","stream":true,"stream_options":{"include_usage":true}}`,
		},
		{
			infer.DialectOpenAI, infer.DialectAnthropic,
			`{"model":"m","messages":[{"role":"user","content":"q"},{"role":"user","content":"r"}],"reasoning_effort":"high","tool_choice":"none","tools":[{"type":"function","function":{"name":"f"}}]}`,
			`{"model":"up","max_tokens":7000,"messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"r"}]}],"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"none"},"thinking":{"type":"enabled","budget_tokens":3500},"stream":true}`,
		},
		{
			infer.DialectOpenAI, infer.DialectConverse,
			`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png1 + `"}}]}],"stop":"x"}`,
			`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"` + png1 + `"}}}]}],"system":[{"text":"s"}],"inferenceConfig":{"maxTokens":7000,"stopSequences":["x"]}}`,
		},
		{
			infer.DialectOpenAI, infer.DialectAnthropic, `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"system","content":"late"},{"role":"user","content":"r"}]}`,
			`{"model":"up","max_tokens":7000,"messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"r"}]}],"system":[{"type":"text","text":"s"},{"type":"text","text":"late"}],"stream":true}`,
		},
		{
			infer.DialectOpenAI, infer.DialectGPTOSS, `{"messages":[{"role":"user","content":"q"},{"role":"developer","content":"late"},{"role":"user","content":"r"}]}`,
			`{"messages":[{"role":"user","content":"q"},{"role":"system","content":"late"},{"role":"user","content":"r"}],"max_tokens":7000}`,
		},
		{
			infer.DialectLlama, infer.DialectOpenAI,
			`{"prompt":"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"}`,
			`{"model":"up","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"max_tokens":512,"stream":true,"stream_options":{"include_usage":true}}`,
		},
		{
			infer.DialectLlama, infer.DialectAnthropic, `{"prompt":"once upon","max_gen_len":5}`,
			`{"model":"up","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"once upon"}]}],"stream":true}`,
		},
		{
			infer.DialectMistral, infer.DialectConverse, `{"prompt":"<s>[INST] q [/INST] a</s>[INST] r [/INST]"}`,
			`{"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"text":"a"}]},{"role":"user","content":[{"text":"r"}]}],"inferenceConfig":{"maxTokens":7000}}`,
		},
		{
			infer.DialectConverse, infer.DialectDeepSeek, `{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"q"}]}],"inferenceConfig":{"topP":0.5}}`,
			`{"prompt":"<｜begin▁of▁sentence｜>s<｜User｜>q<｜Assistant｜><think>\n","top_p":0.5}`,
		},
		{
			infer.DialectTitanText, infer.DialectCohereCommand, `{"inputText":"s\n\nUser: q\nBot: a\nUser: r\nBot:"}`,
			`{"message":"r","chat_history":[{"role":"USER","message":"q"},{"role":"CHATBOT","message":"a"}],"preamble":"s","max_tokens":512}`,
		},
	} {
		from, _ := Get(k.from)
		to, _ := Get(k.to)
		c, err := from.DecodeChat([]byte(k.body))
		if k.want == "" {
			if fault.KindOf(err) != fault.Malformed {
				t.Errorf("%s: a member twice: %v", k.from, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: %v", k.from, k.body, err)
			continue
		}
		got, _, err := to.EncodeChat(c, EncodeOptions{Model: "up", Stream: true, MaxTokens: 7000})
		if err != nil || string(got) != strings.ReplaceAll(k.want, "\n\t\t\t\t", "") {
			t.Errorf("%s to %s: %v\ngot  %s\nwant %s", k.from, k.to, err, got, k.want)
		}
	}
}

// TestTemplates: what a family's template renders is taken apart again; what only looks
// like one is not.
func TestTemplates(t *testing.T) {
	turns := []infer.Message{user("first\nline"), {Role: infer.RoleAssistant, Content: text("an answer")}, user("then?")}
	for name, render := range map[string]func(string, []infer.Message) string{"llama": renderLlama, "deepseek": renderDeepSeek, "titan": renderTitan, "mistral": renderMistral} {
		for _, system := range []string{"", "be brief"} {
			sys, got, ok := parseTemplate(render(system, turns))
			if name == "mistral" && system != "" {
				// Mistral's template has no place for it: it opens the first instruction
				if !ok || sys != "" || joinText(got[0].Content) != "be brief\n\nfirst\nline" {
					t.Errorf("%s: %q %v", name, sys, got)
				}
				continue
			}
			if !ok || sys != system || len(got) != 3 {
				t.Errorf("%s with %q: %v %q %v", name, system, ok, sys, got)
				continue
			}
			for i := range got {
				if got[i].Role != turns[i].Role || joinText(got[i].Content) != joinText(turns[i].Content) {
					t.Errorf("%s: turn %d is %v", name, i, got[i])
				}
			}
		}
	}
	sys, got, ok := parseTemplate("<s>[INST] <<SYS>>\nbe brief\n<</SYS>>\n\nhello [/INST] hi </s><s>[INST] bye [/INST]") // Llama 2
	if !ok || sys != "be brief" || len(got) != 3 || joinText(got[0].Content) != "hello" || joinText(got[1].Content) != "hi" || joinText(got[2].Content) != "bye" {
		t.Errorf("Llama 2: %v %q %v", ok, sys, got)
	}
	for _, p := range []string{
		"", "hello", "User: hello", "Bot:", "[INST] half", "[INST] a [/INST] and then it goes on", "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>",
		"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nSure, ",
		"<｜User｜>q", "<｜User｜>q<｜Assistant｜>partial", "<|start_header_id|>ipython<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
	} {
		if _, turns, ok := parseTemplate(p); ok {
			t.Errorf("%q: %v", p, turns)
		}
	}
}
