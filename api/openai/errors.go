package openai

import (
	"net/http"

	"forebay/api"
	"forebay/fault"
)

// table follows the error reference of the OpenAI API: 400 invalid_request_error, 401
// authentication, 403 permission, 404 not found, 409 conflict, 429 rate limit or quota, 5xx server_error.
var table = api.ErrorTable{
	fault.Internal:         {Status: http.StatusInternalServerError, Name: "server_error", Message: "The server had an error while processing your request. Sorry about that!"},
	fault.Malformed:        {Status: http.StatusBadRequest, Name: "invalid_request_error", Message: "We could not parse the JSON body of your request."},
	fault.Invalid:          {Status: http.StatusBadRequest, Name: "invalid_request_error", Message: "Invalid request."},
	fault.UnknownModel:     {Status: http.StatusNotFound, Name: "invalid_request_error", Message: "The model does not exist or you do not have access to it."},
	fault.NotFound:         {Status: http.StatusNotFound, Name: "invalid_request_error", Message: "The requested resource does not exist."},
	fault.UnknownOperation: {Status: http.StatusNotFound, Name: "invalid_request_error", Message: "Invalid URL."},
	fault.Unsupported:      {Status: http.StatusBadRequest, Name: "invalid_request_error", Message: "This is not supported with this model."},
	fault.TooLarge:         {Status: http.StatusRequestEntityTooLarge, Name: "invalid_request_error", Message: "The request is too large."},
	fault.MissingAuth:      {Status: http.StatusUnauthorized, Name: "invalid_request_error", Message: "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."},
	fault.IncompleteAuth:   {Status: http.StatusUnauthorized, Name: "invalid_request_error", Message: "Malformed Authorization header."},
	fault.UnknownKey:       {Status: http.StatusUnauthorized, Name: "invalid_request_error", Message: "Incorrect API key provided."},
	fault.BadSignature:     {Status: http.StatusUnauthorized, Name: "invalid_request_error", Message: "The request signature does not match."},
	fault.Expired:          {Status: http.StatusUnauthorized, Name: "invalid_request_error", Message: "The API key or signature has expired."},
	fault.Denied:           {Status: http.StatusForbidden, Name: "permission_error", Message: "You do not have access to this model or operation."},
	fault.Conflict:         {Status: http.StatusConflict, Name: "invalid_request_error", Message: "The request conflicts with another one."},
	fault.QuotaExceeded:    {Status: http.StatusTooManyRequests, Name: "insufficient_quota", Message: "You exceeded your current quota."},
	fault.Throttled:        {Status: http.StatusTooManyRequests, Name: "rate_limit_error", Message: "Rate limit reached."},
	fault.BudgetExceeded:   {Status: http.StatusTooManyRequests, Name: "insufficient_quota", Message: "You exceeded your current quota, please check your plan and billing details."},
	fault.Overloaded:       {Status: http.StatusServiceUnavailable, Name: "server_error", Message: "The engine is currently overloaded, please try again later."},
	fault.NotReady:         {Status: http.StatusServiceUnavailable, Name: "server_error", Message: "The model is starting, please try again later."},
	fault.Timeout:          {Status: http.StatusGatewayTimeout, Name: "server_error", Message: "The model took too long to answer."},
	fault.ModelFailed:      {Status: http.StatusBadGateway, Name: "server_error", Message: "The model failed to answer."},
	fault.StreamFailed:     {Status: http.StatusBadGateway, Name: "server_error", Message: "The model failed while it was answering."},
	fault.Unavailable:      {Status: http.StatusServiceUnavailable, Name: "server_error", Message: "The service is temporarily unavailable, please try again later."},
	fault.Canceled:         {Status: 499, Name: "server_error", Message: "The client closed the request."},
}

// codes are the machine-readable codes that clients of the API match on.
var codes = map[fault.Kind]string{
	fault.UnknownModel:     "model_not_found",
	fault.UnknownKey:       "invalid_api_key",
	fault.Expired:          "invalid_api_key",
	fault.Throttled:        "rate_limit_exceeded",
	fault.BudgetExceeded:   "insufficient_quota",
	fault.QuotaExceeded:    "insufficient_quota",
	fault.UnknownOperation: "unknown_url",
	fault.Overloaded:       "overloaded",
	fault.NotReady:         "model_not_ready",
}
