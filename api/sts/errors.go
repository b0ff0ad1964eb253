package sts

import (
	"net/http"

	"forebay/api"
	"forebay/fault"
)

// Errors is the table of the services that speak the query protocol, whose common errors have
// other names than those of the JSON services ("Common Errors" of the STS API reference).
var Errors = api.ErrorTable{
	fault.Internal:         {Status: http.StatusInternalServerError, Name: "InternalFailure", Message: "The request processing has failed because of an unknown error, exception or failure."},
	fault.Malformed:        {Status: http.StatusBadRequest, Name: "MalformedQueryString", Message: "The query string contains a syntax error."},
	fault.Invalid:          {Status: http.StatusBadRequest, Name: "ValidationError", Message: "The input fails to satisfy the constraints specified by an AWS service."},
	fault.UnknownModel:     {Status: http.StatusBadRequest, Name: "ValidationError", Message: "The provided model identifier is invalid."},
	fault.NotFound:         {Status: http.StatusNotFound, Name: "ResourceNotFound", Message: "The specified resource was not found."},
	fault.UnknownOperation: {Status: http.StatusBadRequest, Name: "InvalidAction", Message: "The action or operation requested is invalid. Verify that the action is typed correctly."},
	fault.Unsupported:      {Status: http.StatusBadRequest, Name: "InvalidAction", Message: "The action is not supported by this server."},
	fault.TooLarge:         {Status: http.StatusRequestEntityTooLarge, Name: "RequestEntityTooLarge", Message: "The request is too large."},
	fault.MissingAuth:      {Status: http.StatusForbidden, Name: "MissingAuthenticationToken", Message: "Request is missing Authentication Token"},
	fault.IncompleteAuth:   {Status: http.StatusBadRequest, Name: "IncompleteSignature", Message: "The request signature does not conform to AWS standards."},
	fault.UnknownKey:       {Status: http.StatusForbidden, Name: "InvalidClientTokenId", Message: "The security token included in the request is invalid."},
	fault.BadSignature: {
		Status: http.StatusForbidden, Name: "SignatureDoesNotMatch",
		Message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
	},
	fault.Expired:        {Status: http.StatusForbidden, Name: "SignatureDoesNotMatch", Message: "Signature expired"},
	fault.Denied:         {Status: http.StatusForbidden, Name: "AccessDenied", Message: "You do not have sufficient access to perform this action."},
	fault.Conflict:       {Status: http.StatusBadRequest, Name: "ValidationError", Message: "The request conflicts with an earlier one."},
	fault.QuotaExceeded:  {Status: http.StatusBadRequest, Name: "LimitExceeded", Message: "The request exceeds a limit of the account."},
	fault.Throttled:      {Status: http.StatusBadRequest, Name: "Throttling", Message: "Rate exceeded"},
	fault.BudgetExceeded: {Status: http.StatusBadRequest, Name: "Throttling", Message: "Rate exceeded"},
	fault.Overloaded:     {Status: http.StatusServiceUnavailable, Name: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server."},
	fault.NotReady:       {Status: http.StatusServiceUnavailable, Name: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server."},
	fault.Timeout:        {Status: http.StatusServiceUnavailable, Name: "ServiceUnavailable", Message: "The request took too long."},
	fault.ModelFailed:    {Status: http.StatusInternalServerError, Name: "InternalFailure", Message: "The request processing has failed."},
	fault.StreamFailed:   {Status: http.StatusInternalServerError, Name: "InternalFailure", Message: "The request processing has failed."},
	fault.Unavailable:    {Status: http.StatusServiceUnavailable, Name: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server."},
	fault.Canceled:       {Status: api.StatusClientClosed, Name: "RequestExpired", Message: "The client closed the request."},
}
