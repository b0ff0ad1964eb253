package splice

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Anthropic Messages come in two forms. Anthropic's API has model and stream in the body, and
// anthropic-version and anthropic-beta in headers; Bedrock has model and stream in the path,
// and anthropic_version and anthropic_beta in the body. The functions below lead
// from either form to one of them.

// bedrockVersion is the only value of anthropic_version that Bedrock takes.
const bedrockVersion = `"bedrock-2023-05-31"`

// AnthropicAPI returns the edits that make body one for Anthropic's API, and the values
// of its anthropic-beta header.
func AnthropicAPI(body []byte, model string, stream bool, header []string) (edits []Edit, betas []string) {
	betas = union(betasOf(body), header)
	edits = append(edits, Edit{Name: "anthropic_version"}, Edit{Name: "anthropic_beta"})
	if model != "" && string(Member(body, "model")) != string(quote(model)) {
		edits = append(edits, Edit{"model", quote(model)})
	}
	have := string(Member(body, "stream"))
	switch {
	case stream && have != "true":
		edits = append(edits, Edit{"stream", []byte("true")})
	case !stream && have == "true":
		edits = append(edits, Edit{"stream", []byte("false")})
	}
	return edits, betas
}

// AnthropicBedrock returns the edits that make body one for Bedrock.
func AnthropicBedrock(body []byte, header []string) []Edit {
	edits := []Edit{{Name: "model"}, {Name: "stream"}}
	if Member(body, "anthropic_version") == nil {
		edits = append(edits, Edit{"anthropic_version", []byte(bedrockVersion)})
	}
	if have := betasOf(body); len(header) > 0 {
		if all := union(have, header); len(all) > len(have) {
			var list []byte
			for _, b := range all {
				list = append(append(list, ','), quote(b)...)
			}
			list[0] = '['
			edits = append(edits, Edit{"anthropic_beta", append(list, ']')})
		}
	}
	return edits
}

func betasOf(body []byte) []string {
	var out []string
	if v := Member(body, "anthropic_beta"); v == nil || json.Unmarshal(v, &out) != nil {
		return nil
	}
	return out
}

func union(a, b []string) []string {
	for _, v := range b {
		if !slices.Contains(a, v) {
			a = append(a, v)
		}
	}
	return a
}

func quote(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s) // an error only says that invalid UTF-8 was replaced
	return b
}
