package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/capacity/scale"
	"forebay/fault"
	"forebay/fleet"
	"forebay/resource"
	"forebay/store"
)

// Scalable names what scales: a variant's number of instances.
type Scalable struct {
	Account, Endpoint, Variant string
}

// ID is the resource's id in Application Auto Scaling.
func (s Scalable) ID() string { return "endpoint/" + s.Endpoint + "/variant/" + s.Variant }

// ParseScalable reads such an id.
func ParseScalable(account, id string) (Scalable, bool) {
	p := strings.Split(id, "/")
	if len(p) != 4 || p[0] != "endpoint" || p[2] != "variant" || p[1] == "" || p[3] == "" {
		return Scalable{}, false
	}
	return Scalable{account, p[1], p[3]}, true
}

// Scaled is registered to scale.
type Scaled struct {
	Head
	Endpoint string `json:"endpoint"`
	Variant  string `json:"variant"`
	Min      int32  `json:"min"`
	Max      int32  `json:"max"`
	// Policies and Actions are by name.
	Policies map[string]Policied `json:"policies,omitempty"`
	Actions  map[string]Action   `json:"actions,omitempty"`
}

// Scalable is what scales.
func (t *Scaled) Scalable() Scalable { return Scalable{t.Account, t.Endpoint, t.Variant} }

// Policied is a policy of scaling as it was put.
type Policied struct {
	ARN     string    `json:"arn"`
	Created time.Time `json:"created"`
	// Tracking or Steps is set.
	Tracking *Tracking `json:"tracking,omitempty"`
	Steps    *Steps    `json:"steps,omitempty"`
}

// Tracking keeps a metric at a target.
type Tracking struct {
	Metric    string  `json:"metric"` // a predefined one
	Target    float64 `json:"target"`
	Out       *int32  `json:"out,omitempty"` // cooldowns in seconds; nil is the default
	In        *int32  `json:"in,omitempty"`
	NoScaleIn bool    `json:"no_scale_in,omitzero"`
}

// Steps change the number by how far a metric is beyond the threshold that the policy's name says: see parseCondition.
type Steps struct {
	Adjustment  string `json:"adjustment"`
	Least       int32  `json:"least,omitzero"`
	Cooldown    *int32 `json:"cooldown,omitempty"`
	Aggregation string `json:"aggregation,omitzero"`
	Steps       []Step `json:"steps"`
}

// Step is one of them; an end that is nil is open.
type Step struct {
	Lower *float64 `json:"lower,omitempty"`
	Upper *float64 `json:"upper,omitempty"`
	By    int32    `json:"by"`
}

// Action changes the bounds by a schedule.
type Action struct {
	ARN      string    `json:"arn"`
	Created  time.Time `json:"created"`
	Schedule string    `json:"schedule"`
	Zone     string    `json:"zone,omitzero"`
	Min      *int32    `json:"min,omitempty"`
	Max      *int32    `json:"max,omitempty"`
}

// defaultCooldown is what holds where a policy says nothing (Application Auto Scaling, SageMaker's dimensions).
const defaultCooldown = 300 * time.Second

// maxActions is how many scheduled actions there are at most ("Quotas for Application Auto Scaling").
const maxActions = 200

// kindScaled is the store's name of what is registered.
const kindScaled = "scalable-target"

// noScaled is the service's word for what is not registered.
func noScaled(s Scalable) error {
	return fault.Newf(fault.NotFound, "No scalable target found for service namespace: sagemaker, resource ID: %s, scalable dimension: sagemaker:variant:DesiredInstanceCount", s.ID())
}

