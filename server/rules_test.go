package server

import (
	"net/http"
	"strings"
	"testing"

	"forebay/catalog"
	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/infer"
)

const tinyPNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// What a model does not have is refused or left out, by its rules, in every API.
func TestRulesOfModels(t *testing.T) {
	c := testConfig(t)
	const llama, titan = "meta.llama3-8b-instruct-v1:0", "amazon.titan-text-express-v1"
	eager := c.Models[llama]
	eager.Rules = map[string]catalog.Rule{"images": catalog.RuleDrop, "cachePoints": catalog.RuleRefuse, "guardrails": catalog.RuleDrop}
	c.Models["amazon.nova-micro-v1:0"] = eager
	sees := c.Models[llama]
	sees.Features = []string{"system", "images"}
	c.Models[titan] = sees
	s := run(t, c)
	chat := func(model, part string) string {
		return `{"model":"` + model + `","messages":[{"role":"user","content":[{"type":"text","text":"hi"},` + part + `]}]}`
	}
	converse := func(parts string, more ...string) string {
		return `{"messages":[{"role":"user","content":[{"text":"hi"}` + parts + `]}]` + strings.Join(more, "") + `}`
	}
	image := `{"type":"image_url","image_url":{"url":"data:image/png;base64,` + tinyPNG + `"}}`
	native := `,{"image":{"format":"png","source":{"bytes":"` + tinyPNG + `"}}}`
	const guard = `,"guardrailConfig":{"guardrailIdentifier":"a","guardrailVersion":"1"}`
	const fast = `,"performanceConfig":{"latency":"optimized"}`
	at := func(model string) string { return "/model/" + model + "/converse" }
	for _, x := range []struct {
		name, path, body string
		status           int
		want, dropped    string
	}{
		{"image to a text model", chatPath, chat(llama, image), 400, "image_url is only supported by certain models", ""},
		{"image to a text model, Converse", at(llama), converse(native), 400, "image content block", ""},
		{"image to a model with the feature", chatPath, chat(haiku, image), 200, "", ""},
		{"image, left out by rule", chatPath, chat("amazon.nova-micro-v1:0", image), 200, "", "image"},
		{"image, a feature by configuration", chatPath, chat(titan, image), 200, "", ""},
		{"nothing but an image, left out", at("amazon.nova-micro-v1:0"), `{"messages":[{"role":"user","content":[` + native[1:] + `]}]}`, 400, "no content", "image"},
		{"cache point without caching", at(llama), converse(`,{"cachePoint":{"type":"default"}}`), 200, "", "cache point"},
		{"cache point, refused by rule", at("amazon.nova-micro-v1:0"), converse(`,{"cachePoint":{"type":"default"}}`), 400, "prompt caching", ""},
		{"guardrail", at(llama), converse("", guard), 400, "guardrail identifier", ""},
		{"guardrail, left out by rule", at("amazon.nova-micro-v1:0"), converse("", guard), 200, "", "guardrail"},
		{"latency of a model without", at(llama), converse("", fast), 400, "Latency performance configuration", ""},
		{"latency of a model with it", at("amazon.nova-pro-v1:0"), converse("", fast), 200, "", "optimized latency"},
		{"latency that there is not", at("amazon.nova-pro-v1:0"), converse("", `,"performanceConfig":{"latency":"soon"}`), 400, "enum value set: [standard, optimized]", ""},
		{"tools, Converse", at(llama), converse("", `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}`), 400, "tool use", ""},
		{"system, Converse", at("mistral.mistral-7b-instruct-v0:2"), converse("", `,"system":[{"text":"s"}]`), 400, "system messages", ""},
		{"system, elsewhere", chatPath, `{"model":"mistral.mistral-7b-instruct-v0:2","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}]}`, 200, "", ""},
		{"video", at("amazon.nova-lite-v1:0"), converse(`,{"video":{"format":"mp4","source":{"bytes":"AAAA"}}}`), 200, "", ""},
		{"video to a model without", at(haiku), converse(`,{"video":{"format":"mp4","source":{"bytes":"AAAA"}}}`), 400, "video", ""},
	} {
		got := post(t, s, x.path, x.body)
		if got.status != x.status || !strings.Contains(got.body, x.want) || got.header.Get("X-Forebay-Dropped") != x.dropped {
			t.Errorf("%s: %d, dropped %q, %.300s; want %d, %q, with %q", x.name, got.status, got.header.Get("X-Forebay-Dropped"), got.body, x.status, x.dropped, x.want)
		}
	}
}

