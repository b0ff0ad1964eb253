package dispatch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"forebay/capacity"
	"forebay/catalog"
	"forebay/engine"
	"forebay/infer"
	"forebay/meter"
)

// world is what calls look up without the mutex: an immutable view of the topology and
// of the handles its objects have in the scheduler.
type world struct {
	models       map[string]*servedModel
	pools        map[string]*servedModel // by pool: the models, and models on some of their engines
	routes       map[string]*route
	upstream     map[[2]string]scopeRef // whose quota a model, the second, uses on an engine
	reservations map[string]*reserved
	tiers        map[tierOf][]*reserved
	replicas     map[capacity.ReplicaID]*replica
	scopes       map[scopeRef][]limit
	accounts     map[string]capacity.AccountID
	principals   map[string]capacity.PrincipalID
	engines      []*engineState
}

// servedModel is a model with its pool.
type servedModel struct {
	name      string
	entry     *catalog.Model
	id        capacity.ModelID
	pool      capacity.PoolID
	maxOutput int64
	timeouts  engine.Timeouts
	replicas  []*replica
	ratio     *ratio
	charge    meter.Tariffs
	quota     []limit // of the engine, where it is the only one
	rented    []limit // those of engines beside each other, which the scheduler holds when it has chosen one
	alone     lane    // in which it serves without a route
}

var unpriced meter.Tariffs

// charged finds by whose tariffs a call of m is charged: those of the named model, which are not
// known when it is not in the catalogue; of m itself when none is named.
func (w *world) charged(name string, m *servedModel) *meter.Tariffs {
	if name == "" || name == m.name {
		return &m.charge
	}
	if other := w.models[name]; other != nil {
		return &other.charge
	}
	return &unpriced
}

// replica is one engine as it serves one model.
type replica struct {
	id        capacity.ReplicaID
	name      string // the engine's name
	declared  string // as lanes have it
	purchase  string // for which it is isolated, "" for none
	client    engine.Client
	upstream  string
	simulated bool
	kind      capacity.PoolKind
	cost      meter.Tariffs
	engine    *engineState
}

// engineState is an engine and its health, shared by the replicas of all models on it.
type engineState struct {
	Engine
	replicas []*replica
	breaker  breaker // guarded by the Dispatcher's mutex
}

func (w *world) accountID(account string) capacity.AccountID { return w.accounts[account] }

func (w *world) principalID(c infer.Caller) capacity.PrincipalID { return w.principals[c.Key] }

// ids remembers the handle of everything that ever had one, so that an object which comes
// back after a change of configuration finds its state again. Guarded by the mutex.
type ids struct {
	next         uint32
	models       map[string]capacity.ModelID
	pools        map[string]capacity.PoolID           // of models on some of their engines
	reservations map[[2]string]capacity.ReservationID // by what was bought and its model
	replicas     map[[2]string]capacity.ReplicaID
	accounts     map[string]capacity.AccountID
	keys         map[string]capacity.PrincipalID
	buckets      map[limitKey]capacity.BucketID
	counters     map[limitKey]capacity.CounterID
	calendars    map[calendarKey]capacity.CalendarID
	ratios       map[string]*ratio
	engines      map[string]*engineState
	scalings     map[string]*Scaling // by model, as the scheduler was told
}

func newIDs() ids {
	return ids{
		models:       make(map[string]capacity.ModelID),
		pools:        make(map[string]capacity.PoolID),
		reservations: make(map[[2]string]capacity.ReservationID),
		replicas:     make(map[[2]string]capacity.ReplicaID),
		accounts:     make(map[string]capacity.AccountID),
		keys:         make(map[string]capacity.PrincipalID),
		buckets:      make(map[limitKey]capacity.BucketID),
		counters:     make(map[limitKey]capacity.CounterID),
		calendars:    make(map[calendarKey]capacity.CalendarID),
		ratios:       make(map[string]*ratio),
		engines:      make(map[string]*engineState),
	}
}

