package engine

import (
	"context"
	"time"
)

// Launcher starts things that will have an address: a local process, a pod. It is safe for concurrent use.
type Launcher interface {
	// Start returns as soon as the instance exists, which is long before it can answer: see Instance.Ready. The context bounds
	// the start alone; the instance lives until it is stopped or ends. The error is
	// Invalid for what cannot be started as it is described (no such command, no such directory), Conflict for a name that is taken,
	// QuotaExceeded for resources that the machine does not have, Overloaded for those that others use now.
	Start(ctx context.Context, spec *Spec) (Instance, error)
}

// Instance is something that was started. Its methods are safe for concurrent use.
type Instance interface {
	// Addr is the host and port at which it answers, or will.
	Addr() string
	// Ready waits for the first good probe, and returns nil then, however often it is asked. The error is Timeout when that has not come within the
	// start's own bound, ModelFailed when the instance ended first, with its last lines as OriginalMessage, and Canceled when ctx ended. It
	// does not stop the instance.
	Ready(ctx context.Context) error
	// Done is closed when nothing of the instance is left.
	Done() <-chan struct{}
	// Err says why the instance ended, once Done is closed: nil if it was stopped, else ModelFailed with its last lines as OriginalMessage.
	Err() error
	// Stop asks the instance to end, ends it by force after its grace, and returns when nothing of it is left. When ctx ends first, it is ended
	// by force at once.
	Stop(ctx context.Context) error
}

// The places in Spec.Command and Spec.Env for what is known only when an instance is started.
const (
	// PlaceHost and PlacePort stand for what it is to listen on.
	PlaceHost = "{host}"
	PlacePort = "{port}"
	// PlaceModel stands for Spec.ModelDir.
	PlaceModel = "{model}"
	// PlaceSlots stands for Spec.Slots.
	PlaceSlots = "{slots}"
)

// Spec describes what is to be started.
type Spec struct {
	// Name is unique among what the launcher has running. It consists of letters, digits, dots, dashes and underscores.
	Name string
	// Labels are shown beside the instance, and found again after a restart.
	Labels map[string]string
	// Image is what a launcher that pulls images runs; Command is then what follows its entry point.
	Image string
	// Command is the program with its arguments, none of them for a shell.
	Command []string
	// Env are variables ("NAME=value"), after those of the container contract and before nothing: what is set here is what counts.
	Env []string
	// Dir is the working directory; empty for one of the instance's own.
	Dir string
	// ModelDir holds the model's files, which the instance only reads. SM_MODEL_DIR names it.
	ModelDir string
	// LogDir is where standard output and error go, in files named after the instance.
	LogDir    string
	Slots     int32 // calls that it is to answer at a time
	Resources Resources
	Health    Health
	// StopGrace is the time between asking to end and ending by force; 0 is DefaultStopGrace.
	StopGrace time.Duration
}

// Resources are what an instance has for itself; 0 is no bound.
type Resources struct {
	CPUMilli int64 // thousandths of a processor
	Memory   int64 // bytes
	GPUs     int   // whole ones, which no other instance of the launcher has
}

// Health says how an instance shows that it can answer: by an HTTP status of 200 to a GET of the path.
type Health struct {
	Path string
	// Interval is the time between probes while it starts; 0 is DefaultProbeInterval.
	Interval time.Duration
	// PingTimeout bounds one probe; 0 is DefaultPingTimeout.
	PingTimeout time.Duration
	// StartTimeout bounds the time until the first good probe; 0 is DefaultStartTimeout.
	StartTimeout time.Duration
}

// What holds where a Spec says nothing: the service's own contract with containers, but for the interval, which is not published.
const (
	DefaultStopGrace     = 30 * time.Second
	DefaultPingTimeout   = 2 * time.Second
	DefaultStartTimeout  = 8 * time.Minute
	DefaultProbeInterval = 20 * time.Millisecond
)

// Adopter is implemented by launchers whose instances go on when the program ends without having stopped them.
type Adopter interface {
	// Left lists, by name, what an earlier program left running and nobody has adopted.
	Left() []Left
	// Adopt takes an instance over as if this program had started it. The error is NotFound for one that has ended meanwhile.
	Adopt(ctx context.Context, name string) (Instance, error)
	// Discard ends what is left and was not adopted, by force, and returns when nothing of it runs any more.
	Discard(ctx context.Context) error
}

// Left is an instance that an earlier program started.
type Left struct {
	Spec    Spec
	Addr    string
	Started time.Time
}
