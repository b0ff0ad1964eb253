package bedrockruntime

import (
	"net/http"

	"forebay/api"
	"forebay/fault"
	"forebay/wire"
	"forebay/wire/eventstream"
)

// Names of errors that streams have under another name.
const (
	modelTimeout     = "ModelTimeoutException"
	modelError       = "ModelErrorException"
	modelStreamError = "ModelStreamErrorException"
)

// table is the error table of bedrock-runtime: its service model and API reference, and the common errors.
var table = func() api.ErrorTable {
	t := api.CommonErrors()
	t[fault.Unsupported].Message = "This operation or feature is not supported for this model."
	t[fault.Denied].Message = "You don't have access to the model with the specified model ID."
	t[fault.QuotaExceeded].Message = "Your request exceeds the service quota for your account."
	t[fault.Unavailable].Message = "Bedrock is unable to process your request."
	t[fault.NotReady] = api.ErrorRow{Status: http.StatusTooManyRequests, Name: "ModelNotReadyException", Message: "Model is not ready for inference. Please wait before trying again."}
	t[fault.Timeout] = api.ErrorRow{Status: http.StatusRequestTimeout, Name: modelTimeout, Message: "Model has timed out in processing the request. Try your request again."}
	t[fault.ModelFailed] = api.ErrorRow{Status: http.StatusFailedDependency, Name: modelError, Message: "The request failed due to an error while processing the model."}
	t[fault.StreamFailed] = api.ErrorRow{Status: http.StatusFailedDependency, Name: modelStreamError, Message: "An error occurred while streaming the response. Retry your request."}
	return t
}()

// streamFailure writes a failure into an operation's stream: as the exception member that the stream has for
// the error, by the model.
func (s *Service) streamFailure(op *wire.Operation) func(w *api.Writer, e *fault.Error) {
	return func(w *api.Writer, e *fault.Error) {
		f := s.Failure("", e)
		_ = w.Raw(eventstream.AppendException(nil, exception(op, f.Name), f.Body()), true) // a client that left hears nothing
	}
}

// exception finds the member of an operation's stream for an error. Errors that a stream does not have
// are told as the nearest one.
func exception(op *wire.Operation, name string) string {
	if m := streamMember(op, name); m != "" {
		return m
	}
	switch name {
	case modelError, modelTimeout:
		return streamMember(op, modelStreamError)
	case "AccessDeniedException", "ResourceNotFoundException", "SerializationException":
		return streamMember(op, "ValidationException")
	case "ModelNotReadyException", "ServiceQuotaExceededException":
		return streamMember(op, "ThrottlingException")
	default:
		return streamMember(op, "InternalServerException")
	}
}

func streamMember(op *wire.Operation, name string) string {
	for i := range op.Output.Members {
		events := op.Output.Members[i].Shape
		if events.Type != wire.Union || !events.Streaming {
			continue
		}
		for j := range events.Members {
			if events.Members[j].Shape.Name == name {
				return events.Members[j].Name
			}
		}
	}
	return ""
}