// handle returns the handle of key, a new one if it has none yet.
func handle[K comparable, H ~uint32](n *uint32, m map[K]H, key K) H {
	h, ok := m[key]
	if !ok {
		*n++
		h = H(*n)
		m[key] = h
	}
	return h
}

// bucket returns the handle of a limit's bucket: that of before while the limit is in force, so that it keeps its fill. One that comes into force is fresh
// and begins anew, also where there was one of its name earlier: what was used while nobody limited it is on the ledger alone.
func (b *builder) bucket(k limitKey) capacity.BucketID {
	if was := b.inForce(k); was != nil {
		b.ids.buckets[k] = was.bucket // whatever a configuration that was refused has left there
	} else if !b.fresh[k] {
		b.fresh[k] = true
		if id, known := b.ids.buckets[k]; known {
			b.cfg.RemoveBuckets = append(b.cfg.RemoveBuckets, id)
			delete(b.ids.buckets, k)
		}
	}
	return handle(&b.ids.next, b.ids.buckets, k)
}

// counter is bucket for a counter. One that is to count in another currency is another limit; of one that is to count in another calendar the scheduler
// forgets what it has counted.
func (b *builder) counter(k limitKey, in capacity.CalendarID, currency string) capacity.CounterID {
	was := b.inForce(k)
	another := was == nil || was.currency != currency
	if was != nil && !b.fresh[k] {
		b.ids.counters[k] = was.counter
	}
	if id, known := b.ids.counters[k]; known && another && !b.fresh[k] {
		b.cfg.RemoveCounters = append(b.cfg.RemoveCounters, id)
		delete(b.ids.counters, k)
	}
	if another || was.calendar != in {
		b.fresh[k] = true
	}
	return handle(&b.ids.next, b.ids.counters, k)
}

// inForce returns a limit as it is before the change, nil where there is none.
func (b *builder) inForce(k limitKey) *limit {
	old := b.world.Load().scopes[k.scope]
	if i := slices.IndexFunc(old, func(l limit) bool { return l.name == k.name }); i >= 0 {
		return &old[i]
	}
	return nil
}

// builder turns a Topology into a world and the Configure event that goes with it.
type builder struct {
	*Dispatcher
	top Topology
	cfg capacity.Config
	w   *world
	bad []error
	// fresh are the limits that come into force, on which nothing has been counted yet.
	fresh map[limitKey]bool
	// states are the engines by name.
	states map[string]*engineState
	// scalings are those in force, by model, and elastic the models by their pools.
	scalings map[string]*Scaling
	elastic  map[capacity.PoolID]string
}

// Configure replaces the topology. It reports every dangling reference at once and then changes nothing.
func (d *Dispatcher) Configure(top Topology) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &builder{Dispatcher: d, top: top, states: make(map[string]*engineState), w: &world{
		models:       make(map[string]*servedModel),
		pools:        make(map[string]*servedModel),
		routes:       make(map[string]*route),
		upstream:     make(map[[2]string]scopeRef),
		reservations: make(map[string]*reserved),
		tiers:        make(map[tierOf][]*reserved),
		replicas:     make(map[capacity.ReplicaID]*replica),
		scopes:       make(map[scopeRef][]limit),
		accounts:     make(map[string]capacity.AccountID),
		principals:   make(map[string]capacity.PrincipalID),
	}, fresh: make(map[limitKey]bool), scalings: make(map[string]*Scaling), elastic: make(map[capacity.PoolID]string)}
	b.engines()
	b.models()
	b.reservations()
	b.routes()
	b.scopes()
	b.roomForLimits()
	if err := errors.Join(b.bad...); err != nil {
		return err
	}
	b.removed()
	d.fresh, d.ids.scalings, d.elastic = b.fresh, b.scalings, b.elastic
	d.ids.engines = b.states // of an engine that has gone, the client is closed by whoever opened it
	old := d.world.Swap(b.w)
	d.rollCalendars()
	d.step(&capacity.Event{Kind: capacity.EventConfigure, Config: &b.cfg})
	b.bringUp(old)
	return nil
}

