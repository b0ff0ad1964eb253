package server

import (
	"forebay/api/sagemaker"
	"forebay/endpoint"
	"forebay/resource"
)

// openEndpoints opens the book of what callers deploy.
func (s *Server) openEndpoints() {
	s.endpoints = endpoint.New(endpoint.Options{Store: resourceStore{s}, Region: s.cfg.Server.Region})
}

// endpointControl is the control plane of Amazon SageMaker.
func (s *Server) endpointControl() *sagemaker.Service {
	return sagemaker.New(s.endpoints, resource.Tagger{Store: resourceStore{s}, Service: resource.SageMaker})
}
