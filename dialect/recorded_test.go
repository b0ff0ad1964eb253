package dialect

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"forebay/infer"
	"forebay/internal/testenv"
)

// exchange is one recorded call of the real service.
type exchange struct {
	Op       string          `json:"op"`
	Path     string          `json:"path"`
	Request  json.RawMessage `json:"request"`
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response"`
	Events   []struct {
		Headers map[string]string `json:"headers"`
		Payload string            `json:"payload"`
	} `json:"events"`
}

// families finds the dialect of a recording by its model. The empty dialect has a reason
// why it does not apply.
var families = []struct {
	part    string
	dialect infer.Dialect
	reason  string
}{
	{"claude-instant", "", "Claude text completion is not among the dialects"},
	{"claude-v2:1", "", "Claude text completion is not among the dialects"},
	{"anthropic.claude", infer.DialectAnthropic, ""},
	{"nova", infer.DialectNova, ""},
	{"titan-embed", infer.DialectTitanEmbed, ""},
	{"titan", infer.DialectTitanText, ""},
	{"cohere.command-r", infer.DialectCohereCommand, ""},
	{"cohere.command-light", "", "Cohere's older generate body is not among the dialects"},
	{"cohere.embed", infer.DialectCohereEmbed, ""},
	{"cohere.rerank", "", "reranking is neither chat nor embedding"},
	{"ai21.j2", "", "AI21 Jurassic is not among the dialects"},
	{"jamba", infer.DialectJamba, ""},
	{"llama", infer.DialectLlama, ""},
	{"mistral.mistral-7b", infer.DialectMistral, ""},
}

