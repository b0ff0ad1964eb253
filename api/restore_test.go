package api

import (
	"strings"
	"testing"
)

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
