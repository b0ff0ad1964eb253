// Package query is the protocol awsQuery: a call is a form whose Action names the operation
// and whose other fields are the members, flattened into dotted names; the answer is XML.
// Source: Smithy 2.0, "AWS query protocol".
package query

import (
	"net/http"
	"net/url"
	"strings"

	"forebay/fault"
	"forebay/wire"
)

// Protocol is awsQuery.
type Protocol struct{}

var _ wire.Protocol = Protocol{}

const contentType = "text/xml"

// form reads the fields of a call, from the body or, of a presigned one, from the query.
func form(r *wire.Request) (url.Values, error) {
	f, err := url.ParseQuery(string(r.Body))
	if err == nil && f.Get("Action") == "" {
		f, err = url.ParseQuery(r.Query)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Malformed, err, "")
	}
	return f, nil
}

// Route implements wire.Protocol.
func (Protocol) Route(s *wire.Service, r *wire.Request) (*wire.Operation, error) {
	f, err := form(r)
	if err != nil {
		return nil, err
	}
	if op := s.Operation(f.Get("Action")); op != nil {
		return op, nil
	}
	action := strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e {
			return '?'
		}
		return c
	}, f.Get("Action"))
	return nil, fault.Newf(fault.UnknownOperation, "Could not find operation %.256s for version %s", action, s.Version)
}

// Decode implements wire.Protocol.
func (Protocol) Decode(op *wire.Operation, r *wire.Request, in wire.Target) error {
	f, err := form(r)
	if err != nil || op.Input == nil {
		return err
	}
	d := newDecoder(f)
	if err := d.structure(op.Input, "", in, 0); err != nil {
		return err
	}
	return d.bad.Err()
}

// Encode implements wire.Protocol.
func (Protocol) Encode(s *wire.Service, op *wire.Operation, requestID string, out wire.Source) (*wire.Response, error) {
	b := append([]byte("<"), op.Name...)
	b = append(b, `Response xmlns="`...)
	b = append(escape(b, s.Namespace), `">`...)
	if op.Output != nil {
		wrapper := op.ResultWrapper
		if wrapper == "" {
			wrapper = op.Name + "Result"
		}
		var err error
		if b, err = element(b, wrapper, &wire.Member{Shape: op.Output}, out); err != nil {
			return nil, err
		}
	}
	b = append(b, "<ResponseMetadata>"...)
	b = text(b, "RequestId", requestID)
	b = append(b, "</ResponseMetadata></"...)
	b = append(b, op.Name...)
	return &wire.Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {contentType}}, Body: append(b, "Response>"...)}, nil
}

// Fail implements wire.Protocol.
func (Protocol) Fail(s *wire.Service, f *wire.Failure) *wire.Response {
	b := []byte(`<ErrorResponse xmlns="`)
	b = append(escape(b, s.Namespace), `"><Error>`...)
	b = text(b, "Type", f.Fault())
	b = text(b, "Code", f.Name)
	b = text(b, "Message", f.Message)
	b = append(b, "</Error>"...)
	b = text(b, "RequestId", f.RequestID)
	return &wire.Response{Status: f.Status, Header: http.Header{"Content-Type": {contentType}}, Body: append(b, "</ErrorResponse>"...)}
}
