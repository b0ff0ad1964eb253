package capacity

import (
	"slices"
	"time"

	"pgregory.net/rapid"
)

// market is a pool with purchases, parts and replicas, and whoever uses it, as somebody sees it who knows the rules but not how the scheduler
// follows them: sums over lists of what happened, in whole numbers. It drives a State and follows its actions.
type market struct {
	t        *rapid.T
	s        *State
	now      Instant
	next     CallID
	bought   []*purchase
	replicas []*machine
	calls    map[CallID]*customer
	order    []CallID // of the calls that have not ended, in the order of arrival
	ended    map[CallID]int
	admitted map[CallID]bool
	memory   bool
	wanted   int64               // replicas, of an elastic market
	common   amounts             // before the step
	apart    map[*purchase]int64 // before the step, how many calls use what no part has of a purchase's own replicas
}

// purchase is a reservation: one, or a part of one.
type purchase struct {
	id      ReservationID
	parent  *purchase
	backing amounts
	rate    int64
	charges []tokens // in ascending order of time
	bucket  BucketID
	careful bool // stays within its purchase in every minute
	// underWay are the calls that had not ended when the last one was taken, and that one; since is what was charged from then on.
	underWay []CallID
	since    int64
}

// amounts are slots and tokens of memory.
type amounts [2]int64

func (a amounts) plus(b amounts) amounts  { return amounts{a[0] + b[0], a[1] + b[1]} }
func (a amounts) minus(b amounts) amounts { return amounts{max(0, a[0]-b[0]), max(0, a[1]-b[1])} }

type tokens struct {
	at     Instant
	amount int64
}

type machine struct {
	id        ReplicaID
	slots, kv int64
	owner     *purchase
	standby   bool
	up        bool
}

type customer struct {
	id          CallID
	of          *purchase
	tier        Tier
	recallable  bool // may be recalled still
	running     bool
	recalled    bool
	on          *machine
	input, made int64
	maxOutput   int64
}

// newMarket draws a market. Purchases never sell more than there is. A divided one has a purchase with replicas of its own and no shared slots, of which
// its parts have slots.
func newMarket(t *rapid.T, isolated, divided, memory, standby bool) *market {
	m := &market{t: t, s: New(), memory: memory, calls: map[CallID]*customer{}, ended: map[CallID]int{}, admitted: map[CallID]bool{}, apart: map[*purchase]int64{}}
	cfg := &Config{
		Models: []Model{{ID: modelID, Burndown: 5000, MaxOutput: 1000, WeightInput: 1, WeightOutput: 3}},
		Pools:  []Pool{{ID: poolID, MaxQueue: 12, Service: time.Second, AffinityEntries: 8}},
	}
	left := amounts{}
	for range rapid.IntRange(1, 4).Draw(t, "replicas") {
		r := m.machine(rapid.Int64Range(1, 3).Draw(t, "slots"), nil)
		left = left.plus(amounts{r.slots, r.kv})
		m.replicas = append(m.replicas, r)
	}
	sell := func(parent *purchase, most amounts) *purchase {
		r := &purchase{id: ReservationID(len(m.bought) + 1), parent: parent, rate: 60 * rapid.Int64Range(1, 20).Draw(t, "rate")}
		for k := range r.backing {
			r.backing[k] = rapid.Int64Range(0, most[k]).Draw(t, "sold")
		}
		r.bucket = BucketID(r.id)
		b := Bucket{ID: r.bucket, Measure: MeasureTokens, Rate: r.rate}
		x := Reservation{ID: r.id, Pool: poolID, Tokens: r.bucket, Slots: int32(r.backing[0]), KV: r.backing[1]}
		if parent != nil {
			x.Parent = parent.id
		}
		m.bought = append(m.bought, r)
		cfg.Buckets, cfg.Reservations = append(cfg.Buckets, b), append(cfg.Reservations, x)
		return r
	}
	for range rapid.IntRange(1, 3).Draw(t, "purchases") {
		p := sell(nil, left)
		left = left.minus(p.backing)
		inside, rate := p.backing, p.rate
		for range rapid.IntRange(0, 2).Draw(t, "parts") {
			c := sell(p, inside)
			inside = inside.minus(c.backing)
			if c.rate = min(c.rate, rate/60*60/2/60*60); c.rate == 0 {
				c.rate = 60
			}
			cfg.Buckets[len(cfg.Buckets)-1].Rate = c.rate
			rate -= c.rate
		}
	}
	if divided {
		m.own(sell)
	}
	if isolated {
		owner := m.bought[rapid.IntRange(0, len(m.bought)-1).Draw(t, "owner")]
		m.replicas = append(m.replicas, m.machine(2, owner))
	}
	if standby {
		m.replicas = append(m.replicas, &machine{id: ReplicaID(len(m.replicas) + 1), slots: rapid.Int64Range(1, 4).Draw(t, "standby"), standby: true, up: true})
	}
	for _, r := range m.replicas {
		x := Replica{ID: r.id, Pool: poolID, Slots: int32(r.slots), KV: r.kv, Standby: r.standby}
		if r.owner != nil {
			x.Reservation = r.owner.id
		}
		cfg.Replicas = append(cfg.Replicas, x)
	}
	m.s.Step(0, Event{Kind: EventConfigure, Config: cfg}, nil)
	for _, r := range m.replicas {
		m.s.Step(0, Event{Kind: EventReplicaUp, Replica: r.id}, nil)
	}
	return m
}

