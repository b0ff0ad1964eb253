package server

import (
	"context"

	"forebay/api/bedrock"
	"forebay/resource"
	"forebay/store"
)

// control is what the control plane of Amazon Bedrock works on.
func (s *Server) control() bedrock.Control {
	return bedrock.Control{Tags: resource.Tagger{Store: resourceStore{s}}}
}

// resourceStore implements resource.Store.
type resourceStore struct{ s *Server }

// View implements resource.Store.
func (r resourceStore) View(ctx context.Context, f func(*store.Tx) error) error {
	return r.s.store.Update(ctx, f)
}

// Update implements resource.Store.
func (r resourceStore) Update(ctx context.Context, f func(*store.Tx) error) error {
	return r.s.store.Update(ctx, f)
}
