package provision

import (
	"cmp"
	"time"

	"forebay/catalog"
)

// Status is where a throughput is in its life.
type Status string

// The statuses, in the service's words.
const (
	Creating  Status = "Creating"
	InService Status = "InService"
	Updating  Status = "Updating"
	Failed    Status = "Failed"
)

// Serves reports whether calls run on it.
func (s Status) Serves() bool { return s == InService || s == Updating }

// Term is the length of a commitment, "" for none.
type Term string

// The terms, in the service's words.
const (
	NoTerm    Term = ""
	OneMonth  Term = "OneMonth"
	SixMonths Term = "SixMonths"
	// ThreeMonths is a term of the reserved tier alone, which is not sold for six.
	ThreeMonths Term = "ThreeMonths"
)

func (t Term) months() int {
	switch t {
	case OneMonth:
		return 1
	case SixMonths:
		return 6
	case ThreeMonths:
		return 3
	default:
		return 0
	}
}

// End returns the end of the n-th term, counted from 1, of a commitment that began at an instant.
func (t Term) End(began time.Time, n int) time.Time {
	y, m, d := began.UTC().Date()
	months := int(m) + n*t.months()
	last := time.Date(y, time.Month(months+1), 0, 0, 0, 0, 0, time.UTC).Day()
	h, minute, sec := began.UTC().Clock()
	return time.Date(y, time.Month(months), min(d, last), h, minute, sec, began.Nanosecond(), time.UTC)
}

// number returns which term of a commitment that began at an instant runs at another, not before it, counted from 1.
func (t Term) number(began, at time.Time) int {
	y, m, _ := began.UTC().Date()
	now, month, _ := at.UTC().Date()
	n := max(((now-y)*12+int(month-m))/t.months(), 1)
	for !at.Before(t.End(began, n)) { // at most once: it counts whole months
		n++
	}
	return n
}

// Model is a model as units of it are bought.
type Model struct {
	ID     string `json:"id"`   // of the model that serves
	ARN    string `json:"arn"`  // as the service names it
	Base   string `json:"base"` // id of the foundation model that it is, or was customised from
	Custom bool   `json:"custom,omitzero"`
}

// is reports whether the model has an id or ARN.
func (m *Model) is(id string) bool { return m.ID == id || m.ARN == id }

// Rate is the price of a unit-hour from an instant on, nano-units of a currency. It is not known where Known is false.
type Rate struct {
	From     time.Time `json:"from"`
	Known    bool      `json:"known,omitzero"`
	Nano     int64     `json:"nano,omitzero"`
	Currency string    `json:"currency,omitempty"`
	Date     string    `json:"date,omitempty"` // since when it is published
	Source   string    `json:"source,omitempty"`
}

// same reports whether two rates cost the same.
func (r *Rate) same(o *Rate) bool {
	return r.Known == o.Known && r.Nano == o.Nano && r.Currency == o.Currency
}

// Throughput is a provisioned throughput.
type Throughput struct {
	ARN     string `json:"arn"`
	Account string `json:"account"`
	Name    string `json:"name"`
	Units   int64  `json:"units"`
	// Tier says that it is of the reserved tier: a rate of tokens that was bought as it is, which is its one unit. Calls use it that ask for
	// the tier, and it has no ARN for them.
	Tier    bool   `json:"tier,omitzero"`
	Model   Model  `json:"model"`
	Desired Model  `json:"desired"` // differs from Model while it is updated
	Status  Status `json:"status"`
	// Failure says why the last step failed, for people who run engines, and Told says it for the account, which is told of none.
	Failure string    `json:"failure,omitempty"`
	Told    string    `json:"told,omitempty"`
	Term    Term      `json:"term,omitempty"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
	// Began is when it first was in service, zero before. It is paid for from then on.
	Began time.Time `json:"began,omitzero"`
	// Terms counts the terms of a commitment, the one that runs included, and Expires is its end.
	Terms   int       `json:"terms,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Cancelled says that the commitment ends at Expires and is not renewed.
	Cancelled bool `json:"cancelled,omitzero"`
	// Isolation says whether its calls have replicas of their own, and Replicas, once it is in service, which.
	Isolation Isolation `json:"isolation,omitempty"`
	Replicas  []Whole   `json:"replicas,omitempty"`
	// Parts are the teams' guaranteed shares of it; the rest is nobody's in particular.
	Parts []Part `json:"parts,omitempty"`
	// Declared says that the configuration asked for it, and decides over it as long as it does.
	Declared bool `json:"declared,omitzero"`
	// Unit is what each unit delivers. What was sold stays what it was sold as, whatever is measured later.
	Unit catalog.Unit `json:"unit"`
	// Rates are the prices of a unit-hour, each from its instant on.
	Rates []Rate `json:"rates,omitempty"`
}

// Hidden is the throughput as its account is shown it, without engines.
func (t *Throughput) Hidden() Throughput {
	out := *t
	if t.Failure != "" {
		out.Failure, out.Told = cmp.Or(t.Told, "It could not be backed."), "" // one that was stored before there were two texts
	}
	if len(t.Replicas) > 0 {
		var all Whole
		for _, w := range t.Replicas {
			all.Replicas += w.Replicas
		}
		out.Replicas = []Whole{all}
	}
	return out
}

// lack says what could not be had, for people who run engines and for the account.
func lack(what string, room *Room) (why, told string) {
	return what + ": " + room.Why + ".", what + "."
}

// failed notes why the last step failed.
func (t *Throughput) failed(what string, room *Room) {
	t.Failure, t.Told = lack(what, room)
}

// InputRate is the input tokens a minute that were bought.
func (t *Throughput) InputRate() int64 { return t.Units * t.Unit.Input }

// OutputRate is the output tokens a minute that were bought; 0 of a model that makes none.
func (t *Throughput) OutputRate() int64 { return t.Units * t.Unit.Output }

// Made implements resource.Listed.
func (t *Throughput) Made() time.Time { return t.Created }

// Identity implements resource.Listed.
func (t *Throughput) Identity() string { return t.ARN }
