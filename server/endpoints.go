package server

import (
	"context"

	"forebay/api/sagemaker"
	"forebay/endpoint"
	"forebay/resource"
	"forebay/store"
)

// openEndpoints opens the book of what callers deploy.
func (s *Server) openEndpoints(ctx context.Context) error {
	s.endpoints = endpoint.New(endpoint.Options{Store: resourceStore{s}, Fleet: s.fleet, Taken: s.nameTaken, Region: s.cfg.Server.Region, Operator: s.cfg.Account.ID, Log: s.log})
	return s.endpoints.Load(ctx)
}

// endpointControl is the control plane of Amazon SageMaker.
func (s *Server) endpointControl() *sagemaker.Service {
	return sagemaker.New(s.endpoints, resource.Tagger{Store: resourceStore{s}, Service: resource.SageMaker})
}

// nameTaken reports whether a name stands for something that can be called and is no endpoint.
func (s *Server) nameTaken(ctx context.Context, tx *store.Tx, account, name string) (bool, error) {
	taken, err := unitOffers{s}.Taken(ctx, tx, account, name)
	if err != nil || taken {
		return taken, err
	}
	_, err = tx.NamedResource(ctx, resource.ProvisionedModel, account, name)
	free, err := absent(err)
	return !free && err == nil, err
}
