package fleet

import (
	"cmp"
	"crypto/rand"
	"regexp"
	"slices"
	"strings"
	"time"

	"forebay/capacity/scale"
	"forebay/engine"
	"forebay/fault"
)

// Restarts of replicas that do not come up.
const (
	// maxCrashes in a row, without a replica that was well for wellFor, and the variant has failed.
	maxCrashes = 5
	wellFor    = time.Minute
	// The pause after the first crash; it doubles with each.
	firstPause = time.Second
	// keepEnded is how many replicas that have ended are shown.
	keepEnded = 10
	// defaultStart is taken for the time until a replica is up while nothing was learned of it.
	defaultStart = 10 * time.Second
)

// labelVariant names the variant of an instance, for the launcher's record.
const labelVariant = "forebay/variant"

// variant is a Variant with its replicas. The fleet's mutex guards it.
type variant struct {
	Variant
	f          *Fleet
	image      Image
	resources  engine.Resources
	generation uint64
	adopted    int32 // replicas of an earlier program, which are the number by hand to begin with

	want     int32
	replicas []*replica // that are not gone
	ended    []Replica  // the last of those that are
	removed  bool

	crashes int
	failed  bool
	reason  string
	after   time.Time   // no start before
	retry   *time.Timer // when that is
	learned time.Duration

	bounds *[2]int32 // by a schedule
	next   *time.Timer
}

