package dialect

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/infer"
)

// names are the dialects in a fixed order, so that a fuzzed byte picks the same one each time.
func names() []infer.Dialect { return slices.Sorted(maps.Keys(codecs)) }

func pick(b byte) *Codec {
	list := names()
	return codecs[list[int(b)%len(list)]]
}

func seedBodies(f *testing.F) {
	for i, d := range names() {
		for _, k := range badBodies {
			if k.d == d {
				f.Add(byte(i), []byte(k.body))
			}
		}
	}
	for _, body := range []string{
		`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png1 + `"}}]}]}`,
		`{"max_tokens":5,"max_tokens":6,"messages":[{"role":"user","content":"x"}]}`, `{"max_tok\u0065ns":5,"prompt":"x","inputText":"x","message":"x"}`,
		`{"stream":true,"stream_options":{"include_usage":true},"n":2,"messages":[{"role":"user","content":"x"}],"temperature":1e999}`,
	} {
		for i := range names() {
			f.Add(byte(i), []byte(body))
		}
	}
}

// FuzzRequest: Inspect and decoding agree. What decodes has passed Inspect, with the same
// values of the control members; every refusal is Malformed or Invalid with words; and what
// decodes can be encoded again in its own dialect, or is refused by name.
func FuzzRequest(f *testing.F) {
	seedBodies(f)
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		c := pick(which)
		var facts infer.Facts
		inspected := c.Inspect(body, &facts)
		checkRefusal(t, inspected)
		if facts.TextBytes < 0 || facts.MediaUnits < 0 || facts.TextBytes > 2*int64(len(body)) { // a token and its comma count as four bytes
			t.Fatalf("%+v", facts)
		}
		if c.DecodeEmbed != nil {
			_, err := c.DecodeEmbed(body)
			checkRefusal(t, err)
			if err == nil && inspected != nil && !onlySimilar(inspected) {
				t.Fatalf("decodes, but: %v", inspected)
			}
			return
		}
		chat, err := c.DecodeChat(body)
		checkRefusal(t, err)
		if err != nil {
			return
		}
		if inspected != nil {
			if !onlySimilar(inspected) {
				t.Fatalf("decodes, but: %v", inspected)
			}
			return
		}
		if facts.MaxTokens != 0 && (chat.MaxTokens == nil || *chat.MaxTokens != facts.MaxTokens) {
			t.Fatalf("inspected max tokens %d, decoded %v", facts.MaxTokens, chat.MaxTokens)
		}
		if chat.N != nil && *chat.N != facts.N {
			t.Fatalf("inspected n %d, decoded %d", facts.N, *chat.N)
		}
		again, _, err := c.EncodeChat(chat, EncodeOptions{})
		checkRefusal(t, err)
		if err == nil && !json.Valid(again) {
			t.Fatalf("%s", again)
		}
	})
}

// onlySimilar reports whether a body is refused for a name that only an engine would take for a
// control member's: to decoding it is a member that nobody knows.
func onlySimilar(err error) bool { return strings.Contains(err.Error(), "which some engines read as") }

func checkRefusal(t *testing.T, err error) {
	if err == nil {
		return
	}
	if e := fault.From(err); e.Kind != fault.Malformed && e.Kind != fault.Invalid || e.Message == "" {
		t.Fatalf("%v", err)
	}
}

// FuzzAnswer: no payload of an engine makes a decoder panic; what it makes of them can be
// encoded in every dialect as JSON; and what is read of usage in passing is never negative.
func FuzzAnswer(f *testing.F) {
	for i := range names() {
		for _, s := range []string{
			`{"choices":[{"index":0,"delta":{"content":"a","tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}` + "\n[DONE]",
			`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"x","name":"f","input":{"a":1}}}` + "\n" + `{"type":"content_block_delta","index":-1,"delta":{"type":"text_delta"}}` + "\n" + `{"type":"message_stop"}`,
			`{"messageStart":{}}` + "\n" + `{"contentBlockDelta":{"contentBlockIndex":-4,"delta":{"text":"a"}}}` + "\n" + `{"contentBlockStop":{}}` + "\n" + `{"metadata":{"usage":{}}}`,
			`{"generation":"a","prompt_token_count":1,"generation_token_count":1,"stop_reason":"stop"}`, `{"outputText":"a","completionReason":"FINISH"}`,
			`{"outputs":[{"text":"a","stop_reason":"length"}]}`, `{"event_type":"stream-end","is_finished":true,"tool_calls":[{}],"response":{"meta":{}}}`,
			`{"error":{"message":"x","code":"503"}}`, `{"usage":{"prompt_tokens":-9223372036854775808,"completion_tokens":1e30}}`, `{"choices":[{"message":{"content":"<reasoning>x"}}]}`,
		} {
			f.Add(byte(i), byte(i+3), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, from, to byte, stream []byte) {
		src, dst := pick(from), pick(to)
		h := Head{ID: "i", Model: "m", Created: time.Unix(1, 0), IncludeUsage: true}
		if u, ok := src.RawUsage(stream); ok && (u.Input < 0 || u.Output < 0 || u.CacheRead < 0 || u.CacheWrite < 0) {
			t.Fatalf("%+v", u)
		}
		if src.DecodeEmbedResult != nil {
			_, _ = src.DecodeEmbedResult(stream)
			return
		}
		if dst.NewStreamEncoder == nil {
			return
		}
		if res, err := src.DecodeResult(stream); err == nil {
			if b, err := dst.EncodeResult(h, res); err == nil && !json.Valid(b) {
				t.Fatalf("%s", b)
			}
		} else if fault.KindOf(err) != fault.StreamFailed {
			t.Fatal(err)
		}
		dec, enc := src.NewStreamDecoder(), dst.NewStreamEncoder(h)
		emit := func(_ string, p []byte) {
			if !json.Valid(p) {
				t.Fatalf("%s", p)
			}
		}
		for line := range bytes.SplitSeq(stream, []byte("\n")) {
			events, err := dec.Decode("", line, nil)
			if err != nil {
				if fault.KindOf(err) != fault.StreamFailed {
					t.Fatal(err)
				}
				return
			}
			for i := range events {
				if err := enc.Encode(&events[i], emit); err != nil {
					t.Fatal(err)
				}
			}
		}
		enc.Finish(emit)
	})
}