// machine makes one more replica.
func (m *market) machine(slots int64, owner *purchase) *machine {
	r := &machine{id: ReplicaID(len(m.replicas) + 1), slots: slots, owner: owner, up: true}
	if m.memory {
		r.kv = rapid.Int64Range(100, 1000).Draw(m.t, "memory")
	}
	return r
}

// family is the purchase and, of a part, its parent.
func (p *purchase) family() []*purchase {
	if p.parent == nil {
		return []*purchase{p}
	}
	return []*purchase{p, p.parent}
}

// charge notes what a call is charged. What passes the depth is of calls that were under way when the last was taken.
func (m *market) charge(c *customer, amount int64) {
	for _, f := range c.of.family() {
		f.charges = append(f.charges, tokens{m.now, amount})
		f.since += amount
		if amount > 0 && !slices.Contains(f.underWay, c.id) {
			m.t.Fatalf("call %d is charged, and was not under way when the last call was taken", c.id)
		}
	}
}

// minute is what was charged in the 60 s that end now.
func (p *purchase) minute(now Instant) (sum int64) {
	for _, c := range p.charges {
		if c.at > now-Instant(time.Minute) {
			sum += c.amount
		}
	}
	return sum
}

// room is how much may be charged now without passing the purchase in any minute.
func (p *purchase) room(now Instant) int64 {
	room := int64(1 << 40)
	for _, f := range p.family() {
		room = min(room, f.rate-f.minute(now))
	}
	return max(0, room)
}

// fill is the largest of charges since some moment, less what drained since, in tokens x nanoseconds per minute.
func (p *purchase) fill(now Instant) int64 {
	var most, sum int64
	for _, c := range slices.Backward(p.charges) {
		sum += c.amount * int64(time.Minute)
		most = max(most, sum-p.rate*int64(now-c.at))
	}
	return most
}

// over says why a call is not taken: by how much the fill passes the depth, 0 if it does not.
func (p *purchase) over(now Instant) int64 { return max(0, p.fill(now)-p.rate*int64(time.Minute)) }

// wait is how long it takes until a call is taken, rounded up; 0 is now.
func (p *purchase) wait(now Instant) time.Duration {
	least := int64(1 << 62)
	for _, f := range p.family() {
		least = min(least, (f.over(now)+f.rate-1)/f.rate)
	}
	return time.Duration(least)
}

// primary says whether a shared replica that is no standby is up.
func (m *market) primary() bool {
	return slices.ContainsFunc(m.replicas, func(r *machine) bool { return r.up && r.owner == nil && !r.standby })
}

