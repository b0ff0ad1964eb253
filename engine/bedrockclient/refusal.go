package bedrockclient

import (
	"forebay/engine/reply"
	"forebay/engine/splice"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/wire"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// refusal reads an error response; the error's name decides where Bedrock's status says too little.
func refusal(res *upstream.Response) *fault.Error {
	name := res.Header("X-Amzn-Errortype")
	e, body := reply.FailureBody(res)
	if e.Kind == fault.Canceled {
		return e
	}
	var m struct {
		Type   string `json:"__type"`
		Code   string `json:"code"`
		Status int    `json:"originalStatusCode"`
	}
	_ = json.Unmarshal(body, &m, reply.Lenient)
	for _, n := range []string{m.Type, m.Code} {
		if name == "" {
			name = n
		}
	}
	switch wire.ErrorName(name) {
	case "ThrottlingException", "TooManyRequestsException":
		e.Kind, e.Message = fault.Overloaded, "The model is overloaded."
	case "ModelNotReadyException":
		e.Kind, e.Message = fault.NotReady, "The model is not ready."
	case "ModelTimeoutException":
		e.Kind, e.Code, e.Message = fault.Timeout, "model", "The model timed out."
	case "ModelErrorException", "ModelStreamErrorException":
		e.Kind, e.Message = fault.ModelFailed, "The model answered with an error."
		if m.Status >= 400 && m.Status < 600 {
			e.OriginalStatus = m.Status
		}
	case "ServiceUnavailableException", "InternalServerException":
		e.Kind, e.Message = fault.Unavailable, "The model is unavailable."
	}
	return e
}

// countBody is the input of CountTokens for a body of the family or of Converse.
func countBody(body []byte, family bool) ([]byte, error) {
	type invokeModel struct {
		Body []byte `json:"body"`
	}
	var in struct {
		Input struct {
			Invoke   *invokeModel   `json:"invokeModel,omitempty"`
			Converse jsontext.Value `json:"converse,omitempty"`
		} `json:"input"`
	}
	if family {
		in.Input.Invoke = &invokeModel{Body: body}
	} else {
		var chat []byte
		for _, part := range splice.Parts(nil, body, splice.Edit{Name: "inferenceConfig"}) {
			chat = append(chat, part...)
		}
		in.Input.Converse = chat
	}
	out, err := json.Marshal(&in, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "")
	}
	return out, nil
}
