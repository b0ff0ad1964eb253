package server

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/internal/testenv"
	"forebay/wire/eventstream"
)

// recording is an exchange with the real Bedrock runtime. What must agree is the status,
// the content type, the error's name, the tree of JSON members with their types, and the order of events; not
// the words.
type recording struct {
	File     string            `json:"file"`
	Op       string            `json:"op"`
	Path     string            `json:"path"`
	Request  json.RawMessage   `json:"request"`
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Response json.RawMessage   `json:"response"`
	Events   []struct {
		Headers map[string]string `json:"headers"`
		Payload string            `json:"payload"`
	} `json:"events"`
}

func recordings(t *testing.T) []recording {
	t.Helper()
	f, err := os.Open(testenv.Shared(t, "conformance/bedrock-recorded.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []recording
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var r recording
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if len(out) != 94 {
		t.Fatalf("%d recordings, want 94", len(out))
	}
	return out
}

// notServed says why a recording does not apply.
func notServed(r *recording) string {
	switch {
	case r.Status == 403:
		return "an expired session token of the recorder"
	case bytes.Contains(r.Request, []byte(`"anthropic_version"`)):
		return ""
	case strings.Contains(r.Path, "claude-v2") && strings.HasPrefix(r.Op, "invoke"), strings.Contains(r.Path, "claude-instant"):
		return "the retired text completions of Claude 2"
	case strings.Contains(r.Path, "ai21.j2"), strings.Contains(r.Path, "titan-tg1"):
		return "a retired model that is not in the catalogue"
	case strings.Contains(r.Path, "cohere.command-light"):
		return "the retired generate dialect of Cohere"
	case bytes.Contains(r.Response, []byte(`"weird"`)):
		return "an answer made up by the recorder"
	case strings.Contains(r.Path, "rerank"):
		return "reranking is no dialect here"
	case len(r.Request) == 0 || string(r.Request) == "null":
		if r.Status != 400 {
			return "the recording has no request body"
		}
	}
	return ""
}

// upstreamAnswer answers as an OpenAI-compatible engine would have, so that every answer
// is converted: with a tool call where the recorded answer has one.
func upstreamAnswer(c *fakeupstream.Call, words, tool bool) {
	const usage = `"usage":{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}`
	if strings.Contains(c.Target, "embeddings") {
		c.Respond(200, nil, []byte(`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,0.25]}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}`))
		return
	}
	if !c.Streams() {
		msg := `{"role":"assistant","content":"Hi there"}`
		stop := "length"
		if tool {
			msg = `{"role":"assistant","content":"I will look.","tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_current_weather","arguments":"{\"location\":\"Seattle\"}"}}]}`
			stop = "tool_calls"
		}
		choice := `{"index":0,"message":` + msg + `,"finish_reason":"` + stop + `"}`
		if strings.HasSuffix(c.Target, "/completions") && !strings.Contains(c.Target, "chat") {
			choice = `{"index":0,"text":"Hi there","finish_reason":"length"}`
		}
		c.Respond(200, nil, []byte(`{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[`+choice+`],`+usage+`}`))
		return
	}
	send := func(choice, rest string) {
		c.Send(fakeupstream.Payload{Data: `{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[` + choice + `]` + rest + `}`})
	}
	text := `"delta":{"content":%q}`
	if strings.HasSuffix(c.Target, "/completions") && !strings.Contains(c.Target, "chat") {
		text = `"text":%q`
	}
	for _, w := range []string{"Hi", " there"} {
		if !words {
			break
		}
		send(`{"index":0,`+fmt.Sprintf(text, w)+`,"finish_reason":null}`, "")
	}
	stop := "length"
	if tool {
		send(`{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get_current_weather","arguments":""}}]},"finish_reason":null}`, "")
		send(`{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"location\":\"Seattle\"}"}}]},"finish_reason":null}`, "")
		stop = "tool_calls"
	}
	send(`{"index":0,"delta":{},"finish_reason":"`+stop+`"}`, "")
	send("", ","+usage)
	c.End()
}

// tree lists the members of a JSON value with their types; elements of arrays count as one.
func tree(v any, path string, out map[string]bool) {
	switch x := v.(type) {
	case map[string]any:
		out[path+":object"] = true
		for k, y := range x {
			if k == "p" || path == ".input" || strings.HasSuffix(path, ".input") { // padding; a tool's own arguments
				continue
			}
			tree(y, path+"."+k, out)
		}
	case []any:
		out[path+":array"] = true
		for _, y := range x {
			tree(y, path+"[]", out)
		}
	case string:
		out[path+":string"] = true
	case float64:
		out[path+":number"] = true
	case bool:
		out[path+":bool"] = true
	case nil:
		out[path+":null"] = true
	}
}

func treeOf(t *testing.T, payloads ...[]byte) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, p := range payloads {
		var v any
		if err := json.Unmarshal(p, &v); err != nil {
			t.Fatalf("%v in %.200s", err, p)
		}
		tree(v, "", out)
	}
	return out
}

// mayLack are the members that the real service sends and an answer need not have, with the reason. Each has to be lacked by an
// answer of the test, or it has no place here.
var mayLack = map[string]string{
	".usage.cacheReadInputTokens:number":      "the engine says nothing of a cache",
	".usage.cacheWriteInputTokens:number":     "the engine says nothing of a cache",
	".usage.cacheReadInputTokenCount:number":  "the engine says nothing of a cache",
	".usage.cacheWriteInputTokenCount:number": "the engine says nothing of a cache",
	".usage.serverToolUsage:object":           "the service's own tools, of which Forebay has none",
}

// mayAdd are the members that an answer has and the recorded one has not, with the reason. Each has to be added by an answer of the test.
var mayAdd = map[string]string{
	".__type:string":                        "an error is named in its body as well as in its header",
	".completionReason:null":                "a chunk before the last, which the recorded stream has none of",
	".inputTextTokenCount:null":             "a chunk before the last, which the recorded stream has none of",
	".totalOutputTextTokenCount:null":       "a chunk before the last, which the recorded stream has none of",
	".output.message.content[].text:string": "the engine of the test says a word before it calls a tool",
	".usage.input_tokens:number":            "an engine that says only at its end what it has read has it said in message_delta",
}

// cacheHeaders are left out for the same reason.
var cacheHeaders = []string{"x-amzn-bedrock-cache-read-input-token-count", "x-amzn-bedrock-cache-write-input-token-count"}

// compare holds the members of an answer against the recorded one's, and notes in differing those that it may lack or add.
func compare(t *testing.T, differing, got, want map[string]bool) {
	t.Helper()
	for p := range want {
		switch {
		case got[p]:
		case mayLack[p] != "":
			differing[p] = true
		default:
			t.Errorf("the real answer has %s, ours has not", p)
		}
	}
	for p := range got {
		switch {
		case want[p]:
		case mayAdd[p] != "":
			differing[p] = true
		default:
			t.Errorf("ours has %s, the real answer has not", p)
		}
	}
}

func TestRecordedExchanges(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	c := testConfig(t)
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL}
	all := recordings(t)
	for i := range all {
		id := modelOf(&all[i])
		if notServed(&all[i]) == "" && all[i].Status == 200 && !strings.Contains(all[i].Path, profileKind) {
			c.Models[id] = config.Model{Engines: []config.Binding{{Engine: "up", Model: "m"}}}
		}
	}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "up", Model: "m"}}}
	s := run(t, c)
	profile := createProfile(t, s, "recorded", foundation+haiku, "").members(t, http.StatusCreated)["inferenceProfileArn"].(string)
	passed, differing := 0, map[string]bool{}
	for i := range all {
		r := &all[i]
		if strings.Contains(r.Path, profileKind) { // the recorder's own has our name
			r.Path = "/model/" + url.PathEscape(profile) + "/" + r.Op
		}
		if why := notServed(r); why != "" {
			t.Logf("does not apply: %s (%s)", r.File, why)
			continue
		}
		passed++
		t.Run(fmt.Sprintf("%02d/%s/%s", i, r.Op, modelOf(r)), func(t *testing.T) { checkRecording(t, s, up, r, differing) })
	}
	if passed != appliedRecordings {
		t.Errorf("%d recordings applied, want %d", passed, appliedRecordings)
	}
	for p := range mayLack {
		if !differing[p] {
			t.Errorf("%s is lacked by no answer: take it from the list", p)
		}
	}
	for p := range mayAdd {
		if !differing[p] {
			t.Errorf("%s is added by no answer: take it from the list", p)
		}
	}
}

