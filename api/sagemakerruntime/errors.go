package sagemakerruntime

import (
	"cmp"
	"fmt"
	"net/http"

	"forebay/api"
	"forebay/fault"
	"forebay/wire"
)

// table holds the errors of sagemaker-runtime: those of its model, and the common ones.
var table = func() api.ErrorTable {
	const (
		bad   = http.StatusBadRequest
		limit = http.StatusTooManyRequests
		model = http.StatusFailedDependency
	)
	t := api.CommonErrors()
	t[fault.Internal] = api.ErrorRow{Status: http.StatusInternalServerError, Name: "InternalFailure", Message: "An internal failure occurred."}
	t[fault.Malformed] = api.ErrorRow{Status: bad, Name: validation, Message: "The request is malformed."}
	t[fault.Invalid] = api.ErrorRow{Status: bad, Name: validation, Message: "The request is invalid."}
	t[fault.UnknownModel] = api.ErrorRow{Status: bad, Name: validation, Message: "The endpoint was not found."}
	t[fault.NotFound] = api.ErrorRow{Status: bad, Name: validation, Message: "The endpoint was not found."}
	t[fault.Unsupported] = api.ErrorRow{Status: bad, Name: validation, Message: "The request is not supported."}
	t[fault.TooLarge] = api.ErrorRow{Status: bad, Name: validation, Message: "The request body is too large."}
	t[fault.Conflict] = api.ErrorRow{Status: bad, Name: validation, Message: "The request conflicts with another one."}
	t[fault.QuotaExceeded] = api.ErrorRow{Status: bad, Name: validation, Message: "The request exceeds a limit of the account."}
	t[fault.NotReady] = api.ErrorRow{Status: limit, Name: "ModelNotReadyException", Message: "The model is not ready for inference. Wait and try again."}
	t[fault.Overloaded] = api.ErrorRow{Status: http.StatusServiceUnavailable, Name: unavailable, Message: "The endpoint is overloaded. Try again."}
	t[fault.Unavailable] = api.ErrorRow{Status: http.StatusServiceUnavailable, Name: unavailable, Message: "The endpoint is unavailable. Try again."}
	t[fault.Timeout] = api.ErrorRow{Status: model, Name: "ModelError", Message: "The model took too long."}
	t[fault.ModelFailed] = api.ErrorRow{Status: model, Name: "ModelError", Message: "The model failed."}
	t[fault.StreamFailed] = api.ErrorRow{Status: model, Name: "ModelStreamError", Message: "The model's stream failed."}
	t[fault.Canceled] = api.ErrorRow{Status: api.StatusClientClosed, Name: unavailable, Message: "The client closed the request."}
	return t
}()

const (
	validation  = "ValidationError"
	unavailable = "ServiceUnavailable"
)

// failed is a container's own error, told with where it comes from. What says nothing of the container passes.
func failed(err error, account, endpoint, container string) error {
	e := fault.From(err)
	switch {
	case e == nil:
		return nil
	case e.Kind == fault.ModelFailed, e.OriginalStatus >= http.StatusBadRequest && (e.Kind == fault.Overloaded || e.Kind == fault.Unavailable):
	case e.Kind == fault.Timeout:
	default:
		return err
	}
	out := *e
	out.Kind = fault.ModelFailed
	where := fmt.Sprintf("See the logs of endpoint %s in account %s for more information.", endpoint, account)
	switch {
	case e.Kind == fault.Timeout:
		out.OriginalStatus = 0
		out.Message = fmt.Sprintf("Received server error (0) from %s with message \"Your invocation timed out while waiting for a response from container %s. %s\"", container, container, where)
	case e.OriginalStatus < http.StatusInternalServerError && e.OriginalStatus > 0:
		out.Message = fmt.Sprintf("Received client error (%d) from %s with message %q. %s", e.OriginalStatus, container, e.OriginalMessage, where)
	default:
		out.Message = fmt.Sprintf("Received server error (%d) from %s with message %q. %s", e.OriginalStatus, container, e.OriginalMessage, where)
	}
	return &out
}

// amend puts into a failure what the service says of a model's own.
func amend(f *wire.Failure, e *fault.Error) {
	if e.Kind != fault.ModelFailed {
		return
	}
	f.Message = cmp.Or(e.Message, f.Message)
	f.Fields = map[string]any{"OriginalStatusCode": int64(e.OriginalStatus), "OriginalMessage": e.OriginalMessage}
}