// shared says whether a replica is one of those that are up and shared: a standby only while no other is.
func (m *market) shared(r *machine) bool { return r.up && r.owner == nil && r.standby != m.primary() }

// use is what firm calls of a reservation take up on shared replicas that are up.
func (m *market) use(p *purchase) (n amounts) {
	for _, id := range m.order {
		if c := m.calls[id]; c.of == p && c.running && !c.recallable && m.shared(c.on) {
			n = n.plus(amounts{1, c.memory()})
		}
	}
	return n
}

// memory is what a call takes up on its replica; one that is too large has it alone.
func (c *customer) memory() int64 { return min(c.input+c.maxOutput, c.on.kv) }

func (m *market) excess(p *purchase) amounts {
	if p.parent != nil {
		return m.use(p).minus(p.shared())
	}
	n, inside := m.use(p), p.backing
	for _, c := range m.bought {
		if c.parent == p {
			n = n.plus(m.excess(c))
			inside = inside.minus(c.shared())
		}
	}
	n = n.minus(inside)
	if p.backing[1] == 0 {
		n[1] = 0
	}
	return n
}

// commonUse is what the rules call so.
func (m *market) commonUse() amounts {
	n := m.use(nil)
	for _, p := range m.bought {
		if p.parent == nil {
			n = n.plus(m.excess(p))
		}
	}
	return n
}

func (m *market) commonCapacity() (n amounts) {
	for _, r := range m.replicas {
		if m.shared(r) {
			n = n.plus(amounts{r.slots, r.kv})
		}
	}
	sold := amounts{}
	for _, p := range m.bought {
		if p.parent == nil {
			sold = sold.plus(p.backing)
		}
	}
	return n.minus(sold)
}

// isolated says whether a reservation has a replica of its own that is up.
func (m *market) isolated(p *purchase) bool {
	for _, r := range m.replicas {
		if r.up && r.owner != nil && (r.owner == p || r.owner == p.parent) {
			return true
		}
	}
	return false
}

// step feeds an event and follows what comes of it.
func (m *market) step(ev Event) []Action {
	m.t.Helper()
	if rapid.IntRange(0, 9).Draw(m.t, "restore") == 0 {
		r, err := Restore(m.s.Snapshot(nil))
		if err != nil {
			m.t.Fatal(err)
		}
		m.s = r
	}
	m.common = m.commonUse()
	for _, p := range m.bought {
		m.apart[p], _, _ = m.undivided(p)
	}
	as := m.s.Step(m.now, ev, nil)
	for i := range as {
		m.follow(&as[i])
	}
	return as
}

func (m *market) follow(a *Action) {
	c := m.calls[a.Call]
	switch {
	case a.Kind == ActionAdmit:
		m.checkLent(c, m.replicas[a.Replica-1])
		c.running, c.on = true, m.replicas[a.Replica-1]
		m.admitted[a.Call] = true
		if on := m.busy(c.on); on > c.on.slots {
			m.t.Fatalf("%d calls on %d slots", on, c.on.slots)
		}
		m.checkFirm(c)
		m.checkPrefix(c, a.Placed)
	case a.Kind == ActionWantReplicas:
		m.wanted = int64(a.N)
	case a.Kind == ActionPreempt:
		c.recalled = true
		if !c.running || !c.recallable {
			m.t.Fatalf("call %d is recalled that cannot be", c.id)
		}
	case a.Kind.Terminal():
		m.ended[a.Call]++
		if m.ended[a.Call] > 1 {
			m.t.Fatalf("call %d ended twice", a.Call)
		}
		m.drop(a.Call)
	}
}

