package endpoint

import (
	"context"
	"math"

	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

// Variant is one of the models of a configuration, and what it runs on.
type Variant struct {
	Name string `json:"name"`
	// Model is "" where inference components are placed on the instances later.
	Model    string  `json:"model,omitzero"`
	Instance string  `json:"instance,omitzero"` // its type, "" of a serverless one
	Count    int32   `json:"count,omitzero"`    // of instances at first
	Weight   float64 `json:"weight"`
	// Serverless is nil where there are instances.
	Serverless *Serverless     `json:"serverless,omitempty"`
	Managed    *ManagedScaling `json:"managed,omitempty"`
	Routing    string          `json:"routing,omitzero"` // LEAST_OUTSTANDING_REQUESTS, RANDOM, or "" for the default
	// Download and Start bound, in seconds, how long the files and the container may take; 0 is the default.
	Download int32 `json:"download,omitzero"`
	Start    int32 `json:"start,omitzero"`
	Volume   int32 `json:"volume,omitzero"` // GB that were asked for
}

// Serverless is the capacity of a variant that has no instances while nobody calls.
type Serverless struct {
	MemoryMB    int32 `json:"memory_mb"`
	Concurrency int32 `json:"concurrency"`           // calls at once
	Provisioned int32 `json:"provisioned,omitempty"` // of these, calls for which something is always up
}

// ManagedScaling bounds the instances under inference components.
type ManagedScaling struct {
	Enabled bool  `json:"enabled"`
	Min     int32 `json:"min"`
	Max     int32 `json:"max"`
}

// Config says what an endpoint runs.
type Config struct {
	Head
	Variants []Variant `json:"variants"`
	Role     string    `json:"role,omitzero"`
}

// CreateConfig makes the configuration of a name and returns its ARN. Faults: Invalid for variants that cannot be; NotFound for models that are not
// there; Conflict for a name that is taken; those of resource.Create.
func (b *Book) CreateConfig(ctx context.Context, c *resource.Creation, cfg *Config) (string, error) {
	if err := cfg.validate(); err != nil {
		return "", err
	}
	return create(ctx, b, resource.EndpointConfig, c, cfg, func(tx *store.Tx) error {
		for i := range cfg.Variants {
			if name := cfg.Variants[i].Model; name != "" {
				if _, err := find[Model](ctx, tx, b, resource.Model, c.Account, name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Config returns an account's configuration. Faults: NotFound.
func (b *Book) Config(ctx context.Context, account, name string) (*Config, error) {
	return show[Config](ctx, b, resource.EndpointConfig, account, name)
}

// Configs returns a page of an account's configurations, and the token of the next.
func (b *Book) Configs(ctx context.Context, account string, f *resource.Filter) ([]*Config, string, error) {
	return page[Config](ctx, b, resource.EndpointConfig, account, f, whole[Config])
}

// DeleteConfig removes a configuration. What was deployed by it runs on. Faults: NotFound.
func (b *Book) DeleteConfig(ctx context.Context, account, name string) error {
	return remove[Config](ctx, b, resource.EndpointConfig, account, name)
}

func (cfg *Config) validate() error {
	seen := map[string]bool{}
	for i := range cfg.Variants {
		v := &cfg.Variants[i]
		if seen[v.Name] {
			return fault.Newf(fault.Invalid, "Two or more production variants have the name %s. Variant names must be unique within an endpoint configuration.", v.Name)
		}
		seen[v.Name] = true
		if err := v.validate(cfg.Role); err != nil {
			return err
		}
		if v.Serverless != nil && len(cfg.Variants) > 1 {
			return fault.New(fault.Invalid, "Serverless Inference endpoints support exactly one production variant.")
		}
	}
	return nil
}

func (v *Variant) validate(role string) error {
	switch {
	case math.IsNaN(v.Weight) || math.IsInf(v.Weight, 0):
		return fault.Newf(fault.Invalid, "The initial weight of the variant %s is not a number.", v.Name)
	case v.Serverless != nil:
		return v.serverless()
	case v.Instance == "":
		return fault.Newf(fault.Invalid, "The variant %s has neither an InstanceType nor a ServerlessConfig: one of them is needed.", v.Name)
	case v.Model == "" && role == "":
		return fault.Newf(fault.Invalid, "The variant %s names no model. An ExecutionRoleArn is needed where inference components are to be placed on its instances.", v.Name)
	case v.Managed != nil && v.Model != "":
		return fault.Newf(fault.Invalid, "The variant %s has ManagedInstanceScaling and names a model. It scales instances under inference components only.", v.Name)
	case v.Managed != nil && v.Managed.Max > 0 && v.Managed.Min > v.Managed.Max:
		return fault.Newf(fault.Invalid, "MinInstanceCount %d of the variant %s is greater than its MaxInstanceCount %d.", v.Managed.Min, v.Name, v.Managed.Max)
	case v.Count == 0 && v.Managed == nil:
		return fault.Newf(fault.Invalid, "InitialInstanceCount of the variant %s is needed and must be at least 1.", v.Name)
	}
	return nil
}

// The steps of memory that a serverless variant comes in (CreateEndpointConfig, ProductionVariantServerlessConfig).
const memoryStep = 1024

// serverless checks a variant without instances.
func (v *Variant) serverless() error {
	s := v.Serverless
	switch {
	case v.Instance != "" || v.Count != 0:
		return fault.Newf(fault.Invalid, "The variant %s has a ServerlessConfig and an InstanceType or an InitialInstanceCount: only one of them can be.", v.Name).
			WithReason("serverless endpoints of this API run on processors alone")
	case v.Model == "":
		return fault.Newf(fault.Invalid, "The serverless variant %s names no model.", v.Name)
	case v.Managed != nil || v.Volume != 0:
		return fault.Newf(fault.Invalid, "The serverless variant %s has settings of instances: ManagedInstanceScaling and VolumeSizeInGB are not for it.", v.Name)
	case s.MemoryMB%memoryStep != 0:
		return fault.Newf(fault.Invalid, "MemorySizeInMB %d of the variant %s is none of 1024, 2048, 3072, 4096, 5120 and 6144.", s.MemoryMB, v.Name)
	case s.Provisioned > s.Concurrency:
		return fault.Newf(fault.Invalid, "ProvisionedConcurrency %d of the variant %s is greater than its MaxConcurrency %d.", s.Provisioned, v.Name, s.Concurrency)
	}
	return nil
}
