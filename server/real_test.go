package server

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"forebay/config"
	"forebay/internal/llamatest"
	"forebay/wire/eventstream"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Models of the catalogue, one of each family, that the real engine answers for.
const (
	llama8b   = "meta.llama3-8b-instruct-v1:0"
	nova      = "amazon.nova-lite-v1:0"
	titan     = "amazon.titan-text-express-v1"
	mistral7b = "mistral.mistral-7b-instruct-v0:2"
	mistral   = "mistral.mistral-large-2402-v1:0"
	small     = "mistral.mistral-small-2402-v1:0"
	commandR  = "cohere.command-r-v1:0"
	jamba     = "ai21.jamba-1-5-mini-v1:0"
	deepseek  = "deepseek.r1-v1:0"
	gptOSS    = "openai.gpt-oss-20b-1:0"
	titanV2   = "amazon.titan-embed-text-v2:0"
	embedV4   = "cohere.embed-v4:0"
	sonnet    = "anthropic.claude-3-sonnet-20240229-v1:0"
)

// realEngine is a server whose models are answered by llama.cpp's own server.
func realEngine(t *testing.T) *Server {
	t.Helper()
	url := llamatest.Start(t)
	c := testConfig(t)
	c.Engines["llama"] = config.Engine{Type: "openai", Flavour: "llama-server", URL: url + "/v1"}
	c.Engines["chat"] = config.Engine{Type: "openai", Flavour: "chat", URL: url + "/v1"}
	for _, id := range []string{haiku, llama8b, nova, titan, mistral7b, mistral, small, commandR, jamba, deepseek, gptOSS, titanV2, embedV4} {
		c.Models[id] = config.Model{Engines: []config.Binding{{Engine: "llama", Model: "tiny"}}}
	}
	c.Engines["messages"] = config.Engine{Type: "anthropic", URL: url} // llama-server speaks Anthropic Messages, too
	c.Models[sonnet] = config.Model{Engines: []config.Binding{{Engine: "messages", Model: "tiny"}}}
	c.Models["llama-by-messages"] = config.Model{Family: "llama", Engines: []config.Binding{{Engine: "chat", Model: "tiny"}}}
	c.Aliases = map[string]string{"gpt-4o-mini": haiku}
	return run(t, c)
}

// said are the members of answers and events that hold text.
var said = regexp.MustCompile(`"(?:text|content|generation|outputText)":("(?:[^"\\\\]|\\\\.)*")`)