func (b *builder) engines() {
	for _, e := range b.top.Engines {
		st := b.ids.engines[e.Name]
		if st == nil || st.Client != e.Client {
			st = &engineState{Engine: e}
		} else {
			next := *st
			next.Engine, next.replicas = e, nil
			st = &next
		}
		b.states[e.Name] = st
		b.w.engines = append(b.w.engines, st)
	}
}

// Defaults of a model's pool; DefaultSlots are those of an engine that takes many calls at once.
const (
	defaultQueue    = 4096
	affinityEntries = 1024
	retryPermille   = 200
	DefaultSlots    = 1024
)

func (b *builder) models() {
	for i := range b.top.Models {
		m := &b.top.Models[i]
		id := handle(&b.ids.next, b.ids.models, m.ID)
		if b.ids.ratios[m.ID] == nil {
			b.ids.ratios[m.ID] = new(ratio)
		}
		sm := &servedModel{
			name: m.ID, entry: m.Entry, id: id, pool: capacity.PoolID(id), maxOutput: m.MaxOutput, ratio: b.ids.ratios[m.ID],
			timeouts: m.Timeouts, charge: meter.NewTariffs(m.ID, m.Entry.Price),
		}
		b.cfg.Models = append(b.cfg.Models, capacity.Model{ID: id, Burndown: m.Burndown, MaxOutput: m.MaxOutput, WeightInput: 1, WeightOutput: 4})
		b.pool(m.ID, sm, m, m.Bindings)
		b.scaling(m, sm.pool)
		b.w.models[m.ID] = sm
	}
}

// pool adds the pool in which bindings of a model serve.
func (b *builder) pool(key string, sm *servedModel, m *Model, bindings []Binding) {
	queue := m.MaxQueue
	if queue == 0 {
		queue = defaultQueue
	}
	b.cfg.Pools = append(b.cfg.Pools, capacity.Pool{
		ID: sm.pool, Kind: poolKind(bindings), MaxQueue: queue, MaxWait: m.MaxWait, AffinityEntries: affinityEntries, RetryBudget: retryPermille,
	})
	sm.quota, sm.rented = nil, nil
	one := sole(bindings)
	for i := range bindings {
		b.bind(key, sm, &bindings[i], one)
	}
	b.w.pools[key] = sm
	sm.alone = lane{mode: cmp.Or(m.Mode, meter.ModeOnDemand), model: sm}
}

// poolKind is that of all engines of a pool, or of a mixed one that which promises least: what is rented.
func poolKind(bindings []Binding) capacity.PoolKind {
	kind := capacity.PoolOwned
	for i := range bindings {
		if i == 0 {
			kind = bindings[i].Kind
		} else if bindings[i].Kind != kind {
			return capacity.PoolRented
		}
	}
	return kind
}

// sole says whether all bindings are of one engine: then its quota is known to apply when a call arrives.
func sole(bindings []Binding) bool {
	for i := range bindings {
		if bindings[i].declared() != bindings[0].declared() {
			return false
		}
	}
	return true
}

// quota returns what the engine of a binding may take of a model, for all pools on it.
func (b *builder) quota(model string, x *Binding) []limit {
	ref := scopeRef{scopeUpstream, "", x.declared() + " for " + x.Upstream}
	b.w.upstream[[2]string{x.Engine, model}] = ref
	ls, done := b.w.scopes[ref]
	if !done {
		ls = b.scopeLimits(ref, x.Quota, "UTC")
		b.put(ref, ls)
	}
	return ls
}

// rent makes calls hold on an engine's quota when they start there.
func (sm *servedModel) rent(r *capacity.Replica, quota []limit) {
	n := 0
	for i := range quota {
		if n < len(r.Quota) && quota[i].bucket != 0 {
			r.Quota[n] = quota[i].bucket
			n++
		}
		if !slices.ContainsFunc(sm.rented, func(l limit) bool { return l.bucket == quota[i].bucket }) {
			sm.rented = append(sm.rented, quota[i])
		}
	}
}

// declared is the engine's name in lanes.
func (b *Binding) declared() string { return cmp.Or(b.Declared, b.Engine) }

