package anthropic

import (
	"net/http"

	"forebay/api"
	"forebay/fault"
)

// statusOverloaded is Anthropic's own status for overloaded_error.
const statusOverloaded = 529

// table follows the error reference of the Anthropic API.
var table = api.ErrorTable{
	fault.Internal:         {Status: http.StatusInternalServerError, Name: "api_error", Message: "Internal server error"},
	fault.Malformed:        {Status: http.StatusBadRequest, Name: "invalid_request_error", Message: "The request body is not valid JSON"},
	fault.Invalid:          {Status: http.StatusBadRequest, Name: "invalid_request_error", Message: "Invalid request"},
	fault.UnknownModel:     {Status: http.StatusNotFound, Name: "not_found_error", Message: "model not found"},
	fault.NotFound:         {Status: http.StatusNotFound, Name: "not_found_error", Message: "Not found"},
	fault.UnknownOperation: {Status: http.StatusNotFound, Name: "not_found_error", Message: "Not Found"},
	fault.Unsupported:      {Status: http.StatusBadRequest, Name: "invalid_request_error", Message: "This is not supported with this model"},
	fault.TooLarge:         {Status: http.StatusRequestEntityTooLarge, Name: "request_too_large", Message: "Request exceeds the maximum allowed number of bytes"},
	fault.MissingAuth:      {Status: http.StatusUnauthorized, Name: "authentication_error", Message: "x-api-key header is required"},
	fault.IncompleteAuth:   {Status: http.StatusUnauthorized, Name: "authentication_error", Message: "malformed credentials"},
	fault.UnknownKey:       {Status: http.StatusUnauthorized, Name: "authentication_error", Message: "invalid x-api-key"},
	fault.BadSignature:     {Status: http.StatusUnauthorized, Name: "authentication_error", Message: "the request signature does not match"},
	fault.Expired:          {Status: http.StatusUnauthorized, Name: "authentication_error", Message: "the key or signature has expired"},
	fault.Denied:           {Status: http.StatusForbidden, Name: "permission_error", Message: "Your API key does not have permission to use the specified resource"},
	fault.Conflict:         {Status: http.StatusConflict, Name: "invalid_request_error", Message: "The request conflicts with another one"},
	fault.QuotaExceeded:    {Status: http.StatusPaymentRequired, Name: "billing_error", Message: "A limit of your account is used up"},
	fault.Throttled:        {Status: http.StatusTooManyRequests, Name: "rate_limit_error", Message: "This request would exceed your rate limit. Please wait before trying again."},
	fault.BudgetExceeded:   {Status: http.StatusTooManyRequests, Name: "rate_limit_error", Message: "This request would exceed your spend limit."},
	fault.Overloaded:       {Status: statusOverloaded, Name: "overloaded_error", Message: "Overloaded"},
	fault.NotReady:         {Status: http.StatusServiceUnavailable, Name: "overloaded_error", Message: "The model is starting, please try again later"},
	fault.Timeout:          {Status: http.StatusGatewayTimeout, Name: "timeout_error", Message: "Request timed out"},
	fault.ModelFailed:      {Status: http.StatusBadGateway, Name: "api_error", Message: "The model failed to answer"},
	fault.StreamFailed:     {Status: http.StatusBadGateway, Name: "api_error", Message: "The model failed while it was answering"},
	fault.Unavailable:      {Status: http.StatusServiceUnavailable, Name: "api_error", Message: "The service is temporarily unavailable"},
	fault.Canceled:         {Status: 499, Name: "api_error", Message: "The client closed the request"},
}