// A guardrail or optimized latency that will not be had is refused, or named among what was left out, however a call asks for it. The
// headers and the member of bodies are those of Bedrock's user guide ("Invoke a model with the OpenAI Chat Completions API").
func TestGuardrailsBesideTheBody(t *testing.T) {
	c := testConfig(t)
	const nova, embed = "amazon.nova-micro-v1:0", "amazon.titan-embed-text-v2:0"
	eager := c.Models["meta.llama3-8b-instruct-v1:0"]
	eager.Rules = map[string]catalog.Rule{"guardrails": catalog.RuleDrop, "latency": catalog.RuleDrop}
	c.Models[nova] = eager
	s := run(t, c)
	id, version := header("X-Amzn-Bedrock-GuardrailIdentifier", "gr1a"), header("X-Amzn-Bedrock-GuardrailVersion", "2")
	latency := func(v string) func(*http.Request) { return header("X-Amzn-Bedrock-PerformanceConfig-Latency", v) }
	const more = `,"amazon-bedrock-guardrailConfig":{"tagSuffix":"x"}}`
	type way struct{ path, refused, served string }
	asks := func(path, body string) way { // of two models
		return way{path, strings.Replace(body, "MODEL", haiku, 1), strings.Replace(body, "MODEL", nova, 1)}
	}
	const chat = `{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	const claude = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	for _, w := range []way{
		asks("/openai/v1/chat/completions", chat), asks(chatPath, chat), asks(chatPath, strings.Replace(chat, "9,", `9,"stream":true,`, 1)),
		asks("/v1/completions", `{"model":"MODEL","max_tokens":9,"prompt":"hi"}`), asks(messagesPath, chat),
		asks("/v1/embeddings", strings.Replace(`{"model":"MODEL","input":"hi"}`, "MODEL", embed, 1)),
		{invokePath, claude, ""},
		{invokePath + "-with-response-stream", claude, ""},
	} {
		for _, x := range []struct {
			name, body    string
			with          []func(*http.Request)
			status        int
			want, dropped string
		}{
			{"guardrail", w.refused, []func(*http.Request){id, version}, 400, "guardrail identifier", ""},
			{"half a guardrail", w.refused, []func(*http.Request){id}, 400, "provided together", ""},
			{"guardrail without a name", strings.TrimSuffix(w.refused, "}") + more, nil, 400, "provided with amazon-bedrock-guardrailConfig", ""},
			{"guardrail with its member", strings.TrimSuffix(w.refused, "}") + more, []func(*http.Request){id, version}, 400, "guardrail identifier", ""},
			{"latency", w.refused, []func(*http.Request){latency("optimized")}, 400, "Latency performance configuration", ""},
			{"latency that there is not", w.refused, []func(*http.Request){latency("soon")}, 400, "enum value set: [", ""},
			{"the latency of all", w.refused, []func(*http.Request){latency("standard")}, 200, "", ""},
			{"both, left out by rule", w.served, []func(*http.Request){id, version, latency("optimized")}, 200, "", "guardrail, optimized latency"},
		} {
			if x.body == "" || strings.Contains(x.body, embed) && x.dropped != "" {
				continue
			}
			got := post(t, s, w.path, x.body, x.with...)
			if got.status != x.status || !strings.Contains(got.body, x.want) || got.header.Get("X-Forebay-Dropped") != x.dropped {
				t.Errorf("%s, %s: %d, dropped %q, %.300s; want %d, %q, with %q", w.path, x.name, got.status, got.header.Get("X-Forebay-Dropped"), got.body, x.status, x.dropped, x.want)
			}
		}
	}
}

// A rule of the configuration holds for bodies that would pass through, too; the catalogue's
// own word leaves them alone.
func TestRulesAndPassThrough(t *testing.T) {
	body := `{"model":"` + haiku + `","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]}`
	for _, drop := range []bool{false, true} {
		up := fakeupstream.New(t, fakeupstream.Anthropic)
		c := testConfig(t)
		c.Engines["up"] = config.Engine{Type: "anthropic", URL: up.URL}
		m := config.Model{Engines: []config.Binding{{Engine: "up"}}}
		if drop {
			m.Rules = map[string]catalog.Rule{"cachePoints": catalog.RuleDrop}
		}
		c.Models[haiku] = m
		s := run(t, c)
		got := post(t, s, messagesPath, body)
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		sent := string(up.Calls()[0].Body)
		if drop == strings.Contains(sent, "cache_control") || drop != (got.header.Get("X-Forebay-Dropped") == "cache point") {
			t.Errorf("drop %v: the engine got %s, the caller %v", drop, sent, got.header)
		}
	}
}

// Guardrails and performance configuration go on to a cloud that is told to serve them.
func TestTheCloudsOwnFeaturesArePassedOn(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
	c := testConfig(t)
	key := secretFile(t, "upstream-key")
	c.Engines["aws"] = config.Engine{Type: "bedrock", URL: up.URL, APIKey: key}
	serve := map[string]catalog.Rule{"guardrails": catalog.RuleServe, "latency": catalog.RuleServe}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "aws"}}, Rules: serve}
	s := run(t, c)
	post(t, s, conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"performanceConfig":{"latency":"optimized"},`+
		`"guardrailConfig":{"guardrailIdentifier":"gr1a","guardrailVersion":"2","trace":"enabled"}}`)
	post(t, s, invokePath, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
		header("X-Amzn-Bedrock-GuardrailIdentifier", "gr1a"), header("X-Amzn-Bedrock-GuardrailVersion", "2"), header("X-Amzn-Bedrock-PerformanceConfig-Latency", "optimized"))
	post(t, s, chatPath, `{"model":"`+haiku+`","messages":[{"role":"user","content":"hi"}]}`, header("X-Amzn-Bedrock-GuardrailIdentifier", "gr1a"),
		header("X-Amzn-Bedrock-GuardrailVersion", "2"), header("X-Amzn-Bedrock-Trace", "ENABLED"), header("X-Amzn-Bedrock-PerformanceConfig-Latency", "optimized"))
	calls := up.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls arrived", len(calls))
	}
	for _, want := range []string{`"guardrailConfig":{"guardrailIdentifier":"gr1a","guardrailVersion":"2","trace":"enabled"}`, `"performanceConfig":{"latency":"optimized"}`} {
		for _, i := range []int{0, 2} {
			if !strings.Contains(string(calls[i].Body), want) {
				t.Errorf("call %d arrived as %s, want %s", i, calls[i].Body, want)
			}
		}
	}
	for name, want := range map[string]string{"Guardrailidentifier": "gr1a", "Guardrailversion": "2", "Performanceconfig-Latency": "optimized"} {
		if got := calls[1].Header.Get("X-Amzn-Bedrock-" + name); got != want {
			t.Errorf("InvokeModel arrived with %s %q", name, got)
		}
	}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "sim"}}, Rules: serve}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "only engines of type bedrock") {
		t.Errorf("a simulated engine that is to serve guardrails: %v", err)
	}
}

// An answer tells the performance configuration that served, which is the cloud's to say, to who has asked for one.
func TestAnswersTellThePerformanceConfiguration(t *testing.T) {
	const name = "X-Amzn-Bedrock-PerformanceConfig-Latency"
	for _, told := range []string{"optimized", "standard", "", "soon"} {
		up := fakeupstream.New(t, fakeupstream.BedrockAnthropic)
		up.Handle(func(call *fakeupstream.Call) {
			u := infer.Usage{Input: 3, Output: 1}
			switch {
			case strings.HasSuffix(call.Target, "/converse"):
				body := strings.TrimSuffix(string(fakeupstream.Converse.Whole([]string{"yes"}, u)), "}")
				call.Respond(http.StatusOK, nil, []byte(body+`,"performanceConfig":{"latency":"`+told+`"}}`))
			case call.Streams():
				call.Tell(name, told)
				for _, p := range call.Protocol.Stream([]string{"yes"}, u) {
					call.Send(p)
				}
			default:
				call.Tell(name, told)
				call.Respond(http.StatusOK, nil, call.Protocol.Whole([]string{"yes"}, u))
			}
		})
		c := testConfig(t)
		c.Engines["aws"] = config.Engine{Type: "bedrock", URL: up.URL, APIKey: secretFile(t, "upstream-key")}
		c.Models[haiku] = config.Model{
			Engines: []config.Binding{{Engine: "aws"}}, Rules: map[string]catalog.Rule{"latency": catalog.RuleServe, "cachePoints": catalog.RuleDrop},
		}
		s := run(t, c)
		want := told
		if told == "soon" { // which is no configuration
			want = ""
		}
		claude := func(more string) string {
			return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"hi"` + more + `}]}]}`
		}
		for _, x := range []struct{ name, path, body string }{
			{"InvokeModel", invokePath, claude("")},
			{"a stream", invokePath + "-with-response-stream", claude("")},
			{"InvokeModel by Converse", invokePath, claude(`,"cache_control":{"type":"ephemeral"}`)},
		} {
			if got := post(t, s, x.path, x.body, header(name, "optimized")); got.status != 200 || got.header.Get(name) != want {
				t.Errorf("%s, told %q: %d, %q, %.200s", x.name, told, got.status, got.header.Get(name), got.body)
			}
			if got := post(t, s, x.path, x.body); got.status != 200 || got.header.Get(name) != "" {
				t.Errorf("%s, told %q and not asked: %d, %q", x.name, told, got.status, got.header.Get(name))
			}
		}
	}
}

