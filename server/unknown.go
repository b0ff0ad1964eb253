package server

import (
	"strings"

	"forebay/api"
	"forebay/api/sts"
	"forebay/fault"
	"forebay/wire"
	"forebay/wire/awsjson"
	"forebay/wire/query"
	"forebay/wire/restjson"
)

// unknownAWS answers calls to services of AWS that Forebay does not have, each in the form of
// the protocol that it came in, so that any SDK understands the refusal.
type unknownAWS struct{}

func (unknownAWS) Name() string { return "unknown" }

func (unknownAWS) Serve(*api.Call) error {
	return fault.New(fault.UnknownOperation, "").WithReason("this server has bedrock, bedrock-runtime, sagemaker, sagemaker-runtime, application-autoscaling and sts")
}

// jsonErrors is the table of the awsJson protocols, where an unknown operation is no path that is not found.
var jsonErrors = func() api.ErrorTable {
	t := api.CommonErrors()
	t[fault.UnknownOperation].Status = t[fault.Invalid].Status
	return t
}()

var restErrors = api.CommonErrors()

func (unknownAWS) Fail(c *api.Call, e *fault.Error) {
	a := api.AWS{Model: &wire.Service{Name: "unknown", JSONVersion: "1.1"}, Protocol: restjson.Protocol{}, Errors: &restErrors}
	switch kind := c.HTTP.Header.Get("Content-Type"); {
	case c.HTTP.Header.Get(awsjson.TargetHeader) != "":
		if version, ok := strings.CutPrefix(kind, "application/x-amz-json-"); ok && version == "1.0" {
			a.Model.JSONVersion = version
		}
		a.Protocol, a.Errors = awsjson.Protocol{}, &jsonErrors
	case strings.HasPrefix(kind, formType):
		a.Model.Namespace = "http://webservices.amazon.com/"
		a.Protocol, a.Errors = query.Protocol{}, &sts.Errors
	}
	a.Fail(c, e)
}

const formType = "application/x-www-form-urlencoded"
