package plan

// Answer is all that is known of a question. As JSON it is the documented output of forebay plan: amounts are nano-units of Currency, times
// nanoseconds, shares are per mille unless their name says otherwise.
type Answer struct {
	Version  int    `json:"version"` // of this form: 1
	Currency string `json:"currency"`
	// Days and Hours are the month that costs are given for.
	Days     int64    `json:"days"`
	Hours    int64    `json:"hours"`
	Model    string   `json:"model"`
	Region   string   `json:"region"`
	Deadline int64    `json:"deadlineNanos,omitzero"`
	Seed     uint64   `json:"seed"`
	Traffic  *Traffic `json:"traffic"`

	// Verdict is the answer in one sentence, Reasons what it rests on.
	Verdict     string   `json:"verdict"`
	Reasons     []string `json:"reasons"`
	Recommended string   `json:"recommended"` // Option.ID
	// Options are ranked: those that are possible by their cost, then those of which something is not known, then what is impossible.
	Options []*Option `json:"options"`

	BreakEven []BreakEven `json:"breakEven,omitempty"`
	Bounds    []Bound     `json:"bounds,omitempty"`
	Flips     []Flip      `json:"flips,omitempty"`
	Frontier  []Point     `json:"frontier,omitempty"`
	// Searches say how the mixes of several kinds were searched.
	Searches []Search    `json:"searches,omitempty"`
	Idle     []IdlePoint `json:"idleTimeouts,omitempty"`
	Regrets  []Regret    `json:"regrets,omitempty"`
	// Certainty is how sure the best number of units of each term is, and Courses what each term costs as traffic may go on.
	Certainty []Certainty `json:"certainty,omitempty"`
	Courses   []Course    `json:"courses,omitempty"`
	// Callers says who waits long enough for the answers of the best option whose latency is known, and Instead what is best without waiting, where the deadline
	// rules something out.
	Callers []Fit    `json:"callers,omitempty"`
	Instead *Instead `json:"instead,omitempty"`
	// Clients say what becomes of refused calls on demand by how clients try again; none where none is refused.
	Clients []Client `json:"clients,omitempty"`
	Sizing  *Sizing  `json:"sizing,omitempty"`
	// Complete is false where the answer was asked for before it was finished.
	Complete bool     `json:"complete"`
	Warnings []string `json:"warnings,omitempty"`
	// Lines trace every figure.
	Lines []Line `json:"lines"`
}

// Mode is one of the ways in which capacity is sold.
type Mode string

// The modes, and mixes of them.
const (
	OnDemand    Mode = "on-demand"
	Batch       Mode = "batch"
	Provisioned Mode = "provisioned"
	Mix         Mode = "provisioned+on-demand"
	Endpoint    Mode = "endpoint"
	Serverless  Mode = "serverless"
	// ReservedTier is tokens a minute that are bought, with what exceeds them at the default tier.
	ReservedTier Mode = "reserved-tier"
)

// State says whether a way of serving can be had.
type State string

// The states.
const (
	Possible State = "possible"
	// Unknown is one whose price, size or speed is not known: it has bounds instead of a cost.
	Unknown    State = "unknown"
	Impossible State = "impossible"
)

// Method says where a figure comes from.
type Method string

// The methods.
const (
	ClosedForm Method = "closed form"
	Replayed   Method = "replay"
)

// Option is one way of serving the traffic.
type Option struct {
	ID    string `json:"id"` // unique in an answer: "on-demand", "provisioned/1-month/4"
	Mode  Mode   `json:"mode"`
	Name  string `json:"name"` // in words
	State State  `json:"state"`
	Model string `json:"model,omitempty"` // where it is not the one that was asked about
	// Why says why it is impossible, or what is not known of it.
	Why  string `json:"why,omitempty"`
	Cost *Cost  `json:"cost,omitempty"`
	// AtLeast is what it costs at least where not all of it is known; 0 is not known either.
	AtLeast int64 `json:"atLeast,omitzero"`

	Units int64  `json:"units,omitzero"` // bought: model units, or instances
	Term  string `json:"term,omitempty"`
	// Rules names those of another cloud, by which calls are admitted to what is bought.
	Rules string `json:"rules,omitempty"`

	// Refused are calls that are not served at once, of a million, and Spilled those that a purchase leaves to on demand. Nil is not known.
	Refused *PerMillion `json:"refused,omitempty"`
	Spilled *PerMillion `json:"spilled,omitempty"`
	// Held are calls, of a million, that found no engine up and waited for one to start.
	Held *PerMillion `json:"held,omitempty"`
	// First is the time to the first token, Whole that to the last one; nil is not known, and Speed says why.
	First *Quantiles `json:"firstToken,omitempty"`
	Whole *Quantiles `json:"endToEnd,omitempty"`
	Speed string     `json:"speed,omitempty"`
	// Waited is the time to the last token of the calls that may wait, nil where there are none or it is not known; Recalled how often, of a million of them, one was
	// stopped for another call and began again.
	Waited   *Quantiles  `json:"mayWaitEndToEnd,omitempty"`
	Recalled *PerMillion `json:"recalled,omitempty"`
	// Throttles are refusals of attempts by what refused them, in the order of the words.
	Throttles []Throttle `json:"throttles,omitempty"`
	// Idle is what a month costs of what is paid for and not used.
	Idle int64 `json:"idleCost,omitzero"`
	// Used is how much of what is paid for is used, per mille; nil where nothing is paid for that is not used.
	Used *int64 `json:"utilisation,omitempty"`

	Commitment string `json:"commitment"`
	Control    string `json:"control"`
	Upkeep     string `json:"upkeep"`

	// Decided is how its place was found: by closed form alone, or by replay.
	Decided     Method   `json:"decided"`
	Assumptions []string `json:"assumptions,omitempty"`
}