// What no cloud serves is served as everything is; converted answers of Converse say so, too.
func TestConvertedAnswersTellThePerformanceConfiguration(t *testing.T) {
	c := testConfig(t)
	m := c.Models["meta.llama3-8b-instruct-v1:0"]
	m.Rules = map[string]catalog.Rule{"latency": catalog.RuleDrop}
	c.Models[haiku] = m
	s := run(t, c)
	for _, path := range []string{conversePath, conversePath + "-stream"} {
		for asked, want := range map[string]bool{"": false, `,"performanceConfig":{"latency":"standard"}`: true, `,"performanceConfig":{"latency":"optimized"}`: true} {
			got := post(t, s, path, `{"messages":[{"role":"user","content":[{"text":"hi"}]}]`+asked+`}`)
			if got.status != 200 || strings.Contains(got.body, `"performanceConfig":{"latency":"standard"}`) != want || strings.Contains(got.body, "optimized") {
				t.Errorf("%s, asked %q: %d, %.600s", path, asked, got.status, got.body)
			}
		}
	}
	if got := post(t, s, invokePath, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
		header("X-Amzn-Bedrock-PerformanceConfig-Latency", "optimized")); got.header.Get("X-Amzn-Bedrock-PerformanceConfig-Latency") != "standard" {
		t.Errorf("InvokeModel: %d, %v", got.status, got.header)
	}
}
