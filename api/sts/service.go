// Package sts serves GetCallerIdentity of the AWS Security Token Service, which clients
// and people call to see who they are.
package sts

import (
	"encoding/xml"
	"forebay/api"
	"forebay/fault"
	"net/http"
	"net/url"
)

// Service is sts behind the front door.
type Service struct{}

// Name implements api.Service.
func (s *Service) Name() string { return "sts" }

const namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

type identityResponse struct {
	XMLName xml.Name `xml:"GetCallerIdentityResponse"`
	NS      string   `xml:"xmlns,attr"`
	ARN     string   `xml:"GetCallerIdentityResult>Arn"`
	UserID  string   `xml:"GetCallerIdentityResult>UserId"`
	Account string   `xml:"GetCallerIdentityResult>Account"`
	Request string   `xml:"ResponseMetadata>RequestId"`
}

// Serve implements api.Service.
func (s *Service) Serve(c *api.Call) error {
	c.W.Header().Set(api.HeaderAmznID, c.ID)
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return fault.Wrap(fault.Malformed, err, "")
	}
	action := form.Get("Action")
	if action == "" {
		if q, err := url.ParseQuery(c.Query); err == nil {
			action = q.Get("Action")
		}
	}
	c.Operation = "GetCallerIdentity"
	if action != "GetCallerIdentity" {
		return fault.Newf(fault.UnknownOperation, "Could not find operation %s for version 2011-06-15", api.HeaderValue(action))
	}
	p := c.Principal
	b, err := xml.Marshal(identityResponse{NS: namespace, ARN: p.ARN, UserID: p.KeyID, Account: p.Account, Request: c.ID})
	if err != nil {
		return fault.Wrap(fault.Internal, err, "")
	}
	return c.W.Body(http.StatusOK, "text/xml", b)
}

type errorResponse struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	NS      string   `xml:"xmlns,attr"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
	Request string   `xml:"RequestId"`
}

var table = func() api.ErrorTable {
	var t api.ErrorTable
	for k := range fault.NumKinds {
		t[k] = api.ErrorRow{Status: http.StatusInternalServerError, Name: "InternalFailure", Message: "An internal error has occurred"}
	}
	row := func(k fault.Kind, status int, name, msg string) {
		t[k] = api.ErrorRow{Status: status, Name: name, Message: msg}
	}
	row(fault.Malformed, http.StatusBadRequest, "MalformedQueryString", "The query string is malformed")
	row(fault.Invalid, http.StatusBadRequest, "ValidationError", "The input is not valid")
	row(fault.UnknownOperation, http.StatusBadRequest, "InvalidAction", "The action is not valid")
	row(fault.MissingAuth, http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	row(fault.IncompleteAuth, http.StatusBadRequest, "IncompleteSignature", "The request signature does not conform to AWS standards")
	row(fault.UnknownKey, http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	row(fault.BadSignature, http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	row(fault.Expired, http.StatusForbidden, "SignatureDoesNotMatch", "Signature expired")
	row(fault.Denied, http.StatusForbidden, "AccessDenied", "Access denied")
	row(fault.TooLarge, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request is too large")
	row(fault.Throttled, http.StatusBadRequest, "Throttling", "Rate exceeded")
	row(fault.Unavailable, http.StatusServiceUnavailable, "ServiceUnavailable", "The service is unavailable")
	row(fault.Overloaded, http.StatusServiceUnavailable, "ServiceUnavailable", "The service is overloaded")
	return t
}()

// Fail implements api.Service.
func (s *Service) Fail(c *api.Call, e *fault.Error) {
	row, msg := table.Row(e)
	kind := "Sender"
	if row.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	api.SetErrorHeaders(c.W.Header(), e)
	c.W.Header().Set(api.HeaderAmznID, c.ID)
	b, err := xml.Marshal(errorResponse{NS: namespace, Type: kind, Code: row.Name, Message: msg, Request: c.ID})
	if err != nil {
		b = []byte("<ErrorResponse/>")
	}
	_ = c.W.Body(row.Status, "text/xml", b)
}