// appliedRecordings is published in docs/conformance.md.
const appliedRecordings = 78

// profileKind is in the ARN of an application inference profile.
const profileKind = "application-inference-profile"

func modelOf(r *recording) string {
	id := strings.NewReplacer("%3A", ":", "%2F", "/").Replace(strings.Split(r.Path, "/")[2])
	return strings.TrimPrefix(id, "us.")
}

func checkRecording(t *testing.T, s *Server, up *fakeupstream.Server, r *recording, differing map[string]bool) {
	var b strings.Builder
	b.Write(r.Response)
	for _, e := range r.Events {
		b.WriteString(e.Payload)
		if _, b64, ok := strings.Cut(e.Payload, `"bytes":"`); ok {
			b64, _, _ = strings.Cut(b64, `"`)
			raw, _ := base64.StdEncoding.DecodeString(b64)
			b.Write(raw)
		}
	}
	text := b.String()
	tool := strings.Contains(text, "tool_use") || strings.Contains(text, `"toolUse"`)
	words := !tool || strings.Contains(text, "text_delta") || strings.Contains(text, `"delta":{"text"`)
	up.Handle(func(c *fakeupstream.Call) { upstreamAnswer(c, words, tool) })
	body := string(r.Request)
	if body == "null" {
		body = "{}"
	}
	got := post(t, s, r.Path, body)
	if got.status != r.Status {
		t.Fatalf("%d %.400s, the real status is %d", got.status, got.body, r.Status)
	}
	if got.header.Get("X-Amzn-Requestid") == "" {
		t.Error("no request id")
	}
	if of := got.header.Get("Content-Type"); of != r.Headers["content-type"] {
		t.Errorf("Content-Type %s, the real one is %s", of, r.Headers["content-type"])
	}
	if r.Status != 200 {
		name, _, _ := strings.Cut(r.Headers["x-amzn-errortype"], ":")
		if got.header.Get("X-Amzn-Errortype") != name {
			t.Errorf("%s, the real error is %s", got.header.Get("X-Amzn-Errortype"), name)
		}
		compare(t, differing, treeOf(t, []byte(got.body)), treeOf(t, r.Response))
		return
	}
	for name := range r.Headers {
		if strings.HasPrefix(name, "x-amzn-bedrock-") && !slices.Contains(cacheHeaders, name) && got.header.Get(name) == "" {
			t.Errorf("no header %s", name)
		}
	}
	if len(r.Events) == 0 {
		if strings.Contains(r.Op, "stream") {
			return // the recording kept the status and headers only
		}
		compare(t, differing, treeOf(t, []byte(got.body)), treeOf(t, r.Response))
		return
	}
	checkEvents(t, got, r, differing)
}

