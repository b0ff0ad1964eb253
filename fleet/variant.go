package fleet

import (
	"time"

	"forebay/capacity/scale"
	"forebay/engine"
)

// Variant is what there should be: replicas of one container over one model, as many as its rules say. It is immutable once it was given to
// Ensure; the same ID with other content changes what runs as far as that can be done without new replicas (Rules, Schedules, Desired,
// bounds), and is refused beyond. New content is a new generation, which has an ID of its own.
type Variant struct {
	// ID is unique among all variants: it names the endpoint, the variant and the generation. Letters, digits, dots, dashes and underscores.
	ID string
	// Account pays; Endpoint and Name are what its owner calls it.
	Account, Endpoint, Name string
	Container               Container
	// Instance is the type of the instances, "" for none: it says Resources and the price, as the configuration has them.
	Instance  string
	Resources engine.Resources // of a replica; what is 0 is as Instance has it
	// Desired sets the number of replicas by hand when the variant comes, or comes with another number than before; 0 leaves it to the
	// rules.
	Desired int32
	// Rules say how many replicas there are. Rules.Slots is the number of calls that a replica takes at once. Rules.Start is learned where it is 0.
	Rules     scale.Rules
	Schedules []Scheduled
	// MaxHeld and MaxHold bound the calls that wait while no replica is up, and how long one does: 0 is 10,000 and 55 seconds.
	MaxHeld int32
	MaxHold time.Duration
	// Download and Start bound how long a replica's weights, and its first good probe from the process's start on, may take; 0 is an hour, and 8 minutes.
	Download, Start time.Duration
}

// Container is what a replica runs.
type Container struct {
	// Image is a name of the configuration's images, or of a preset.
	Image string
	// Command goes in the place of the image's own, where it is not empty; Env is added to its variables.
	Command []string
	Env     []string
	// Weights is the reference of the model's files (see artifact.ParseRef), "" for a container that needs none.
	Weights string
	// Model is what the engine calls the model, in the body of calls of chat; "" for whatever it is called there.
	Model string
}

// Scheduled is a change of the bounds of the rules at times of the wall clock.
type Scheduled struct {
	Name string
	When scale.Schedule
	// Min and Max are the bounds from then on; nil leaves one as it is.
	Min, Max *int32
}

// Protocol is the language in which a container is spoken to.
type Protocol string

// The protocols.
const (
	// ProtocolContainer is the container contract: /invocations with bodies that are passed on as they are.
	ProtocolContainer Protocol = "container"
	// ProtocolOpenAI is chat completions, completions and embeddings, as engines speak them.
	ProtocolOpenAI Protocol = "openai"
)
