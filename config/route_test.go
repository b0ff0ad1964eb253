package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/capacity"
)

const routeSetting = `engines:
  own: {type: openai, url: 'http://127.0.0.1:1/v1'}
  aws: {type: simulated}
models:
  m: {engines: [{engine: own}, {engine: aws}]}
  n: {engines: [{engine: aws}]}
aliases: {known: m}
routes:
`

// All that is wrong with routes is told at once, each with its line.
func TestFaultsOfRoutes(t *testing.T) {
	for name, x := range map[string]struct{ text, want string }{
		"empty": {"  r: {}\n", `9: routes.r.lanes: is empty`},
		"too many": {
			"  r: {lanes: [{model: m, spill: over-rate}, {model: n, spill: over-rate}, {model: m, engines: [own], spill: over-rate}, {model: m, engines: [aws], spill: over-rate}, {model: amazon.nova-pro-v1:0}]}\n",
			`9: routes.r.lanes: has 5 lanes; at most 4`,
		},
		"dangling model":  {"  r:\n    lanes:\n      - model: mm\n", `11: routes.r.lanes[0].model: there is no "mm" among the models`},
		"dangling engine": {"  r: {lanes: [{model: n, engines: [own]}]}\n", `9: routes.r.lanes[0].engines[0]: there is no "own" among the engines of n`},
		"a deployment": {
			"  r: {lanes: [{model: 'arn:aws:bedrock:us-east-1:000000000000:model-import-job/abc'}]}\n",
			`9: routes.r.lanes[0].model: is no ARN of a model that was brought, or of a deployment (custom-model, imported-model, custom-model-deployment)`,
		},
		"a purchase": {
			"  r: {lanes: [{model: 'arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abc'}]}\n",
			`9: routes.r.lanes[0].model: is the ARN of what was bought; write it under provisioned`,
		},
		"engines of what was brought": {
			"  r: {lanes: [{model: 'arn:aws:bedrock:us-east-1:000000000000:imported-model/abc', engines: [own]}]}\n",
			`9: routes.r.lanes[0].engines[0]: there is no "own" among the engines of arn:aws:bedrock:us-east-1:000000000000:imported-model/abc`,
		},
		"no model":          {"  r: {lanes: [{name: x}]}\n", `9: routes.r.lanes[0].model: is missing`},
		"itself":            {"  r: {lanes: [{model: r}]}\n", `9: routes.r.lanes[0].model: is the route itself`},
		"another route":     {"  r: {lanes: [{model: s}]}\n  s: {lanes: [{model: m}]}\n", `9: routes.r.lanes[0].model: "s" is a route`},
		"an alias":          {"  r: {lanes: [{model: known}]}\n", `9: routes.r.lanes[0].model: "known" is an alias; write the id of the model, m`},
		"named as a model":  {"  m: {lanes: [{model: n}]}\n", `9: routes.m: is the id of a model`},
		"named as an alias": {"  known: {lanes: [{model: n}]}\n", `9: routes.known: is an alias of m`},
		"named as a profile": {
			"  us.m: {lanes: [{model: n}]}\n", `9: routes.us.m: is a system inference profile of the model m`,
		},
		"bought and said":    {"  r: {lanes: [{provisioned: x, model: m}]}\n", `9: routes.r.lanes[0].provisioned: says which model serves`},
		"a bad name":         {"  'a b': {lanes: [{model: n}]}\n", `9: routes.a b: the name of a route has`},
		"twice the same":     {"  r: {lanes: [{model: m, spill: over-rate}, {model: m}]}\n", `9: routes.r.lanes[1]: serves as lane 1 does already`},
		"the same in order":  {"  r: {lanes: [{model: m, engines: [own, aws], spill: over-rate}, {model: m, engines: [aws, own]}]}\n", `9: routes.r.lanes[1]: serves as lane 1 does already`},
		"two of a name":      {"  r: {lanes: [{name: x, model: m, spill: over-rate}, {name: x, model: n}]}\n", `9: routes.r.lanes[1].name: "x" is the name of another lane`},
		"never reached":      {"  r: {lanes: [{model: m, spill: never}, {model: n}]}\n", `9: routes.r.lanes[0].spill: no call ever leaves this lane`},
		"leads nowhere":      {"  r: {lanes: [{model: m, spill: over-rate}]}\n", `9: routes.r.lanes[0].spill: leads nowhere`},
		"fails over nowhere": {"  r: {lanes: [{model: m, failover: true}]}\n", `9: routes.r.lanes[0].failover: leads nowhere`},
		"no such rule":       {"  r: {lanes: [{model: m, spill: sometimes, failover: true}, {model: n}]}\n", `9: routes.r.lanes[0].spill: "sometimes" is not one of never, over-rate`},
		"a wait for nothing": {"  r: {lanes: [{model: m, spill: over-rate, max_wait: 1s}, {model: n}]}\n", `9: routes.r.lanes[0].max_wait: is for spill: over-latency`},
		"a budget of none":   {"  r: {lanes: [{model: m, spill: over-rate, budget: {period: day}}, {model: n}]}\n", `9: routes.r.lanes[0].budget.amount: is missing`},
		"text and vectors": {
			"  r: {lanes: [{model: m, spill: over-rate}, {model: amazon.titan-embed-text-v2:0}]}\n",
			`9: routes.r.lanes[1].model: m and amazon.titan-embed-text-v2:0 make different things`,
		},
		"vectors of two": {
			"  r: {lanes: [{model: amazon.titan-embed-text-v1, spill: over-rate}, {model: amazon.titan-embed-text-v2:0}]}\n",
			`9: routes.r.lanes[1].model: the vectors of amazon.titan-embed-text-v1 and of amazon.titan-embed-text-v2:0 cannot be compared`,
		},
	} {
		got := faults(t, routeSetting+x.text)
		if len(got) != 1 || !strings.HasPrefix(got[0], "forebay.yaml:"+x.want) {
			t.Errorf("%s: %q\nwant %s", name, got, x.want)
		}
	}
	circle := faults(t, routeSetting+"  a: {lanes: [{model: m, spill: over-rate}, {model: b}]}\n  b: {lanes: [{model: c}]}\n  c: {lanes: [{model: a}]}\n  d: {lanes: []}\n")
	want := []string{
		"forebay.yaml:9: routes.a.lanes[1].model: goes round in a circle: a -> b -> c -> a",
		"forebay.yaml:10: routes.b.lanes[0].model: goes round in a circle: b -> c -> a -> b",
		"forebay.yaml:11: routes.c.lanes[0].model: goes round in a circle: c -> a -> b -> c",
		"forebay.yaml:12: routes.d.lanes: is empty: a route needs a lane to serve its calls",
	}
	if !slices.Equal(circle, want) {
		t.Errorf("%q\nwant\n%q", circle, want)
	}
}

func TestRulesOfLanes(t *testing.T) {
	c, err := load(t, routeSetting+`  chat:
    lanes:
      - {name: bought, model: n, spill: over-rate, budget: {amount: 5 USD, period: day}}
      - {model: m, engines: [own], spill: over-rate-or-latency, max_wait: 2s, failover: true}
      - {model: m, engines: [aws, own], failover: true}
      - {model: amazon.nova-pro-v1:0}
`)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	var rules []capacity.Spill
	for i := range c.Routes["chat"].Lanes {
		l := &c.Routes["chat"].Lanes[i]
		titles, rules = append(titles, l.Title()), append(rules, l.Rules())
	}
	if want := []string{"bought", "m@own", "m@aws+own", "amazon.nova-pro-v1:0"}; !slices.Equal(titles, want) {
		t.Errorf("%q", titles)
	}
	if want := []capacity.Spill{capacity.SpillOverRate, capacity.SpillOverRate | capacity.SpillOverLatency | capacity.FailOver, capacity.FailOver, 0}; !slices.Equal(rules, want) {
		t.Errorf("%v", rules)
	}
	if l := c.Routes["chat"].Lanes[1]; l.MaxWait != 2*time.Second {
		t.Errorf("%+v", l)
	}
}
