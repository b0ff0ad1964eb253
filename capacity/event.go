package capacity

import "time"

// Instant is a moment on the shell's monotonic clock, in nanoseconds from an origin that the
// shell chooses. It may be negative: a rebuild after a restart charges usage from before the origin.
type Instant int64

// add returns t+d without wrapping.
func (t Instant) add(d time.Duration) Instant {
	s := t + Instant(d)
	if d > 0 && s < t {
		return maxInstant
	}
	return s
}

const maxInstant = Instant(1<<63 - 1)

// Handles. The shell numbers its objects and says what a number means with a Configure event; 0 means
// "none" everywhere. Accounts, principals and calendars need no configuration: any number will do.
type (
	// CallID names one call. It must not be used again before the call's terminal action has come out
	// and, where Settle said SlotHeld, before Freed has gone in.
	CallID uint64
	// BucketID names a leaky bucket of one scope and measure.
	BucketID uint32
	// CounterID names a calendar counter (tokens per day, money per month).
	CounterID uint32
	// CalendarID names a sequence of periods that counters share, such as "days in Europe/Rome".
	CalendarID uint32
	// PoolID names a set of replicas that serve the same work behind one queue.
	PoolID uint32
	// ReplicaID names one engine instance or upstream.
	ReplicaID uint32
	// ModelID names a served model: its burndown and its weights for fairness.
	ModelID uint32
	// AccountID is the outer unit of fairness.
	AccountID uint32
	// PrincipalID is the inner unit of fairness, inside one account.
	PrincipalID uint32
	// ReservationID names bought capacity; 0 is work under quota.
	ReservationID uint32
)

// Bounds of one event. The shell checks them when objects are configured; an event beyond them cannot be built.
const (
	// MaxLanes is the number of lanes a route can have.
	MaxLanes = 4
	// MaxBuckets is the number of buckets that can apply to one call:
	// key, team and account, each over all models and for this one, each requests and tokens, and some for upstreams.
	MaxBuckets = 16
	// MaxCounters is the number of calendar counters that can apply to one call.
	MaxCounters = 16
	// MaxTokens is the largest amount the scheduler distinguishes; larger ones saturate to it.
	// Limits, token counts and money (nano-units) all stay at or below it.
	MaxTokens int64 = 1 << 62
)

// Tier orders work inside a pool. A smaller value is served first; the zero value counts as TierDefault.
type Tier uint8

// The tiers, in the order in which they are served.
const (
	TierReserved Tier = iota + 1
	TierPriority
	TierDefault
	TierFlex
	TierBatch

	numTiers = int(TierBatch) + 1
)

var tierNames = [numTiers]string{"none", "reserved", "priority", "default", "flex", "batch"}

// String returns the tier's stable lower-case name.
func (t Tier) String() string { return nameOf(tierNames[:], int(t)) }

// Spill says when a call may leave a lane for the next one of its route; a bit set, 0 is never.
type Spill uint8

// The rules.
const (
	// SpillOverRate leaves the lane when one of its buckets or counters refuses.
	SpillOverRate Spill = 1 << iota
	// SpillOverLatency leaves the lane when its queue is full, the deadline cannot be met, the wait exceeds Lane.MaxWait as it is
	// expected or as it was, the pool's bound of waiting has come, no replica comes up in time, or the call is larger than the memory that it could get.
	SpillOverLatency
	// FailOver leaves the lane when no replica of it is up, or when each has failed this call.
	FailOver
)

// Lane is one way to serve a call. Buckets and Counters are bit masks over the lists of the Arrive event:
// bit i set means that list entry i applies in this lane, so that one event can say that a provisioned
// lane does not touch the on-demand quota while a key's requests per minute always count.
type Lane struct {
	Pool        PoolID
	Model       ModelID
	Reservation ReservationID // whose purchase the lane uses; 0 is work under quota
	Spill       Spill
	Buckets     uint16
	Counters    uint16
	Money       int64         // what to hold on money counters in this lane, nano-units
	MaxWait     time.Duration // bound of SpillOverLatency; 0 is none
}

// AllLimits in Lane.Buckets or Lane.Counters applies every entry of the event's list.
const AllLimits uint16 = 1<<16 - 1

// EventKind is the tag of an Event.
type EventKind uint8

