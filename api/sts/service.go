// Package sts serves GetCallerIdentity of the AWS Security Token Service, which clients
// and people call to see who they are.
package sts

import (
	"forebay/api"
	"forebay/wire/query"
	shapes "forebay/wire/shapes/sts"
)

// New returns the service.
func New() *api.AWS {
	s := &api.AWS{Model: shapes.Service, Protocol: query.Protocol{}, Errors: &Errors}
	api.Handle(s, api.Operation[shapes.GetCallerIdentityRequest, shapes.GetCallerIdentityResponse]{Shape: shapes.GetCallerIdentity, Run: identity})
	return s
}

func identity(c *api.Call, _ *shapes.GetCallerIdentityRequest) (*shapes.GetCallerIdentityResponse, error) {
	p := c.Principal
	return &shapes.GetCallerIdentityResponse{Arn: &p.ARN, UserId: &p.KeyID, Account: &p.Account}, nil
}
