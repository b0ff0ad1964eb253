package scale

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Instant is a moment on the shell's monotonic clock, in nanoseconds from its origin.
type Instant int64

// add returns t+d without wrapping.
func (t Instant) add(d time.Duration) Instant {
	s := t + Instant(d)
	if d > 0 && s < t {
		return forever
	}
	return s
}

const forever = Instant(math.MaxInt64)

// Metric is what a policy looks at.
type Metric uint8

// The metrics, and the predefined ones of Application Auto Scaling that they stand for.
const (
	// MetricInvocations are calls a minute and instance: SageMakerVariantInvocationsPerInstance,
	// SageMakerInferenceComponentInvocationsPerCopy.
	MetricInvocations Metric = iota + 1
	// MetricConcurrency are calls in flight for each instance, those that wait included, in the mean of the period:
	// SageMakerVariantConcurrentRequestsPerModelHighResolution, SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution.
	MetricConcurrency
	// MetricUtilisation are calls in flight over the calls that all instances take at once: SageMakerVariantProvisionedConcurrencyUtilization,
	// LambdaProvisionedConcurrencyUtilization.
	MetricUtilisation
	// MetricNoCapacity are calls that found no instance up, in a period: NoCapacityInvocationFailures. It is not divided by instances.
	MetricNoCapacity

	numMetrics = int(iota) + 1
)

var metricNames = [numMetrics]string{"none", "invocations", "concurrency", "utilisation", "no-capacity"}

// String returns the metric's stable lower-case name.
func (m Metric) String() string { return nameOf(metricNames[:], int(m)) }

// Kind is the kind of a policy.
type Kind uint8

// The kinds.
const (
	// Tracking keeps a metric at its target.
	Tracking Kind = iota + 1
	// Stepping adds or removes instances by how far a metric is beyond a threshold.
	Stepping

	numKinds = int(iota) + 1
)

var kindNames = [numKinds]string{"none", "track", "step"}

// String returns the kind's stable lower-case name.
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// Adjustment is what a step's number means.
type Adjustment uint8

// The adjustments, as Application Auto Scaling has them.
const (
	// Change adds the step's number.
	Change Adjustment = iota + 1
	// Percent adds so many per cent of the instances, rounded toward zero but at least to one; Policy.Least at least.
	Percent
	// Exact is the number itself.
	Exact

	numAdjustments = int(iota) + 1
)

var adjustmentNames = [numAdjustments]string{"none", "change", "percent", "exact"}

