package dispatch

import (
	"time"

	"forebay/capacity"
	"forebay/capacity/scale"
	"forebay/catalog"
	"forebay/engine"
	"forebay/identity"
	"forebay/meter"
)

// Topology is everything the dispatcher serves with. Configure replaces it as a whole;
// what has not changed keeps its buckets, queues and calls.
type Topology struct {
	Engines []Engine
	Models  []Model
	Routes  []Route
	// Reservations are what was bought of models.
	Reservations []Reservation
	// Accounts, Teams and Keys carry the limits that apply to them.
	Accounts []Account
	Teams    []Scope
	Keys     []Scope
}

// Engine is something with an address that answers calls.
type Engine struct {
	Name   string
	Client engine.Client
	// Provider is the flavour of the engine's API in the words of OpenTelemetry (gen_ai.provider.name).
	Provider string
	// ProbeEvery is the time between health probes; 0 means no probes.
	ProbeEvery time.Duration
	// Simulated marks what no real model answers.
	Simulated bool
}

// Model is a served model with the engines that may answer for it.
type Model struct {
	ID        string
	Entry     *catalog.Model
	MaxOutput int64
	Burndown  int32 // per mille
	Bindings  []Binding
	MaxQueue  int32
	MaxWait   time.Duration
	// Timeouts go before those of the engines.
	Timeouts engine.Timeouts
	// Mode is that of calls by the model's own name; "" is meter.ModeOnDemand.
	Mode string
	// Scaling makes the model's engines come and go with its calls; nil for those that are just there.
	Scaling *Scaling
}

// Scaling is how the engines of a model follow its calls. Each binding is one instance.
type Scaling struct {
	Rules scale.Rules
	// Desired sets the number by hand, once for each Generation; 0 leaves it to the rules.
	Desired    int32
	Generation uint64
	// MaxHeld and MaxHold bound the calls that wait while no engine is up, and for how long one does; 0 are the bounds of the queue.
	MaxHeld int32
	MaxHold time.Duration
}

// Binding says that an engine serves a model under the engine's own name.
type Binding struct {
	Engine   string
	Declared string // the engine's name in lanes, which all addresses of a name share; Engine when empty
	Upstream string
	Kind     capacity.PoolKind // what stands behind it
	Weight   int32
	Standby  bool // used only while no other binding is up
	Slots    int32
	// Cost is what the engine's tokens cost us, by tier; unknown where nil.
	Cost meter.Tariffs
	// Quota is what the engine's owner lets us have of the model (requests and tokens per minute): of a lane's only engine it is held
	// when a call arrives, of one of several when a call starts there.
	Quota identity.Limits
}

// Route is a name that stands for lanes, in order of preference.
type Route struct {
	Name  string
	Lanes []Lane
}

// Lane is one way of a route to serve a call.
type Lane struct {
	Name  string // as it is shown
	Mode  string // meter.ModeOnDemand or meter.ModeProvisioned
	Model string
	// Reservation is the purchase that the lane uses; "" is none.
	Reservation string
	// Engines restricts the lane to some of the model's, by their declared names; nil is all of them.
	Engines []string
	// Spill says when a call may leave for the next lane, and MaxWait bounds the wait of capacity.SpillOverLatency.
	Spill   capacity.Spill
	MaxWait time.Duration
	// Budget bounds what the calls cost that come here from the lane before; nil does not.
	Budget *Budget
}

// Budget is an amount of money per period.
type Budget struct {
	Nano     int64
	Currency string
	Period   string // PeriodDay or PeriodMonth
	Zone     *time.Location
}

// Account is an account with its limits, over all models and per model.
type Account struct {
	ID     string
	Zone   *time.Location // billing zone of calendar counters
	Limits identity.Limits
	// Models are quotas of the account for one model (requests and tokens per minute, tokens per day).
	Models map[string]identity.Limits
}

// Scope is a team or key with its limits.
type Scope struct {
	ID      string
	Account string
	Limits  identity.Limits
}
