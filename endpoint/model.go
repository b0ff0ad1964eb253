package endpoint

import (
	"context"

	"forebay/artifact"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

// Container says what an instance runs, and over which files.
type Container struct {
	Hostname    string            `json:"hostname,omitzero"`
	Image       string            `json:"image"`
	Environment map[string]string `json:"environment,omitempty"`
	// Data is where the files are, "" for none.
	Data string `json:"data,omitzero"`
	// Source says more of Data, where the caller has; nil where Data is an archive that the caller named by itself.
	Source *Source `json:"source,omitempty"`
	Mode   string  `json:"mode,omitzero"` // SingleModel, or "" for that
}

// Source says what lies where the files are: one object or all under a prefix, compressed or not.
type Source struct {
	Type        string `json:"type"`        // S3Prefix or S3Object
	Compression string `json:"compression"` // None or Gzip
	AcceptEULA  bool   `json:"accept_eula,omitzero"`
}

// Model is a container with its files.
type Model struct {
	Head
	Container Container `json:"container"`
	// Listed says that the container was given as a list of one.
	Listed bool   `json:"listed,omitzero"`
	Role   string `json:"role,omitzero"`
}

// CreateModel makes the model of a name and returns its ARN. Whether its image and its files are there is found out when something is deployed.
// Faults: Invalid for a container without an image, and for files that are nowhere or where the account may not look; Conflict for a name that is taken; those of resource.Create.
func (b *Book) CreateModel(ctx context.Context, c *resource.Creation, m *Model) (string, error) {
	if m.Container.Image == "" {
		return "", fault.New(fault.Invalid, "Please specify either an Image or a ModelPackageName for the container.").
			WithReason("model packages are not served: name an image")
	}
	if err := b.mayLook(c.Account, m.Container.Data); err != nil {
		return "", err
	}
	return create(ctx, b, resource.Model, c, m, func(*store.Tx) error { return nil })
}

// mayLook holds the place of a model's files against the account: a path, or a web server that the server itself reaches, could be one that is none of
// the caller's business, such as the data directory or the network behind the door.
func (b *Book) mayLook(account, data string) error {
	if data == "" {
		return nil
	}
	ref, err := artifact.ParseRef(data)
	if err != nil {
		return err
	}
	if (ref.Source == artifact.Local || ref.Source == artifact.Web) && account != b.Operator {
		return fault.New(fault.Invalid, "The data of a model must be in Amazon S3.").WithReason("s3://BUCKET/KEY and hf://ORG/NAME are for everybody; paths and URLs for the operator's account")
	}
	return nil
}

// Model returns an account's model. Faults: NotFound.
func (b *Book) Model(ctx context.Context, account, name string) (*Model, error) {
	return show[Model](ctx, b, resource.Model, account, name)
}

// Models returns a page of an account's models, and the token of the next.
func (b *Book) Models(ctx context.Context, account string, f *resource.Filter) ([]*Model, string, error) {
	return page[Model](ctx, b, resource.Model, account, f, whole[Model])
}

// DeleteModel removes a model. What was deployed of it runs on. Faults: NotFound.
func (b *Book) DeleteModel(ctx context.Context, account, name string) error {
	return remove[Model](ctx, b, resource.Model, account, name)
}
