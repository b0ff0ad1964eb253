package server

import (
	"net/http"
	"strings"
	"testing"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/wire/eventstream"
	"forebay/wire/sse"

	"github.com/go-json-experiment/json"
)

// upstreamName is the engines' own name of the model in these tests.
const upstreamName = "the-engines/own:name"

// members are of a body that no encoder would write so: odd spaces and escapes, numbers in
// forms of their own, members that nobody knows, the control members' names where they mean nothing.
const members = `"messages":[ {"role":"user","content":"h\u00e9\/ \"model\":\"x\" {"} ] , "x_unknown" : {"model":["stream",1.0,2e3],"max_tokens":[]},` + "\t" + `"temperature":0.10`

// What a call that passes through sends and gets back, byte by byte: everything but the
// splices that the architecture page lists.
func TestPassThroughIsByteIdentical(t *testing.T) {
	words := []string{"Hel", "lo ", `"th\ere"`}
	const qwen = "qwen.qwen3-32b-v1:0"
	asked := func(id, rest string) string { return `{ "model" : "` + id + `",` + "\n" + members + rest + ` }` }
	named := func(rest string) string { return `{ "model" : "` + upstreamName + `",` + "\n" + members + rest + ` }` }
	const bedrock = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,` + members + `}`
	converse := func(rest string) string {
		return `{ "messages":[ {"role":"user","content":[{"text":"h\u00e9\/"}]} ] , "x_unknown" : {"model":["stream",1.0,2e3]}` + rest + ` }`
	}
	const at = "/model/the-engines%2Fown%3Aname/"
	const usage, quiet = `,"stream":true,"stream_options" : {"include_usage": true, "x":1}`, `,"stream":true`
	for _, x := range []struct {
		name, engine      string
		p                 *fakeupstream.Protocol
		path              string
		sent, at, arrives string
		stream            bool
		id                string // the model's name in what comes back
		silent            bool   // the last payload is not for the caller
	}{
		{"chat completions", "openai", fakeupstream.OpenAI, chatPath, asked(haiku, ""), chatPath, named(""), false, haiku, false},
		{"chat completions of Bedrock", "openai", fakeupstream.OpenAI, "/openai" + chatPath, asked(haiku, ""), chatPath, named(""), false, haiku, false},
		{"an inference profile", "openai", fakeupstream.OpenAI, chatPath, asked("us."+haiku, ""), chatPath, named(""), false, "us." + haiku, false},
		{"an alias", "openai", fakeupstream.OpenAI, chatPath, asked("gpt-4o", ""), chatPath, named(""), false, "gpt-4o", false},
		{"stream with usage", "openai", fakeupstream.OpenAI, chatPath, asked(haiku, usage), chatPath, named(usage), true, haiku, false},
		{
			"stream without usage", "openai", fakeupstream.OpenAI, chatPath, asked(haiku, quiet), chatPath,
			`{"stream_options":{"include_usage":true}, "model" : "` + upstreamName + `",` + "\n" + members + quiet + ` }`, true, haiku, true,
		},
		{"completions", "openai", fakeupstream.OpenAI, "/v1/completions", asked(haiku, `,"prompt":"x"`), "/v1/completions", named(`,"prompt":"x"`), false, haiku, false},
		{"InvokeModel of chat completions", "openai", fakeupstream.OpenAI, "/model/" + qwen + "/invoke", "{" + members + "}", chatPath, `{"model":"` + upstreamName + `",` + members + "}", false, qwen, false},
		{"messages", "anthropic", fakeupstream.Anthropic, messagesPath, asked(haiku, `,"max_tokens":9`), messagesPath, named(`,"max_tokens":9`), false, haiku, false},
		{"messages, streamed", "anthropic", fakeupstream.Anthropic, messagesPath, asked(haiku, `,"max_tokens":9,"stream":true`), messagesPath, named(`,"max_tokens":9,"stream":true`), true, haiku, false},
		{
			"InvokeModel of messages", "anthropic", fakeupstream.Anthropic, invokePath, bedrock, messagesPath,
			`{"model":"` + upstreamName + `","max_tokens":9,` + members + "}", false, haiku, false,
		},
		{
			"InvokeModelWithResponseStream of messages", "anthropic", fakeupstream.Anthropic, invokePath + "-with-response-stream", bedrock, messagesPath,
			`{"model":"` + upstreamName + `","stream":true,"max_tokens":9,` + members + "}", true, haiku, false,
		},
		{"InvokeModel", "bedrock", fakeupstream.BedrockAnthropic, invokePath, bedrock, "/model/the-engines%2Fown%3Aname/invoke", bedrock, false, haiku, false},
		{"InvokeModelWithResponseStream", "bedrock", fakeupstream.BedrockAnthropic, invokePath + "-with-response-stream", bedrock, "/model/the-engines%2Fown%3Aname/invoke-with-response-stream", bedrock, true, haiku, false},
		{
			"messages for Bedrock", "bedrock", fakeupstream.BedrockAnthropic, messagesPath, asked(haiku, `,"max_tokens":9,"stream":true`), "/model/the-engines%2Fown%3Aname/invoke-with-response-stream",
			`{"anthropic_version":"bedrock-2023-05-31",` + "\n" + members + `,"max_tokens":9 }`, true, haiku, false,
		},
		{"Converse", "bedrock", fakeupstream.Converse, conversePath, converse(`,"performanceConfig":{"latency" : "standard"}`), at + "converse", converse(`,"performanceConfig":{"latency" : "standard"}`), false, "", false},
		{"ConverseStream", "bedrock", fakeupstream.Converse, conversePath + "-stream", converse(""), at + "converse-stream", converse(""), true, "", false},
		{"Converse without its guardrail", "bedrock", fakeupstream.Converse, conversePath, converse(`,"guardrailConfig":{"guardrailIdentifier":"a","guardrailVersion":"1"}`), at + "converse", converse(""), false, "", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			up := fakeupstream.New(t, x.p)
			c := testConfig(t)
			c.Engines["up"] = config.Engine{Type: x.engine, URL: up.URL, APIKey: secretFile(t, "k")}
			for _, id := range []string{haiku, qwen} {
				c.Models[id] = config.Model{Engines: []config.Binding{{Engine: "up", Model: upstreamName}}, Guardrail: "ignore"}
			}
			c.Aliases = map[string]string{"gpt-4o": haiku}
			s := run(t, c)
			up.Say(words...)
			got := post(t, s, x.path, x.sent)
			if got.status != http.StatusOK || len(up.Calls()) != 1 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if call := up.Calls()[0]; call.Target != x.at || string(call.Body) != x.arrives {
				t.Errorf("arrived at %s\n%s\nwant %s\n%s", call.Target, call.Body, x.at, x.arrives)
			}
			restore := func(s string) string { return strings.ReplaceAll(s, "upstream-model", x.id) }
			if !x.stream {
				if want := restore(string(x.p.Whole(words, fakeupstream.SaidUsage))); got.body != want {
					t.Errorf("came back as\n%s\nwant\n%s", got.body, want)
				}
				return
			}
			want := x.p.Stream(words, fakeupstream.SaidUsage)
			if x.silent {
				want = want[:len(want)-1]
			}
			payloads := payloadsOf(t, got)
			for i := range min(len(payloads), len(want)) {
				if w := restore(want[i].Data); unmetered(payloads[i]) != unmetered(w) {
					t.Errorf("payload %d came back as\n%s\nwant\n%s", i, payloads[i], w)
				}
			}
			if len(payloads) != len(want) {
				t.Errorf("%d payloads came back, want %d", len(payloads), len(want))
			}
		})
	}
}

// unmetered takes Bedrock's closing metrics off a payload: they are a splice of their own, made
// anew by each Bedrock API on the way.
func unmetered(payload string) string {
	head, _, found := strings.Cut(payload, `,"amazon-bedrock-invocationMetrics"`)
	if !found {
		return payload
	}
	return head + "}"
}

// payloadsOf are the payloads of a stream in either framing, [DONE] left out.
func payloadsOf(t *testing.T, a answer) (out []string) {
	t.Helper()
	if a.header.Get("Content-Type") == "application/vnd.amazon.eventstream" {
		r := eventstream.NewReader(strings.NewReader(a.body))
		for {
			m, err := r.Next()
			if err != nil {
				return out
			}
			var chunk struct {
				Bytes []byte `json:"bytes"`
			}
			if err := json.Unmarshal(m.Payload, &chunk); err != nil {
				t.Fatal(err)
			}
			if chunk.Bytes == nil {
				chunk.Bytes = m.Payload // a member of ConverseStream
			}
			out = append(out, string(chunk.Bytes))
		}
	}
	r := sse.NewReader(strings.NewReader(a.body))
	for {
		ev, err := r.Next()
		if err != nil {
			return out
		}
		if string(ev.Data) != "[DONE]" {
			out = append(out, string(ev.Data))
		}
	}
}

// Embeddings pass through as well, in all forms of input.
func TestEmbeddingsPassThrough(t *testing.T) {
	s, up := boundEmbedder(t)
	const reply = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPw==" ,"x":1}],"model":"upstream-model","usage":{"prompt_tokens":3,"total_tokens":3}}`
	up.Handle(func(c *fakeupstream.Call) { c.Respond(http.StatusOK, nil, []byte(reply)) })
	for i, input := range []string{`"x"`, `["x", "y"]`, `[1,2,3]`, `[[1,2],[3]]`} {
		rest := `, "input" : ` + input + `,"encoding_format":"base64","dimensions":256,"x_unknown":{} }`
		got := post(t, s, "/v1/embeddings", `{"model":"`+titanV2+`"`+rest)
		if got.status != http.StatusOK || got.body != strings.Replace(reply, "upstream-model", titanV2, 1) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if call := up.Calls()[i]; string(call.Body) != `{"model":"`+upstreamName+`"`+rest || call.Target != "/v1/embeddings" {
			t.Errorf("arrived at %s as %s", call.Target, call.Body)
		}
	}
}

func boundEmbedder(t *testing.T) (*Server, *fakeupstream.Server) {
	t.Helper()
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	c := testConfig(t)
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL}
	c.Models[titanV2] = config.Model{Engines: []config.Binding{{Engine: "up", Model: upstreamName}}}
	return run(t, c), up
}

// Of two values of a control member Forebay and the engine might read different ones: every
// API refuses a body that has one twice, under whatever escapes.
func TestDuplicateControlMembers(t *testing.T) {
	s := run(t, testConfig(t))
	const turns = `"messages":[{"role":"user","content":"x"}]`
	const blocks = `"messages":[{"role":"user","content":[{"text":"x"}]}]`
	invoke := func(id string) string { return "/model/" + id + "/invoke" }
	for _, x := range []struct {
		path, body string
		members    map[string]string // by name, with a value of the right type
	}{
		{chatPath, `"model":"` + haiku + `",` + turns, map[string]string{
			"model": `"a"`, "messages": "[]", "stream": "false", "max_tokens": "5", "max_completion_tokens": "5", "n": "1", "tools": "[]",
			"stream_options": "{}", "service_tier": `"auto"`, "user": `"u"`, "response_format": `{"type":"text"}`, "stop": `"x"`,
		}},
		{"/v1/completions", `"model":"` + haiku + `","prompt":"x"`, map[string]string{"model": `"a"`, "prompt": `"y"`, "stream": "false", "max_tokens": "5", "n": "1"}},
		{"/v1/embeddings", `"model":"` + titanV2 + `","input":"x"`, map[string]string{"model": `"a"`, "input": `"y"`, "user": `"u"`}},
		{messagesPath, `"model":"` + haiku + `","max_tokens":5,` + turns, map[string]string{
			"model": `"a"`, "messages": "[]", "max_tokens": "5", "stream": "false", "system": `"s"`, "tools": "[]", "service_tier": `"auto"`, "thinking": `{"type":"disabled"}`,
		}},
		{messagesPath + "/count_tokens", `"model":"` + haiku + `",` + turns, map[string]string{"model": `"a"`, "messages": "[]"}},
		{conversePath, blocks, map[string]string{
			"messages": "[]", "system": "[]", "inferenceConfig": "{}", "toolConfig": "{}", "additionalModelRequestFields": "{}", "requestMetadata": "{}",
			"performanceConfig": "{}", "serviceTier": `{"type":"default"}`,
		}},
		{invokePath, `"anthropic_version":"bedrock-2023-05-31","max_tokens":5,` + turns, map[string]string{"messages": "[]", "max_tokens": "5", "system": `"s"`}},
		{invoke(llama8b), `"prompt":"x"`, map[string]string{"prompt": `"y"`, "max_gen_len": "5", "temperature": "0", "images": "[]"}},
		{invoke(mistral7b), `"prompt":"x"`, map[string]string{"prompt": `"y"`, "max_tokens": "5", "stop": "[]"}},
		{invoke(titan), `"inputText":"x"`, map[string]string{"inputText": `"y"`, "textGenerationConfig": "{}"}},
		{invoke(nova), blocks, map[string]string{"messages": "[]", "inferenceConfig": "{}", "toolConfig": "{}"}},
		{invoke(commandR), `"message":"x"`, map[string]string{"message": `"y"`, "max_tokens": "5", "chat_history": "[]", "tools": "[]", "documents": "[]"}},
		{invoke(jamba), turns, map[string]string{"messages": "[]", "n": "1", "max_tokens": "5"}},
		{invoke(deepseek), `"prompt":"x"`, map[string]string{"prompt": `"y"`, "max_tokens": "5"}},
		{invoke(gptOSS), turns, map[string]string{"messages": "[]", "max_completion_tokens": "5", "model": `"a"`, "stream": "false"}},
		{invoke(mistral), turns, map[string]string{"messages": "[]", "max_tokens": "5", "tool_choice": `"auto"`}},
		{invoke(titanV2), `"inputText":"x"`, map[string]string{"inputText": `"y"`}},
		{invoke(embedV4), `"input_type":"clustering","texts":["x"]`, map[string]string{"texts": "[]", "input_type": `"clustering"`}},
	} {
		for name, value := range x.members {
			for _, again := range []string{name, `\u00` + escaped(name[0]) + name[1:]} {
				body := `{` + x.body + `,"` + name + `":` + value + `,"` + again + `":` + value + `}`
				if got := post(t, s, x.path, body); got.status != http.StatusBadRequest {
					t.Errorf("%s with %s and %s: %d %.200s", x.path, name, again, got.status, got.body)
				}
			}
		}
	}
	var rows int64
	for _, r := range usage(t, s) {
		rows += r.Output
	}
	if rows != 0 {
		t.Errorf("%d tokens were made for bodies that can be read in two ways", rows)
	}
}

func escaped(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// Unknown members go to engines of the body's dialect and are refused, by name, for others.
func TestUnknownMembers(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	got := post(t, s, messagesPath, `{"model":"`+haiku+`","max_tokens":9,"x_unknown":1,"messages":[{"role":"user","content":"hi"}]}`)
	if got.status != http.StatusBadRequest || !strings.Contains(got.body, "x_unknown") || len(up.Calls()) != 0 {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = post(t, s, conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"additionalModelRequestFields":{"x_unknown":1}}`)
	if got.status != http.StatusOK || !strings.Contains(string(up.Calls()[0].Body), `"x_unknown":1`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}