// Cost is what an option costs a month.
type Cost struct {
	Low  int64 `json:"low"`
	Mid  int64 `json:"mid"`
	High int64 `json:"high"`
	// Kind is "range" over the assumptions in Over, "interval" from resampled data, or "point" where neither is to be had.
	Kind string    `json:"kind"`
	Over []string  `json:"over,omitempty"`
	Rows []CostRow `json:"rows"`
}

// CostRow is one product of the middle cost.
type CostRow struct {
	What     string `json:"what"`
	Quantity int64  `json:"quantity"` // a month
	Unit     string `json:"unit"`     // of the quantity: "input tokens", "unit hours"
	Rate     int64  `json:"rate"`     // nano-units per Per
	Per      string `json:"per"`      // "million input tokens", "unit hour"
	Amount   int64  `json:"amount"`
	Source   string `json:"source"` // of the rate
}

// PerMillion is a share of calls.
type PerMillion struct {
	Share  int64  `json:"perMillion"`
	Method Method `json:"method"`
}

// Throttle is how often something refused an attempt, in the replay.
type Throttle struct {
	By       string `json:"by"`
	Attempts int64  `json:"attempts"`
}

// Quantiles are times.
type Quantiles struct {
	P50 int64 `json:"p50Nanos"`
	P95 int64 `json:"p95Nanos"`
	P99 int64 `json:"p99Nanos"`
	// Slower and Faster are the same where every step of the engine takes 5 % longer, or shorter: what an error of the coefficients does. Nil is not
	// computed.
	Slower *Times `json:"at105Percent,omitempty"`
	Faster *Times `json:"at95Percent,omitempty"`
	Method Method `json:"method"`
}

// Times are quantiles under another assumption.
type Times struct {
	P50 int64 `json:"p50Nanos"`
	P95 int64 `json:"p95Nanos"`
	P99 int64 `json:"p99Nanos"`
}

// BreakEven is where something bought by the hour costs what the same calls cost on demand.
type BreakEven struct {
	Against string `json:"against"` // what is bought: "1 unit at 24.00 USD/h"
	// PerDay is the volume, in calls a day round the clock; PerMinute the same, sustained.
	PerDay    int64 `json:"callsPerDay"`
	PerMinute int64 `json:"callsPerMinuteMilli"` // thousandths
	// Used is the share of the unit that must be used, per mille; 0 where its size is not known. Above 1000 it never wins on price.
	Used    int64  `json:"utilisation,omitzero"`
	Formula string `json:"formula"`
	Values  string `json:"values"`
	Note    string `json:"note,omitempty"`
}

// Bound is what can be said without a figure that is missing.
type Bound struct {
	Missing string `json:"missing"` // what is not known
	Says    string `json:"says"`
	// Settles is true where the missing figure cannot change the answer.
	Settles bool `json:"settles"`
}

// Flip is an assumption that changes the answer.
type Flip struct {
	What string `json:"what"` // "the volume"
	// At is where, in words with the figure, and To the option that is best from there on.
	At string `json:"at"`
	To string `json:"to"`
}

// IdlePoint is a serverless endpoint with another idle timeout, by closed form.
type IdlePoint struct {
	Idle int64 `json:"idleNanos"`
	Cost int64 `json:"cost"` // a month
	Cold int64 `json:"coldPerMillion"`
}

// Client is the traffic on demand with clients of one kind, replayed within the quota.
type Client struct {
	ID    string `json:"id"`
	Words string `json:"words"`
	Asked bool   `json:"asked"` // the options count on these
	// Refused are the calls that are never served, of a million, and Late those that are served after an attempt was refused; Delay is how long 99 % of
	// the latter wait for that at most, and Attempts how many a call takes in the mean, in thousandths.
	Refused  int64 `json:"refusedPerMillion"`
	Late     int64 `json:"latePerMillion"`
	Delay    int64 `json:"p99DelayNanos"`
	Attempts int64 `json:"attemptsMilli"`
}

// Sizing is what a cloud asks for with a request for quota.
type Sizing struct {
	Model           string `json:"model"`
	Region          string `json:"region"`
	SteadyRequests  int64  `json:"steadyRequestsPerMinute"`
	PeakRequests    int64  `json:"peakRequestsPerMinute"`
	SteadyTokens    int64  `json:"steadyTokensPerMinute"`
	PeakTokens      int64  `json:"peakTokensPerMinute"`
	SteadyCharged   int64  `json:"steadyChargedTokensPerMinute"` // with the model's burndown of output
	PeakCharged     int64  `json:"peakChargedTokensPerMinute"`
	PeakHeld        int64  `json:"peakHeldTokensPerMinute"` // input and max_tokens, as admission holds them
	MaxOutput       int64  `json:"maxTokens"`               // counted on for that
	MeanInput       int64  `json:"meanInputTokens"`
	MeanOutput      int64  `json:"meanOutputTokens"`
	Burndown        int64  `json:"burndownPermille"`
	DefaultRequests int64  `json:"defaultRequestsPerMinute,omitzero"`
	DefaultTokens   int64  `json:"defaultTokensPerMinute,omitzero"`
	DefaultSource   string `json:"defaultSource,omitempty"`
	DefaultIsEnough bool   `json:"defaultIsEnough"`
	TokensPerDay    int64  `json:"chargedTokensOfBusiestDay"`
}

// Line is one figure and where it comes from.
type Line struct {
	ID      string `json:"id"` // "on-demand.cost"
	What    string `json:"what"`
	Formula string `json:"formula"`
	Values  string `json:"values"` // the formula with figures
	Result  string `json:"result"`
	Source  string `json:"source,omitempty"`
	Method  Method `json:"method"`
}
