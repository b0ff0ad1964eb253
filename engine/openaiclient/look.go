package openaiclient

import (
	"bytes"

	"forebay/dialect"
	"forebay/engine/reply"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	doneMark   = []byte("[DONE]")
	usageKey   = []byte(`"usage"`)
	choicesKey = []byte(`"choices"`)
	finishKey  = []byte(`"finish_reason"`)
	errorMark  = []byte(`"error"`)
	closing    = []byte("]")
)

// looker notes what the chunks of a stream that passes through mean. It looks for marks in the
// bytes and decodes only the few chunks that carry usage or an error. The marks are
// member names with their quotes, which within a JSON string would be escaped.
type looker struct {
	codec  *dialect.Codec
	silent bool
}

func (l *looker) look(_ string, p []byte) (reply.Note, error) {
	var n reply.Note
	if bytes.Equal(p, doneMark) {
		n.End = true
		return n, nil
	}
	choices, found := after(p, choicesKey)
	if !found {
		if err := l.failure(p); err != nil {
			return n, err
		}
	}
	none := !found || emptyArray(choices)
	if !none {
		n.Tokens = 1
		n.Hold = finished(choices)
	}
	if v, ok := after(p, usageKey); ok && len(v) > 0 && v[0] == '{' {
		n.Usage, n.HasUsage = l.codec.RawUsage(p)
		n.Silent = n.HasUsage && none && l.silent
		n.Hold = n.Hold || n.HasUsage && none // the last chunk for a client that asked for it
	}
	return n, nil
}

func emptyArray(v []byte) bool {
	return len(v) > 1 && v[0] == '[' && bytes.HasPrefix(space(v[1:]), closing)
}

// space passes white space.
func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// after returns what follows the first occurrence of a member's name and colon.
func after(p, key []byte) ([]byte, bool) {
	_, rest, ok := bytes.Cut(p, key)
	if !ok {
		return nil, false
	}
	rest = space(rest)
	if len(rest) == 0 || rest[0] != ':' {
		return nil, false
	}
	return space(rest[1:]), true
}

// finished reports whether a choice has its finish reason.
func finished(choices []byte) bool {
	v, ok := after(choices, finishKey)
	return ok && len(v) > 0 && v[0] == '"'
}

// failure returns the error that a payload without choices reports: {"error": ...}, or
// older vLLM's {"object": "error", "message": ...}.
func (l *looker) failure(p []byte) error {
	if !bytes.Contains(p, errorMark) {
		return nil
	}
	var e struct {
		Object string `json:"object"`
		Error  jsontext.Value
		Code   jsontext.Value `json:"code"`
	}
	known := json.Unmarshal(p, &e, reply.Lenient, json.MatchCaseInsensitiveNames(true)) == nil
	if !known || e.Object != "error" && (e.Error.Kind() == 'n' || e.Error.Kind() == 0) {
		return nil
	}
	status := 500
	var inner struct {
		Code jsontext.Value `json:"code"`
	}
	if e.Error.Kind() == '{' && json.Unmarshal(e.Error, &inner, reply.Lenient) == nil && inner.Code.Kind() == '0' {
		e.Code = inner.Code
	}
	if e.Code.Kind() == '0' {
		var code float64
		if json.Unmarshal(e.Code, &code) == nil && code >= 400 && code < 600 {
			status = int(code)
		}
	}
	return reply.InStream(status, reply.Message(p))
}
