package capacity

import "time"

// ActionKind is the tag of an Action.
type ActionKind uint8

// The actions. Of those that name a call, Reject, Settled, Cancelled and Expired are terminal: each call
// that arrived gets exactly one of them, and nothing after it.
const (
	_ ActionKind = iota
	// ActionAdmit sends a call to a replica: Call, Replica, Pool, Model, Lane, Tier, Reservation (0: under quota), Held, Placed.
	ActionAdmit
	// ActionSpill says that a call has left one lane for another: Call, Lane (the new one), Reason, Bucket, Counter, Reservation,
	// RetryAfter, Estimated (why it left the one before, and when there is room there). Admit or Reject follows now or later.
	ActionSpill
	// ActionReject refuses a call: Call, Reason, Lane, Reservation, Bucket or Counter, RetryAfter, Estimated.
	ActionReject
	// ActionPreempt asks to stop a running call: Call, Replica, Reason. With ReasonRecall the call is queued again at Freed,
	// and its lost part must not be billed; it is void if Progress says Delivered before. With ReasonCancelled and ReasonExpired the shell settles it.
	ActionPreempt
	// ActionSettled closes a call's account: Call, Held, Charged, Refunded, Debt.
	ActionSettled
	// ActionCancelled ends a call that was cancelled without a slot: Call. Its hold is given back.
	ActionCancelled
	// ActionExpired ends a call that waited beyond its deadline: Call. Its hold is given back.
	ActionExpired
	// ActionWantReplicas asks for N replicas in all: Pool, N.
	ActionWantReplicas
	// ActionShareWanted says that a share was too small: Bucket, Amount (units short). Not repeated before the next grant.
	ActionShareWanted
	// ActionShareReturned gives back a share that has ended: Bucket, Amount (units of its depth that are not filled).
	ActionShareReturned

	numActions = int(iota)
)

var actionNames = [numActions]string{
	"none", "admit", "spill", "reject", "preempt", "settled", "cancelled", "expired", "want-replicas", "share-wanted", "share-returned",
}

// String returns the kind's stable lower-case name.
func (k ActionKind) String() string { return nameOf(actionNames[:], int(k)) }

// Terminal says that the action is the last one of its call.
func (k ActionKind) Terminal() bool {
	return k == ActionReject || k == ActionSettled || k == ActionCancelled || k == ActionExpired
}

// Reason says why a call was refused, spilled or preempted.
type Reason uint8

// The reasons. "Exact" means that the call, alone, is admitted after RetryAfter.
const (
	ReasonNone Reason = iota
	// ReasonBucket is a bucket without room: Bucket, RetryAfter exact.
	ReasonBucket
	// ReasonCounter is a calendar counter without room: Counter, RetryAfter to the end of its period, as far as
	// WallClock told (0 unknown); estimated, because the wall clock may be set.
	ReasonCounter
	// ReasonOverDepth is a hold that does not fit even into the empty Bucket, or the unused Counter. It is the caller's input that
	// is wrong (max_tokens, as a rule); waiting does not help.
	ReasonOverDepth
	// ReasonZeroLimit is a bucket or counter whose limit is 0.
	ReasonZeroLimit
	// ReasonShareEnded is a share past its end: Bucket. The node must get a new one first.
	ReasonShareEnded
	// ReasonQueueFull is a full queue, or an account's part of it: RetryAfter estimated.
	ReasonQueueFull
	// ReasonDeadline is an expected wait beyond the call's deadline: RetryAfter estimated.
	ReasonDeadline
	// ReasonLatency is a wait beyond the lane's MaxWait, expected or past (Spill only).
	ReasonLatency
	// ReasonWaited is a call that has waited for the pool's MaxWait: RetryAfter estimated.
	ReasonWaited
	// ReasonNoReplica is a pool without a replica that is up.
	ReasonNoReplica
	// ReasonReplicasFailed is a call with no replica left that has not failed it, or that has failed on as many of a pool as it may (four).
	ReasonReplicasFailed
	// ReasonRetryBudget is a retry beyond the pool's budget.
	ReasonRetryBudget
	// ReasonUnknown is a call that names an object which is not configured, or has no lane.
	ReasonUnknown
	// ReasonRecall is a slot wanted back for a higher tier (Preempt only).
	ReasonRecall
	// ReasonCancelled is a client that left (Preempt only).
	ReasonCancelled
	// ReasonExpired is the shell's own time limit (Preempt only).
	ReasonExpired
	// ReasonReservation is a purchase, or a part of one, that has used its rate: Reservation, Bucket, RetryAfter exact.
	ReasonReservation
	// ReasonConcurrent is a ceiling of calls in flight: Counter. When one of them ends nobody knows.
	ReasonConcurrent
	// ReasonMemory is a call larger than the memory that the pool has for work under quota, or that its reservation and all that is common
	// have; waiting does not help.
	ReasonMemory
	// ReasonSoldOut is a pool whose slots all back purchases: work under quota that cannot be recalled has none; waiting does not help.
	ReasonSoldOut
	// ReasonStarting is a call that waited, or would wait, too long for the first replica of an elastic pool: RetryAfter estimated, of when one is up.
	ReasonStarting

	numReasons = int(iota)
)

var reasonNames = [numReasons]string{
	"none", "bucket", "counter", "over-depth", "zero-limit", "share-ended", "queue-full", "deadline", "latency", "waited", "no-replica",
	"replicas-failed", "retry-budget", "unknown", "recall", "cancelled", "expired", "reservation", "concurrent", "memory",
	"sold-out", "starting",
}

// String returns the reason's stable lower-case name.
func (r Reason) String() string { return nameOf(reasonNames[:], int(r)) }

// Placement says why a replica was chosen.
type Placement uint8

// The placements.
const (
	PlacedNowhere Placement = iota
	// PlacedLeastLoad is the replica with the lowest load for its weight.
	PlacedLeastLoad
	// PlacedPrefix is the replica that served the same prompt prefix last, within the load bound.
	PlacedPrefix
	// PlacedStandby is a standby replica, for lack of another.
	PlacedStandby
	// PlacedLent is an idle replica that is isolated for somebody else.
	PlacedLent

	numPlacements = int(iota)
)

var placementNames = [numPlacements]string{"nowhere", "least-load", "prefix", "standby", "lent"}

// String returns the placement's stable lower-case name.
func (p Placement) String() string { return nameOf(placementNames[:], int(p)) }

// Action is one output of Step: a tagged union without pointers, comparable with ==.
type Action struct {
	Kind        ActionKind
	Reason      Reason
	Tier        Tier
	Placed      Placement
	Lane        uint8
	Estimated   bool // RetryAfter is an estimate
	Call        CallID
	Pool        PoolID
	Replica     ReplicaID
	Model       ModelID
	Reservation ReservationID
	Bucket      BucketID
	Counter     CounterID
	N           int32
	Amount      int64
	// RetryAfter is how long to wait; 0 is unknown or of no use.
	RetryAfter time.Duration
	// Tokens of the call under MeasureTokens, whether or not a bucket of that measure applied: what was held at the start,
	// what was charged in the end, what a settlement offered to give back (max(0, held - charged)) and
	// what it charged above the hold (max(0, charged - held)). What really came back is per bucket: see BucketStats.
	Held     int64
	Charged  int64
	Refunded int64
	Debt     int64
}
