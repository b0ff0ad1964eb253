package server

import (
	"net/http"
	"testing"

	"forebay/catalog"
	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"

	"github.com/go-json-experiment/json"
)

// What a model lacks is told to clients of OpenAI's API with the param and the code that the service gives. The expected
// answers are those that users of the service report in public: "Setting 'max_tokens' and ... at the same time",
// "Unsupported parameter: ...", "Unsupported value: 'messages[0].role' ..." and "Invalid content type. image_url ...".
func TestUnsupportedInTheWordsOfOpenAI(t *testing.T) {
	c := testConfig(t)
	c.Engines["claude"] = config.Engine{Type: "anthropic", URL: fakeupstream.New(t, fakeupstream.Anthropic).URL}
	c.Models["claude"] = config.Model{Engines: []config.Binding{{Engine: "claude"}}}
	refuse := map[string]catalog.Rule{}
	for _, part := range []string{"system", "tools", "images", "documents", "audio"} {
		refuse[part] = catalog.RuleRefuse
	}
	c.Models["bare"] = config.Model{Engines: []config.Binding{{Engine: "sim"}}, Rules: refuse}
	s := run(t, c)
	const null = ""
	for _, x := range []struct{ model, body, message, param, code string }{
		{haiku, `"max_tokens":5,"max_completion_tokens":5,` + hiMessages, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", "max_tokens", "invalid_parameter_combination"},
		{"claude", `"logprobs":true,` + hiMessages, "Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs", "unsupported_parameter"},
		{"claude", `"n":2,` + hiMessages, "Unsupported parameter: 'n' is not supported with this model.", "n", "unsupported_parameter"},
		{"claude", `"logit_bias":{"5":1},` + hiMessages, "Unsupported parameter: 'logit_bias' is not supported with this model.", "logit_bias", "unsupported_parameter"},
		{"claude", `"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]}]`, "audio is not supported with this model.", "audio", "unsupported_value"},
		{"bare", `"tools":[{"type":"function","function":{"name":"f"}}],` + hiMessages, "Unsupported parameter: 'tools' is not supported with this model.", "tools", "unsupported_parameter"},
		{"bare", `"messages":[{"role":"user","content":"x"},{"role":"developer","content":"x"}]`, "Unsupported value: 'messages[1].role' does not support 'developer' with this model.", "messages[1].role", "unsupported_value"},
		{
			"bare", `"messages":[{"role":"user","content":"x"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}]`,
			"Invalid content type. image_url is only supported by certain models.", "messages.[1].content.[1].type", null,
		},
		{
			"bare", `"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,AA==","filename":"a.pdf"}}]}]`,
			"Invalid content type. file is only supported by certain models.", "messages.[0].content.[0].type", null,
		},
	} {
		got := post(t, s, chatPath, `{"model":"`+x.model+`",`+x.body+`}`)
		var out struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		if err := json.Unmarshal([]byte(got.body), &out, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Errorf("%s: %d %s", x.body, got.status, got.body)
			continue
		}
		text := func(s *string) string {
			if s == nil {
				return null
			}
			return *s
		}
		e := out.Error
		if got.status != http.StatusBadRequest || e.Message != x.message || e.Type != "invalid_request_error" || text(e.Param) != x.param || text(e.Code) != x.code {
			t.Errorf("%s: %d %s, want %q, param %q, code %q", x.body, got.status, got.body, x.message, x.param, x.code)
		}
	}
}

const hiMessages = `"messages":[{"role":"user","content":"x"}]`
