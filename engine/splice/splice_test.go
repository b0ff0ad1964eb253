package splice

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
)

func join(b string, edits ...Edit) string {
	return string(bytes.Join(Parts(nil, []byte(b), edits...), nil))
}

func TestParts(t *testing.T) {
	set := func(n, v string) Edit { return Edit{n, []byte(v)} }
	del := func(n string) Edit { return Edit{Name: n} }
	for _, c := range []struct {
		in    string
		edits []Edit
		out   string
	}{
		{`{"model":"a","x":[1, {"model":"b"}]}`, []Edit{set("model", `"c"`)}, `{"model":"c","x":[1, {"model":"b"}]}`},
		{` { "x" : "\"model\":\\" , "model" : "a" } `, []Edit{set("model", `"c"`)}, ` { "x" : "\"model\":\\" , "model" : "c" } `},
		{`{"x":1}`, []Edit{set("stream", "true"), set("y", "{}")}, `{"stream":true,"y":{},"x":1}`},
		{`{}`, []Edit{set("stream", "true")}, `{"stream":true}`},
		{`{ }`, []Edit{del("x")}, `{ }`},
		{`{"a":1,"model":"x","stream":true}`, []Edit{del("model"), del("stream")}, `{"a":1}`},
		{`{"model":"x","stream":true,"a":1}`, []Edit{del("model"), del("stream")}, `{"a":1}`},
		{`{"model":"x", "a":1 ,"stream":true , "b":2}`, []Edit{del("model"), del("stream")}, `{ "a":1 , "b":2}`},
		{`{"model":"x"}`, []Edit{del("model"), set("v", `"1"`)}, `{"v":"1"}`},
		{`{"stream":false,"n":-1.5e3}`, []Edit{set("n", "2"), del("stream")}, `{"n":2}`},
		{`{"mod\u0065l":"a"}`, []Edit{set("model", `"c"`)}, `{"mod\u0065l":"c"}`},
		{`{"n":1}`, nil, `{"n":1}`},
		{`[1]`, []Edit{del("x")}, `[1]`},
		{``, []Edit{del("x")}, ``},
	} {
		if got := join(c.in, c.edits...); got != c.out {
			t.Errorf("%s %v: %s, want %s", c.in, c.edits, got, c.out)
		}
	}
}

func TestAnthropicForms(t *testing.T) {
	for _, c := range []struct{ in, api, bedrock, betas string }{
		{
			`{"model":"claude","stream":true,"max_tokens":1,"messages":[]}`,
			`{"model":"m","stream":true,"max_tokens":1,"messages":[]}`,
			`{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["h"],"max_tokens":1,"messages":[]}`, "h",
		},
		{
			`{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a","h"],"max_tokens":1}`,
			`{"model":"m","stream":true,"max_tokens":1}`,
			`{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a","h"],"max_tokens":1}`, "a,h",
		},
		{
			`{"max_tokens":1, "anthropic_beta":["a"], "x":[true ]}`,
			`{"model":"m","stream":true,"max_tokens":1, "x":[true ]}`,
			`{"anthropic_version":"bedrock-2023-05-31","max_tokens":1, "anthropic_beta":["a","h"], "x":[true ]}`, "a,h",
		},
	} {
		edits, betas := AnthropicAPI([]byte(c.in), "m", true, []string{"h"})
		if got := join(c.in, edits...); got != c.api || strings.Join(betas, ",") != c.betas {
			t.Errorf("%s: API %s, %v", c.in, got, betas)
		}
		if got := join(c.in, AnthropicBedrock([]byte(c.in), []string{"h"})...); got != c.bedrock {
			t.Errorf("%s: Bedrock %s", c.in, got)
		}
	}
}

func TestMember(t *testing.T) {
	const b = `{"a":"x","b": {"c":[1,2,"}"]} ,"d":null,"e":tr`
	for name, want := range map[string]string{"a": `"x"`, "b": `{"c":[1,2,"}"]}`, "d": "null", "c": ""} {
		if got := string(Member([]byte(b), name)); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// FuzzParts compares with a decode, edit and encode of the whole object.
func FuzzParts(f *testing.F) {
	for _, s := range []string{
		`{"model":"a","x":1}`, `{"x":"\\","model":"a\"b"}`, `{"a":{"b":[{}]},"stream":false}`, `{`, `{"a`, `{"a":`, `[]`, `{"":0}`,
		"{\"a\":1,\n\t\"stream\" : true}", `{"model":1,"stream":2,"z":3}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := bytes.Join(Parts(nil, b, Edit{"model", []byte(`"new"`)}, Edit{Name: "stream"}, Edit{"z", []byte("[]")}), nil)
		var before, after map[string]any
		dec := json.NewDecoder(bytes.NewReader(b))
		if dec.Decode(&before) != nil || dec.More() || before == nil || !json.Valid(b) {
			return
		}
		w, seen := walker{b: b}, map[string]bool{}
		for w.open(); ; {
			m, ok := w.next()
			if !ok {
				break
			}
			name := string(b[m.key+1 : m.keyEnd-1])
			if seen[name] || bytes.IndexByte(b[m.key:m.keyEnd], '\\') >= 0 {
				return // twice, or the same name in other words: refused before
			}
			seen[name] = true
		}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%s -> %s: %v", b, out, err)
		}
		want := maps.Clone(before)
		want["model"], want["z"] = "new", []any{}
		delete(want, "stream")
		if !reflect.DeepEqual(after, want) {
			t.Fatalf("%s -> %s", b, out)
		}
	})
}
