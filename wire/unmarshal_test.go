package wire_test

import (
	"strings"
	"testing"

	"forebay/fault"
	"forebay/wire"
	"forebay/wire/shapes/bedrockruntime"
)

// check validates a Converse body and returns what is wrong with it.
func check(body string) *fault.Error {
	var bad wire.Faults
	f := wire.Target{}.Fields(bedrockruntime.Converse.Input)
	if err := wire.UnmarshalBody([]byte(body), f, &bad); err != nil {
		return fault.From(err)
	}
	return fault.From(bad.Err())
}

// The words of the services' validation, as seen in messages of many of them: a null, a bound, a pattern, an enum, a
// list and a map whose elements are at fault (where the service lists all rules), and several at once.
func TestValidation(t *testing.T) {
	const message = `"messages":[{"role":"user","content":[{"text":"x"}]}]`
	tool := func(spec string) string {
		return `{` + message + `,"toolConfig":{"tools":[{"toolSpec":{` + spec + `}}]}}`
	}
	long := strings.Repeat("x", 65)
	for body, want := range map[string]string{
		`{` + message + `,"unknown":{"a":[1]},"inferenceConfig":null}`: "",
		``: "",
		`{"messages":[{"role":"user"},{"content":[]}]}`: "2 validation errors detected: Value null at 'messages.1.member.content' failed to satisfy constraint: Member must not be null; " +
			"Value null at 'messages.2.member.role' failed to satisfy constraint: Member must not be null",
		`{"messages":[{"role":"wizard","content":[{"text":"x"}]}]}`:       "1 validation error detected: Value 'wizard' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant]",
		`{"inferenceConfig":{"maxTokens":0,"temperature":2,"topP":-0.5}}`: "3 validation errors detected: Value '0' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1; Value '2.0' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1; Value '-0.5' at 'inferenceConfig.topP' failed to satisfy constraint: Member must have value greater than or equal to 0",
		`{"inferenceConfig":{"stopSequences":["a",""]}}`:                  "1 validation error detected: Value '[a, ]' at 'inferenceConfig.stopSequences' failed to satisfy constraint: Member must satisfy constraint: [Member must have length greater than or equal to 1]",
		`{"toolConfig":{"tools":[]}}`:                                     "1 validation error detected: Value '[]' at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater than or equal to 1",
		tool(`"name":"` + long + `","inputSchema":{"json":{}}`):           "1 validation error detected: Value '" + long + "' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must have length less than or equal to 64",
		tool(`"name":"a b","inputSchema":{"json":{}}`):                    "1 validation error detected: Value 'a b' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
		tool(`"name":"a"`): "1 validation error detected: Value null at 'toolConfig.tools.1.member.toolSpec.inputSchema' failed to satisfy constraint: Member must not be null",
		// metadata is sensitive: it is not shown
		`{"requestMetadata":{}}`: "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: Member must have length greater than or equal to 1",
		`{"requestMetadata":{"":"` + strings.Repeat("v", 257) + `"}}`: "2 validation errors detected: Value at 'requestMetadata' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [a-zA-Z0-9\\s:_@$#=/+,-.]{1,256}]; " +
			"Value at 'requestMetadata' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: [a-zA-Z0-9\\s:_@$#=/+,-.]{0,256}]",
		`{"messages":[{"role":"user","content":[{"text":"x","cachePoint":{"type":"default"}}]}]}`: "1 validation error detected: Value at 'messages.1.member.content.1.member' failed to satisfy constraint: Member must have exactly one of these members set: [text, image, document, video, audio, toolUse, toolResult, guardContent, cachePoint, reasoningContent, citationsContent, searchResult]",
		`{"messages":[{"role":"user","content":[{"newerThanTheModel":{}}]}]}`:                     "", // what it is, is for others to say
	} {
		e := check(body)
		if want == "" {
			if e != nil {
				t.Errorf("%s: %v", body, e)
			}
			continue
		}
		if e == nil || e.Kind != fault.Invalid || e.Message != want {
			t.Errorf("%s:\n got %v\nwant %s", body, e, want)
		}
	}
}

// What is no value of the shape: no JSON, another type, a member twice, out of range.
func TestMalformed(t *testing.T) {
	for body, want := range map[string]string{
		`{`:                                      "",
		`{"messages":[]}x`:                       "",
		`[]`:                                     "Start of list found where not expected",
		`{"messages":"x"}`:                       "Unexpected field type at 'messages'",
		`{"messages":[[]]}`:                      "Start of list found where not expected at 'messages.1.member'",
		`{"messages":[{"role":5,"content":[]}]}`: "NUMBER_VALUE cannot be converted to String at 'messages.1.member.role'",
		`{"messages":[{"role":{},"content":[]}]}`:                                                            "Start of structure or map found where not expected at 'messages.1.member.role'",
		`{"inferenceConfig":{"maxTokens":"5"}}`:                                                              "STRING_VALUE cannot be converted to Integer at 'inferenceConfig.maxTokens'",
		`{"inferenceConfig":{"maxTokens":1.5}}`:                                                              "NUMBER_VALUE cannot be converted to Integer at 'inferenceConfig.maxTokens'",
		`{"inferenceConfig":{"maxTokens":2147483648}}`:                                                       "NUMBER_VALUE cannot be converted to Integer at 'inferenceConfig.maxTokens'",
		`{"inferenceConfig":{"temperature":"warm"}}`:                                                         "STRING_VALUE cannot be converted to Float at 'inferenceConfig.temperature'",
		`{"inferenceConfig":{"temperature":1e400}}`:                                                          "NUMBER_VALUE cannot be converted to Float at 'inferenceConfig.temperature'",
		`{"inferenceConfig":{"maxTokens":1,"maxTokens":1}}`:                                                  "Duplicate field 'maxTokens' at 'inferenceConfig'",
		`{"messages":[{"role":"user","content":[{"document":{"name":"x","citations":{"enabled":1}}}]}]}`:     "NUMBER_VALUE cannot be converted to Boolean at 'messages.1.member.content.1.member.document.citations.enabled'",
		`{"additionalModelRequestFields":` + strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000) + `}`: "",
	} {
		e := check(body)
		if e == nil || e.Kind != fault.Malformed || want != "" && e.Message != want {
			t.Errorf("%.80s:\n got %v\nwant %s", body, e, want)
		}
	}
}

// A message repeats and lists so much, and tells the true number.
func TestFaultsAreBounded(t *testing.T) {
	body := `{"messages":[` + strings.Repeat(`{"role":"`+strings.Repeat("é", 5000)+`","content":[]},`, 999) + `{"role":"x","content":[]}]}`
	e := check(body)
	if e == nil || !strings.HasPrefix(e.Message, "1000 validation errors detected: Value 'é") || len(e.Message) > 100_000 {
		t.Errorf("%d bytes: %.100s", len(e.Message), e.Message)
	}
}

func BenchmarkConverse(b *testing.B) {
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"` + strings.Repeat("word ", 1000) + `"}]}],"inferenceConfig":{"maxTokens":100,"temperature":0.5}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var bad wire.Faults
		if err := wire.UnmarshalBody(body, wire.Target{}.Fields(bedrockruntime.Converse.Input), &bad); err != nil {
			b.Fatal(err)
		}
	}
}