// Register lets a variant scale between bounds, or changes them; nil leaves one as it is. It returns the ARN of what is registered. Faults: Invalid for bounds that cannot be
// and a variant that is not there.
func (b *Book) Register(ctx context.Context, s Scalable, least, most *int32, tags []resource.Tag) (arn string, err error) {
	tagged, err := resource.TagMap(tags)
	if err != nil {
		return "", err
	}
	return arn, b.rescale(ctx, s, func(tx *store.Tx, t *Scaled) error {
		fresh := t.ARN == ""
		switch {
		case fresh && (least == nil || most == nil):
			return fault.New(fault.Invalid, "MinCapacity and MaxCapacity are needed to register a scalable target.")
		case least != nil:
			t.Min = *least
		}
		if most != nil {
			t.Max = *most
		}
		switch {
		case t.Min > t.Max:
			return fault.New(fault.Invalid, "Maximum capacity cannot be less than minimum capacity.")
		case t.Min < 1:
			return fault.Newf(fault.Invalid, "The minimum capacity of the resource %s must be at least 1.", s.ID()).WithReason("a serverless variant has nothing at rest")
		case t.Max > maxInstances:
			return fault.Newf(fault.Invalid, "The maximum capacity of the resource %s must be at most %d.", s.ID(), maxInstances)
		}
		if fresh {
			t.Head = Head{
				ARN: "arn:aws:application-autoscaling:" + b.Region + ":" + s.Account + ":" + kindScaled + "/" + resource.NewID(), Account: s.Account, Name: s.ID(), Created: b.now(),
			}
			t.Changed = t.Created
			r, err := stored(t, kindScaled)
			if err == nil {
				err = tx.CreateResource(ctx, r)
			}
			if err != nil {
				return err
			}
		}
		arn = t.ARN
		return tx.SetTags(ctx, t.ARN, tagged)
	}, true)
}

// Deregister ends the scaling of a variant, with its policies and actions. Faults: NotFound.
func (b *Book) Deregister(ctx context.Context, s Scalable) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := (*b.scaled.Load())[s]
	if t == nil {
		return noScaled(s)
	}
	err := b.Store.Update(ctx, func(tx *store.Tx) error { return tx.DeleteResource(ctx, t.ARN) })
	if err == nil {
		b.setScaled(s, nil)
	}
	return err
}

// rescale changes what is registered of a variant, which make may begin.
func (b *Book) rescale(ctx context.Context, s Scalable, f func(tx *store.Tx, t *Scaled) error, begin bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := &Scaled{Endpoint: s.Endpoint, Variant: s.Variant}
	if t := (*b.scaled.Load())[s]; t != nil {
		*next = *t
		next.Policies, next.Actions = maps.Clone(t.Policies), maps.Clone(t.Actions)
	} else if !begin {
		return noScaled(s)
	}
	if e, ok := b.Find(s.Account, s.Endpoint); !ok || e.variant(s.Variant) == nil || e.variant(s.Variant).Variant.Serverless != nil {
		return fault.Newf(fault.Invalid, "The resource %s is not a variant of an endpoint with instances.", s.ID())
	}
	err := b.Store.Update(ctx, func(tx *store.Tx) error {
		if err := f(tx, next); err != nil {
			return err
		}
		rules := scale.Rules{Min: next.Min, Max: next.Max, Policies: next.policies()}
		if err := rules.Validate(); err != nil {
			return fault.New(fault.Invalid, err.Error())
		}
		next.Changed = b.now()
		r, err := stored(next, kindScaled)
		if err != nil {
			return err
		}
		return tx.UpdateResource(ctx, r)
	})
	if err == nil {
		b.setScaled(s, next)
	}
	return err
}

// setScaled puts what is registered in force; nil is nothing. b.mu is held.
func (b *Book) setScaled(s Scalable, t *Scaled) {
	next := maps.Clone(*b.scaled.Load())
	if next[s] = t; t == nil {
		delete(next, s)
	}
	b.scaled.Store(&next)
	b.Wake()
}