// bind lets a binding's engine serve in a pool, alone or beside others.
func (b *builder) bind(pool string, sm *servedModel, bind *Binding, alone bool) {
	st := b.states[bind.Engine]
	if st == nil {
		b.bad = append(b.bad, fmt.Errorf("model %s is bound to engine %q, which is not configured", sm.name, bind.Engine))
		return
	}
	r := &replica{
		id:   handle(&b.ids.next, b.ids.replicas, [2]string{pool, bind.Engine}),
		name: bind.Engine, declared: bind.declared(), client: st.Client, upstream: bind.Upstream, simulated: st.Simulated, engine: st, cost: bind.Cost, kind: bind.Kind,
	}
	slots := bind.Slots
	if slots == 0 {
		slots = DefaultSlots
	}
	serves := capacity.Replica{ID: r.id, Pool: sm.pool, Slots: slots, Weight: bind.Weight, Standby: bind.Standby}
	if quota := b.quota(sm.name, bind); alone {
		sm.quota = quota
	} else {
		sm.rent(&serves, quota)
	}
	b.cfg.Replicas = append(b.cfg.Replicas, serves)
	sm.replicas = append(sm.replicas, r)
	st.replicas = append(st.replicas, r)
	b.w.replicas[r.id] = r
}

func (b *builder) scopes() {
	zones := make(map[string]string)
	for _, a := range b.top.Accounts {
		b.w.accounts[a.ID] = handle(&b.ids.next, b.ids.accounts, a.ID)
		zone := "UTC"
		if a.Zone != nil {
			zone = a.Zone.String()
		}
		zones[a.ID] = zone
		b.put(scopeRef{scopeAccount, a.ID, a.ID}, b.scopeLimits(scopeRef{scopeAccount, a.ID, a.ID}, a.Limits, zone))
		for model, l := range a.Models {
			ref := scopeRef{scopeModel, a.ID, model}
			b.put(ref, b.scopeLimits(ref, l, zone))
		}
	}
	for _, t := range b.top.Teams {
		ref := scopeRef{scopeTeam, t.Account, t.ID}
		b.put(ref, b.scopeLimits(ref, t.Limits, zones[t.Account]))
	}
	for _, k := range b.top.Keys {
		b.w.principals[k.ID] = handle(&b.ids.next, b.ids.keys, k.ID)
		ref := scopeRef{scopeKey, k.Account, k.ID}
		b.put(ref, b.scopeLimits(ref, k.Limits, zones[k.Account]))
	}
}

func (b *builder) put(ref scopeRef, ls []limit) {
	if len(ls) > 0 {
		b.w.scopes[ref] = ls
	}
}

// removed tells the scheduler what the new topology no longer has.
func (b *builder) removed() {
	old := b.world.Load()
	b.unreserved(old)
	for id := range old.replicas {
		if b.w.replicas[id] == nil {
			b.cfg.RemoveReplicas = append(b.cfg.RemoveReplicas, id)
		}
	}
	b.forgetReplicas(old)
	for name, m := range old.models {
		if b.w.models[name] == nil {
			b.cfg.RemoveModels = append(b.cfg.RemoveModels, m.id)
		}
	}
	for name, m := range old.pools {
		if b.w.pools[name] == nil {
			b.cfg.RemovePools = append(b.cfg.RemovePools, m.pool)
		}
	}
	sortIDs(b.cfg.RemoveCounters)
	sortIDs(b.cfg.RemoveReplicas)
	sortIDs(b.cfg.RemoveModels)
	sortIDs(b.cfg.RemovePools)
}

// bringUp makes new replicas take calls. They are taken to be healthy until a call or a
// probe says otherwise, so that the first call need not wait for a probe.
func (b *builder) bringUp(old *world) {
	for _, r := range b.cfg.Replicas {
		if b.w.replicas[r.ID].engine.breaker.open {
			continue
		}
		if was := old.replicas[r.ID]; was == nil || was.client != b.w.replicas[r.ID].client {
			b.step(&capacity.Event{Kind: capacity.EventReplicaUp, Replica: r.ID})
		}
	}
}
