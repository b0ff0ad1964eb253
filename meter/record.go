package meter

import "time"

// Outcomes of calls, for metrics and queries.
const (
	OutcomeOK       = "ok"
	OutcomeRefused  = "refused"  // by a quota, a budget, the queue, or as invalid
	OutcomeFailed   = "failed"   // by the model or an engine
	OutcomeCanceled = "canceled" // the client left
)

// Capacity modes of calls.
const (
	ModeOnDemand    = "on-demand"
	ModeProvisioned = "provisioned"
	ModeDedicated   = "dedicated"  // an endpoint of instances
	ModeServerless  = "serverless" // an endpoint that follows its calls
)

// Record is one row of the ledger: one call. Times are wall-clock instants and durations
// measured on the monotonic clock.
type Record struct {
	RequestID    string
	InvocationID string // equal for all attempts that one client call made
	Attempt      int    // the client's own number of the attempt; 0 unknown
	Account      string // "" for a caller that was not authenticated
	Team         string
	Key          string
	Tags         map[string]string

	Task        string // gen_ai.operation.name: "chat", "text_completion", "embeddings"; not on the ledger
	API         string
	Operation   string
	ModelAsked  string
	Model       string
	Region      string // prefix of a system inference profile
	Mode        string // ModeOnDemand, ModeProvisioned, ModeDedicated, ModeServerless
	Reservation string // the purchase that served the call, "" for none; its hours are charged, not the call
	Route       string // the route that was called, "" for a model by a name of its own
	Lane        int    // of the route, from 0
	LaneName    string
	Spill       string // the lanes that the call has left, and why
	TierAsked   string
	Tier        string
	Stream      bool
	Engine      string // the engine of the last attempt
	Simulated   bool
	Arrived     time.Time
	Deadline    time.Time
	Queue       time.Duration // from the scheduler's door to admission
	FirstToken  time.Duration // from arrival; 0 when there was none
	Total       time.Duration
	MaxTokens   int64
	Estimate    int64 // input tokens, before the engine had counted them
	Held        int64 // tokens
	HeldMoney   int64 // nano-units
	Spent       int64 // nano-units that budgets were charged; on the ledger where the charge is not known
	Input       int64
	Output      int64
	CacheRead   int64
	CacheWrite  int64
	UsageGuess  bool // the engine did not report usage
	Media       int64
	Status      int // HTTP
	Outcome     string
	Reason      string // a fault kind, "" for ok
	Charge      Lines  // what the caller's team is shown
	Cost        Lines  // what the call cost us
	Explanation []byte // JSON, for `forebay explain`
	// Count is more than 1 for a row that stands for refusals aggregated over a minute; Estimate and
	// MaxTokens are sums then, and what differs between them is left out.
	Count    int64
	Attempts []Attempt
}

// Attempt is one try at one engine.
type Attempt struct {
	Engine   string
	Began    time.Duration // from arrival
	Took     time.Duration
	Err      error  // nil for success
	Outcome  string // a fault kind, "ok"
	Recalled bool
	Lane     string // the name of the lane it was in, "" without a route
	// Input and Output are tokens that the engine worked on and nobody got, as far as they are known: the caller is
	// not charged for them. Lost is what they cost us.
	Input, Output int64
	Lost          Lines
}
