package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/meter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/goleak"
)

// door is an API that takes bad input: where, and around what a conversation is wrapped.
type door struct {
	name, path string
	// body puts a value for messages into an otherwise good request.
	body func(messages string) string
}

var (
	viaConverse = door{"Converse", conversePath, func(m string) string { return `{"messages":` + m + `}` }}
	viaInvoke   = door{"InvokeModel", invokePath, func(m string) string {
		return `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":` + m + `}`
	}}
	viaChat     = door{"OpenAI", chatPath, func(m string) string { return `{"model":"` + haiku + `","max_tokens":5,"messages":` + m + `}` }}
	viaMessages = door{"Anthropic", messagesPath, viaChat.body}
)

// told is what a client is told: the HTTP status with the error's name, and a piece of its text.
type told struct {
	door
	body string
	want string // status and name
	text string
}

// name is the error's name as clients of the API read it: a header and a member of the body that
// agree, or the body's type.
func (d door) errorName(t *testing.T, a answer) (name, message string) {
	t.Helper()
	var b struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Error   struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &b); err != nil {
		t.Errorf("%s: an answer that no client of the API understands: %.200s", d.name, a.body)
		return "", ""
	}
	if b.Error.Type != "" {
		return b.Error.Type, b.Error.Message
	}
	if header, _, _ := strings.Cut(a.header.Get("X-Amzn-Errortype"), ":"); header != b.Type {
		t.Errorf("%s: the header says %q and the body %q", d.name, header, b.Type)
	}
	if a.header.Get("X-Amzn-Requestid") == "" {
		t.Errorf("%s: no request id", d.name)
	}
	return b.Type, b.Message
}

func (w told) check(t *testing.T, a answer) {
	t.Helper()
	name, message := w.errorName(t, a)
	if got := statusName(a.status, name); got != w.want || !strings.Contains(message, w.text) {
		t.Errorf("%s: %s %q, want %s with %q", w.name, got, message, w.want, w.text)
	}
}

func statusName(status int, name string) string {
	return strings.TrimSpace(http.StatusText(status)) + " " + name
}

// Names of errors with their status.
const (
	badSerialization = "Bad Request SerializationException"
	badValidation    = "Bad Request ValidationException"
	badRequest       = "Bad Request invalid_request_error"
	malformedInput   = "Malformed input request"
	unknownOperation = "Not Found UnknownOperationException"
)

// everywhere is a case whose body differs only in the messages.
func everywhere(messages string, converse, invoke, chat, anthropic string) []told {
	return []told{
		{viaConverse, viaConverse.body(messages), badSerialization, converse},
		{viaInvoke, viaInvoke.body(messages), badValidation, invoke},
		{viaChat, viaChat.body(messages), badRequest, chat},
		{viaMessages, viaMessages.body(messages), badRequest, anthropic},
	}
}