func readExchanges(t *testing.T) []exchange {
	t.Helper()
	f, err := os.Open(testenv.Shared(t, "conformance/bedrock-recorded.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	var out []exchange
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var x exchange
		if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// dialectOf returns the dialect of a recording, or why there is none.
func (x *exchange) dialectOf() (infer.Dialect, string) {
	if x.Status != 200 {
		return "", "an error of the service, made by the API and not by a dialect"
	}
	if strings.Contains(string(x.Response), `"weird"`) {
		return "", "an answer made up for a test: its content blocks are none of the service's"
	}
	if strings.HasPrefix(x.Op, "converse") {
		return infer.DialectConverse, ""
	}
	path, _ := url.PathUnescape(x.Path)
	for _, f := range families {
		if strings.Contains(path, f.part) {
			return f.dialect, f.reason
		}
	}
	return "", "no family"
}

// passing are members that the service has in some recordings of one operation and model
// and not in others: padding, and counts of caches and server tools that came with later versions.
var passing = map[string]bool{
	"p": true, "serverToolUsage": true, "cacheReadInputTokens": true, "cacheWriteInputTokens": true,
	"cacheReadInputTokenCount": true, "cacheWriteInputTokenCount": true,
}

// tree is the shape of a JSON value: its keys and the types of its leaves. Elements of a list are merged.
func tree(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if !passing[k] {
				out[k] = tree(x)
			}
		}
		return out
	case []any:
		set := map[string]bool{}
		for _, x := range v {
			set[fmt.Sprint(tree(x))] = true
		}
		var list []string
		for k := range set {
			list = append(list, k)
		}
		sort.Strings(list)
		return list
	case nil:
		return "null"
	default:
		return fmt.Sprintf("%T", v)
	}
}

func treeOf(t *testing.T, b []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return fmt.Sprint(tree(v))
}

// TestRecorded holds every recorded exchange against its dialect: the request is inspected
// and decodes; the response decodes, and what is encoded of the result has the recording's
// tree of keys and types; a stream decodes, and what is encoded of its events is the same
// sequence of events with the same trees.
func TestRecorded(t *testing.T) {
	skipped := map[string]int{}
	passed, requests, total := 0, 0, 0
	for i, x := range readExchanges(t) {
		total++
		d, reason := x.dialectOf()
		if reason != "" {
			skipped[reason]++
			continue
		}
		ok := t.Run(fmt.Sprintf("%02d-%s-%s", i, d, x.Op), func(t *testing.T) { x.check(t, d) })
		switch {
		case !ok:
		case len(x.Events) == 0 && (len(x.Response) == 0 || string(x.Response) == "null"):
			requests++
		default:
			passed++
		}
	}
	for _, reason := range slices.Sorted(func(yield func(string) bool) {
		for r := range skipped {
			if !yield(r) {
				return
			}
		}
	}) {
		t.Logf("%2d do not apply: %s", skipped[reason], reason)
	}
	t.Logf("%d of %d exchanges agree; of %d more there is only the request, which decodes", passed, total, requests)
}

func (x *exchange) check(t *testing.T, d infer.Dialect) {
	c, ok := Get(d)
	if !ok {
		t.Fatal("no codec")
	}
	var f infer.Facts
	if err := c.Inspect(x.Request, &f); err != nil {
		t.Fatal(err)
	}
	if f.TextBytes == 0 {
		t.Error("no text found in the request")
	}
	h := Head{ID: "8f2c", Model: "m", Created: time.Now()}
	decode := c.DecodeResult
	if c.DecodeEmbed != nil {
		e, err := c.DecodeEmbed(x.Request)
		if err != nil {
			t.Fatal(err)
		}
		h.Embed, decode = e, c.DecodeEmbedResult
	} else {
		chat, err := c.DecodeChat(x.Request)
		if err != nil {
			t.Fatal(err)
		}
		if f.MaxTokens != 0 && (chat.MaxTokens == nil || *chat.MaxTokens != f.MaxTokens) {
			t.Errorf("inspected %d, decoded %v", f.MaxTokens, chat.MaxTokens)
		}
		h.Chat = chat
	}
	if len(x.Response) > 0 && string(x.Response) != "null" {
		res, err := decode(x.Response)
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.EncodeResult(h, res)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := treeOf(t, out), treeOf(t, x.Response); got != want {
			t.Errorf("encoded  %s\nrecorded %s", got, want)
		}
	}
	if len(x.Events) > 0 {
		x.checkStream(t, c, h)
	}
}

var promptStyle = map[infer.Dialect]bool{infer.DialectLlama: true, infer.DialectMistral: true, infer.DialectTitanText: true, infer.DialectDeepSeek: true}

type payload struct {
	name string
	body []byte
}

// payloads takes the dialect's payloads out of the recorded frames.
func (x *exchange) payloads(t *testing.T) []payload {
	var out []payload
	for _, ev := range x.Events {
		p := payload{ev.Headers[":event-type"], []byte(ev.Payload)}
		if p.name == "chunk" {
			var c struct{ Bytes string }
			if err := json.Unmarshal(p.body, &c); err != nil {
				t.Fatal(err)
			}
			b, err := base64.StdEncoding.DecodeString(c.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			p = payload{"", b}
		}
		out = append(out, p)
	}
	return out
}

func (x *exchange) checkStream(t *testing.T, c *Codec, h Head) {
	recorded := x.payloads(t)
	dec, enc := c.NewStreamDecoder(), c.NewStreamEncoder(h)
	var got []payload
	emit := func(name string, b []byte) {
		if x.Op == "invoke-with-response-stream" {
			name = ""
		}
		got = append(got, payload{name, slices.Clone(b)})
	}
	var usage infer.Usage
	for _, p := range recorded {
		events, err := dec.Decode(p.name, p.body, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			if events[i].HasUsage {
				usage = events[i].Usage
			}
			if err := enc.Encode(&events[i], emit); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !dec.Complete() {
		t.Error("the stream did not come to its end")
	}
	enc.Finish(emit)
	if x.Op == "invoke-with-response-stream" {
		last := &got[len(got)-1]
		last.body = AppendMetrics(last.body, usage, time.Second, time.Second)
	}
	if n := len(got); n == len(recorded)+1 && promptStyle[c.Name] {
		// The service joins the last piece of text and the end where it knows both at once.
		if text, last := treeOf(t, got[n-2].body), treeOf(t, got[n-1].body); n > 2 && text != treeOf(t, got[n-3].body) {
			t.Errorf("the text before the end %s, the end %s", text, last)
		}
		got = slices.Delete(got, n-2, n-1)
	}
	for i := range max(len(got), len(recorded)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i].name + " " + treeOf(t, got[i].body)
		}
		if i < len(recorded) {
			w = recorded[i].name + " " + treeOf(t, recorded[i].body)
		}
		if g != w {
			t.Errorf("event %d of %d:\nencoded  %s\nrecorded %s", i, len(recorded), g, w)
			break
		}
	}
}
