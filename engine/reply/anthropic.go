package reply

import (
	"bytes"

	"forebay/dialect"
	"forebay/engine/splice"

	"github.com/go-json-experiment/json"
)

var typePrefix = []byte(`{"type":"`)

// payloadType returns the "type" member of an Anthropic payload.
func payloadType(p []byte) string {
	if rest, ok := bytes.CutPrefix(p, typePrefix); ok {
		if name, _, ok := bytes.Cut(rest, []byte{'"'}); ok {
			return intern(name)
		}
	}
	v := splice.Member(p, "type")
	if len(v) < 2 || v[0] != '"' {
		return ""
	}
	return intern(v[1 : len(v)-1])
}

// Anthropic returns the Look function of Anthropic Messages. A payload's own type decides,
// since on Bedrock it has no other name.
func Anthropic(codec *dialect.Codec) func(string, []byte) (Note, error) {
	return func(_ string, p []byte) (Note, error) {
		var n Note
		switch payloadType(p) {
		case "content_block_delta":
			n.Tokens = 1
		case "message_start", "message_delta":
			n.Usage, n.HasUsage = codec.RawUsage(p)
		case "message_stop":
			n.Ends = true
		case "error":
			return n, anthropicError(p)
		}
		return n, nil
	}
}

// anthropicStatus is the HTTP status of each error type (Anthropic API reference, "Errors").
var anthropicStatus = map[string]int{
	"invalid_request_error": 400, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
	"request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": overloaded,
}

func anthropicError(p []byte) error {
	var e struct {
		Error struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	_ = json.Unmarshal(p, &e, Lenient)
	status := anthropicStatus[e.Error.Type]
	if status == 0 {
		status = 500
	}
	return InStream(status, Message(p))
}