// String returns the adjustment's stable lower-case name.
func (a Adjustment) String() string { return nameOf(adjustmentNames[:], int(a)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

// Bounds of rules.
const (
	// MaxInstances bounds the number of instances.
	MaxInstances = 1 << 20
	// MaxPolicies is how many policies there can be at once.
	MaxPolicies = 8
	// MaxSteps is how many steps a policy can have (20 in Application Auto Scaling).
	MaxSteps = 20
	// MaxPoints is how many data points an alarm can look at.
	MaxPoints = 128
	// maxTarget bounds targets, thresholds and the ends of steps.
	maxTarget = int64(1) << 50
	// maxTime bounds durations.
	maxTime = 400 * 24 * time.Hour
	// maxLoad is the most calls in flight that are told apart.
	maxLoad = 1 << 22
)

// Open is an end of a step that has none, with a sign in front of it at the lower end.
const Open = math.MaxInt64

// Step is one step of a policy: by how many instances, where the metric is beyond the threshold by From to To, in thousandths. A range of
// positive numbers has its lower end and not its upper one, one of negative numbers the other way round.
type Step struct {
	From, To int64
	By       int32
}

// Policy is one rule by data points. Which fields are read depends on Kind.
type Policy struct {
	Kind   Kind
	Metric Metric
	// Period is that of a data point: 10 or 30 seconds, or whole minutes; 0 is 10 seconds for concurrency and a minute for all others.
	Period time.Duration
	// Target is the target of the metric, or the threshold of the alarm, in thousandths.
	Target int64
	// OutCooldown and InCooldown are how long after more, or fewer, instances are there it is until more, or fewer, are taken. Steps have one
	// cooldown, which is given as both.
	OutCooldown, InCooldown time.Duration

	// NoScaleIn keeps Tracking from taking fewer instances.
	NoScaleIn bool

	// Below makes the alarm of Stepping one of points at or below Target, and not at or above it.
	Below bool
	// Points are the data points that the alarm looks at, Breaching how many of them must breach; 0 is 3, and all.
	Points, Breaching int32
	Adjust            Adjustment
	// Least is the least change of Percent; 0 is 1.
	Least int32
	Steps []Step
}

const (
	// high is how many points in a row must be above the target for more instances.
	high = 3
	// low is the time of points below lowShare (per mille) of the target for fewer.
	low      = 15 * time.Minute
	lowShare = 900
)

func (p *Policy) period() time.Duration {
	switch {
	case p.Period > 0:
		return p.Period
	case p.Metric == MetricConcurrency:
		return 10 * time.Second
	default:
		return time.Minute
	}
}

// points is how many data points are kept.
func (p *Policy) points() int {
	if p.Kind == Stepping {
		return int(p.looksAt())
	}
	return max(high, p.lows())
}

// lows is how many points 15 minutes are.
func (p *Policy) lows() int { return max(1, int(low/p.period())) }

func (p *Policy) looksAt() int32 {
	if p.Points <= 0 {
		return high
	}
	return p.Points
}

func (p *Policy) breaching() int32 {
	if p.Breaching <= 0 {
		return p.looksAt()
	}
	return p.Breaching
}

// Rules say how instances follow the demand.
type Rules struct {
	// Min and Max bound the number. With a Min of 0 an endpoint goes to nothing, and comes back with the next call.
	Min, Max int32
	// Provisioned are instances that are always there, whatever Min is changed to.
	Provisioned int32
	// Slots are the calls that an instance takes at once; 0 is 1.
	Slots int32
	// Start is how long an instance takes to be up.
	Start time.Duration
	// Follow takes as many instances as the calls in flight need, at once; fewer when fewer were enough for Idle.
	Follow bool
	// Idle is how long there must be no call before only Min instances are left; without Follow 0 is never.
	Idle     time.Duration
	Policies []Policy
}

// clone returns rules that share nothing with r.
func (r *Rules) clone() Rules {
	out := *r
	out.Policies = slices.Clone(r.Policies)
	for i := range out.Policies {
		out.Policies[i].Steps = slices.Clone(out.Policies[i].Steps)
	}
	return out
}

func (r *Rules) slots() int64 { return int64(max(1, r.Slots)) }

// cooldown is the longest cooldown of fewer instances.
func (r *Rules) cooldown() time.Duration {
	d := time.Duration(0)
	for i := range r.Policies {
		d = max(d, r.Policies[i].InCooldown)
	}
	return d
}

// Validate says what is wrong with the rules.
func (r *Rules) Validate() error {
	switch {
	case r.Min < 0 || r.Max < r.Min || r.Max > MaxInstances:
		return fmt.Errorf("a minimum of %d and a maximum of %d instances: give 0 <= minimum <= maximum <= %d", r.Min, r.Max, MaxInstances)
	case r.Provisioned < 0 || r.Provisioned > r.Max:
		return fmt.Errorf("%d instances provisioned: give 0 to the maximum, which is %d", r.Provisioned, r.Max)
	case r.Slots < 0 || r.Slots > maxLoad:
		return fmt.Errorf("%d calls at once on an instance: give 1 to %d", r.Slots, maxLoad)
	case !isTime(r.Start) || !isTime(r.Idle):
		return fmt.Errorf("a start of %v and an idle time of %v: give 0 to %v", r.Start, r.Idle, maxTime)
	case len(r.Policies) > MaxPolicies:
		return fmt.Errorf("%d policies: at most %d can be in force at once", len(r.Policies), MaxPolicies)
	case r.Follow && len(r.Policies) > 0:
		return errors.New("instances that follow the calls in flight at once have no policies besides")
	}
	for i := range r.Policies {
		if err := r.Policies[i].validate(); err != nil {
			return fmt.Errorf("policy %d: %w", i+1, err)
		}
	}
	return nil
}

func isTime(d time.Duration) bool { return d >= 0 && d <= maxTime }

func (p *Policy) validate() error {
	seconds := p.period() / time.Second
	switch {
	case p.Kind == 0 || int(p.Kind) >= numKinds:
		return errors.New("it is neither target tracking nor steps")
	case p.Metric == 0 || int(p.Metric) >= numMetrics:
		return errors.New("it has no metric")
	case p.Period < 0 || p.period()%time.Second != 0 || seconds != 10 && seconds != 30 && seconds%60 != 0 || seconds > 3600:
		return fmt.Errorf("a period of %v: give 10s, 30s, or whole minutes up to an hour", p.Period)
	case p.Target <= 0 || p.Target > maxTarget:
		return fmt.Errorf("a target of %d thousandths: give more than 0", p.Target)
	case !isTime(p.OutCooldown) || !isTime(p.InCooldown):
		return fmt.Errorf("cooldowns of %v and %v: give 0 to %v", p.OutCooldown, p.InCooldown, maxTime)
	case p.Kind == Stepping:
		return p.validateSteps()
	case p.Metric == MetricNoCapacity:
		return errors.New("calls that find nothing up have no target: use steps")
	}
	return nil
}

func (p *Policy) validateSteps() error {
	switch {
	case p.Points < 0 || p.Points > MaxPoints || p.Breaching < 0 || p.Breaching > p.looksAt():
		return fmt.Errorf("an alarm of %d of %d points: give 1 to %d, of which at most all breach", p.Breaching, p.Points, MaxPoints)
	case p.Adjust == 0 || int(p.Adjust) >= numAdjustments:
		return errors.New("its steps are neither changes, nor percents, nor exact numbers")
	case p.Least < 0 || p.Least > MaxInstances:
		return fmt.Errorf("a least change of %d: give 0 to %d", p.Least, MaxInstances)
	case len(p.Steps) == 0 || len(p.Steps) > MaxSteps:
		return fmt.Errorf("%d steps: give 1 to %d", len(p.Steps), MaxSteps)
	}
	last := int64(math.MinInt64)
	for i, s := range p.Steps {
		switch {
		case s.From >= s.To || s.From < last:
			return fmt.Errorf("step %d ends before it begins, or overlaps the one before: give steps in order", i+1)
		case s.From != -Open && s.From < -maxTarget || s.To != Open && s.To > maxTarget:
			return fmt.Errorf("step %d ends more than %d thousandths beyond the threshold: leave its end open", i+1, maxTarget)
		case s.By < -MaxInstances || s.By > MaxInstances || p.Adjust == Exact && s.By < 0:
			return fmt.Errorf("step %d is by %d", i+1, s.By)
		}
		last = s.To
	}
	return nil
}
