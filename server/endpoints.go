package server

import (
	"context"

	"forebay/api/sagemaker"
	"forebay/endpoint"
	"forebay/resource"
)

// openEndpoints opens the book of what callers deploy.
func (s *Server) openEndpoints(ctx context.Context) error {
	s.endpoints = endpoint.New(endpoint.Options{Store: resourceStore{s}, Fleet: s.fleet, Region: s.cfg.Server.Region, Log: s.log})
	return s.endpoints.Load(ctx)
}

// endpointControl is the control plane of Amazon SageMaker.
func (s *Server) endpointControl() *sagemaker.Service {
	return sagemaker.New(s.endpoints, resource.Tagger{Store: resourceStore{s}, Service: resource.SageMaker})
}
