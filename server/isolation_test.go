package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"forebay/config"
	"forebay/provision"
)

const isolationTag = `"tags":[{"key":"forebay:isolation","value":"replica"}]`

// isolable lets the model be served by three engines of two units each, and by one that serves another model, too.
func isolable(c config.Config) config.Config {
	bindings := []config.Binding{{Engine: "sim", Units: 8}}
	for _, name := range []string{"a", "b", "c"} {
		c.Engines[name] = config.Engine{Type: "simulated", Profile: "demo", Slots: 4}
		bindings = append(bindings, config.Binding{Engine: name, Units: 2})
	}
	c.Models[haiku] = config.Model{Engines: bindings, Unit: &config.Unit{Input: 6000, Output: 600}}
	return c
}

// Isolation takes whole replicas of engines that serve one model only, as few as back the units, and no more than what is sold without
// it leaves. What ends gives them back.
func TestIsolationTakesWholeReplicas(t *testing.T) {
	s := run(t, isolable(testConfig(t)))
	order := func(name string, units int, more string) *provision.Throughput {
		t.Helper()
		arn := buy(t, s, fmt.Sprintf(`{"provisionedModelName":%q,"modelId":%q,"modelUnits":%d%s}`, name, haiku, units, more))
		x, err := s.book.Get(t.Context(), s.cfg.Account.ID, arn)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	first := order("first", 3, ","+isolationTag)
	if got := fmt.Sprint(first.Status, first.Replicas); got != "InService[{a 1} {b 1}]" {
		t.Fatal(got, first.Failure)
	}
	if x := order("more", 3, ","+isolationTag); x.Status != provision.Failed || !strings.Contains(x.Failure, "2 of 3 model units could be had") {
		t.Errorf("%+v", x)
	}
	if x := order("shared", 9, ""); x.Status != provision.InService || x.Replicas != nil {
		t.Errorf("%+v", x)
	}
	if x := order("late", 1, ","+isolationTag); x.Status != provision.Failed || !strings.Contains(x.Failure, "0 of 1 model units") {
		t.Errorf("9 of 10 units are sold without isolation: %+v", x)
	}
	if a := post(t, s, "/model/first/converse", question); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	if x, err := (provisionAdmin{s}).Get(t.Context(), s.cfg.Account.ID, "first"); err != nil || x.Use == nil || x.Use.Own != 8 || x.Use.Slots != 0 {
		t.Errorf("%+v %v", x, err)
	}
	if a := post(t, s, throughputPath+"/first", "", method(http.MethodDelete)); a.status != http.StatusOK {
		t.Fatal(a.body)
	}
	if x := order("again", 4, ","+isolationTag); fmt.Sprint(x.Replicas) != "[{a 1} {b 1}]" {
		t.Errorf("%+v", x)
	}
}

// When replicas that are isolated for a purchase go, that is told of the purchase, and not of others of the model.
func TestMissingIsolatedReplicasAreTold(t *testing.T) {
	c := isolable(testConfig(t))
	s := run(t, c)
	buy(t, s, fmt.Sprintf(`{"provisionedModelName":"own","modelId":%q,"modelUnits":4,%s}`, haiku, isolationTag))
	buy(t, s, fmt.Sprintf(`{"provisionedModelName":"common","modelId":%q,"modelUnits":1}`, haiku))
	if p := shown(t, s, "own"); p.Shortage != "" || fmt.Sprint(p.Replicas) != "[{a 1} {b 1}]" {
		t.Fatalf("%+v", p)
	}
	m := c.Models[haiku]
	m.Engines = append(m.Engines[:2:2], m.Engines[3:]...) // without b
	c.Models = map[string]config.Model{haiku: m}
	reload(t, s, c)
	if p := shown(t, s, "own"); p.Shortage != "4 slots of the replicas that are isolated for it are up, of 8" {
		t.Errorf("%q", p.Shortage)
	}
	if p := shown(t, s, "common"); p.Shortage != "" {
		t.Errorf("%q", p.Shortage)
	}
	if a := post(t, s, "/metrics", "", method(http.MethodGet)); strings.Count(a.body, "forebay_reserved_short{") != 1 {
		t.Errorf("%s", a.body)
	}
}

// Where every engine serves other models, too, nothing can be isolated, and the failure says why.
func TestSharedEnginesIsolateNothing(t *testing.T) {
	s := run(t, slow(testConfig(t), 8))
	x := throughput(t, s, buy(t, s, `{"provisionedModelName":"a","modelId":"`+haiku+`","modelUnits":1,`+isolationTag+`}`))
	if x["status"] != "Failed" || !strings.Contains(fmt.Sprint(x["failureMessage"]), "engine sim serves") {
		t.Error(x)
	}
}

// Teams' parts of an isolated purchase have slots of its replicas, in proportion to their units but for one slot, which is for all.
func TestPartsHaveSlotsOfIsolatedReplicas(t *testing.T) {
	c := isolable(testConfig(t))
	c.Account.Teams = map[string]config.Team{"search": {}, "lab": {}}
	s := run(t, c)
	buy(t, s, fmt.Sprintf(`{"provisionedModelName":"own","modelId":%q,"modelUnits":4,%s}`, haiku, isolationTag))
	if a := ask(t, s, http.MethodPut, "provisioned/own", `{"parts":[{"team":"search","units":3},{"team":"lab","units":1}]}`); a.status != http.StatusOK {
		t.Fatal(a.status, a.body)
	}
	p := shown(t, s, "own")
	if fmt.Sprint(p.Replicas) != "[{a 1} {b 1}]" || p.Use == nil || len(p.Use.Parts) != 2 {
		t.Fatalf("%+v", p)
	}
	for _, part := range p.Use.Parts {
		if want := map[string]int32{"search": 5, "lab": 1}[part.Team]; part.Slots != want { // of seven of eight, three quarters and one
			t.Errorf("%+v, want %d slots", part, want)
		}
	}
	key := teamKey(t, s, "lab")
	if a := post(t, s, "/model/own/converse", question, set("Authorization", "Bearer "+key.Value)); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}
