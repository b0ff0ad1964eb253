package capacity

import "slices"

// State is everything the scheduler knows. It is not safe for concurrent use; the zero value is not usable, see New and
// Restore. Slabs hold the objects, maps only find them by handle: nothing ever depends on the order of a map.
type State struct {
	now   Instant
	order uint64 // numbers queueings and admissions, so that lists can be put back in order
	stats Stats

	calls        callSlab
	buckets      slab[bucket]
	counters     slab[counter]
	models       slab[Model]
	pools        slab[pool]
	replicas     slab[replica]
	nodes        slab[node]
	tenants      slab[tenant]
	reservations slab[reservation]

	callByID        map[CallID]int32
	bucketByID      map[BucketID]int32
	counterByID     map[CounterID]int32
	modelByID       map[ModelID]int32
	poolByID        map[PoolID]int32
	replicaByID     map[ReplicaID]int32
	nodeByKey       map[nodeKey]int32
	tenantByKey     map[tenantKey]int32
	reservationByID map[ReservationID]int32
	calendars       map[CalendarID]calendar

	deadlines deadlines
	scaling   []int32  // pools whose rules have something to do at a time
	waking    []int32  // pools in which calls wait for quota of replicas
	touched   []PoolID // pools whose objects a configuration has changed
	stamp     uint64   // tells a list that names an object twice
	refused   [keptRefusals]Explanation
	refusedAt uint64

	out []Action // of the Step that is running
}

// New returns an empty State. Configure comes first.
func New() *State {
	return &State{
		callByID:        make(map[CallID]int32),
		bucketByID:      make(map[BucketID]int32),
		counterByID:     make(map[CounterID]int32),
		modelByID:       make(map[ModelID]int32),
		poolByID:        make(map[PoolID]int32),
		replicaByID:     make(map[ReplicaID]int32),
		nodeByKey:       make(map[nodeKey]int32),
		tenantByKey:     make(map[tenantKey]int32),
		reservationByID: make(map[ReservationID]int32),
		calendars:       make(map[CalendarID]calendar),
	}
}

// Now returns the time of the last Step.
func (s *State) Now() Instant { return s.now }

// callState is where a call is on its road.
type callState uint8

const (
	// callWaiting is in a queue, with its holds.
	callWaiting callState = iota + 1
	// callRunning occupies a slot.
	callRunning
	// callParked has lost its slot and awaits Retry or Settle.
	callParked
	// callRecalled occupies a slot that it was asked to give back; queued again when Freed.
	callRecalled
	// callLingering is settled and occupies a slot until Freed.
	callLingering

	numCallStates = int(iota) + 1
)

// maxFailed is how many replicas of a pool a call can fail on: then the pool refuses it, whatever other replicas it has.
const maxFailed = 4

// call is one call in flight. Of the lists only as many items count as the call has.
type call struct {
	callCore
	lanes [MaxLanes]Lane
	holds [max(MaxBuckets, MaxCounters)]limitHold
	quota [numQuotas]bucketHold // of the replica that it runs on
	units [2 * numUnitBuckets]unitHold
}

// limitHold is a call's hold on a bucket, and one on a counter: most calls have some of both, which lie together.
type limitHold struct {
	bucket  bucketHold
	counter counterHold
}

// callCore is what is looked at of a call in a long queue: it lies together.
type callCore struct {
	id          CallID
	state       callState
	tier        Tier // in the present lane
	ownTier     Tier // on a lane without a reservation
	lane        uint8
	numLanes    uint8
	numBuckets  uint8
	numCounters uint8
	numFailed   uint8
	class       class // of the queue that it waits in, or waited in last
	preemptible bool
	requeued    bool // waits in the list of calls that go first
	listed      bool // among those that can be recalled
	quoted      bool // holds on its replica's quota
	told        bool // to give its slot back for another, and has not yet
	unitsOpen   bool // its reservation has been charged, and not for the last time
	placed      Placement
	stop        Reason    // ReasonCancelled or ReasonExpired: told to stop, not to be queued again
	left        Reason    // why it left the lane before
	pool        int32     // of the present lane
	reservation int32     // of the present lane; 0 is under quota
	model       int32     // where the present lane's was found; another may be there by now
	fair        int32     // its principal's node in the present pool and tier; 0 before it was first queued there
	next, prev  int32     // in the list it is in: a principal's, the requeued, or one of a replica
	timer       int32     // place among the deadlines
	scar        int32     // place among the calls of its pool that wait and have failed on a replica, counted from 1
	replica     int32     // whose slot it occupies, else 0
	ran         ReplicaID // whose slot it occupies, or occupied last
	order       uint64
	waitEnds    Instant // the earlier of the deadline and the pool's bound; 0 is never
	deadline    Instant
	input       int64
	cacheWrite  int64
	asked       int64 // max output per completion as asked for; 0 is the model's
	maxOutput   int64 // over all completions
	prefix      uint64
	kv          int64 // occupied on the replica
	arrived     Instant
	queued      Instant
	started     Instant
	sawInput    int64 // what fairness has counted so far
	sawOutput   int64
	unitInput   int64 // what its reservation has been charged so far
	unitOutput  int64
	account     AccountID
	principal   PrincipalID
	n           int32 // completions
	attempts    int32
	leftBucket  BucketID // that had no room for it in the lane before
	failed      [maxFailed]ReplicaID
}

// bucketHold is a call's hold on one bucket.
type bucketHold struct {
	bucket int32
	layer  int32
	amount int64
	held   bool
}

// unitHold is where a call has been charged in a bucket of its reservation.
type unitHold struct {
	layer int32 // of its input
	made  int32 // of the first output of its present attempt; 0 is none
}

// counterHold is a call's hold on one counter.
type counterHold struct {
	period  int64
	amount  int64
	counter int32
	held    bool
}

// hasFailedOn says whether the call is to avoid a replica.
func (c *call) hasFailedOn(r ReplicaID) bool {
	return slices.Contains(c.failed[:c.numFailed], r)
}

// hasSlot says whether the call occupies a slot of its replica.
func (c *call) hasSlot() bool {
	return c.state == callRunning || c.state == callRecalled || c.state == callLingering
}

// modelOf returns the model of the call's lane, with defaults in place of what is not known any more.
func (s *State) modelOf(c *call) Model {
	var m Model
	id := c.lanes[c.lane].Model
	if i := c.model; i != 0 && s.models.items[i].ID == id {
		m = s.models.items[i]
	} else if i = s.modelByID[id]; i != 0 {
		m = s.models.items[i]
	}
	if m.Burndown <= 0 {
		m.Burndown = 1000
	}
	m.WeightInput = max(1, m.WeightInput)
	m.WeightOutput = max(1, m.WeightOutput)
	return m
}

func (s *State) emit(a Action) { s.out = append(s.out, a) }

// NextWake returns when a Tick is needed at the latest, if no other event comes before.
func (s *State) NextWake() (Instant, bool) {
	at, ok := maxInstant, false
	if len(s.deadlines) > 0 {
		at, ok = s.deadlines[0].at, true
	}
	for _, p := range s.scaling {
		at, ok = min(at, s.pools.items[p].scaling.wakes), true
	}
	for _, p := range s.waking {
		at, ok = min(at, s.pools.items[p].wakes), true
	}
	return at, ok
}
