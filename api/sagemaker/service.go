// Package sagemaker serves a part of Amazon SageMaker's control plane: models, configurations of endpoints, endpoints, and their tags. Its other
// operations get a clear error of the right shape.
package sagemaker

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"forebay/api"
	"forebay/endpoint"
	"forebay/fault"
	"forebay/resource"
	"forebay/wire/awsjson"
	shapes "forebay/wire/shapes/sagemaker"
)

// Service is sagemaker behind the front door.
type Service struct {
	api.AWS
	book *endpoint.Book
	tags resource.Tagger
}

// New returns the service over what keeps the things that callers deploy.
func New(book *endpoint.Book, tags resource.Tagger) *Service {
	s := &Service{AWS: api.AWS{Model: shapes.Service, Protocol: awsjson.Protocol{}, Errors: &Errors}, book: book, tags: tags}
	s.tagging()
	s.models()
	s.configs()
	s.endpoints()
	return s
}

// Owns reports whether a target header is of the service.
func Owns(target string) bool { return strings.HasPrefix(target, shapes.Service.TargetPrefix+".") }

// Errors is the table of sagemaker. Its model has names for few errors; all others are ValidationException, what is not there among them:
// waiters for a deletion wait for that.
var Errors = func() api.ErrorTable {
	t := api.CommonErrors()
	t[fault.NotFound] = api.ErrorRow{Status: http.StatusBadRequest, Name: "ValidationException", Message: "Could not find the resource."}
	t[fault.Conflict] = api.ErrorRow{Status: http.StatusBadRequest, Name: "ValidationException", Message: "The resource exists already or is in use."}
	t[fault.QuotaExceeded] = api.ErrorRow{Status: http.StatusBadRequest, Name: "ResourceLimitExceeded", Message: "The request exceeds a limit of the account."}
	t[fault.UnknownOperation].Status = http.StatusBadRequest
	return t
}()

// authorized lets an operation be served, for callers whose policy allows the action of that name.
func authorized[In, Out any](s *Service, op api.Operation[In, Out]) {
	api.HandleAllowed(&s.AWS, "sagemaker", op)
}

// creation is what all operations that make something have in common.
func creation(c *api.Call, tags []shapes.Tag) *resource.Creation {
	return &resource.Creation{Account: c.Principal.Account, Operation: c.Operation, Body: slices.Clone(c.Body), Tags: tagList(tags)}
}

// maxPage is the largest page of a list, and the default is a tenth of it (ListModels).
const (
	maxPage     = 100
	defaultPage = 10
)

// page is the part of a list that a request asks for; the newest are first unless it says otherwise.
func page(after, before *time.Time, nameContains *string, most *int32, token, by, order *string) resource.Filter {
	return resource.Filter{
		After: api.Given(after), Before: api.Given(before), NameContains: api.Given(nameContains), Descending: api.Given(order) != "Ascending",
		ByIdentity: api.Given(by) == "Name", Max: min(maxPage, cmp.Or(int(api.Given(most)), defaultPage)), Token: api.Given(token),
	}
}

// unserved is a part of a request that would be something else without what is not there.
func unserved(what string) error {
	return fault.Newf(fault.Unsupported, "%s is not supported by this server.", what)
}