// Registered returns what is registered of an account, by id.
func (b *Book) Registered(account string) []*Scaled {
	var out []*Scaled
	for s, t := range *b.scaled.Load() {
		if s.Account == account {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(x, y *Scaled) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// PutPolicy puts a policy of a name in the place of the one that there is, and returns its ARN. Faults: NotFound for what is not registered; Invalid.
func (b *Book) PutPolicy(ctx context.Context, s Scalable, name string, p Policied) (string, error) {
	if _, err := p.rule(name); err != nil {
		return "", err
	}
	err := b.rescale(ctx, s, func(_ *store.Tx, t *Scaled) error {
		p.ARN, p.Created = fmt.Sprintf("arn:aws:autoscaling:%s:%s:scalingPolicy:%s:resource/sagemaker/%s:policyName/%s", b.Region, s.Account, resource.NewID(), s.ID(), name), b.now()
		if old, ok := t.Policies[name]; ok {
			p.ARN, p.Created = old.ARN, old.Created
		}
		if t.Policies == nil {
			t.Policies = map[string]Policied{}
		}
		t.Policies[name] = p
		return nil
	}, false)
	return p.ARN, err
}

// DeletePolicy removes a policy. Faults: NotFound.
func (b *Book) DeletePolicy(ctx context.Context, s Scalable, name string) error {
	return b.rescale(ctx, s, func(_ *store.Tx, t *Scaled) error {
		if _, ok := t.Policies[name]; !ok {
			return fault.Newf(fault.NotFound, "No scaling policy found for service namespace: sagemaker, resource ID: %s, scalable dimension: sagemaker:variant:DesiredInstanceCount, policy name: %s", s.ID(), name)
		}
		delete(t.Policies, name)
		return nil
	}, false)
}

// PutAction puts a scheduled action of a name, or changes the one that there is: what is not said of it stays. Faults: NotFound for what is not registered; Invalid.
func (b *Book) PutAction(ctx context.Context, s Scalable, name string, a Action) error {
	return b.rescale(ctx, s, func(_ *store.Tx, t *Scaled) error {
		old, was := t.Actions[name]
		a.ARN, a.Created = fmt.Sprintf("arn:aws:autoscaling:%s:%s:scheduledAction:%s:resource/sagemaker/%s:scheduledActionName/%s", b.Region, s.Account, resource.NewID(), s.ID(), name), b.now()
		if was {
			a.ARN, a.Created = old.ARN, old.Created
			a.Schedule, a.Zone = cmp.Or(a.Schedule, old.Schedule), cmp.Or(a.Zone, old.Zone)
			if a.Min == nil && a.Max == nil {
				a.Min, a.Max = old.Min, old.Max
			}
		}
		if _, err := a.schedule(); err != nil {
			return err
		}
		switch {
		case a.Min == nil && a.Max == nil:
			return fault.New(fault.Invalid, "A scheduled action needs a MinCapacity or a MaxCapacity.")
		case a.Min != nil && (*a.Min < 1 || *a.Min > maxInstances) || a.Max != nil && (*a.Max < 1 || *a.Max > maxInstances):
			return fault.Newf(fault.Invalid, "The capacity of a scheduled action must be between 1 and %d.", maxInstances)
		case a.Min != nil && a.Max != nil && *a.Min > *a.Max:
			return fault.New(fault.Invalid, "Maximum capacity cannot be less than minimum capacity.")
		case !was && len(t.Actions) >= maxActions:
			return fault.Newf(fault.QuotaExceeded, "A scalable target has at most %d scheduled actions.", maxActions)
		}
		if t.Actions == nil {
			t.Actions = map[string]Action{}
		}
		t.Actions[name] = a
		return nil
	}, false)
}

// DeleteAction removes a scheduled action. Faults: NotFound.
func (b *Book) DeleteAction(ctx context.Context, s Scalable, name string) error {
	return b.rescale(ctx, s, func(_ *store.Tx, t *Scaled) error {
		if _, ok := t.Actions[name]; !ok {
			return fault.Newf(fault.NotFound, "No scheduled action found for service namespace: sagemaker, resource ID: %s, scheduled action name: %s", s.ID(), name)
		}
		delete(t.Actions, name)
		return nil
	}, false)
}

// schedule reads when an action happens.
func (a *Action) schedule() (scale.Schedule, error) {
	loc, err := time.LoadLocation(cmp.Or(a.Zone, "UTC"))
	if err != nil {
		return scale.Schedule{}, fault.Newf(fault.Invalid, "The timezone %.64q is not known.", a.Zone)
	}
	s, err := scale.ParseSchedule(a.Schedule, loc)
	if err != nil {
		return s, fault.New(fault.Invalid, err.Error())
	}
	return s, nil
}

// predefined are the metrics of target tracking.
var predefined = map[string]scale.Metric{
	"SageMakerVariantInvocationsPerInstance":                   scale.MetricInvocations,
	"SageMakerVariantConcurrentRequestsPerModelHighResolution": scale.MetricConcurrency,
}

// rule is a policy as the scheduler has it.
func (p *Policied) rule(name string) (scale.Policy, error) {
	if p.Tracking == nil {
		return p.Steps.rule(name)
	}
	t := p.Tracking
	metric, ok := predefined[t.Metric]
	switch {
	case !ok:
		return scale.Policy{}, fault.Newf(fault.Invalid, "The metric %.64q is not one of a variant's instances: %s.", t.Metric, strings.Join(slices.Sorted(maps.Keys(predefined)), ", "))
	case !(t.Target > 0 && t.Target <= 1e9):
		return scale.Policy{}, fault.New(fault.Invalid, "TargetValue must be greater than 0.")
	}
	return scale.Policy{
		Kind: scale.Tracking, Metric: metric, Target: max(1, int64(t.Target*1000)), OutCooldown: cooldown(t.Out), InCooldown: cooldown(t.In), NoScaleIn: t.NoScaleIn,
	}, nil
}

func cooldown(seconds *int32) time.Duration {
	if seconds == nil {
		return defaultCooldown
	}
	return time.Duration(*seconds) * time.Second
}

// conditions are what a step policy's name may look at.
var conditions = map[string]scale.Metric{
	"invocations": scale.MetricInvocations, "concurrency": scale.MetricConcurrency, "utilisation": scale.MetricUtilisation, "no-capacity": scale.MetricNoCapacity,
}

// parseCondition reads the alarm of a step policy, which at AWS is another service's and here stands behind an @ in the policy's name:
//
//	more@concurrency>4     calls in flight for each instance
//	fewer@invocations<10   calls a minute and instance
//
// A name without one is of calls that found no instance up.
func parseCondition(name string) (metric scale.Metric, below bool, threshold int64, err error) {
	_, text, ok := strings.Cut(name, "@")
	if !ok {
		return scale.MetricNoCapacity, false, 1000, nil
	}
	what, limit, above := strings.Cut(text, ">")
	if !above {
		what, limit, below = strings.Cut(text, "<")
	}
	metric, known := conditions[what]
	n, parseErr := strconv.ParseFloat(limit, 64)
	if !known || !above && !below || parseErr != nil || !(n > 0 && n <= 1e9) {
		return 0, false, 0, fault.Newf(fault.Invalid, "The name of the step policy ends with %.64q, which is no condition.", text).
			WithReason("write more@concurrency>4: invocations, concurrency, utilisation or no-capacity, > or <, and a number")
	}
	return metric, below, max(1, int64(n*1000)), nil
}

func (s *Steps) rule(name string) (scale.Policy, error) {
	metric, below, threshold, err := parseCondition(name)
	if err != nil {
		return scale.Policy{}, err
	}
	out := scale.Policy{Kind: scale.Stepping, Metric: metric, Target: threshold, Below: below, Least: s.Least, OutCooldown: cooldown(s.Cooldown), InCooldown: cooldown(s.Cooldown), Points: 1}
	switch s.Adjustment {
	case "ChangeInCapacity":
		out.Adjust = scale.Change
	case "PercentChangeInCapacity":
		out.Adjust = scale.Percent
	case "ExactCapacity":
		out.Adjust = scale.Exact
	}
	for _, x := range s.Steps {
		step := scale.Step{From: -scale.Open, To: scale.Open, By: x.By}
		if x.Lower != nil {
			step.From = thousandths(*x.Lower)
		}
		if x.Upper != nil {
			step.To = thousandths(*x.Upper)
		}
		out.Steps = append(out.Steps, step)
	}
	slices.SortFunc(out.Steps, func(x, y scale.Step) int { return cmp.Compare(x.From, y.From) })
	r := scale.Rules{Min: 1, Max: 1, Policies: []scale.Policy{out}}
	if err := r.Validate(); err != nil {
		return out, fault.New(fault.Invalid, err.Error())
	}
	return out, nil
}

// thousandths is a number within what rules take, or what is refused.
func thousandths(x float64) int64 {
	if math.IsNaN(x) || math.Abs(x) > 1e12 {
		return math.MaxInt64 - 1
	}
	return int64(x * 1000)
}

// policies are those of a target as the scheduler has them, by name.
func (t *Scaled) policies() []scale.Policy {
	var out []scale.Policy
	for _, name := range slices.Sorted(maps.Keys(t.Policies)) {
		p := t.Policies[name]
		if r, err := p.rule(name); err == nil { // it was put
			out = append(out, r)
		}
	}
	return out
}

// scale gives a variant the bounds, policies and schedules that are registered for it. While an update lasts the number is the update's.
func (b *Book) scale(e *Endpoint, out *fleet.Variant) {
	t := (*b.scaled.Load())[Scalable{e.Account, e.Name, out.Name}]
	if t == nil || e.Status == Creating || e.Update != nil {
		return
	}
	out.Rules.Min, out.Rules.Max, out.Rules.Policies = t.Min, t.Max, t.policies()
	out.Desired = min(max(out.Desired, t.Min), t.Max)
	for _, name := range slices.Sorted(maps.Keys(t.Actions)) {
		a := t.Actions[name]
		if when, err := a.schedule(); err == nil {
			out.Schedules = append(out.Schedules, fleet.Scheduled{Name: name, When: when, Min: a.Min, Max: a.Max})
		}
	}
}
