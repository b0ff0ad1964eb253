package capacity

import "time"

// Config is the payload of a Configure event: a delta over what the State knows. Objects are matched by ID.
// Replacing a bucket keeps its fill, replacing a replica keeps its calls, replacing a pool keeps its queue.
// What refers to an unknown object is refused when a call arrives, not here, so order does not matter.
type Config struct {
	Models   []Model
	Buckets  []Bucket
	Counters []Counter
	Pools    []Pool
	// Scalings make pools elastic; their pools must be known by then.
	Scalings []Scaling
	// Reservations are purchases and their parts, a part after its parent. Their pools and buckets must be known by then.
	Reservations []Reservation
	Replicas     []Replica

	RemoveModels   []ModelID
	RemoveBuckets  []BucketID
	RemoveCounters []CounterID
	RemovePools    []PoolID // its waiting calls are refused
	RemoveScalings []PoolID // which stay as they are
	RemoveReplicas []ReplicaID
	// RemoveReservations end purchases and parts, a purchase with its parts: their waiting calls are refused, those that run end as usual.
	RemoveReservations []ReservationID
}

// Model is what the scheduler must know of a served model.
type Model struct {
	ID ModelID
	// Burndown multiplies output tokens in the final charge, per mille; 0 counts as 1000.
	// Source: Amazon Bedrock user guide, "Token burndown rates".
	Burndown int32
	// MaxOutput is held for a call that gives no maximum, tokens per completion.
	MaxOutput int64
	// WeightInput and WeightOutput are the relative prices of a token, for fairness. Only their ratios, also
	// between models, matter; 0 counts as 1.
	WeightInput  int32
	WeightOutput int32
}

// Measure is what a bucket or a counter counts.
type Measure uint8

// The measures.
const (
	MeasureRequests Measure = iota + 1
	// MeasureTokens holds input + cache writes + N x max output, charges input + cache writes + output x burndown.
	MeasureTokens
	// MeasureInput counts input + cache writes only.
	MeasureInput
	// MeasureOutput counts output only, with burndown in the charge.
	MeasureOutput
	// MeasureMoney counts nano-units of one currency (counters).
	MeasureMoney
	// MeasureConcurrent counts calls in flight, from their arrival to their end (counters, of no calendar): it holds 1 and charges nothing.
	MeasureConcurrent

	numMeasures = int(iota) + 1
)

var measureNames = [numMeasures]string{"none", "requests", "tokens", "input", "output", "money", "concurrent"}

// String returns the measure's stable lower-case name.
func (m Measure) String() string { return nameOf(measureNames[:], int(m)) }

// Bucket is a leaky bucket: a fill that drains at Rate per minute, and takes a hold when fill + hold <= Depth.
type Bucket struct {
	ID      BucketID
	Measure Measure
	Rate    int64 // units per minute
	Depth   int64 // units; 0 is one minute of Rate
	// Share says that Rate and Depth come from ShareGranted; until then nothing passes.
	Share bool
}

// Counter limits a total per period of a calendar.
type Counter struct {
	ID       CounterID
	Measure  Measure
	Calendar CalendarID // 0, one period without end, for MeasureConcurrent
	Limit    int64      // units per period
}

// PoolKind is what stands behind a pool. It decides nothing here: a guarantee is stated per kind, and the scheduler's
// explanations carry it.
type PoolKind uint8

// The kinds.
const (
	// PoolOwned is our own replicas, with measured slots.
	PoolOwned PoolKind = iota
	// PoolRented is a quota at another service: its tokens and requests a minute.
	PoolRented
	// PoolBought is provisioned throughput bought at another service.
	PoolBought

	numPoolKinds = int(iota)
)

var poolKindNames = [numPoolKinds]string{"owned", "rented", "bought"}

// String returns the kind's stable lower-case name.
func (k PoolKind) String() string { return nameOf(poolKindNames[:], int(k)) }

// Pool is a set of replicas behind one bounded queue.
type Pool struct {
	ID   PoolID
	Kind PoolKind
	// MaxQueue bounds the waiting calls. One account may use 8/9 of what the others leave, so that a
	// flood leaves room for newcomers. 0 means that nothing waits.
	MaxQueue int32
	// MaxWait refuses a call that has waited so long; 0 is no bound.
	MaxWait time.Duration
	// Service is the first estimate of how long a call occupies a slot; measured ones follow.
	Service time.Duration
	// AffinityEntries is the size of the table prefix -> replica, rounded up to a power of two, at most 65536; 0 is none.
	AffinityEntries int32
	// AffinityLoad bounds how far above its even share a replica may be loaded for the sake of a prefix, per
	// mille; 0 counts as 1250. Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018.
	AffinityLoad int32
	// RetryBudget is the share of retries per admitted call, per mille, above a small constant; 0 is no bound.
	RetryBudget int32
}

// Replica is one engine instance or upstream. It takes calls after ReplicaUp.
type Replica struct {
	ID   ReplicaID
	Pool PoolID
	// Slots bounds concurrent calls.
	Slots int32
	// KV bounds input + output tokens of concurrent calls; 0 is no bound.
	KV int64
	// Weight is the replica's share of the load; 0 counts as 1.
	Weight int32
	// Standby replicas are used only while no other of the pool can be.
	Standby bool
	// Reservation isolates the replica: only the calls of that reservation and of its parts run there, and calls
	// that can be recalled. 0 is a replica that all of the pool share. It cannot be a standby, too.
	Reservation ReservationID
	// Quota are buckets of what the replica's owner lets us have. Calls hold on them from when they start there, by their Measure, and start only
	// where they have room. They must be known by then; 0 is none, and stands last. A lane of one engine can list them with its other limits instead.
	Quota [numQuotas]BucketID
}

// Reservation is capacity that was bought in one pool: a rate of tokens, and the slots that back it. A purchase can be divided into
// parts, one level deep. ID, Pool, Parent and the buckets stay what they were at first; rates and depths of the
// buckets, Slots and KV may change.
type Reservation struct {
	ID   ReservationID
	Pool PoolID
	// Parent is the purchase that this is a part of; 0 is a purchase.
	Parent ReservationID
	// Input, Output and Tokens are the buckets that count input, output and both together, one for one, without burndown and
	// whatever their Measure says; 0 is not bounded. A part has those that its parent has.
	Input, Output, Tokens BucketID
	// Slots are the concurrent calls that back the rate, 0 with replicas of its own; of a part, how many of its parent's are its own, which are
	// slots of the parent's replicas where those back it.
	Slots int32
	// KV are the tokens of memory that back it, as Slots; 0 is not bounded.
	KV int64
}
