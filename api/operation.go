package api

import (
	"net/http"

	"forebay/fault"
	"forebay/identity"
	"forebay/wire"
)

// Operation is one operation of an AWS service as a typed function: it takes the decoded and
// checked input and gives the output or an error. It never sees the connection.
type Operation[In, Out any] struct {
	Shape *wire.Operation
	Run   func(c *Call, in *In) (*Out, error)
}

// Handler serves one operation of an AWS service. Handle makes one of an Operation; those that
// write their own response (streams, and bodies that pass through) are written as handlers.
type Handler func(c *Call, r *wire.Request) error

// AWS is a service of AWS by its model: what it is asked is found, decoded, checked, answered
// and refused in the form of its protocol. It is set up before it serves, and does not change then.
type AWS struct {
	Model    *wire.Service
	Protocol wire.Protocol
	Errors   *ErrorTable
	// Codes are the errors that the service has names of their own for within a kind, by the fault's code.
	Codes map[string]ErrorRow
	// Amend, when set, puts into a failure what the service alone says of an error.
	Amend func(f *wire.Failure, e *fault.Error)

	handlers map[*wire.Operation]Handler
}

// HandleAllowed is Handle for an operation that names no model, and for callers whose policy allows the service's action of its name.
func HandleAllowed[In, Out any](s *AWS, service string, op Operation[In, Out]) {
	run := op.Run
	op.Run = func(c *Call, in *In) (*Out, error) {
		if err := identity.Authorize(c.Principal, service+":"+op.Shape.Name, "", "*", ""); err != nil {
			return nil, err
		}
		return run(c, in)
	}
	Handle(s, op)
}

