package openai

import (
	"errors"
	"fmt"

	"forebay/api"
	"forebay/dialect"
	"forebay/fault"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// contents are the types of content that tell of a part of a request.
var contents = map[string]string{"image_url": "images", "input_audio": "audio", "file": "documents", "video_url": "video"}

// lacking puts the refusal of a part of a chat that the model does not serve into the words and codes of the
// service. Other errors stay as they are.
func lacking(err error, body []byte) error {
	lacks, ok := errors.AsType[*api.Lacks](err)
	if !ok {
		return err
	}
	e := fault.Wrap(fault.Invalid, err, fault.From(err).Message).WithReason("%s", fault.From(err).Reason)
	switch lacks.Part {
	case "tools":
		e.Param, e.Code = "tools", dialect.CodeUnsupportedParameter
	case "system":
		if i, role := systemMessage(body); role != "" {
			e.Param, e.Code = fmt.Sprintf("messages[%d].role", i), dialect.CodeUnsupportedValue
			e.Message = fmt.Sprintf("Unsupported value: '%s' does not support '%s' with this model.", e.Param, role)
		}
	default: // content has no code in the service, and a path of its own
		if i, j, kind := contentOf(body, lacks.Part); kind != "" {
			e.Param = fmt.Sprintf("messages.[%d].content.[%d].type", i, j)
			e.Message = "Invalid content type. " + kind + " is only supported by certain models."
		}
	}
	return e
}

// said is as much of a message as a refusal points to.
type said struct {
	Role    string         `json:"role"`
	Content jsontext.Value `json:"content"`
}

// messages reads the messages of a chat that has been found well-formed.
func messages(body []byte) []said {
	var in struct {
		Messages []said `json:"messages"`
	}
	if json.Unmarshal(body, &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return nil
	}
	return in.Messages
}

// systemMessage finds the first message of the system.
func systemMessage(body []byte) (i int, role string) {
	for i, m := range messages(body) {
		if m.Role == "system" || m.Role == "developer" {
			return i, m.Role
		}
	}
	return 0, ""
}

// contentOf finds the first content that is of a part.
func contentOf(body []byte, part string) (i, j int, kind string) {
	for i, m := range messages(body) {
		var parts []struct {
			Type string `json:"type"`
		}
		if m.Content.Kind() != '[' || json.Unmarshal(m.Content, &parts, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
			continue
		}
		for j, p := range parts {
			if contents[p.Type] == part {
				return i, j, p.Type
			}
		}
	}
	return 0, 0, ""
}