// checkFirm says that a firm call that was just admitted keeps to common capacity, and where it runs.
func (m *market) checkFirm(c *customer) {
	if c.on.owner != nil && !c.recallable && c.of != c.on.owner && (c.of == nil || c.of.parent != c.on.owner) {
		m.t.Fatalf("call %d runs on a replica that is isolated for another", c.id)
	}
	use, capacity := m.commonUse(), m.commonCapacity()
	for k := range use {
		if !c.recallable && use[k] > m.common[k] && use[k] > capacity[k] {
			m.t.Fatalf("common use is %d of %d by call %d, and was %d", use, capacity, c.id, m.common)
		}
	}
	m.common = use
	if p := c.on.owner; p != nil && !c.recallable {
		used, most, bounded := m.undivided(p)
		if bounded && used > m.apart[p] && used > most {
			m.t.Fatalf("%d calls use what no part has of the replicas of reservation %d, which is %d, by call %d; before there were %d", used, p.id, most, c.id, m.apart[p])
		}
		m.apart[p] = used
	}
}

func (m *market) busy(r *machine) (n int64) {
	for _, id := range m.order {
		if c := m.calls[id]; c.running && c.on == r {
			n++
		}
	}
	return n
}

func (m *market) drop(id CallID) {
	delete(m.calls, id)
	m.order = slices.DeleteFunc(m.order, func(x CallID) bool { return x == id })
}

// arrive offers a call of a purchase, or under quota if it is nil.
func (m *market) arrive(of *purchase, tier Tier, recallable bool, input int64) {
	m.next++
	c := &customer{id: m.next, of: of, tier: tier, recallable: recallable, input: input, maxOutput: 1 << 40}
	if m.memory {
		c.maxOutput = rapid.Int64Range(1, 300).Draw(m.t, "maximum")
	}
	m.calls[c.id] = c
	m.order = append(m.order, c.id)
	ev := Event{
		Kind: EventArrive, Call: c.id, Tier: tier, Account: AccountID(rapid.IntRange(1, 3).Draw(m.t, "account")), Preemptible: recallable,
		Principal: PrincipalID(rapid.IntRange(1, 2).Draw(m.t, "principal")),
		Input:     input, MaxOutput: c.maxOutput, Prefix: uint64(rapid.IntRange(0, 3).Draw(m.t, "prefix")),
	}
	lane := Lane{Pool: poolID, Model: modelID}
	if of == nil {
		ev.SetLanes(lane)
		m.step(ev)
		return
	}
	lane.Reservation = of.id
	ev.SetLanes(lane)
	wait, large := of.wait(m.now), m.oversized(c)
	if wait == 0 && !large {
		for _, f := range of.family() {
			f.underWay, f.since = m.underWay(f), 0
		}
		m.charge(c, input)
	}
	as := m.step(ev)
	refused := len(as) > 0 && as[0].Kind == ActionReject
	if wait == 0 && large {
		if !refused || as[0].Reason != ReasonMemory {
			m.t.Fatalf("a call that is too large for reservation %d and all that is common gets %+v", of.id, as)
		}
		return
	}
	if refused != (wait > 0) || refused && (as[0].Reason != ReasonReservation || as[0].RetryAfter != wait || as[0].Estimated) {
		m.t.Fatalf("reservation %d is full for %s, and a call gets %+v", of.id, wait, as)
	}
	if refused && of.careful {
		m.t.Fatalf("a call within the purchase is refused: %+v", as)
	}
}

// underWay returns the calls of a reservation and its parts that have not ended.
func (m *market) underWay(p *purchase) (out []CallID) {
	for _, id := range m.order {
		if c := m.calls[id]; c.of != nil && slices.Contains(c.of.family(), p) {
			out = append(out, id)
		}
	}
	return out
}

// produce tells of n more tokens of a call, or ends it with them.
func (m *market) produce(c *customer, n int64, end bool) {
	c.made += n
	if c.of != nil && n > 0 {
		m.charge(c, n)
	}
	ev := Event{Kind: EventProgress, Call: c.id, Output: c.made}
	if end {
		ev = Event{Kind: EventSettle, Call: c.id, Input: c.input, Output: c.made}
		c.running = false
		m.step(ev)
		return
	}
	m.step(ev)
}

// begin tells that a call has begun to answer.
func (m *market) begin(c *customer) {
	c.recallable, c.recalled = false, false
	m.step(Event{Kind: EventProgress, Call: c.id, Output: c.made, Delivered: true})
}

