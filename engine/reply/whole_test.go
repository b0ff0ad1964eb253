package reply

import (
	"testing"

	"forebay/engine/splice"
	"forebay/infer"

	"pgregory.net/rapid"
)

// The one look at a body finds what a search for each member finds.
func TestLookFindsMembers(t *testing.T) {
	value := rapid.SampledFrom([]string{
		`{"prompt_tokens":1,"completion_tokens":2}`, `{"a":{"usage":{"x":[1,{}]}},"b":[]}`, `[1,[2],{"model":"inner"}]`, `null`, `3`, `"m"`, `""`, `{}`, `[]`,
		`"a\"b"`, `{"model":"deep","usage":{}}`,
	})
	name := rapid.SampledFrom([]string{"usage", "model", "id", "choices", `us\u0061ge`})
	rapid.Check(t, func(t *rapid.T) {
		text := []byte("{")
		seen := map[string]string{}
		for i := range rapid.IntRange(0, 6).Draw(t, "members") {
			if i > 0 {
				text = append(text, " ,\n"...)
			}
			n, v := name.Draw(t, "name"), value.Draw(t, "value")
			text = append(text, `"`+n+`": `+v...)
			if n == "model" && v[0] == '"' && seen[n] == "" {
				seen[n] = v
			}
		}
		b := &Body{JSON: append(text, '}')}
		if err := b.look(); err != nil {
			t.Fatal(err)
		}
		if got, want := string(b.JSON[b.usage.Start:b.usage.End]), string(splice.Member(b.JSON, "usage")); got != want {
			t.Fatalf("%s: usage %q, want %q", b.JSON, got, want)
		}
		m := b.ev.Model
		if want := seen["model"]; want == "" && m != (infer.Span{}) || want != "" && `"`+string(b.JSON[m.Start:m.End])+`"` != want {
			t.Fatalf("%s: model at %v, want %q", b.JSON, m, want)
		}
	})
}
