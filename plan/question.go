package plan

import (
	"errors"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/perf"
	"forebay/plan/replay"
	"forebay/workload"
)

// Question is what is asked. What is nil is looked up in the catalogue, and where it is not known there, it is unknown.
type Question struct {
	Traffic workload.Source
	Model   *catalog.Model
	// Substitute is a model to compare with in its place, nil for none.
	Substitute *catalog.Model
	Region     string
	// Days are those of a month; 0 is 30.
	Days int64
	// MaxOutput is the max_tokens that callers send where the traffic does not say; 0 is what the model can at most, as the service counts it.
	MaxOutput int64
	// Deadline is when the whole answer is of no use any more; 0 is never. DeadlineOf names whose it is.
	Deadline   time.Duration
	DeadlineOf string
	// Flex and Batch are the shares of the calls, per mille, that may wait: for minutes, and be stopped and begun again, and for a day.
	Flex, Batch int64

	// Quota is what the account may use on demand; nil is the published default.
	Quota *catalog.Quota
	// Unit and UnitPrices are those of a model unit of Model.
	Unit       *catalog.Unit
	UnitPrices *catalog.UnitPrices
	// Rules are those of other clouds under which the units are considered, too, and Reserved the prices of the reserved tier; nil is those that are known.
	Rules    []RuleOffer
	Reserved *catalog.TierPrices
	// Instance is a machine that Engine runs on, and Engine the engine of the model that runs on machines of one's own.
	Instance *catalog.Instance
	Engine   *perf.Profile
	// InstanceStart is how long an instance takes to be up, and Scaling by what rules they come and go, where they follow the demand. 0 is 5 minutes, and nil
	// the usual rules.
	InstanceStart time.Duration
	Scaling       *Scaling
	// Serverless is a serverless endpoint's price and behaviour; nil is unknown.
	Serverless *ServerlessOffer

	// Retry is how clients go on after a refusal; nil is the first of replay.Clients.
	Retry *replay.Client
	// Seed is that of everything random: waits of clients that are refused.
	Seed uint64
	// Calls bounds the calls of one replay; 0 is 60,000. The busiest part of the busiest day that has no more is replayed.
	Calls int64
	// Progress, if any, is told how much of the work is done, per mille, and what is under way.
	Progress func(done int64, what string)
}

// ServerlessOffer is an endpoint that is not paid for while nobody calls.
type ServerlessOffer struct {
	Currency string
	// Hour is the price of an hour of an engine that is up, nano-units, Invocation that of a million calls, Input and Output those of a million tokens; 0 is for
	// what is not paid for by itself.
	Hour, Invocation, Input, Output int64
	// Idle is how long an engine stays up without a call, Cold how long it takes to start.
	Idle, Cold time.Duration
	// Window is what an engine's time is paid in, each begun one in whole; 0 is by the second.
	Window time.Duration
	// Concurrency bounds the calls in flight; 0 is no bound but that of the engines counted on.
	Concurrency int64
	// Provisioned are engines that are always up, and ProvisionedHour the price of an hour of one.
	Provisioned, ProvisionedHour int64
	// Hold is how long a call that finds no engine up waits for one, and Held how many may; 0 is no bound.
	Hold   time.Duration
	Held   int64
	Source string
}

// The defaults of a question.
const (
	defaultDays  = 30
	defaultCalls = 60_000
	defaultStart = 5 * time.Minute
	hoursOfDay   = 24
)

func (q *Question) complete() error {
	if q.Days == 0 {
		q.Days = defaultDays
	}
	if q.Calls == 0 {
		q.Calls = defaultCalls
	}
	if q.InstanceStart == 0 {
		q.InstanceStart = defaultStart
	}
	if q.Scaling == nil {
		q.Scaling = &usualScaling
	}
	if q.Progress == nil {
		q.Progress = func(int64, string) {}
	}
	if q.Retry == nil {
		q.Retry = &replay.Clients()[0]
	}
	if q.Region == "" {
		q.Region = "us-east-1"
	}
	return q.check()
}

// check refuses what cannot be answered, and says what to do.
func (q *Question) check() error {
	invalid := func(format string, args ...any) error { return fault.Newf(fault.Invalid, format, args...) }
	switch {
	case q.Traffic == nil:
		return invalid("there is no traffic to plan for: give a shape in words or a file")
	case q.Model == nil:
		return invalid("there is no model to plan for")
	case q.Model.Embeds() || q.Substitute != nil && q.Substitute.Embeds():
		return invalid("models of embeddings are not planned for yet: name a model that makes text")
	case q.Days < 1 || q.Days > 366:
		return invalid("a month of %d days: give 1 to 366", q.Days)
	case q.InstanceStart < 0:
		return invalid("the start of an instance must not be negative")
	case q.MaxOutput < 0 || q.Deadline < 0 || q.Calls < 1:
		return invalid("max-tokens, the deadline and the number of replayed calls must not be negative")
	case q.Flex < 0 || q.Batch < 0 || q.Flex+q.Batch > 1000:
		return invalid("the shares of the calls that may wait, by flex and by batch, are between 0 and 1, and no more than 1 together")
	}
	return errors.Join(q.checkOffers()...)
}

// checkOffers refuses prices and sizes that are none.
func (q *Question) checkOffers() []error {
	var errs []error
	positive := func(what string, v *int64) {
		if v != nil && *v <= 0 {
			errs = append(errs, fault.Newf(fault.Invalid, "%s is zero or negative: give what it costs, or leave it out to have it counted as unknown", what))
		}
	}
	if u := q.UnitPrices; u != nil {
		positive("the price of a unit without commitment", u.None)
		positive("the price of a unit for one month", u.OneMonth)
		positive("the price of a unit for six months", u.SixMonths)
	}
	if u := q.Unit; u != nil && (u.Input < 1 || u.Output < 1 || u.Input > catalog.MaxUnit || u.Output > catalog.MaxUnit) {
		errs = append(errs, fault.Newf(fault.Invalid, "a unit of %d input and %d output tokens a minute: give 1 to %d of each", u.Input, u.Output, catalog.MaxUnit))
	}
	for i := range q.Rules {
		if r := &q.Rules[i]; r.PerUnit < 0 || r.Weight < 0 || r.PerUnit > catalog.MaxUnit || r.Weight > 1000 {
			errs = append(errs, fault.Newf(fault.Invalid, "a unit of %s of %d tokens a minute, of which an output token counts %d: give 1 to %d, and at most 1000", r.Name, r.PerUnit, r.Weight, catalog.MaxUnit))
		}
	}
	if t := q.Reserved; t != nil {
		for _, x := range []struct {
			of    string
			price *int64
		}{
			{"input", t.Input.None},
			{"input", t.Input.OneMonth},
			{"input", t.Input.ThreeMonths},
			{"output", t.Output.None},
			{"output", t.Output.OneMonth},
			{"output", t.Output.ThreeMonths},
		} {
			positive("the price of a thousand "+x.of+" tokens a minute of the reserved tier", x.price)
		}
	}
	if i := q.Instance; i != nil {
		positive("the price of an instance", &i.Hour)
	}
	if s := q.Serverless; s != nil {
		errs = append(errs, s.check())
	}
	errs = append(errs, q.Scaling.check())
	if e := q.Engine; e != nil {
		if err := e.Validate(); err != nil {
			errs = append(errs, fault.Newf(fault.Invalid, "the engine profile %s: %v", e.Name, err))
		}
	}
	return errs
}
