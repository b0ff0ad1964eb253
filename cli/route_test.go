package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"forebay/config"
)

func TestLaneSpecs(t *testing.T) {
	for spec, want := range map[string]config.Lane{
		"m":         {Model: "m"},
		"m@a+b":     {Model: "m", Engines: []string{"a", "b"}},
		"m,name=x":  {Model: "m", Name: "x"},
		"m,spill=s": {Model: "m", Spill: "s"},
		"a.b-1:0@e,spill=over-latency,max-wait=2s,budget=5 USD/day,failover": {
			Model: "a.b-1:0", Engines: []string{"e"}, Spill: "over-latency", MaxWait: 2 * time.Second, Budget: &config.Budget{Amount: "5 USD", Period: "day"}, Failover: true,
		},
		"provisioned:chat,spill=over-rate":                                      {Bought: "chat", Spill: "over-rate"},
		"provisioned:arn:aws:bedrock:r:000000000000:provisioned-model/x,name=n": {Bought: "arn:aws:bedrock:r:000000000000:provisioned-model/x", Name: "n"},
		"m,budget=5 USD,failover=false":                                         {Model: "m", Budget: &config.Budget{Amount: "5 USD"}},
	} {
		if got, err := lane(spec); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", spec, got, err)
		}
	}
	for spec, want := range map[string]string{
		"m,max-wait=2": `"2" is no duration`, "m,failover=maybe": "failover is true or false", "m,fail": `"fail" is not known`,
	} {
		if _, err := lane(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// Routes are made, tried, used, seen in usage and deleted.
func TestVerbsOfRoutes(t *testing.T) {
	dir := serving(t, `engines:
  simulated: {type: simulated, profile: instant}
  small: {type: simulated, profile: instant, quota: {requests_per_minute: 1}}
models:
  mine: {engines: [{engine: small}], price: {input: 1 USD, output: 2 USD}}
  more: {engines: [{engine: simulated}], price: {input: 3 USD, output: 4 USD}}
routes:
  declared: {lanes: [{model: more}]}
`)
	t.Setenv("FOREBAY_DATA_DIR", dir)
	file := filepath.Join(t.TempDir(), "lanes.yaml")
	if err := os.WriteFile(file, []byte("lanes: [{name: own, model: mine, spill: over-rate, budget: {amount: 5 USD}}, {model: more}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := "" // of the last call
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"route create chat", 1, "give the lanes"},
		{"route create chat --lane mine", 0, "route chat is"},
		{"route create chat --lane mine", 1, "exists already"},
		{"route create mine --lane more", 1, "is the id of a model"},
		{"route create circle --lane circle", 1, "round in a circle"},
		{"route set chat --lane mine,spill=over-rate", 1, "leads nowhere"},
		{"route set declared --lane mine", 1, "is managed by"},
		{"route set chat --file " + file, 0, `"spill":"over-rate"`},
		{"route", 0, "own -> more"},
		{"route show chat", 0, "5 USD a month"},
		{"route show nosuch", 1, "see `forebay route`"},
		{"route show chat --json", 0, `"lanes"`},
		{"route test nosuch", 1, "model identifier is invalid"},
		{"route test chat --of-key nosuch", 1, "no key with the id"},
		{"route test mine", 0, "A call of mine would run now in lane mine, on engine small."},
		{"route test chat", 0, "would run now in lane own, on engine small."},
		{"route test chat", 0, "not needed"},
		{"route test chat --json", 0, `"outcome": "runs"`},
		{"invoke --model chat --json hello", 0, `"outputTokens"`},
		{"route test chat", 0, "would run now in lane more, on engine simulated."},
		{"route test chat", 0, "left: over-rate (requests/min of engine small for mine)"},
		{"route test chat", 0, "spend/month"},
		{"route test chat --input 900000000", 0, "would be refused: left own: over-rate"},
		{"route test mine", 0, "would be refused"},
		{"route test mine", 0, "There is room again after"},
		{"invoke --model chat --json hello", 0, `"outputTokens"`},
		{"usage --by route,lane", 0, "chat   more"},
		{"usage --by spill", 0, "own: over-rate"},
		{"route create bought --lane provisioned:units,spill=over-rate --lane mine", 1, `no provisioned throughput "units"`},
		{"provision create units --model amazon.nova-lite-v1:0 --units 1", 0, "InService"},
		{"route create bought --lane provisioned:units,spill=over-rate --lane mine", 0, `"provisioned":"units"`},
		{"route show bought", 0, "units  provisioned:units  -        over-rate"},
		{"route delete bought", 0, "route bought is deleted"},
		{"route delete chat", 0, "route chat is deleted"},
		{"route delete declared", 1, "is managed by"},
		{"explain ID", 0, "chat, lane 2: more; left own: over-rate (requests/min of engine small for mine)"},
	} {
		code, out, errs := runCLI(t, tilde(strings.Fields(strings.ReplaceAll(c.args, "ID", id)))...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit %d\n%s%s\nwant %d with %s", c.args, code, out, errs, c.code, c.want)
		}
		if _, after, ok := strings.Cut(out, `"requestId": "`); ok {
			id, _, _ = strings.Cut(after, `"`)
		}
	}
}