var validVariant = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,180}$`)

func validID(id string) bool { return validVariant.MatchString(id) }

// sameContent reports whether replicas of a variant serve for another description of it.
func (v *variant) sameContent(o *Variant) bool {
	a, b := &v.Container, &o.Container
	return a.Image == b.Image && slices.Equal(a.Command, b.Command) && slices.Equal(a.Env, b.Env) && a.Weights == b.Weights && a.Model == b.Model &&
		v.Instance == o.Instance && v.Resources == o.Resources && v.Rules.Slots == o.Rules.Slots
}

// rules are those of now.
func (v *variant) rules() scale.Rules {
	r := v.Rules
	if v.bounds != nil {
		r.Min, r.Max = v.bounds[0], max(v.bounds[0], v.bounds[1])
		r.Provisioned = min(r.Provisioned, r.Max)
	}
	if r.Start == 0 {
		if r.Start = v.learned; r.Start == 0 {
			r.Start = defaultStart
		}
	}
	return r
}

func (v *variant) pool() Pool {
	own := v.Variant
	p := Pool{Variant: &own, Rules: v.rules(), Desired: cmp.Or(v.Desired, v.adopted), Generation: v.generation, Protocol: v.image.Protocol}
	for _, r := range v.replicas {
		if r.Phase == PhaseReady {
			p.Replicas = append(p.Replicas, Up{r.Name, r.client})
		}
	}
	if v.failed && len(p.Replicas) == 0 {
		p.Rules.Min, p.Rules.Max, p.Rules.Provisioned = 0, 0, 0 // calls are refused at once
	}
	return p
}

func (v *variant) status() Status {
	s := Status{ID: v.ID, Desired: v.want, Failed: v.failed, Reason: v.reason, Protocol: v.image.Protocol, Replicas: slices.Clone(v.ended)}
	for _, r := range v.replicas {
		switch r.Phase {
		case PhaseReady:
			s.Ready++
		case PhaseDraining, PhaseEnded:
			s.Stopping++
		default:
			s.Starting++
		}
		s.Replicas = append(s.Replicas, r.Replica)
	}
	slices.SortFunc(s.Replicas, func(a, b Replica) int {
		if c := a.Timeline.Queued.Compare(b.Timeline.Queued); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return s
}

// reconcile starts and stops replicas until there are as many as are wanted.
func (v *variant) reconcile() {
	var live []*replica // that are there to stay, the ones to stop first at the end
	for _, r := range v.replicas {
		if r.stopping == nil {
			live = append(live, r)
		}
	}
	slices.SortStableFunc(live, func(a, b *replica) int {
		if (a.Phase == PhaseReady) != (b.Phase == PhaseReady) {
			if a.Phase == PhaseReady {
				return -1
			}
			return 1
		}
		return a.Timeline.Queued.Compare(b.Timeline.Queued)
	})
	for n := int32(len(live)); n > v.want; n-- {
		live[n-1].stop(errStopped)
	}
	if int32(len(live)) >= v.want || v.failed || v.removed {
		return
	}
	if wait := time.Until(v.after); wait > 0 {
		v.retryIn(wait)
		return
	}
	for n := int32(len(live)); n < v.want; n++ {
		v.start(v.newReplica(v.ID + "-" + strings.ToLower(rand.Text()[:8])))
	}
}

func (v *variant) newReplica(name string) *replica {
	return &replica{
		Replica: Replica{Name: name, Variant: v.ID, Phase: PhaseQueued, Timeline: Timeline{Queued: time.Now()}}, v: v, gone: make(chan struct{}),
	}
}

// retryIn reconciles again after a time.
func (v *variant) retryIn(d time.Duration) {
	if v.retry != nil {
		v.retry.Stop()
	}
	v.retry = time.AfterFunc(d, func() {
		v.f.mu.Lock()
		defer v.f.mu.Unlock()
		v.reconcile()
		v.f.tell(v.ID)
	})
}

// crashed takes note of a replica that failed by itself.
func (v *variant) crashed(r *replica, err error) {
	v.reason = r.Reason
	switch fault.KindOf(err) { // which another attempt does not change
	case fault.Invalid, fault.Malformed, fault.NotFound, fault.Unsupported, fault.Denied, fault.QuotaExceeded, fault.TooLarge:
		v.failed = true
		return
	default:
	}
	if !r.Timeline.Ready.IsZero() && r.Timeline.Ended.Sub(r.Timeline.Ready) >= wellFor {
		v.crashes = 0
	}
	if v.crashes++; v.crashes >= maxCrashes {
		v.failed = true
		return
	}
	v.after = time.Now().Add(firstPause << (v.crashes - 1))
}

// remove ends all replicas.
func (v *variant) remove() {
	v.removed, v.want = true, 0
	for _, t := range []*time.Timer{v.retry, v.next} {
		if t != nil {
			t.Stop()
		}
	}
	v.reconcile()
	if len(v.replicas) == 0 {
		delete(v.f.variants, v.ID)
	}
}

// schedule does what scheduled actions there are to do, and waits for the next one.
func (v *variant) schedule(now time.Time) {
	if v.next != nil {
		v.next.Stop()
	}
	var first time.Time
	for i := range v.Schedules {
		if at, ok := v.Schedules[i].When.Next(now); ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return
	}
	v.next = time.AfterFunc(time.Until(first), func() {
		v.f.mu.Lock()
		defer v.f.mu.Unlock()
		if !v.removed {
			v.due(first)
			v.schedule(first)
			v.f.changed(v)
		}
	})
}

// due takes the bounds of the actions of a moment.
func (v *variant) due(at time.Time) {
	r := v.rules()
	b := [2]int32{r.Min, r.Max}
	for i := range v.Schedules {
		s := &v.Schedules[i]
		if t, ok := s.When.Next(at.Add(-time.Nanosecond)); !ok || !t.Equal(at) {
			continue
		}
		if s.Min != nil {
			b[0] = *s.Min
		}
		if s.Max != nil {
			b[1] = *s.Max
		}
	}
	v.bounds = &b
}

// learn takes note of how long a replica took to be up: the mean of what it took lately, which forgets.
func (v *variant) learn(took time.Duration) {
	if v.learned == 0 {
		v.learned = took
	}
	v.learned = (v.learned*3 + took) / 4
}

// env are the variables of a replica.
func (v *variant) env() []string {
	return append(slices.Clone(v.image.Env), v.Container.Env...)
}
