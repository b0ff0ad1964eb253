package capacity

import "slices"

// State is everything the scheduler knows. It is not safe for concurrent use; the zero value is not usable, see New and
// Restore. Slabs hold the objects, maps only find them by handle: nothing ever depends on the order of a map.
type State struct {
	now   Instant
	order uint64 // numbers queueings and admissions, so that lists can be put back in order
	stats Stats

	calls        slab[call]
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
	shrinking []int32  // pools that may soon want fewer replicas
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

// maxFailed is how many replicas a call can have failed on before it is refused.
const maxFailed = 4

// call is one call in flight.
type call struct {
	id          CallID
	state       callState
	tier        Tier // in the present lane
	ownTier     Tier // on a lane without a reservation
	lane        uint8
	numLanes    uint8
	numBuckets  uint8
	numCounters uint8
	numFailed   uint8
	preemptible bool
	stop        Reason // ReasonCancelled or ReasonExpired: told to stop, not to be queued again
	left        Reason // why it left the lane before
	leftBucket  BucketID
	requeued    bool // waits in the list of calls that go first
	placed      Placement
	attempts    int32
	account     AccountID
	principal   PrincipalID
	pool        int32     // of the present lane
	replica     int32     // whose slot it occupies, else 0
	reservation int32     // of the present lane; 0 is under quota
	ran         ReplicaID // whose slot it occupies, or occupied last
	fair        int32     // its principal's node in the present pool and tier; 0 before it was first queued there
	next, prev  int32     // in the list it is in: a principal's, the requeued or the recallable
	listed      bool      // among those that can be recalled
	class       class     // of the queue that it waits in, or waited in last
	unitsOpen   bool      // its reservation has been charged, and not for the last time
	timer       int32     // place in the deadline heap
	lanes       [MaxLanes]Lane
	buckets     [MaxBuckets]bucketHold
	counters    [MaxCounters]counterHold
	failed      [maxFailed]ReplicaID
	n           int32 // completions
	input       int64
	cacheWrite  int64
	asked       int64 // max output per completion as asked for; 0 is the model's
	maxOutput   int64 // over all completions
	prefix      uint64
	kv          int64 // occupied on the replica
	deadline    Instant
	arrived     Instant
	queued      Instant
	started     Instant
	waitEnds    Instant // the earlier of the deadline and the pool's bound; 0 is never
	order       uint64
	sawInput    int64 // what fairness has counted so far
	sawOutput   int64
	unitInput   int64 // what its reservation has been charged so far
	unitOutput  int64
	unitLayers  [2 * numUnitBuckets]int32 // and where
}

// bucketHold is a call's hold on one bucket.
type bucketHold struct {
	bucket int32
	layer  int32
	amount int64
	held   bool
}

// counterHold is a call's hold on one counter.
type counterHold struct {
	counter int32
	held    bool
	period  int64
	amount  int64
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
	if i := s.modelByID[c.lanes[c.lane].Model]; i != 0 {
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
	for _, p := range s.shrinking {
		pool := &s.pools.items[p]
		at, ok = min(at, pool.lowSince.add(pool.ShrinkAfter)), true
	}
	return at, ok
}