// Given is the value of a member that may be absent.
func Given[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Present is a member that is left out when it has no value.
func Present[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// Handle lets an operation be served by a typed function. The one function here decodes, encodes and
// writes for all of them.
func Handle[In, Out any](s *AWS, op Operation[In, Out]) {
	s.Serves(op.Shape, func(c *Call, r *wire.Request) error {
		in := new(In)
		if err := s.Protocol.Decode(op.Shape, r, wire.Into(in)); err != nil {
			return err
		}
		out, err := op.Run(c, in)
		if err != nil {
			return err
		}
		res, err := s.Protocol.Encode(s.Model, op.Shape, c.ID, wire.From(out))
		if err != nil {
			return fault.Wrap(fault.Internal, err, "")
		}
		return send(c, res)
	})
}

// Serves lets an operation be served by a handler.
func (s *AWS) Serves(op *wire.Operation, h Handler) {
	if s.handlers == nil {
		s.handlers = map[*wire.Operation]Handler{}
	}
	s.handlers[op] = h
}

// Name implements Service.
func (s *AWS) Name() string { return s.Model.Name }

// Serve implements Service. Operations of the model that nothing serves are refused by name.
func (s *AWS) Serve(c *Call) error {
	c.W.Header().Set(HeaderAmznID, c.ID)
	r := &wire.Request{Method: c.HTTP.Method, Path: c.Path, Query: c.Query, Header: c.HTTP.Header, Body: c.Body}
	op, err := s.Protocol.Route(s.Model, r)
	if err != nil {
		return err
	}
	c.Operation = op.Name
	h := s.handlers[op]
	if h == nil {
		return fault.Newf(fault.Unsupported, "The operation %s is not supported by this server.", op.Name)
	}
	return h(c, r)
}

// Fail implements Service.
func (s *AWS) Fail(c *Call, e *fault.Error) {
	h := c.W.Header()
	SetErrorHeaders(h, e)
	h.Set(HeaderAmznID, c.ID)
	_ = send(c, s.Protocol.Fail(s.Model, s.Failure(c.ID, e))) // a client that left hears nothing
}

// Failure is what a client is told of an error.
func (s *AWS) Failure(id string, e *fault.Error) *wire.Failure {
	row, msg := s.Errors.Row(e)
	if special, ok := s.Codes[e.Code]; ok {
		row = special
	}
	f := &wire.Failure{Name: row.Name, Message: msg, Status: row.Status, RequestID: id, Shape: s.errorShape(row.Name)}
	if e.Kind == fault.ModelFailed || e.Kind == fault.StreamFailed {
		f.Fields = map[string]any{"originalStatusCode": int64(e.OriginalStatus), "originalMessage": e.OriginalMessage}
		if e.OriginalMessage != "" {
			f.Message = row.Message + " " + e.OriginalMessage
		}
	}
	if s.Amend != nil {
		s.Amend(f, e)
	}
	return f
}

// errorShape finds the model's error of the name; nil for those that all services have and no
// model lists.
func (s *AWS) errorShape(name string) *wire.Shape {
	for _, op := range s.Model.Operations {
		for _, e := range op.Errors {
			if e.Name == name {
				return e
			}
		}
	}
	return nil
}

func send(c *Call, r *wire.Response) error {
	h := c.W.Header()
	for name, values := range r.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return c.W.Body(r.Status, r.ContentType(), r.Body)
}

// CommonErrors is the table of the AWS services that speak JSON: the errors that they share
// ("Common error types" of their API references). A service overrides what it has words of its own for.
func CommonErrors() ErrorTable {
	return ErrorTable{
		fault.Internal:         {http.StatusInternalServerError, "InternalServerException", "An internal server error occurred. Retry your request."},
		fault.Malformed:        {http.StatusBadRequest, "SerializationException", "The request body is not valid JSON."},
		fault.Invalid:          {http.StatusBadRequest, "ValidationException", "The input fails to satisfy the constraints specified by the service."},
		fault.UnknownModel:     {http.StatusBadRequest, "ValidationException", "The provided model identifier is invalid."},
		fault.NotFound:         {http.StatusNotFound, "ResourceNotFoundException", "The specified resource was not found."},
		fault.UnknownOperation: {http.StatusNotFound, "UnknownOperationException", "The requested operation is not recognized by the service."},
		fault.Unsupported:      {http.StatusBadRequest, "ValidationException", "This operation is not supported."},
		fault.TooLarge:         {http.StatusBadRequest, "ValidationException", "The request body is too large."},
		fault.MissingAuth:      {http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		fault.IncompleteAuth:   {http.StatusBadRequest, "IncompleteSignatureException", "Authorization header is malformed."},
		fault.UnknownKey:       {http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid."},
		fault.BadSignature: {
			http.StatusForbidden, "InvalidSignatureException",
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
		},
		fault.Expired:        {http.StatusForbidden, "InvalidSignatureException", "Signature expired."},
		fault.Denied:         {http.StatusForbidden, "AccessDeniedException", "You are not authorized to perform this operation."},
		fault.Conflict:       {http.StatusBadRequest, "ConflictException", "The request conflicts with the current state of the resource."},
		fault.QuotaExceeded:  {http.StatusBadRequest, "ServiceQuotaExceededException", "The request exceeds a service quota."},
		fault.Throttled:      {http.StatusTooManyRequests, "ThrottlingException", "Too many requests, please wait before trying again."},
		fault.BudgetExceeded: {http.StatusTooManyRequests, "ThrottlingException", "Too many tokens per day, please wait before trying again."},
		fault.Overloaded:     {http.StatusServiceUnavailable, "ServiceUnavailableException", "The service is temporarily overloaded. Please wait before trying again."},
		fault.NotReady:       {http.StatusServiceUnavailable, "ServiceUnavailableException", "The service is starting. Please wait before trying again."},
		fault.Timeout:        {http.StatusServiceUnavailable, "ServiceUnavailableException", "The request took too long. Retry your request."},
		fault.ModelFailed:    {http.StatusInternalServerError, "InternalServerException", "The request failed due to an error while processing the model."},
		fault.StreamFailed:   {http.StatusInternalServerError, "InternalServerException", "An error occurred while streaming the response. Retry your request."},
		fault.Unavailable:    {http.StatusServiceUnavailable, "ServiceUnavailableException", "The service is temporarily unavailable."},
		fault.Canceled:       {StatusClientClosed, "ServiceUnavailableException", "The client closed the request."},
	}
}

// StatusClientClosed stands in the tables for a client that went away, which nothing is written to.
const StatusClientClosed = 499