// The events. The comment of each names the fields it reads; all others must be zero.
const (
	_ EventKind = iota
	// EventConfigure applies Config: a delta, objects in it are created or replaced by id, those
	// in its Remove lists are forgotten as soon as no call refers to them.
	EventConfigure
	// EventArrive offers a call: Call, Tier, Account, Principal, Lanes, Buckets, Counters, Input, CacheWrite,
	// MaxOutput, N, Prefix, Preemptible, Deadline. Answered at once or later by Admit or Reject, or Expired.
	EventArrive
	// EventProgress reports cumulative tokens of a running call: Call, Output; Input if it is known
	// better by now. Delivered says that bytes have gone to the client, which ends preemptibility.
	EventProgress
	// EventSettle ends a call: Call, Input, CacheRead, CacheWrite, Output, Money as really used (all 0 for a call
	// that failed without use). It frees the slot unless SlotHeld is set, in which case Freed must follow.
	EventSettle
	// EventCancel says that the client has gone: Call. A call without a slot ends with Cancelled; a running
	// one is answered with Preempt, and the shell settles it once the engine has stopped; also one that is being
	// recalled, which Freed then does not queue again.
	EventCancel
	// EventExpire is EventCancel because the shell's own time limit passed: Call. Ends with Expired.
	EventExpire
	// EventRetry queues a call again, ahead of the others of its tier and under the hold it has, after an attempt failed
	// before the first byte: Call, Replica (to be avoided from now on; 0 for none). It frees the slot if Freed has not.
	// One that is Unread takes nothing of the pool's retry budget.
	EventRetry
	// EventFreed says that the engine has let go of a call: Call. Sent after Preempt, after a Settle with
	// SlotHeld, or when an attempt has ended and its Retry will follow later.
	EventFreed
	// EventReplicaUp makes a configured replica take calls: Replica; Slots and KV replace the configured values if not 0.
	EventReplicaUp
	// EventReplicaDown stops new calls to a replica (dead, unhealthy, or an open circuit breaker): Replica. Its
	// running calls end as usual, by Settle, Retry or Freed.
	EventReplicaDown
	// EventReplicaDraining is EventReplicaDown for a replica that will finish what it runs and not return: Replica.
	EventReplicaDraining
	// EventShareGranted turns a bucket into a share of a wider one: Bucket, Rate, Depth, Until. Past Until
	// nothing is admitted through it, and it does not drain.
	EventShareGranted
	// EventShareEnded takes a share back now: Bucket. Answered by ShareReturned.
	EventShareEnded
	// EventWallClock starts a period of a calendar: Calendar, Period, At (the expected end of the period on the monotonic
	// clock, 0 unknown). Periods only grow; an older one is ignored and counted.
	EventWallClock
	// EventCharge rebuilds usage from the ledger: Bucket with Amount at At (not after now, ascending per bucket), or Counter
	// with Amount in Period. Nothing is refused; what exceeds a depth is debt.
	EventCharge
	// EventTick only lets time pass. Send it at NextWake.
	EventTick

	numEvents = int(iota)
)

var eventNames = [numEvents]string{
	"none", "configure", "arrive", "progress", "settle", "cancel", "expire", "retry", "freed", "replica-up", "replica-down",
	"replica-draining", "share-granted", "share-ended", "wall-clock", "charge", "tick",
}

// String returns the kind's stable lower-case name.
func (k EventKind) String() string { return nameOf(eventNames[:], int(k)) }

// Event is one input of Step: a tagged union without pointers, but for Config, which only a Configure event
// carries; Step copies what it needs from it. Negative amounts count as 0.
type Event struct {
	Kind EventKind

	// The call and what is known of it.
	Call        CallID
	Tier        Tier
	Preemptible bool // the call may be stopped and queued again until Progress says Delivered
	Delivered   bool
	SlotHeld    bool
	Unread      bool // the attempt's connection had been closed before the engine could read the call
	Account     AccountID
	Principal   PrincipalID
	NumLanes    uint8
	NumBuckets  uint8
	NumCounters uint8
	Lanes       [MaxLanes]Lane
	Buckets     [MaxBuckets]BucketID
	Counters    [MaxCounters]CounterID
	N           int32 // how many completions; 0 counts as 1
	Input       int64 // tokens, without those read from or written to a cache; estimated in Arrive, actual in Settle
	CacheRead   int64 // tokens
	CacheWrite  int64 // tokens
	Output      int64 // tokens so far, over all completions
	MaxOutput   int64 // tokens per completion; 0 is the model's maximum
	Money       int64 // nano-units
	Prefix      uint64
	Deadline    Instant // when waiting is no longer of use; 0 is never

	// Everything else.
	Replica  ReplicaID
	Slots    int32
	KV       int64 // tokens
	Bucket   BucketID
	Rate     int64 // units per minute
	Depth    int64 // units; 0 is one minute of Rate
	Until    Instant
	Counter  CounterID
	Calendar CalendarID
	Period   int64
	Amount   int64
	At       Instant
	Config   *Config
}

// SetLanes sets the route's lanes, at most MaxLanes of them.
func (e *Event) SetLanes(lanes ...Lane) { e.NumLanes = uint8(copy(e.Lanes[:], lanes)) }

// SetBuckets sets the buckets that apply, at most MaxBuckets of them.
func (e *Event) SetBuckets(ids ...BucketID) { e.NumBuckets = uint8(copy(e.Buckets[:], ids)) }

// SetCounters sets the calendar counters that apply, at most MaxCounters of them.
func (e *Event) SetCounters(ids ...CounterID) { e.NumCounters = uint8(copy(e.Counters[:], ids)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}