// free tells that the engine has let go of a call that was recalled.
func (m *market) free(c *customer) {
	c.running, c.recalled = false, false
	if c.of != nil && c.made > 0 {
		m.t.Fatal("the market does not follow refunds")
	}
	m.step(Event{Kind: EventFreed, Call: c.id})
}

// pick returns a call that has not ended of which something is true, nil if there is none.
func (m *market) pick(what string, of func(*customer) bool) *customer {
	var some []*customer
	for _, id := range m.order {
		if c := m.calls[id]; of(c) {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[rapid.IntRange(0, len(some)-1).Draw(m.t, what)]
}

// due is how many calls of purchases wait for a shared slot that is their own.
func (m *market) due() (n int64) {
	for _, p := range m.bought {
		if p.parent != nil || m.isolated(p) {
			continue
		}
		inside, waits, used := p.backing[0], m.waiting(p), m.use(p)[0]
		for _, c := range m.bought {
			if c.parent != p {
				continue
			}
			w := m.waiting(c)
			if m.isolated(c) {
				w = 0
			}
			own := min(w, max(0, c.shared()[0]-m.use(c)[0]))
			n += own
			waits += w - own
			inside -= c.shared()[0]
			used += m.excess(c)[0]
		}
		n += min(waits, max(0, inside-used))
	}
	return n
}

// waiting is how many firm calls of a reservation wait.
func (m *market) waiting(p *purchase) (n int64) {
	for _, id := range m.order {
		if c := m.calls[id]; c.of == p && !c.running && !c.recallable {
			n++
		}
	}
	return n
}

// checkSlots says that nobody waits for a slot of his own that is free, or lent without being recalled.
func (m *market) checkSlots() {
	free, lent, recalled := m.slots(nil)
	if due := m.due(); due > 0 && free > 0 || lent > 0 && recalled < due {
		m.t.Fatalf("%d calls wait for slots of their own; %d slots are free, %d lent, of which %d come back", due, free, lent+recalled, recalled)
	}
	for _, p := range m.bought {
		free, lent, recalled := m.slots(p)
		if !m.owns(p) {
			continue
		}
		if waits := m.claims(p); waits > 0 && free > 0 || waits > recalled && lent > 0 {
			m.t.Fatalf("%d calls wait for isolated replicas; %d slots are free, %d lent, of which %d come back", waits, free, lent+recalled, recalled)
		}
	}
}

// slots counts the slots of replicas that are up and of nobody, or isolated for a purchase: those that are free, that are lent, and that come back.
func (m *market) slots(of *purchase) (free, lent, recalled int64) {
	for _, r := range m.replicas {
		if r.owner != of || !r.up || of == nil && !m.shared(r) {
			continue
		}
		free += max(0, r.slots-m.busy(r))
		for _, id := range m.order {
			switch c := m.calls[id]; {
			case !c.running || c.on != r || !c.recallable:
			case c.recalled:
				recalled++
			default:
				lent++
			}
		}
	}
	return free, lent, recalled
}

// checkFills says that each bucket has what was charged, and that what passes its depth was charged since the last call was taken.
func (m *market) checkFills() {
	m.s.Step(m.now, Event{Kind: EventTick}, nil)
	for _, p := range m.bought {
		b, _ := m.s.Bucket(p.bucket)
		if want := p.fill(m.now); b.Fill != want/int64(time.Minute) {
			m.t.Fatalf("reservation %d has a fill of %d, want %d", p.id, b.Fill, want/int64(time.Minute))
		}
		if p.careful && b.Fill > b.Depth || p.parent == nil && !m.divided(p) && b.Fill > b.Depth+p.since {
			m.t.Fatalf("reservation %d has a fill of %d, and since the last call was taken %d were charged", p.id, b.Fill, p.since)
		}
	}
}

func (m *market) divided(p *purchase) bool {
	return slices.ContainsFunc(m.bought, func(c *purchase) bool { return c.parent == p })
}
