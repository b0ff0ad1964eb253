// Package custom keeps the models that callers bring: variants of a base model that were fine-tuned elsewhere, imported
// models with the jobs that import them, and on-demand deployments of variants.
//
// A model begins as Creating (an imported one as a job InProgress), is looked at, and becomes Active or Failed. Run does that
// in the background, for all that it finds in the store, so that what a stop has interrupted goes on after a start. A model is
// put in force before it is called Active: who reads that can call it.
//
// Variants that the configuration declares are listed with the others, and changed in the configuration alone.
package custom

import (
	"context"
	"log/slog"

	"forebay/artifact"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// Models is what a registry asks of those who serve models.
type Models interface {
	// Base returns the id of the model that an artifact calls its base: an id or alias of ours, or the name that an engine
	// has for it. Faults: Invalid.
	Base(account, name string) (string, error)
	// Declared returns the variants of an account that the configuration declares.
	Declared(account string) []Model
	// InUse says what has been bought for a model, or what route has a lane of it or of a deployment, by its ARN; "" for nothing. It
	// knows of what is stored and not yet in force.
	InUse(ctx context.Context, tx *store.Tx, account, arn string) (string, error)
	// Changed is called when there are models that can be served, or some that cannot any more. What is stored is in force
	// when it returns.
	Changed(ctx context.Context) error
	// Deployed is called when a deployment goes to another model than before. What is stored of it is in force when it returns.
	Deployed(ctx context.Context, arn string) error
}

// Options are what a registry is made with.
type Options struct {
	Store   resource.Store
	Objects *artifact.Objects
	Models  Models
	Region  string
	// Operator is the account that may name files of this machine; all others name buckets.
	Operator string
	Log      *slog.Logger
}

// Registry keeps all custom models. It is safe for concurrent use.
type Registry struct {
	Options
	wake chan struct{}
}

// New returns the registry over a store.
func New(o Options) *Registry { return &Registry{o, make(chan struct{}, 1)} }

// pending tells Run that there is work.
func (r *Registry) pending() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Bounds of what an account may have.
const (
	maxModels      = 1000 // custom and imported ones, each
	maxDeployments = 1000
	maxJobs        = 1000 // that are kept
)

// locate reads where an artifact lies, and whether the account may name that.
func (r *Registry) locate(account, uri string) (artifact.Location, error) {
	at, err := artifact.Parse(uri)
	if err == nil && at.Path != "" && account != r.Operator {
		err = fault.New(fault.Denied, "Files of this machine are the operator's. Use a location in a bucket: s3://BUCKET/KEY.")
	}
	return at, err
}

// get reads the resource of an ARN or a name, of an account and a kind.
func get(ctx context.Context, tx *store.Tx, kind, account, id string, into any) (*store.Resource, error) {
	var r *store.Resource
	var err error
	if arn, ok := resource.Parse(id); ok {
		if arn.Kind != kind || arn.Account != account {
			return nil, missing(id)
		}
		r, err = tx.Resource(ctx, arn.String())
	} else {
		r, err = tx.NamedResource(ctx, kind, account, id)
	}
	if err != nil {
		return nil, err
	}
	return r, json.Unmarshal(r.Body, into)
}

func missing(id string) error {
	return fault.Newf(fault.NotFound, "Could not find the resource %s.", id[:min(len(id), 256)])
}