// with adds a member to a good request through each API. Converse has it inside inferenceConfig.
func with(converse, others string) []told {
	const hi = `[{"role":"user","content":"x"}]`
	add := func(d door) string { return strings.Replace(d.body(hi), "{", "{"+others+",", 1) }
	return []told{
		{viaConverse, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{` + converse + `}}`, badSerialization, ""},
		{viaInvoke, add(viaInvoke), badValidation, malformedInput},
		{viaChat, add(viaChat), badRequest, ""},
		{viaMessages, add(viaMessages), badRequest, ""},
	}
}

const (
	notJSON     = "The request body is not valid JSON."
	notParsed   = "We could not parse the JSON body of your request."
	gif         = "R0lGODlhAQABAAAAACw="
	llamaInvoke = "/model/meta.llama3-8b-instruct-v1:0/invoke"
	embedInvoke = "/model/amazon.titan-embed-text-v2:0/invoke"
)

// image is a message with an image, through each API.
func image(format, data, converse, invoke, chat, anthropic string) []told {
	block := `[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/` + format + `","data":"` + data + `"}}]}]`
	return []told{
		{viaConverse, viaConverse.body(`[{"role":"user","content":[{"image":{"format":"` + format + `","source":{"bytes":"` + data + `"}}}]}]`), badValidation, converse},
		{viaInvoke, viaInvoke.body(block), badValidation, invoke},
		{viaChat, viaChat.body(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/` + format + `;base64,` + data + `"}}]}]`), badRequest, chat},
		{viaMessages, viaMessages.body(block), badRequest, anthropic},
	}
}

// badBodies is section by section what can be wrong with a body. Texts are those of the real
// services where they are known.
var badBodies = []struct {
	name string
	told []told
}{
	{"malformed JSON", everywhere(`[`, notJSON, malformedInput, notParsed, notJSON)},
	{"nothing at all", []told{
		{viaConverse, ``, badSerialization, notJSON},
		{viaInvoke, ``, badValidation, malformedInput},
		{viaChat, ``, badRequest, notParsed},
		{viaMessages, ``, badRequest, notJSON},
	}},
	{"not an object", []told{
		{viaConverse, `[]`, badSerialization, ""},
		{viaInvoke, `[]`, badValidation, "valid object"},
		{viaChat, `[]`, badRequest, "expected an object, but got an array"},
		{viaMessages, `[]`, badRequest, "valid object"},
	}},
	{"wrong type of messages", everywhere(`"x"`, "messages", "#/messages: Input should be a valid list", "Invalid type for 'messages': expected an array, but got a string instead.", "messages: Input should be a valid list")},
	{"wrong type of a number", with(`"maxTokens":"many"`, `"temperature":"hot"`)},
	{"NaN", with(`"temperature":NaN`, `"temperature":NaN`)},
	{"a number beyond all floats", with(`"temperature":1e400`, `"temperature":1e400`)},
	{"an integer beyond all integers", with(`"maxTokens":99999999999999999999`, `"max_tokens":99999999999999999999`)},
	{"duplicate keys", with(`"maxTokens":5,"maxTokens":6`, `"max_tokens":6`)},
	{"duplicate keys, one of them escaped", with(`"maxTokens":5,"\u006daxTokens":6`, `"\u006dax_tokens":6`)},
	{"10,000 deep", everywhere(strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000), "", malformedInput, notParsed, notJSON)},
	{"invalid UTF-8", everywhere("[{\"role\":\"\xff\",\"content\":\"x\"}]", notJSON, malformedInput, notParsed, notJSON)},
	{"a lone surrogate", everywhere(`[{"role":"\ud800","content":"x"}]`, "", malformedInput, "", "")},
	{"empty messages", []told{
		{viaConverse, viaConverse.body(`[]`), badValidation, "A conversation must start with a user message."},
		{viaInvoke, viaInvoke.body(`[]`), badValidation, "at least one message is required"},
		{viaChat, viaChat.body(`[]`), badRequest, "Invalid 'messages': empty array."},
		{viaMessages, viaMessages.body(`[]`), badRequest, "messages: at least one message is required"},
	}},
	{"unknown role", []told{
		{viaConverse, viaConverse.body(`[{"role":"wizard","content":[{"text":"x"}]}]`), badValidation, "Value 'wizard' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: ["},
		{viaInvoke, viaInvoke.body(`[{"role":"wizard","content":"x"}]`), badValidation, "#/messages/0/role: Input should be 'user' or 'assistant'"},
		{viaChat, viaChat.body(`[{"role":"wizard","content":"x"}]`), badRequest, "Invalid value: 'wizard'. Supported values are:"},
		{viaMessages, viaMessages.body(`[{"role":"wizard","content":"x"}]`), badRequest, "messages.0.role: Input should be 'user' or 'assistant'"},
	}},
	{"unknown model", []told{
		{door{"Converse", "/model/no.such/converse", nil}, `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, badValidation, "The provided model identifier is invalid."},
		{door{"InvokeModel", "/model/no.such/invoke", nil}, `{}`, badValidation, "The provided model identifier is invalid."},
		{viaChat, `{"model":"no.such","messages":[{"role":"user","content":"x"}]}`, "Not Found invalid_request_error", "The model `no.such` does not exist or you do not have access to it."},
		{viaMessages, `{"model":"no.such","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, "Not Found not_found_error", "model: no.such"},
		{door{"provisioned ARN", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Aprovisioned-model%2Fabcdefabcdef/converse", nil}, `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, "Not Found ResourceNotFoundException", ""},
	}},
	{"members that Forebay reads itself", []told{
		{viaChat, `{"model":"a","model":"b","messages":[]}`, badRequest, `"model" twice`},
		{viaChat, `{"model":"a","MODEL":"b","messages":[]}`, badRequest, "some engines read as"},
		{viaInvoke, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"x"}]}`, badValidation, "extraneous key [stream]"},
		{viaChat, `{"model":5}`, badRequest, ""},
		{viaChat, `{"model":"` + haiku + `","stream":"yes","messages":[]}`, badRequest, "'stream'"},
		{viaMessages, `{"model":"` + haiku + `","max_tokens":5,"stream":"yes","messages":[]}`, badRequest, "stream"},
	}},
	{"no model", []told{
		{viaChat, `{"messages":[{"role":"user","content":"x"}]}`, badRequest, "you must provide a model parameter"},
		{viaMessages, `{"max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, badRequest, "model"},
	}},
	{"a body of another family", []told{
		{door{"Llama", llamaInvoke, nil}, viaInvoke.body(`[]`), badValidation, "Malformed input request: #: required key [prompt] not found, please reformat your input and try again."},
		{door{"Titan", embedInvoke, nil}, `{"prompt":"x"}`, badValidation, "Malformed input request: #: required key [inputText] not found, please reformat your input and try again."},
		{viaInvoke, `{"prompt":"x","max_gen_len":5}`, badValidation, "Malformed input request: #: required key ["},
		{viaConverse, `{"prompt":"x"}`, badValidation, ""},
		{viaChat, `{"model":"` + haiku + `","inputText":"x"}`, badRequest, "Missing required parameter: 'messages'."},
		{viaMessages, `{"model":"` + haiku + `","max_tokens":5,"prompt":"x"}`, badRequest, "messages: Field required"},
	}},
	{"a parameter that no other dialect has", []told{
		{door{"Cohere", "/model/cohere.command-r-v1:0/invoke", nil}, `{"message":"x","return_prompt":true}`, badValidation, "return_prompt is not supported with this model."},
	}},
	{"what Claude demands on Bedrock", []told{
		{viaInvoke, `{"max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, badValidation, "Malformed input request: #: required key [anthropic_version] not found, please reformat your input and try again."},
		{viaInvoke, `{"anthropic_version":null,"max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, badValidation, "#: required key [anthropic_version] not found"},
		{viaInvoke, `{"anthropic_version":"bedrock-2023","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, badValidation, "Malformed input request: #/anthropic_version: bedrock-2023 is not a valid enum value, please reformat your input and try again."},
		{viaInvoke, `{"anthropic_version":5,"max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, badValidation, "#/anthropic_version: "},
		{viaInvoke, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"top_k":501,"messages":[{"role":"user","content":"x"}]}`, badValidation, "Malformed input request: #/top_k: 501 is not less or equal to 500, please reformat your input and try again."},
		{viaInvoke, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"top_k":-1,"messages":[{"role":"user","content":"x"}]}`, badValidation, "#/top_k: "},
	}},
	{"another model than the path's", []told{
		{door{"gpt-oss", "/model/openai.gpt-oss-20b-1%3A0/invoke", nil}, `{"model":"openai.gpt-oss-120b-1:0","messages":[{"role":"user","content":"x"}]}`, badValidation, "Malformed input request: #/model: the value must match the model identifier of the request"},
		{door{"gpt-oss", "/model/openai.gpt-oss-20b-1%3A0/invoke", nil}, `{"model":"other","messages":[{"role":"user","content":"x"}]}`, badValidation, "#/model: "},
	}},
	{"no max_tokens for Claude", []told{
		{viaInvoke, `{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"x"}]}`, badValidation, "Malformed input request: #: required key [max_tokens] not found, please reformat your input and try again."},
		{viaMessages, `{"model":"` + haiku + `","messages":[{"role":"user","content":"x"}]}`, badRequest, "max_tokens: Field required"},
	}},
	{"a chat with an embedding model", []told{
		{viaChat, `{"model":"amazon.titan-embed-text-v2:0","messages":[{"role":"user","content":"x"}]}`, badRequest, "not supported"},
		{door{"Converse", "/model/amazon.titan-embed-text-v2:0/converse", nil}, `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, badValidation, ""},
	}},
	{"an image of another type than it says", image("png", gif,
		"Image does not match the provided media type image/png", "Image does not match the provided media type image/png",
		"Image does not match the provided media type image/png", "messages.0.content.0.image.source.base64: Image does not match the provided media type image/png")},
	{"an image of a type that nobody takes", image("bmp", gif,
		"Member must satisfy enum value set: [", "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
		"Invalid value: 'image/bmp'.", "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'")},
	{"base64 garbage", image("png", "@@@", "base64", "invalid base64 data", "invalid base64 data", "invalid base64 data")},
	{"out of range", []told{
		{viaConverse, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":1,"temperature":2,"topP":-1}}`, badValidation, "2 validation errors detected"},
		{viaChat, `{"model":"` + haiku + `","max_tokens":0,"messages":[{"role":"user","content":"x"}]}`, badRequest, "integer below minimum value"},
	}},
	{"a blank text", []told{{viaConverse, viaConverse.body(`[{"role":"user","content":[{"text":""}]}]`), badValidation, "is blank"}}},
	{"a guardrail that would not be applied", []told{
		{viaConverse, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"guardrailConfig":{"guardrailIdentifier":"a","guardrailVersion":"1"}}`, badValidation, "guardrail"},
	}},
	{"an operation that nobody has", []told{
		{door{"Bedrock", "/model/x/nope", nil}, `{}`, unknownOperation, ""},
		{door{"OpenAI", "/v1/nope", nil}, `{}`, "Not Found invalid_request_error", "Unknown request URL: POST /v1/nope."},
	}},
}

// streamed are the operations that stream what another answers in one piece.
var streamed = map[string]string{conversePath: conversePath + "-stream", invokePath: invokePath + "-with-response-stream"}

// Bad input gets the error that the real service gives, and leaves nothing behind.
func TestBadBodies(t *testing.T) {
	s, tidy := runTidy(t)
	defer tidy()
	for _, c := range badBodies {
		t.Run(c.name, func(t *testing.T) {
			for _, w := range c.told {
				w.check(t, post(t, s, w.path, w.body))
				// What is wrong before the first byte is no stream: the same error, in the same form.
				if path := streamed[w.path]; path != "" {
					w.check(t, post(t, s, path, w.body))
				}
			}
		})
	}
}

// Clients of OpenAI's API match on the code of an error, and find the member in its param. The codes and
// params are those that the service has been seen to answer.
func TestOpenAIErrorCodes(t *testing.T) {
	s := run(t, testConfig(t))
	const ask = `"messages":[{"role":"user","content":"x"}]`
	for _, k := range []struct{ members, param, code string }{
		{`"messages":"x"`, `"messages"`, `"invalid_type"`},
		{`"n":1`, `"messages"`, `"missing_required_parameter"`},
		{`"messages":[]`, `"messages"`, `"empty_array"`},
		{`"messages":[{"role":"wizard","content":"x"}]`, `"messages[0].role"`, `"invalid_value"`},
		{`"messages":[{"role":"user","content":"x","cache":1}]`, `"messages[0].cache"`, `"unknown_parameter"`},
		{`"max_tokens":0,` + ask, `"max_tokens"`, `"integer_below_min_value"`},
		{`"temperature":-1,` + ask, `"temperature"`, `"decimal_below_min_value"`},
		{`"temperature":200,` + ask, `"temperature"`, `"decimal_above_max_value"`},
	} {
		got := post(t, s, chatPath, `{"model":"`+haiku+`",`+k.members+`}`)
		var e struct {
			Error struct{ Param, Code jsontext.Value }
		}
		if err := json.Unmarshal([]byte(got.body), &e, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("%v: %s", err, got.body)
		}
		if got.status != http.StatusBadRequest || string(e.Error.Param) != k.param || string(e.Error.Code) != k.code {
			t.Errorf("%s: %d %s, want param %s and code %s", k.members, got.status, got.body, k.param, k.code)
		}
	}
}

// depth is the account's tokens a minute in the tests of bad input.
const depth = 100_000

// runTidy is a server, with a look through it for the end of the test: whatever was refused holds
// no token, is on the ledger as refused if it is there at all, costs nothing and has left no
// goroutine, call or body in memory.
func runTidy(t *testing.T, change ...func(*config.Config)) (*Server, func()) {
	t.Helper()
	return runTidyBut(t, 0, change...)
}

// runTidyBut is runTidy for a test some of whose calls are good: so many.
func runTidyBut(t *testing.T, good int64, change ...func(*config.Config)) (*Server, func()) {
	t.Helper()
	c := testConfig(t)
	c.Account.Limits.TokensPerMinute = depth
	for _, f := range change {
		f(&c)
	}
	s := run(t, c)
	works(t, s) // what a first call starts stays
	rows := usage(t, s, "outcome")
	if len(rows) != 1 {
		t.Fatalf("%+v", rows)
	}
	good += rows[0].Requests
	http.DefaultClient.CloseIdleConnections()
	before := goleak.IgnoreCurrent()
	return s, func() {
		http.DefaultClient.CloseIdleConnections()
		var left error
		eventually(t, "a goroutine", func() bool { left = goleak.Find(before); return left == nil }) // net/http lets closed connections linger for half a second
		if left != nil {
			t.Log(left)
		}
		eventually(t, "a body", func() bool { return s.front.budget.Used() == 0 })
		eventually(t, "a call", func() bool { return s.dispatch.InFlight() == 0 })
		for _, r := range usage(t, s, "outcome") {
			if o := r.Group[0]; o != meter.OutcomeOK && (o != meter.OutcomeRefused || r.Charge != 0 || r.Input != 0 || r.Output != 0) ||
				o == meter.OutcomeOK && r.Requests != good {
				t.Errorf("on the ledger: %+v", r)
			}
		}
		// If anything held tokens still, nearly the whole depth of the bucket would not be there.
		if got := post(t, s, chatPath, `{"model":"`+haiku+`","max_tokens":4000,"n":24,"messages":[{"role":"user","content":"[[tokens:1]]"}]}`); got.status != http.StatusOK {
			t.Errorf("tokens are held still: %d %v %s", got.status, got.header, got.body)
		}
	}
}

// eventually waits for what happens just behind the last byte of an answer.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s was left behind", what)
			return
		}
	}
}

// What Bedrock bounds, the Anthropic API does not; a body that names the model of its path, or at the bound, is served.
func TestWhatAgreesWithBedrock(t *testing.T) {
	s := run(t, testConfig(t))
	const gpt = "openai.gpt-oss-20b-1:0"
	for _, x := range []struct{ path, body string }{
		{invokePath, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"top_k":500,"messages":[{"role":"user","content":"x"}]}`},
		{invokePath, `{"anthropic_version":"2026-10-21","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`}, // Anthropic's client 2.12
		{messagesPath, `{"model":"` + haiku + `","max_tokens":5,"top_k":501,"messages":[{"role":"user","content":"x"}]}`},
		{"/model/" + gpt + "/invoke", `{"model":"` + gpt + `","messages":[{"role":"user","content":"x"}]}`},
		{"/model/" + gpt + "/invoke", `{"messages":[{"role":"user","content":"x"}]}`},
		{"/model/us." + gpt + "/invoke", `{"model":"` + gpt + `","messages":[{"role":"user","content":"x"}]}`},
		{"/model/" + gpt + "/invoke", `{"model":"us.` + gpt + `","messages":[{"role":"user","content":"x"}]}`},
	} {
		if got := post(t, s, x.path, x.body); got.status != 200 {
			t.Errorf("%s %s: %d %s", x.path, x.body, got.status, got.body)
		}
	}
}
