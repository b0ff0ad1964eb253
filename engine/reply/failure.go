package reply

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"forebay/engine/upstream"
	"forebay/fault"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxErrorBody = 64 << 10
	maxMessage   = 2 << 10
	maxWait      = 24 * time.Hour // a Retry-After beyond it is not believed
	// errorWait bounds the wait for the body of a failure. The status has said what matters,
	// and the call may go elsewhere.
	errorWait = 2 * time.Second
)

// overloaded is Anthropic's own status for a lack of capacity.
const overloaded = 529

// Lenient accepts what real engines send beyond the letter of JSON.
var Lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Failure reads an answer whose status is not 2xx, closes it, and returns the fault by
// engine.Client's table.
func Failure(res *upstream.Response) *fault.Error {
	e, _ := FailureBody(res)
	return e
}

// FailureBody is Failure, with the body for protocols that say more in it.
func FailureBody(res *upstream.Response) (*fault.Error, []byte) {
	res.Within(errorWait)
	body, err := res.ReadAll(nil, maxErrorBody)
	_ = res.Close()
	if err != nil && fault.KindOf(err) == fault.Canceled {
		return fault.From(err), nil
	}
	e := Refusal(res.Status, Message(body))
	e.RetryAfter = retryAfter(res)
	e.RetryEstimated = e.RetryAfter > 0
	return e, body
}

// Refusal classifies an engine's error by its status.
func Refusal(status int, message string) *fault.Error {
	kind, text := fault.ModelFailed, "The model answered with an error."
	switch {
	case status == http.StatusTooManyRequests || status == overloaded:
		kind, text = fault.Overloaded, "The model is overloaded."
	case status >= 500 || status < 400:
		kind, text = fault.Unavailable, "The model is unavailable."
	}
	e := fault.New(kind, text)
	e.OriginalStatus, e.OriginalMessage = status, message
	return e
}

// errorBody covers the error bodies of the engines and clouds: OpenAI, Anthropic and vLLM
// nest an object, TGI and Ollama have a string, FastAPI has detail, AWS message.
type errorBody struct {
	Error    jsontext.Value `json:"error"`
	Message  string         `json:"message"`
	Message2 string         `json:"Message"`
	Detail   jsontext.Value `json:"detail"`
}

// Message returns the human part of an engine's error body, "" when none is found.
func Message(body []byte) string {
	var b errorBody
	if json.Unmarshal(body, &b, Lenient) != nil {
		if t := strings.TrimSpace(string(body)); len(t) <= 512 && !strings.HasPrefix(t, "<") && !strings.HasPrefix(t, "{") {
			return clean(t)
		}
		return ""
	}
	switch {
	case b.Error.Kind() == '{':
		var inner struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(b.Error, &inner, Lenient)
		return clean(inner.Message)
	case b.Error.Kind() == '"':
		var s string
		_ = json.Unmarshal(b.Error, &s, Lenient)
		return clean(s)
	case b.Message != "" || b.Message2 != "":
		return clean(b.Message + b.Message2)
	case b.Detail.Kind() == '"':
		var s string
		_ = json.Unmarshal(b.Detail, &s, Lenient)
		return clean(s)
	}
	return clean(string(b.Detail))
}

// clean makes an engine's text fit for an error message: valid, bounded, on one line.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxMessage {
		s = s[:maxMessage]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// retryAfter reads x-amz-retry-after and retry-after-ms (milliseconds) and Retry-After (seconds or a date).
func retryAfter(res *upstream.Response) time.Duration {
	for _, name := range []string{"x-amz-retry-after", "retry-after-ms"} {
		if ms, err := strconv.ParseFloat(res.Header(name), 64); err == nil && ms > 0 {
			return wait(ms, time.Millisecond)
		}
	}
	v := res.Header("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 {
		return wait(s, time.Second)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), maxWait)
	}
	return 0
}

// wait is n units, at most maxWait; n may be infinite.
func wait(n float64, unit time.Duration) time.Duration {
	return time.Duration(min(n*float64(unit), float64(maxWait)))
}

// InStream returns the failure that a payload of a stream reports.
func InStream(status int, message string) *fault.Error {
	e := fault.New(fault.StreamFailed, "The model failed while it answered.")
	e.OriginalStatus, e.OriginalMessage = status, clean(message)
	return e
}

// IsStream reports whether the response is of the media type.
func IsStream(res *upstream.Response, media string) bool {
	ct, _, _ := strings.Cut(res.Header("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(ct), media)
}

// NotAStream is the failure of a response that should be a stream and is not: the
// engine's error if it holds one (some send errors with status 200), else a broken engine.
func NotAStream(res *upstream.Response) *fault.Error {
	res.Within(errorWait)
	body, err := res.ReadAll(nil, maxErrorBody)
	_ = res.Close()
	if err != nil && fault.KindOf(err) == fault.Canceled {
		return fault.From(err)
	}
	if bytes.Contains(body, []byte(`"error"`)) {
		if m := Message(body); m != "" {
			return Refusal(http.StatusBadRequest, m)
		}
	}
	return fault.New(fault.Unavailable, "The model did not answer with a stream.")
}

// Undecodable is the failure of a whole answer that a dialect could not decode, or that is
// an error in disguise. Nothing has gone to the client yet, so it is not a StreamFailed.
func Undecodable(err error) *fault.Error {
	e := *fault.From(err)
	if e.Kind != fault.StreamFailed {
		return &e
	}
	e.Kind = fault.Unavailable
	if e.OriginalStatus >= 400 && e.OriginalStatus < 500 {
		e.Kind = fault.ModelFailed
	}
	return &e
}
