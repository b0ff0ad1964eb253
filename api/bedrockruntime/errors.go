package bedrockruntime

import (
	"net/http"

	"forebay/api"
	"forebay/fault"
)

// Names of the service's errors.
const (
	accessDenied       = "AccessDeniedException"
	validation         = "ValidationException"
	resourceNotFound   = "ResourceNotFoundException"
	serviceQuota       = "ServiceQuotaExceededException"
	conflict           = "ConflictException"
	throttling         = "ThrottlingException"
	modelNotReady      = "ModelNotReadyException"
	modelTimeout       = "ModelTimeoutException"
	modelError         = "ModelErrorException"
	modelStreamError   = "ModelStreamErrorException"
	internalServer     = "InternalServerException"
	serviceUnavailable = "ServiceUnavailableException"
)

// table is the error table of bedrock-runtime (its service model and API reference) and
// the common errors of AWS for authentication.
var table = api.ErrorTable{
	fault.Internal:         {Status: http.StatusInternalServerError, Name: internalServer, Message: "An internal server error occurred. Retry your request."},
	fault.Malformed:        {Status: http.StatusBadRequest, Name: validation, Message: "The request body is not valid JSON."},
	fault.Invalid:          {Status: http.StatusBadRequest, Name: validation, Message: "The input fails to satisfy the constraints specified by the service."},
	fault.UnknownModel:     {Status: http.StatusBadRequest, Name: validation, Message: "The provided model identifier is invalid."},
	fault.NotFound:         {Status: http.StatusNotFound, Name: resourceNotFound, Message: "The specified resource was not found."},
	fault.UnknownOperation: {Status: http.StatusNotFound, Name: "UnknownOperationException", Message: "The requested operation is not recognized by the service."},
	fault.Unsupported:      {Status: http.StatusBadRequest, Name: validation, Message: "This operation or feature is not supported for this model."},
	fault.TooLarge:         {Status: http.StatusBadRequest, Name: validation, Message: "The request body is too large."},
	fault.MissingAuth:      {Status: http.StatusForbidden, Name: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"},
	fault.IncompleteAuth:   {Status: http.StatusBadRequest, Name: "IncompleteSignatureException", Message: "Authorization header is malformed."},
	fault.UnknownKey:       {Status: http.StatusForbidden, Name: "UnrecognizedClientException", Message: "The security token included in the request is invalid."},
	fault.BadSignature:     {Status: http.StatusForbidden, Name: "InvalidSignatureException", Message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
	fault.Expired:          {Status: http.StatusForbidden, Name: "InvalidSignatureException", Message: "Signature expired."},
	fault.Denied:           {Status: http.StatusForbidden, Name: accessDenied, Message: "You don't have access to the model with the specified model ID."},
	fault.Conflict:         {Status: http.StatusBadRequest, Name: conflict, Message: "The request conflicts with the current state of the resource."},
	fault.QuotaExceeded:    {Status: http.StatusBadRequest, Name: serviceQuota, Message: "Your request exceeds the service quota for your account."},
	fault.Throttled:        {Status: http.StatusTooManyRequests, Name: throttling, Message: "Too many requests, please wait before trying again."},
	fault.BudgetExceeded:   {Status: http.StatusTooManyRequests, Name: throttling, Message: "Too many tokens per day, please wait before trying again."},
	fault.Overloaded:       {Status: http.StatusServiceUnavailable, Name: serviceUnavailable, Message: "The service is temporarily overloaded. Please wait before trying again."},
	fault.NotReady:         {Status: http.StatusTooManyRequests, Name: modelNotReady, Message: "Model is not ready for inference. Please wait before trying again."},
	fault.Timeout:          {Status: http.StatusRequestTimeout, Name: modelTimeout, Message: "Model has timed out in processing the request. Try your request again."},
	fault.ModelFailed:      {Status: http.StatusFailedDependency, Name: modelError, Message: "The request failed due to an error while processing the model."},
	fault.StreamFailed:     {Status: http.StatusFailedDependency, Name: modelStreamError, Message: "An error occurred while streaming the response. Retry your request."},
	fault.Unavailable:      {Status: http.StatusServiceUnavailable, Name: serviceUnavailable, Message: "Bedrock is unable to process your request."},
	fault.Canceled:         {Status: 499, Name: serviceUnavailable, Message: "The client closed the request."},
}
