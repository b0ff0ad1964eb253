package api

import (
	"strings"
	"testing"

	"forebay/infer"
)

func TestNameTier(t *testing.T) {
	for _, k := range []struct{ body, want string }{
		{`{"id":"1","model":"m","choices":[]}`, `{"id":"1","model":"m","service_tier":"flex","choices":[]}`},
		{`{"choices":[], "model" : "m" }`, `{"choices":[], "model" : "m","service_tier":"flex" }`},
		{`{"id":"1","service_tier":null,"model":"m"}`, `{"id":"1","service_tier":"flex","model":"m"}`},
		{`{"model":"m","choices":[],"service_tier": null}`, `{"model":"m","choices":[],"service_tier": "flex"}`},
		{`{"model":"m","service_tier":"default"}`, `{"model":"m","service_tier":"default"}`},
		{`{"model":"m","x":{"service_tier":null,"model":"n"}}`, `{"model":"m","service_tier":"flex","x":{"service_tier":null,"model":"n"}}`},
		{`{"error":{"message":"x"}}`, `{"error":{"message":"x"}}`},
		{`{"model":{"model":"m"}}`, `{"model":{"model":"m"}}`},
		{`{"model":"m",`, `{"model":"m",`},
		{`["model","m"]`, `["model","m"]`},
		{`[DONE]`, `[DONE]`},
		{``, ``},
	} {
		if got := string(nameTier([]byte(k.body), infer.DialectOpenAI, "flex")); got != k.want {
			t.Errorf("%s:\ngot  %s\nwant %s", k.body, got, k.want)
		}
		for _, d := range []infer.Dialect{infer.DialectOpenAICompletions, infer.DialectOpenAIEmbeddings, infer.DialectAnthropic} {
			if got := string(nameTier([]byte(k.body), d, "flex")); got != k.body {
				t.Errorf("%s in %s: %s", k.body, d, got)
			}
		}
		if got := string(nameTier([]byte(k.body), infer.DialectOpenAI, "")); got != k.body {
			t.Errorf("no tier was named: %s", got)
		}
	}
}

func TestRestoreModel(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, k := range []struct{ whole, near, want string }{
		{`{"id":"1","model":"engine","choices":[]}`, "", `{"id":"1","model":"asked","choices":[]}`},
		{`{"choices":[{"text":"` + long + `"}], "model" : "engine" }`, "", `{"choices":[{"text":"` + long + `"}], "model" : "asked" }`},
		{`{"content":[{"input":{"model":"T"}}],"model":"/a/b.gguf"}`, "", `{"content":[{"input":{"model":"T"}}],"model":"asked"}`},
		{`{"text":"\"model\":\"x\"","mod\u0065l":"engine"}`, "", `{"text":"\"model\":\"x\"","mod\u0065l":"asked"}`},
		{`{"model":null}`, "", `{"model":null}`},
		{`[]`, "", `[]`},
		{``, "", ``},
		{"", `{"id":"1","model":"engine","choices":[{"delta":{"content":"a"}}]}`, `{"id":"1","model":"asked","choices":[{"delta":{"content":"a"}}]}`},
		{"", `{"type":"message_start","message":{"id":"1","model": "engine"}}`, `{"type":"message_start","message":{"id":"1","model": "asked"}}`},
		{"", `{"choices":[{"delta":{"content":"` + long + `"}}],"model":"engine"}`, `{"choices":[{"delta":{"content":"` + long + `"}}],"model":"asked"}`},
		{"", `{"choices":[{"delta":{"content":"\"model\":\"x\""}}]}`, `{"choices":[{"delta":{"content":"\"model\":\"x\""}}]}`},
		{"", `{"model":`, `{"model":`},
		{"", `{"model":"`, `{"model":"`},
	} {
		got := string(restoreModel([]byte(k.whole), "asked", modelOf([]byte(k.whole))))
		if k.near != "" {
			got = string(restoreModel([]byte(k.near), "asked", modelNear([]byte(k.near))))
		}
		if got != k.want {
			t.Errorf("%s%s:\ngot  %s\nwant %s", k.whole, k.near, got, k.want)
		}
	}
}
