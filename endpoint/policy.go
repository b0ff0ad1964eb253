package endpoint

import (
	"cmp"
	"strconv"
	"strings"
	"sync"
	"time"

	"forebay/fault"
)

// Policy says how calls go from what an endpoint runs to what it is to run. The zero value sends all of them at once when all that is new is up.
type Policy struct {
	// Routing is AllAtOnce, Canary or Linear, and Rolling where instances are replaced in batches, with calls in proportion.
	Routing Routing `json:"routing,omitzero"`
	// Size is the first share of Canary, each one of Linear, or a batch of Rolling.
	Size Size `json:"size,omitzero"`
	// BackSize is that of a batch when a rolling update goes back; zero is all at once.
	BackSize Size `json:"back_size,omitzero"`
	// WaitSeconds is how long what is new is watched after each step.
	WaitSeconds int32 `json:"wait_seconds,omitzero"`
	// TerminationSeconds is how long what is old is kept after the last.
	TerminationSeconds int32 `json:"termination_seconds,omitzero"`
	// LimitSeconds bounds the whole, 0 for no bound.
	LimitSeconds int32 `json:"limit_seconds,omitzero"`
	// Alarms are conditions that end the update and bring back what there was: see ParseAlarm.
	Alarms []string `json:"alarms,omitempty"`
}

// Routing is a way of sending calls to what is new.
type Routing string

// The ways.
const (
	AllAtOnce Routing = "ALL_AT_ONCE"
	Canary    Routing = "CANARY"
	Linear    Routing = "LINEAR"
	Rolling   Routing = "ROLLING"
)

// Size is a number of instances, or a share of them in per cent.
type Size struct {
	Percent bool  `json:"percent,omitzero"`
	Value   int32 `json:"value,omitzero"`
}

// of is the size of a batch of so many instances, at least one.
func (s Size) of(total int32) int32 {
	n := s.Value
	if s.Percent {
		n = int32((int64(total)*int64(s.Value) + 99) / 100)
	}
	return min(max(1, n), max(1, total))
}

// permille is the size as a share of so many instances.
func (s Size) permille(total int32) int32 {
	if s.Percent {
		return min(1000, s.Value*10)
	}
	return min(1000, int32((int64(s.Value)*1000+int64(total)-1)/int64(max(1, total))))
}

// Bounds of policies, as the service has them (BlueGreenUpdatePolicy, RollingUpdatePolicy). The model checks those of times.
const (
	maxCanary = 50 // per cent, also of a step and a batch
	minBatch  = 5
)

// validate refuses a policy that cannot be.
func (p *Policy) validate() error {
	for _, name := range p.Alarms {
		if _, err := ParseAlarm(name); err != nil {
			return err
		}
	}
	switch p.Routing {
	case "", AllAtOnce:
		return nil
	case Canary, Linear:
		if p.Size.Value < 1 || p.Size.Percent && p.Size.Value > maxCanary {
			return fault.Newf(fault.Invalid, "The size of a step of %s traffic must be at least 1 and at most %d%% of the capacity.", p.Routing, maxCanary)
		}
	case Rolling:
		if p.Size.Value < 1 || p.Size.Percent && (p.Size.Value < minBatch || p.Size.Value > maxCanary) {
			return fault.Newf(fault.Invalid, "MaximumBatchSize must be at least one instance, or between %d%% and %d%% of the capacity.", minBatch, maxCanary)
		}
	}
	return nil
}

// Alarm is a condition on the calls that went to what is new.
type Alarm struct {
	// Errors is the share of failed calls, in per mille, beyond which it holds; Latency the mean time to the answer. One of them is set.
	Errors  int32
	Latency time.Duration
}

// minJudged is how many calls are needed before an alarm says anything: fewer are chance.
const minJudged = 5

// ParseAlarm reads the name of an alarm, which here is its condition:
//
//	errors>5%       of the calls fail
//	latency>1500ms  is the mean time to an answer
//
// Faults: Invalid for any other name: there are no alarms elsewhere that could be asked.
func ParseAlarm(name string) (Alarm, error) {
	what, limit, ok := strings.Cut(name, ">")
	bad := fault.Newf(fault.Invalid, "The alarm %.128q cannot be watched.", name).WithReason("the name of an alarm is its condition: errors>5%%, or latency>1500ms")
	if !ok {
		return Alarm{}, bad
	}
	switch what {
	case "errors":
		share, percent := strings.CutSuffix(limit, "%")
		n, err := strconv.ParseFloat(share, 64)
		if err != nil || !percent || !(n >= 0 && n < 100) {
			return Alarm{}, bad
		}
		return Alarm{Errors: int32(n * 10)}, nil
	case "latency":
		d, err := time.ParseDuration(limit)
		if err != nil || d <= 0 {
			return Alarm{}, bad
		}
		return Alarm{Errors: -1, Latency: d}, nil
	}
	return Alarm{}, bad
}

// Health is how the calls of a variant went.
type Health struct {
	Calls, Failed int64
	Latency       time.Duration // of all of them together
}

// tally counts calls of variants. The zero value is ready, and safe for concurrent use.
type tally struct {
	mu sync.Mutex
	by map[string]*Health // guarded by mu
}

func (t *tally) of(id string) Health {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.by[id]; h != nil {
		return *h
	}
	return Health{}
}

func (t *tally) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.by, id)
}

// Observe counts a call of a variant: whether it failed by a fault of the container, and how long it took.
func (b *Book) Observe(id string, failed bool, took time.Duration) {
	t := &b.calls
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.by[id]
	if h == nil {
		if t.by == nil {
			t.by = map[string]*Health{}
		}
		h = new(Health)
		t.by[id] = h
	}
	h.Calls++
	h.Latency += took
	if failed {
		h.Failed++
	}
}

// add joins what variants have seen.
func (h *Health) add(o Health) {
	h.Calls, h.Failed, h.Latency = h.Calls+o.Calls, h.Failed+o.Failed, h.Latency+o.Latency
}

// holds reports whether the alarm's condition is met.
func (a Alarm) holds(h Health) bool {
	switch {
	case h.Calls < minJudged:
		return false
	case a.Latency > 0:
		return h.Latency/time.Duration(h.Calls) > a.Latency
	default:
		return h.Failed*1000 > int64(a.Errors)*h.Calls
	}
}

// routing is the policy's way, with its default.
func (p *Policy) routing() Routing { return cmp.Or(p.Routing, AllAtOnce) }
