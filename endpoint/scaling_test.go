package endpoint_test

import (
	"testing"
	"time"

	"forebay/capacity/scale"
	"forebay/endpoint"
	"forebay/fault"
	"forebay/fleet"
)

// rules are those by which what an endpoint runs scales.
func (b *bench) rules() fleet.Variant {
	b.Helper()
	b.settle()
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	for _, v := range b.fleet.want {
		return v
	}
	b.Fatal("nothing runs")
	return fleet.Variant{}
}

func TestScaling(t *testing.T) {
	b := newBench(t)
	b.create("one")
	of := endpoint.Scalable{Account: account, Endpoint: "chat", Variant: "all"}
	if v := b.rules(); v.Rules.Min != 4 || v.Rules.Max != 4 {
		t.Errorf("%+v", v)
	}
	if _, err := b.PutPolicy(b.ctx, of, "p", endpoint.Policied{Tracking: &endpoint.Tracking{Metric: "SageMakerVariantInvocationsPerInstance", Target: 70}}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a policy of what is not registered: %v", err)
	}
	if _, err := b.Register(b.ctx, of, new(int32(2)), new(int32(8)), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutPolicy(b.ctx, of, "track", endpoint.Policied{Tracking: &endpoint.Tracking{Metric: "SageMakerVariantInvocationsPerInstance", Target: 70, In: new(int32(60))}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutPolicy(b.ctx, of, "more@concurrency>4", endpoint.Policied{Steps: &endpoint.Steps{Adjustment: "ChangeInCapacity", Steps: []endpoint.Step{{Lower: new(0.0), By: 2}}}}); err != nil {
		t.Fatal(err)
	}
	if err := b.PutAction(b.ctx, of, "morning", endpoint.Action{Schedule: "cron(0 8 ? * MON-FRI *)", Zone: "Europe/Berlin", Min: new(int32(5))}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		v := b.rules()
		if v.Rules.Min != 2 || v.Rules.Max != 8 || v.Desired != 4 || len(v.Rules.Policies) != 2 || len(v.Schedules) != 1 || *v.Schedules[0].Min != 5 || v.Schedules[0].Max != nil {
			t.Fatalf("%s: %+v", when, v)
		}
		step, track := v.Rules.Policies[0], v.Rules.Policies[1]
		if step.Kind != scale.Stepping || step.Metric != scale.MetricConcurrency || step.Target != 4000 || step.Steps[0].By != 2 || step.Steps[0].To != scale.Open ||
			track.Kind != scale.Tracking || track.Target != 70_000 || track.OutCooldown != 5*time.Minute || track.InCooldown != time.Minute {
			t.Errorf("%s: %+v", when, v.Rules.Policies)
		}
	}
	check("as put")
	b.restart()
	check("after a restart")
	// An update keeps what is registered, and has its own numbers while it lasts.
	b.update("two", nil)
	check("after an update")
	if err := b.DeletePolicy(b.ctx, of, "track"); err != nil {
		t.Error(err)
	}
	if err := b.Deregister(b.ctx, of); err != nil {
		t.Error(err)
	}
	if v := b.rules(); v.Rules.Min != 4 || v.Rules.Max != 4 || len(v.Rules.Policies)+len(v.Schedules) != 0 {
		t.Errorf("%+v", v)
	}
	if _, err := b.Register(b.ctx, of, new(int32(2)), new(int32(8)), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(b.ctx, account, "chat"); err != nil {
		t.Fatal(err)
	}
	b.settle()
	if left := b.Registered(account); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestScalingThatCannotBe(t *testing.T) {
	b := newBench(t)
	b.config("small", endpoint.Variant{Name: "all", Model: "one", Weight: 1, Serverless: &endpoint.Serverless{MemoryMB: 1024, Concurrency: 5}})
	b.create("one")
	of := endpoint.Scalable{Account: account, Endpoint: "chat", Variant: "all"}
	register := func(of endpoint.Scalable, least, most int32) func() error {
		return func() error { _, err := b.Register(b.ctx, of, &least, &most, nil); return err }
	}
	for name, c := range map[string]struct {
		do   func() error
		want fault.Kind
	}{
		"no endpoint":        {register(endpoint.Scalable{Account: account, Endpoint: "none", Variant: "all"}, 1, 2), fault.Invalid},
		"no variant":         {register(endpoint.Scalable{Account: account, Endpoint: "chat", Variant: "none"}, 1, 2), fault.Invalid},
		"of another account": {register(endpoint.Scalable{Account: "111111111111", Endpoint: "chat", Variant: "all"}, 1, 2), fault.Invalid},
		"to nothing":         {register(of, 0, 2), fault.Invalid},
		"upside down":        {register(of, 3, 2), fault.Invalid},
		"absurd":             {register(of, 3, 1<<30), fault.Invalid},
		"without bounds":     {func() error { _, err := b.Register(b.ctx, of, nil, nil, nil); return err }, fault.Invalid},
		"not registered":     {func() error { return b.Deregister(b.ctx, of) }, fault.NotFound},
		"an action of nothing": {func() error {
			return b.PutAction(b.ctx, of, "a", endpoint.Action{Schedule: "rate(1 hour)", Min: new(int32(1))})
		}, fault.NotFound},
	} {
		if err := c.do(); err == nil || fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := register(of, 1, 2)(); err != nil {
		t.Fatal(err)
	}
	policy := func(name string, p endpoint.Policied) func() error {
		return func() error { _, err := b.PutPolicy(b.ctx, of, name, p); return err }
	}
	steps := func(s ...endpoint.Step) endpoint.Policied {
		return endpoint.Policied{Steps: &endpoint.Steps{Adjustment: "ChangeInCapacity", Steps: s}}
	}
	for name, c := range map[string]struct {
		do   func() error
		want fault.Kind
	}{
		"a metric of others":     {policy("p", endpoint.Policied{Tracking: &endpoint.Tracking{Metric: "ALBRequestCountPerTarget", Target: 1}}), fault.Invalid},
		"no target":              {policy("p", endpoint.Policied{Tracking: &endpoint.Tracking{Metric: "SageMakerVariantInvocationsPerInstance"}}), fault.Invalid},
		"no steps":               {policy("p", steps()), fault.Invalid},
		"steps that overlap":     {policy("p", steps(endpoint.Step{Lower: new(0.0), By: 1}, endpoint.Step{Lower: new(1.0), By: 2})), fault.Invalid},
		"a condition of nothing": {policy("p@cpu>4", steps(endpoint.Step{Lower: new(0.0), By: 1})), fault.Invalid},
		"a schedule that is none": {func() error {
			return b.PutAction(b.ctx, of, "a", endpoint.Action{Schedule: "daily", Min: new(int32(1))})
		}, fault.Invalid},
		"a zone that is none": {func() error {
			return b.PutAction(b.ctx, of, "a", endpoint.Action{Schedule: "rate(1 hour)", Zone: "Mars/North", Min: new(int32(1))})
		}, fault.Invalid},
		"an action without bounds": {func() error { return b.PutAction(b.ctx, of, "a", endpoint.Action{Schedule: "rate(1 hour)"}) }, fault.Invalid},
		"no such policy":           {func() error { return b.DeletePolicy(b.ctx, of, "p") }, fault.NotFound},
		"no such action":           {func() error { return b.DeleteAction(b.ctx, of, "a") }, fault.NotFound},
	} {
		if err := c.do(); err == nil || fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
