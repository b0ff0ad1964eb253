package reply

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"forebay/dialect"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
)

func TestMessage(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"message":"a","type":"b"}}`:                "a",
		`{"error":"a"}`:                                       "a",
		`{"type":"error","error":{"type":"x","message":"a"}}`: "a",
		`{"object":"error","message":"a"}`:                    "a",
		`{"Message":"a"}`:                                     "a",
		`{"detail":"a"}`:                                      "a",
		`{"detail":[{"loc":["body"],"msg":"a"}]}`:             `[{"loc":["body"],"msg":"a"}]`,
		"upstream request timeout\n":                          "upstream request timeout",
		`<html><body>Bad Gateway</body></html>`:               "",
		`{"error":`:                                           "",
		`{}`:                                                  "",
		"":                                                    "",
		`{"error":{"message":"two\nlines\u0000"}}`:            "two lines ",
		`{"message":"` + strings.Repeat("é", maxMessage) + `"}`: strings.Repeat("é", maxMessage/2),
		"\xff": "\uFFFD",
		`{"error":{"message":"a"},"error":{"message":"b"},"x":"` + "\xff" + `"}`: "b",
	} {
		if got := Message([]byte(body)); got != want {
			t.Errorf("%.60s: %.60q, want %.60q", body, got, want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{`{"error":{"message":"a"}}`, `{"error":"a"}`, `{"detail":[1]}`, "text", `{"message":"\ud800"}`, `{"error":{"message":1}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := Message(b)
		if len(m) > maxMessage || !utf8.ValidString(m) || strings.ContainsAny(m, "\r\n\x00") {
			t.Fatalf("%q", m)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	header := http.Header{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer srv.Close()
	c, err := upstream.New(upstream.Config{BaseURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // test
	for _, k := range []struct {
		name, value string
		from, to    time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second, 7 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond, 500 * time.Millisecond},
		{"Retry-After-Ms", "250", 250 * time.Millisecond, 250 * time.Millisecond},
		{"X-Amz-Retry-After", "1500", 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 59 * time.Minute, time.Hour},
		{"Retry-After", "1e300", maxWait, maxWait},
		{"Retry-After", "Inf", maxWait, maxWait},
		{"Retry-After-Ms", "1e300", maxWait, maxWait},
		{"X-Amz-Retry-After", "Inf", maxWait, maxWait},
		{"X-Amz-Retry-After", "-Inf", 0, 0},
		{"Retry-After", "-5", 0, 0},
		{"Retry-After", "soon", 0, 0},
		{"Retry-After", "NaN", 0, 0},
		{"Retry-After", "Mon, 01 Jan 2001 00:00:00 GMT", 0, 0},
	} {
		header = http.Header{k.name: {k.value}}
		res, err := c.Do(t.Context(), &upstream.Request{Method: "GET", Path: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if e := Failure(res); e.Kind != fault.Overloaded || e.RetryAfter < k.from || e.RetryAfter > k.to || e.RetryEstimated != (e.RetryAfter > 0) {
			t.Errorf("%s: %s: %v", k.name, k.value, e.RetryAfter)
		}
	}
}

// FuzzAnthropic shows the look at payloads whatever an engine may send.
func FuzzAnthropic(f *testing.F) {
	codec, _ := dialect.Get(infer.DialectAnthropic)
	for _, s := range []string{
		`{"type":"message_start","message":{"usage":{"input_tokens":1}}}`, `{"type":"message_stop"}`, ` { "x":1,"type" : "ping"}`,
		`{"type":"error","error":{"type":"overloaded_error","message":"x"}}`, `{"type":"message_delta","usage":{}}`, `{"type":"`, `{"type":1}`, ``,
	} {
		f.Add([]byte(s))
	}
	look := Anthropic(codec)
	f.Fuzz(func(t *testing.T, p []byte) {
		n, err := look("", p)
		if err != nil && fault.KindOf(err) != fault.StreamFailed {
			t.Fatal(err)
		}
		if n.Ends && payloadType(p) != "message_stop" {
			t.Fatalf("%q ends the stream", p)
		}
	})
}
