package wire

import (
	"net/http"
	"strings"
)

// Request is a call as it came over HTTP. Path and Query are as on the request line: nothing
// is decoded or cleaned.
type Request struct {
	Method string
	Path   string
	Query  string
	Header http.Header
	Body   []byte
}

// Response is an answer of one piece.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// ContentType returns the header that says what the body is.
func (r *Response) ContentType() string { return r.Header.Get("Content-Type") }

// Failure is an error as a client is told of it.
type Failure struct {
	Name      string // the error shape's, without a namespace
	Message   string
	Status    int
	RequestID string
	// Shape is the error's, nil when the model does not know it. Fields are what it carries beyond its message.
	Shape  *Shape
	Fields map[string]any
}

// Fault is who is at fault: Sender for the client, Receiver for the service.
func (f *Failure) Fault() string {
	if f.Status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// Body is the JSON object of the failure: its name, its message, and what else its shape says
// that it carries.
func (f *Failure) Body() []byte {
	key := "message"
	if f.Shape != nil && f.Shape.Member("Message") != nil {
		key = "Message"
	}
	out := quote([]byte(`{"__type":`), f.Name)
	out = append(quote(append(out, ','), key), ':')
	out = append(quote(out, f.Message), '}')
	if f.Shape == nil || len(f.Fields) == 0 {
		return out
	}
	rest, err := Marshal(nil, f.Shape, From(f.Fields))
	if err != nil || len(rest) <= len("{}") {
		return out // the name and the message are what counts
	}
	return append(append(out[:len(out)-1], ','), rest[1:]...)
}

// Protocol lays the operations of a service on HTTP. Implementations keep no state.
type Protocol interface {
	// Route finds the operation that a request asks for. The error, when there is none, is of kind
	// UnknownOperation.
	Route(s *Service, r *Request) (*Operation, error)
	// Decode reads the input of an operation and checks all its constraints.
	Decode(op *Operation, r *Request, in Target) error
	// Encode writes the output of an operation.
	Encode(s *Service, op *Operation, requestID string, out Source) (*Response, error)
	// Fail writes an error.
	Fail(s *Service, f *Failure) *Response
}

// ErrorName takes an error's name out of a header X-Amzn-Errortype, or a member __type or code:
// services put a namespace before it and a URI behind it.
func ErrorName(code string) string {
	code, _, _ = strings.Cut(code, ":")
	if i := strings.LastIndexByte(code, '#'); i >= 0 {
		code = code[i+1:]
	}
	return strings.TrimSpace(code)
}