// collapse takes out what repeats what is right before it: a piece, or a whole block of two or three events. What is left is the order of a
// stream, however many pieces and blocks of a kind it has.
func collapse(names []string) []string {
	for group := 1; group <= 3; group++ {
		var out []string
		for _, name := range names {
			out = append(out, name)
			if n := len(out) - group; n >= group && slices.Equal(out[n-group:n], out[n:]) {
				out = out[:n]
			}
		}
		names = out
	}
	return names
}

func checkEvents(t *testing.T, got answer, r *recording, differing map[string]bool) {
	var names, want []string
	ours, theirs := map[string][][]byte{}, map[string][][]byte{}
	rd := eventstream.NewReader(strings.NewReader(got.body))
	for {
		m, err := rd.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, payload := inner(t, m.String(":event-type"), bytes.Clone(m.Payload))
		names = append(names, name)
		ours[name] = append(ours[name], payload)
	}
	for _, e := range r.Events {
		name, payload := inner(t, e.Headers[":event-type"], []byte(e.Payload))
		want = append(want, name)
		theirs[name] = append(theirs[name], payload)
	}
	if len(names) == 0 {
		t.Fatal("no events")
	}
	if names, want = collapse(names), collapse(want); !slices.Equal(names, want) {
		t.Errorf("the events are %v, the real ones %v", names, want)
	}
	for name, list := range theirs {
		compare(t, differing, treeOf(t, ours[name]...), treeOf(t, list...))
	}
}

// inner unwraps a chunk, and names it by its own type where it has one.
func inner(t *testing.T, name string, payload []byte) (string, []byte) {
	t.Helper()
	if name != "chunk" {
		return name, payload
	}
	var c struct{ Bytes []byte }
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(c.Bytes, &v); err != nil {
		t.Fatal(err)
	}
	if typ, ok := v["type"].(string); ok {
		return typ, c.Bytes
	}
	for _, k := range []string{"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"} {
		if _, ok := v[k]; ok {
			return k, c.Bytes
		}
	}
	return name, c.Bytes
}
