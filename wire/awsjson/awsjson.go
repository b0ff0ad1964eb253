// Package awsjson is the protocols awsJson1.0 and awsJson1.1: every call is a POST to / whose
// header X-Amz-Target names the operation, with all members in a JSON body. Services that spoke
// the query protocol before (query-compatible ones) repeat an error's old code in a header.
// Source: Smithy 2.0, "AWS JSON 1.0 protocol", "AWS JSON 1.1 protocol", "awsQueryCompatible trait".
package awsjson

import (
	"net/http"
	"strings"

	"forebay/fault"
	"forebay/wire"
)

// Protocol is awsJson of the version that a service's model states.
type Protocol struct{}

var _ wire.Protocol = Protocol{}

// TargetHeader names the operation, behind the service's prefix.
const TargetHeader = "X-Amz-Target"

// Route implements wire.Protocol.
func (Protocol) Route(s *wire.Service, r *wire.Request) (*wire.Operation, error) {
	prefix, name, ok := strings.Cut(r.Header.Get(TargetHeader), ".")
	if ok && prefix == s.TargetPrefix && r.Method == http.MethodPost {
		if op := s.Operation(name); op != nil {
			return op, nil
		}
	}
	return nil, fault.New(fault.UnknownOperation, "")
}

// Decode implements wire.Protocol.
func (Protocol) Decode(op *wire.Operation, r *wire.Request, in wire.Target) error {
	if op.Input == nil {
		return nil
	}
	var bad wire.Faults
	if err := wire.UnmarshalBody(r.Body, in.Fields(op.Input), &bad); err != nil {
		return err
	}
	return bad.Err()
}

// Encode implements wire.Protocol.
func (Protocol) Encode(s *wire.Service, op *wire.Operation, _ string, out wire.Source) (*wire.Response, error) {
	r := &wire.Response{Status: http.StatusOK, Header: header(s), Body: []byte("{}")}
	if op.Output == nil || out.Absent() {
		return r, nil
	}
	var err error
	r.Body, err = wire.Marshal(nil, op.Output, out)
	return r, err
}

// Fail implements wire.Protocol.
func (Protocol) Fail(s *wire.Service, f *wire.Failure) *wire.Response {
	h := header(s)
	h.Set("X-Amzn-Errortype", f.Name)
	if s.QueryCompatible {
		code := f.Name
		if f.Shape != nil && f.Shape.Code != "" {
			code = f.Shape.Code
		}
		h.Set("X-Amzn-Query-Error", code+";"+f.Fault())
	}
	return &wire.Response{Status: f.Status, Header: h, Body: f.Body()}
}

func header(s *wire.Service) http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-" + s.JSONVersion}}
}