// textOf is the text of an answer or a stream of any API.
func textOf(t *testing.T, a answer) string {
	t.Helper()
	payload := a.body
	if a.header.Get("Content-Type") == "application/vnd.amazon.eventstream" {
		var all strings.Builder
		r := eventstream.NewReader(strings.NewReader(a.body))
		for {
			m, err := r.Next()
			if err != nil {
				break
			}
			chunk := struct {
				Bytes []byte `json:"bytes"`
			}{m.Payload}
			_ = json.Unmarshal(m.Payload, &chunk) // a frame of Converse has no bytes
			all.Write(chunk.Bytes)
			all.WriteByte('\n')
		}
		payload = all.String()
	}
	var b strings.Builder
	for _, m := range said.FindAllStringSubmatch(payload, -1) {
		text, err := jsontext.AppendUnquote(nil, m[1])
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

// The engine's words reach the client of every API and family, streamed or not: the same
// words, since the engine is greedy and is asked the same.
func TestRealEngineThroughEveryAPI(t *testing.T) {
	s := realEngine(t)
	const turns = `"messages":[{"role":"user","content":"hi"}]`
	const blocks = `"messages":[{"role":"user","content":[{"text":"hi"}]}]`
	const numbers = `"max_tokens":8,"temperature":0`
	model := func(id string) string { return `{"model":"` + id + `",` }
	invoke := func(id string) string { return "/model/" + id + "/invoke" }
	chat := textOf(t, post(t, s, chatPath, model(haiku)+numbers+","+turns+"}"))
	prompt := textOf(t, post(t, s, "/v1/completions", model(haiku)+numbers+`,"prompt":"hi"}`))
	if len(chat) < 4 || len(prompt) < 4 || chat == prompt {
		t.Fatalf("the engine says %q to a message and %q to a prompt", chat, prompt)
	}
	calls := int64(2)
	for _, x := range []struct{ name, path, body, want string }{
		{"chat completions", chatPath, model(haiku) + numbers + "," + turns + "}", chat},
		{"chat completions, streamed", chatPath, model(haiku) + numbers + `,"stream":true,` + turns + "}", chat},
		{"chat completions, newer words", "/openai/v1/chat/completions", model(haiku) + `"max_completion_tokens":8,"temperature":0,"stream":true,"stream_options":{"include_usage":true},` + turns + "}", chat},
		{"completions, streamed", "/v1/completions", model(haiku) + numbers + `,"stream":true,"prompt":"hi"}`, prompt},
		{"an alias", chatPath, model("gpt-4o-mini") + numbers + "," + turns + "}", chat},
		{"messages", messagesPath, model(haiku) + numbers + "," + turns + "}", chat},
		{"messages, streamed", messagesPath, model(haiku) + numbers + `,"stream":true,` + turns + "}", chat},
		{"Converse", conversePath, "{" + blocks + `,"inferenceConfig":{"maxTokens":8,"temperature":0}}`, chat},
		{"Converse, streamed", conversePath + "-stream", "{" + blocks + `,"inferenceConfig":{"maxTokens":8,"temperature":0}}`, chat},
		{"Anthropic", invokePath, `{"anthropic_version":"bedrock-2023-05-31",` + numbers + "," + turns + "}", chat},
		{"Nova", invoke(nova), `{"schemaVersion":"messages-v1",` + blocks + `,"inferenceConfig":{"maxTokens":8,"temperature":0}}`, chat},
		{"Mistral chat", invoke(mistral), "{" + numbers + "," + turns + "}", chat},
		{"Jamba", invoke(jamba), "{" + numbers + "," + turns + "}", chat},
		{"gpt-oss", invoke(gptOSS), `{"max_completion_tokens":8,"temperature":0,` + turns + "}", chat},
		{"Command R", invoke(commandR), "{" + numbers + `,"message":"hi"}`, chat},
		{"Llama", invoke(llama8b), `{"max_gen_len":8,"temperature":0,"prompt":"hi"}`, prompt},
		{"Mistral", invoke(mistral7b), "{" + numbers + `,"prompt":"hi"}`, prompt},
		{"Mistral Small", invoke(small), "{" + numbers + `,"prompt":"hi"}`, prompt},
		{"Mistral Large, a prompt", invoke(mistral), "{" + numbers + `,"prompt":"hi"}`, prompt},
		{"Mistral Small, messages by Converse", "/model/" + small + "/converse", "{" + blocks + `,"inferenceConfig":{"maxTokens":8,"temperature":0}}`, chat},
		{"DeepSeek", invoke(deepseek), "{" + numbers + `,"prompt":"hi"}`, prompt},
		{"Titan", invoke(titan), `{"inputText":"hi","textGenerationConfig":{"maxTokenCount":8,"temperature":0}}`, prompt},
		{"messages, to an engine of messages", messagesPath, model(sonnet) + numbers + "," + turns + "}", chat},
		{"messages, streamed, to an engine of messages", messagesPath, model(sonnet) + numbers + `,"stream":true,` + turns + "}", chat},
		{"Anthropic, to an engine of messages", invoke(sonnet), `{"anthropic_version":"bedrock-2023-05-31",` + numbers + "," + turns + "}", chat},
		{"Converse, to an engine of messages", "/model/" + sonnet + "/converse-stream", "{" + blocks + `,"inferenceConfig":{"maxTokens":8,"temperature":0}}`, chat},
		{"chat completions, to an engine of messages", chatPath, model(sonnet) + numbers + `,"stream":true,` + turns + "}", chat},
		{"Llama's template, to an engine of messages", invoke("llama-by-messages"), `{"max_gen_len":8,"temperature":0,"prompt":"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"}`, chat},
	} {
		paths := []string{x.path}
		if strings.HasSuffix(x.path, "/invoke") {
			paths = append(paths, x.path+"-with-response-stream")
		}
		for _, path := range paths {
			calls++
			got := post(t, s, path, x.body)
			if text := textOf(t, got); got.status != 200 || !strings.Contains(text, x.want) {
				t.Errorf("%s at %s: %d, says %q, want %q\n%.600s", x.name, path, got.status, text, x.want, got.body)
			}
			if strings.Contains(got.body, ".gguf") || strings.Contains(got.body, `"tiny"`) {
				t.Errorf("%s at %s: the engine's own name of the model shows: %.600s", x.name, path, got.body)
			}
		}
	}
	for _, r := range usage(t, s, "engine") {
		if !slices.Contains([]string{"llama", "chat", "messages"}, r.Group[0]) || r.Output == 0 || r.CacheRead == 0 && r.Group[0] == "llama" {
			t.Errorf("%+v", r)
		}
		calls -= r.Requests
	}
	if calls != 0 {
		t.Errorf("the ledger lacks %d calls", calls)
	}
}

// What the engine can beyond text: choices, logprobs, formats, tools in the request.
func TestRealEngineFeatures(t *testing.T) {
	s := realEngine(t)
	const turns = `"messages":[{"role":"developer","content":"be brief"},{"role":"user","content":"hi"}]`
	const schema = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`
	for _, x := range []struct{ name, path, body, want string }{
		{"n", chatPath, `{"n":2,` + turns, `"index":1`},
		{"logprobs", chatPath, `{"logprobs":true,"top_logprobs":1,` + turns, `"top_logprobs":[{`},
		{"JSON object", chatPath, `{"response_format":{"type":"json_object"},` + turns, `"content":"{`},
		{"usage of a stream", chatPath, `{"stream":true,"stream_options":{"include_usage":true},` + turns, `"total_tokens":`},
		{"tools", chatPath, `{"tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}],` + turns, `"finish_reason":`},
		{"tools of messages", messagesPath, `{"tools":[{"name":"weather","input_schema":` + schema + `}],"messages":[{"role":"user","content":"hi"}]`, `"stop_reason":`},
		{"tool results of messages", messagesPath, `{"tools":[{"name":"weather","input_schema":` + schema + `}],"messages":[{"role":"user","content":"hi"},
			{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"weather","input":{"city":"Rome"}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"rain"}]}]`, `"stop_reason":`},
	} {
		got := post(t, s, x.path, x.body+`,"model":"`+haiku+`","max_tokens":8,"temperature":0}`)
		if got.status != 200 || !strings.Contains(got.body, x.want) {
			t.Errorf("%s: %d %.600s, want %s", x.name, got.status, got.body, x.want)
		}
	}
	got := post(t, s, conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":8},
		"toolConfig":{"tools":[{"toolSpec":{"name":"weather","inputSchema":{"json":`+schema+`}}}]}}`)
	if got.status != 200 || !strings.Contains(got.body, `"stopReason":`) {
		t.Errorf("tools of Converse: %d %.600s", got.status, got.body)
	}
}

// Tokens are counted by the served model's own tokenizer: as many as the call itself reads.
func TestRealEngineCountsTokens(t *testing.T) {
	s := realEngine(t)
	input := func(body string, names ...string) (n int) {
		t.Helper()
		for _, name := range names {
			_, rest, ok := strings.Cut(body, `"`+name+`":`)
			if !ok {
				continue
			}
			v, err := strconv.Atoi(rest[:strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })])
			if err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			n += v
		}
		return n
	}
	b64 := func(body string) string { return base64.StdEncoding.EncodeToString([]byte(body)) }
	converse := `{"system":[{"text":"be brief"}],"messages":[{"role":"user","content":[{"text":"how many?"}]}]}`
	messages := `{"max_tokens":1,"system":"be brief","messages":[{"role":"user","content":"how many?"}]`
	native := `{"anthropic_version":"bedrock-2023-05-31",` + messages[1:] + "}"
	llama := `{"prompt":"how many?","max_gen_len":1}`
	for _, x := range []struct{ name, path, body, call, request string }{
		{"Converse", "/model/" + haiku + "/count-tokens", `{"input":{"converse":` + converse + `}}`, conversePath, converse},
		{"InvokeModel", "/model/" + haiku + "/count-tokens", `{"input":{"invokeModel":{"body":"` + b64(native) + `"}}}`, invokePath, native},
		{"InvokeModel of a prompt", "/model/" + llama8b + "/count-tokens", `{"input":{"invokeModel":{"body":"` + b64(llama) + `"}}}`, "/model/" + llama8b + "/invoke", llama},
		{"messages", messagesPath + "/count_tokens", messages + `,"model":"` + haiku + `"}`, messagesPath, messages + `,"model":"` + haiku + `"}`},
	} {
		counted := post(t, s, x.path, x.body)
		called := post(t, s, x.call, x.request)
		got := input(counted.body, "inputTokens", "input_tokens")
		want := input(called.body, "inputTokens", "input_tokens", "prompt_token_count", "cacheReadInputTokens", "cache_read_input_tokens")
		if h := called.header.Get("X-Amzn-Bedrock-Cache-Read-Input-Token-Count"); h != "" && strings.Contains(called.body, "prompt_token_count") {
			n, _ := strconv.Atoi(h)
			want += n
		}
		if counted.status != 200 || called.status != 200 || got == 0 || got != want {
			t.Errorf("%s: counted %d, the call read %d\n%s\n%s", x.name, got, want, counted.body, called.body)
		}
	}
	// An engine of messages counts by its own count_tokens.
	counted := post(t, s, messagesPath+"/count_tokens", messages+`,"model":"`+sonnet+`"}`)
	same := post(t, s, messagesPath+"/count_tokens", messages+`,"model":"`+haiku+`"}`)
	if counted.status != 200 || counted.body != same.body {
		t.Errorf("an engine of messages counts %d %s, its tokenizer %s", counted.status, counted.body, same.body)
	}
	// A chat engine without a tokenizer at hand says so, in the API's words.
	got := post(t, s, "/model/llama-by-messages/count-tokens", `{"input":{"converse":`+converse+`}}`)
	if got.status != 400 || !strings.Contains(got.body, "doesn't support counting tokens") || got.header.Get("X-Amzn-Errortype") != "ValidationException" {
		t.Errorf("an engine that cannot count: %d %s", got.status, got.body)
	}
}

// Embeddings of a real engine are the same numbers in every form.
func TestRealEngineEmbeds(t *testing.T) {
	s := realEngine(t)
	floats := func(text string) []float64 {
		var v []float64
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%v: %.200s", err, text)
		}
		return v
	}
	array := func(body, name string) string {
		_, rest, ok := strings.Cut(body, `"`+name+`":`)
		if !ok {
			t.Fatalf("no %s in %.300s", name, body)
		}
		rest = strings.TrimLeft(rest, "[")
		inner, _, _ := strings.Cut(rest, "]")
		return "[" + inner + "]"
	}
	want := floats(array(post(t, s, "/v1/embeddings", `{"model":"`+titanV2+`","input":"hi"}`).body, "embedding"))
	if len(want) != 64 {
		t.Fatalf("%d dimensions", len(want))
	}
	near := func(name string, got []float64) {
		if len(got) != len(want) {
			t.Errorf("%s: %d dimensions", name, len(got))
			return
		}
		for i := range got {
			if math.Abs(got[i]-want[i]) > 1e-6 {
				t.Errorf("%s: component %d is %v, want %v", name, i, got[i], want[i])
				return
			}
		}
	}
	near("Titan V2", floats(array(post(t, s, "/model/"+titanV2+"/invoke", `{"inputText":"hi"}`).body, "embedding")))
	near("Cohere", floats(array(post(t, s, "/model/"+embedV4+"/invoke", `{"input_type":"search_query","texts":["hi"]}`).body, "embeddings")))
	packed := post(t, s, "/v1/embeddings", `{"model":"`+titanV2+`","input":["hi"],"encoding_format":"base64"}`)
	_, rest, _ := strings.Cut(packed.body, `"embedding":"`)
	text, _, _ := strings.Cut(rest, `"`)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || packed.status != 200 {
		t.Fatalf("%v %s", err, packed.body)
	}
	var got []float64
	for ; len(raw) >= 4; raw = raw[4:] {
		got = append(got, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
	}
	near("base64", got)
	signs := post(t, s, "/model/"+titanV2+"/invoke", `{"inputText":"hi","embeddingTypes":["binary"]}`)
	for i, bit := range floats(array(signs.body, "binary")) {
		if (bit == 1) != (want[i] > 0) {
			t.Errorf("bit %d is %v for %v", i, bit, want[i])
			break
		}
	}
	if strings.Contains(signs.body, `"embedding":`) {
		t.Errorf("floats that were not asked for: %.200s", signs.body)
	}
}
