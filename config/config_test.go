package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/identity"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forebay.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestDefaultsAreValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// faults loads a text and returns what is wrong with it, a line each.
func faults(t *testing.T, text string) []string {
	t.Helper()
	c, err := load(t, text)
	if err == nil {
		err = c.Validate()
	}
	if err == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(err.Error(), c.Path, "forebay.yaml"), "\n")
}

func TestFaultsHaveTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"server:\n  lisen: x\n":                                     "forebay.yaml:2: server.lisen: is not known; did you mean listen?",
		"quotas: none\n\nquotas: none\n":                            "forebay.yaml:3: quotas: occurs twice, first in line 1",
		"server:\n  body_limit: lots\n":                             "forebay.yaml:2: server.body_limit: \"lots\" is no size",
		"server:\n  body_limit: 1.5\n":                              "forebay.yaml:2: server.body_limit: \"1.5\" is no whole number",
		"server:\n  keep_alive: 5 parsecs\n":                        "forebay.yaml:2: server.keep_alive: \"5 parsecs\" is no duration",
		"server: {keep_alive: 15}":                                  "forebay.yaml:1: server.keep_alive: 15 has no unit",
		"engines:\n  a:\n    type: simulated\n    urll: x\n":        "forebay.yaml:4: engines.a.urll: is not known; did you mean url?",
		"engines: {a: {type: simulatd}}":                            "forebay.yaml:1: engines.a.type: \"simulatd\" is not one of openai, anthropic, bedrock, simulated; did you mean simulated?",
		"engines: [a]":                                              "forebay.yaml:1: engines: wants members",
		"keys: {a: b}":                                              "forebay.yaml:1: keys: wants a list",
		"keys: [{name: 5, kind: api-key, secret: 'env:HOME'}]":      "forebay.yaml:1: keys[0].name: wants text; put it in quotes",
		"logging:\n  level: [info]\n":                               "forebay.yaml:2: logging.level: wants text, not a list or members",
		"server: {strict_region: maybe}":                            "forebay.yaml:1: server.strict_region: \"maybe\" is neither true nor false",
		"server: {stall: 1ns}":                                      "forebay.yaml:1: server.stall: 1ns is not between 1s and 720h0m0s; is the unit right?",
		"server: {stall: 500ms}":                                    "forebay.yaml:1: server.stall: 500ms is not between 1s and 720h0m0s; is the unit right?",
		"server: {keep_alive: 15us}":                                "forebay.yaml:1: server.keep_alive: 15µs is not between 1ms and 720h0m0s; is the unit right?",
		"models: {m: {max_wait: 100000h}}":                          "forebay.yaml:1: models.m.max_wait: 100000h0m0s is not between 1ms and 720h0m0s; is the unit right?",
		"server: {body_timeout: -1s}":                               "forebay.yaml:1: server.body_timeout: -1s is negative",
		"account: {limits: {tokens_per_day: -5}}":                   "forebay.yaml:1: account.limits.tokens_per_day: -5 is negative",
		"account: {limits: {concurrent_calls: -1}}":                 "forebay.yaml:1: account.limits.concurrent_calls: -1 is negative",
		"account: {limits: {tokens_per_day: 99999999999999999999}}": "forebay.yaml:1: account.limits.tokens_per_day:",
		"models: {a: {max_queue: 5000000000}}":                      "forebay.yaml:1: models.a.max_queue: 5000000000 is out of range",
		"aliases:\n  gpt: anthropic.claude-3-haiku\n":               "forebay.yaml:2: aliases.gpt: there is no \"anthropic.claude-3-haiku\" among the models; did you mean anthropic.claude-3-haiku-20240307-v1:0?",
		"aliases: {m: 'amazon.nova-pro-v1:0'}\nmodels: {m: {}}":     "forebay.yaml:1: aliases.m: is the id of a model",
		"account: {models: {nope: {}}}":                             "forebay.yaml:1: account.models.nope: there is no",
		"accounts:\n  123: {}\n":                                    "forebay.yaml:2: accounts.123: \"123\" is not twelve digits",
		"accounts: {'000000000000': {}}":                            "forebay.yaml:1: accounts.000000000000: is the operator's account",
		"server: {tls_cert: x}":                                     "forebay.yaml:1: server.tls_key: is missing",
		"server: {listen: '127.0.0.1:notaport'}":                    "forebay.yaml:1: server.listen: \"notaport\" is no port",
		"engines: {a: {type: openai, url: 'http://u:p@h/v1'}}":      "forebay.yaml:1: engines.a.url: holds a name or password",
		"a: [1\n":            "forebay.yaml:1: YAML: ",
		"a: 1\n---\nb: 2\n":  "forebay.yaml:3: YAML: a second document",
		"a: *b":              "forebay.yaml:1: a: is not known here",
		"quotas: *b":         "forebay.yaml:1: quotas: no anchor &b comes before",
		"quotas: !!str none": "forebay.yaml:1: quotas: tags such as !!str",
	} {
		got := faults(t, text)
		if !strings.HasPrefix(strings.Join(got, "\n"), want) {
			t.Errorf("%q:\n%s\nwant\n%s", text, strings.Join(got, "\n"), want)
		}
		if len(got) > 1 {
			t.Errorf("%q: one mistake is told %d times: %q", text, len(got), got)
		}
	}
}

// Everything that is wrong is told at once, in the order of the file, each with its line.
func TestAllFaultsAtOnce(t *testing.T) {
	got := faults(t, `
server: {listen: nowhere, lissten: x, kep_alive: 1}
account: {id: "12", billing_zone: Mars/Olympus, limits: {spend_per_day: "5"}}
quotas: lots
keys:
  - {name: a, kind: magic, secret: "plain text", team: ghosts, expires: never}
  - {name: a, kind: access-key, secret: env:FOREBAY_TEST_NOT_SET}
  - {name: b, kind: api-key, token_sha256: abc, account: "999999999999"}
engines:
  x: {type: teapot}
  y: {type: openai}
  z: {type: simulated, profile: abacus}
models:
  m: {engines: [{engine: zz}, {engine: z}, {engine: z}], price: {input: "1 USD", output: "1 EUR"}, guardrails: yes please}
  n: {limits: {spend_per_day: 1 USD, spend_per_month: 1 EUR}}
  o: {price: {input: much}}
ledger: {sync: sometimes, on_ledger_failure: shrug}
quotas: none
`)
	want := []struct {
		line int
		path string
	}{
		{2, "server.listen"},
		{2, "server.lissten"},
		{2, "server.kep_alive"},
		{3, "account.id"},
		{3, "account.billing_zone"},
		{3, "account.limits.spend_per_day"},
		{4, "quotas"},
		{6, "keys[0].kind"},
		{6, "keys[0].secret"},
		{6, "keys[0].team"},
		{6, "keys[0].expires"},
		{7, "keys[1].name"},
		{7, "keys[1].id"},
		{7, "keys[1].secret"},
		{8, "keys[2].token_sha256"},
		{8, "keys[2].account"},
		{10, "engines.x.type"},
		{11, "engines.y.url"},
		{12, "engines.z.profile"},
		{14, "models.m.engines[0].engine"},
		{14, "models.m.engines[2].engine"},
		{14, "models.m.price"},
		{14, "models.m.guardrails"},
		{15, "models.n.limits.spend_per_month"},
		{16, "models.o.price.input"},
		{17, "ledger.sync"},
		{17, "ledger.on_ledger_failure"},
		{18, "quotas"},
	}
	all := strings.Join(got, "\n") + "\n"
	for _, w := range want {
		if !strings.Contains(all, fmt.Sprintf("forebay.yaml:%d: %s: ", w.line, w.path)) {
			t.Errorf("line %d, %s is not told", w.line, w.path)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d faults, want %d:\n%s", len(got), len(want), all)
	}
	if strings.Contains(all, "plain text") {
		t.Error("a secret is echoed")
	}
	if !slices.IsSortedFunc(got, func(a, b string) int { return cmp.Compare(line(t, a), line(t, b)) }) {
		t.Errorf("not in the order of the file:\n%s", all)
	}
}

func line(t *testing.T, fault string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Split(fault, ":")[1])
	if err != nil {
		t.Fatal(fault)
	}
	return n
}

// What replaces a value of the file is not blamed on the file.
func TestOverridesHaveNoLine(t *testing.T) {
	t.Setenv("FOREBAY_LISTEN", "nowhere")
	c, err := load(t, "server: {listen: '127.0.0.1:1'}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "server.listen: ") {
		t.Errorf("%v", err)
	}
}

func TestValuesAreRead(t *testing.T) {
	t.Setenv("FOREBAY_TEST_SECRET", "x")
	c, err := load(t, `
server: {listen: "127.0.0.1:1", body_limit: 3MiB, body_budget: 5000000, keep_alive: 1m30s, tls_listen: ""}
account:
  id: "000000000001"
  max_tier: default
  limits: &some {requests_per_minute: 10, spend_per_day: 0.5 USD}
  models: {"amazon.nova-lite-v1:0": *some}
  teams: {a: {max_tier: flex, limits: *some}}
accounts:
  111111111111: {name: Research, billing_zone: Europe/Rome, teams: {b: {}}}
keys:
  - {name: k, kind: api-key, secret: env:FOREBAY_TEST_SECRET, account: "111111111111", team: b, expires: 2030-01-31}
engines: {e: {type: simulated, seed: 18446744073709551615, total_timeout: 0}}
models:
  new: {engines: [{engine: e, weight: 2, standby: true}], limits: {tokens_per_day: 0}, price: {input: 1 USD}}
aliases: {other: new}
`)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	some := Limits{RequestsPerMinute: 10, SpendPerDay: "0.5 USD"}
	want := Default()
	want.Server.Listen, want.Server.BodyLimit, want.Server.Bodies, want.Server.KeepAlive, want.Server.TLSListen = "127.0.0.1:1", 3<<20, 5000000, 90*time.Second, ""
	want.Account = Account{ID: "000000000001", Tenant: Tenant{
		Zone: "UTC", Tier: "default", Limits: some, Models: map[string]Limits{"amazon.nova-lite-v1:0": some}, Teams: map[string]Team{"a": {Tier: "flex", Limits: some}},
	}}
	want.Accounts = map[string]Tenant{"111111111111": {Name: "Research", Zone: "Europe/Rome", Teams: map[string]Team{"b": {}}}}
	want.Keys = []Key{{Name: "k", Kind: "api-key", Secret: "env:FOREBAY_TEST_SECRET", Account: "111111111111", Team: "b", Expires: "2030-01-31"}}
	want.Engines = map[string]Engine{"e": {Type: "simulated", Seed: 1<<64 - 1}}
	want.Models = map[string]Model{"new": {Engines: []Binding{{Engine: "e", Weight: 2, Standby: true}}, Price: &Price{Input: "1 USD"}}}
	want.Aliases = map[string]string{"other": "new"}
	path, source := c.Path, c.source
	want.Path, want.source = path, source
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v\nwant\n%+v", c, want)
	}
	for member, want := range map[string]string{"models.new": ":15", "keys[0]": ":12", "accounts.111111111111": ":10", "models.other": ""} {
		if got := strings.TrimPrefix(c.Where(member), path); got != want {
			t.Errorf("%s is declared at %q, want %q", member, got, want)
		}
	}
}

// A secret that two keys have would authenticate one of them alone, whatever the other may or may not.
func TestSecretsAreOfOneKey(t *testing.T) {
	t.Setenv("ONE", "one-secret")
	t.Setenv("TWO", "one-secret")
	t.Setenv("OTHER", "another")
	got := faults(t, `
accounts: {"111111111111": {}}
keys:
  - {name: a, kind: api-key, secret: env:ONE, models: ["amazon.*"]}
  - {name: b, kind: api-key, secret: env:OTHER}
  - {name: c, kind: api-key, secret: env:TWO, account: "111111111111"}
  - {name: d, kind: access-key, id: AKIAAAAAAAAAAAAAAAAA, secret: env:ONE}
  - {name: e, kind: api-key, token_sha256: `+identity.HashToken("another")+`}
`)
	if len(got) != 3 || !strings.Contains(got[0], "keys[2]") || !strings.Contains(got[0], "keys[0]") || !strings.Contains(got[1], "keys[3]") || !strings.Contains(got[2], "keys[4]") ||
		strings.Contains(strings.Join(got, ""), "one-secret") {
		t.Errorf("%q", got)
	}
}

// A file without a secret in it is none.
func TestEmptySecretsAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Secret("file:" + path); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("%q, %v", s, err)
	}
}

// What Marshal writes is read back the same.
func TestMarshalRoundTrip(t *testing.T) {
	t.Setenv("CI_KEY", "x")
	t.Setenv("LAB_KEY", "y")
	t.Setenv("ANTHROPIC_KEY", "x")
	c, err := load(t, example(t))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := load(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Validate(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	again.Path, again.source = c.Path, c.source
	if !reflect.DeepEqual(c, again) {
		t.Errorf("%+v\nwant\n%+v\nthrough\n%s", again, c, text)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0B": 0, "25MiB": 25 << 20, "25 MB": 25e6, "1GiB": 1 << 30, "9KB": 9000} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MB", "-1MB", "1.5MB", "99999999999GiB", "5 XB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%s: %d", text, got)
		}
	}
}

func TestWithoutAuthenticationOnlyLoopback(t *testing.T) {
	c := Default()
	c.NoAuth = true
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Server.Listen = "0.0.0.0:8484"
	if err := c.Validate(); err == nil {
		t.Error("every address was accepted without authentication")
	}
}

// example is the file in the operator guide.
func example(t *testing.T) string {
	t.Helper()
	guide, err := os.ReadFile("../docs/operator-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	return text
}

func TestOperatorGuideExampleIsValid(t *testing.T) {
	t.Setenv("CI_KEY", "x")
	t.Setenv("LAB_KEY", "y")
	t.Setenv("ANTHROPIC_KEY", "x")
	if got := faults(t, example(t)); got != nil {
		t.Error(strings.Join(got, "\n"))
	}
}

// The published schema is what the types say.
func TestSchemaIsFresh(t *testing.T) {
	published, err := os.ReadFile("../docs/forebay.schema.json")
	if err != nil || !bytes.Equal(published, Schema()) {
		t.Errorf("docs/forebay.schema.json is stale: go generate ./config (%v)", err)
	}
}

// The schema, judged by an implementation of the standard, takes the example and refuses what the decoder refuses.
func TestSchemaJudgesFiles(t *testing.T) {
	takes := schemaTakes(t)
	for text, valid := range map[string]bool{
		example(t): true,
		"server: {body_limit: 25MiB, keep_alive: 1m30s}": true,
		"server: {body_limit: lots}":                     false,
		"server: {keep_alive: 15}":                       false,
		"server: {lisen: x}":                             false,
		"quotas: lots":                                   false,
		"engines: {a: {url: x}}":                         false,
		"keys: [{name: a}]":                              false,
		"account: {limits: {tokens_per_day: -1}}":        false,
		"account: {limits: {concurrent_calls: 3}, models: {m: {concurrent_calls: 1}}, teams: {t: {limits: {concurrent_calls: 2}}}}": true,
		"account: {limits: {spend_per_day: 5}}":     false,
		"account: {limits: {spend_per_day: 5 USD}}": true,
	} {
		if err := takes(text); (err == nil) != valid {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

// schemaTakes returns what judges a file by the schema.
func schemaTakes(t *testing.T) func(text string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("forebay.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("forebay.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(text string) error {
		asJSON, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
}

// No text makes the decoder panic or hang, and what is wrong has a path.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{"a: &a [*a]", "keys: [{name: a, kind: api-key}]", "server: {listen: 1}\nserver: x", "models: {a: {engines: [{engine: b}]}}", "a: !!x y", "? [a]\n: b", "- - -"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		c.Path = "f.yaml"
		err := c.read([]byte(text))
		if err == nil {
			err = c.Validate()
		}
		var all Faults
		if err != nil && (!errors.As(err, &all) || len(all) == 0) {
			t.Errorf("%T %v", err, err)
		}
	})
}

func FuzzMoney(f *testing.F) {
	for _, s := range []string{"0.25 USD", "1 USD", "-1 USD", "1.0000000001 USD", "USD", "1e9 USD"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, cur, err := Money(s); err == nil && (v < 0 || len(cur) != 3) {
			t.Errorf("%q: %d %s", s, v, cur)
		}
	})
}

// Every member says what it is for: the schema is what editors show.
func TestEveryMemberIsDocumented(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			walk(typ.Elem())
		case reflect.Struct:
			if seen[typ] {
				return
			}
			seen[typ] = true
			for name, f := range members(typ) {
				if doc := f.Tag.Get("doc"); doc == "" || !strings.HasSuffix(doc, ".") {
					t.Errorf("%s.%s has no doc tag, or one that is no sentence: %q", typ.Name(), name, doc)
				}
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	if len(seen) < 12 {
		t.Errorf("%d types", len(seen))
	}
}

// What cannot change before a restart keeps its value, and is named.
func TestKeepFixed(t *testing.T) {
	running, next := Default(), Default()
	next.Server.Listen, next.Server.BodyLimit, next.Server.Strict = "127.0.0.1:9", 77, true
	next.DataDir, next.Account.ID, next.Account.Limits = "/x", "000000000009", Limits{TokensPerDay: 5}
	next.Ledger.Sync, next.Logging.Level, next.Tracing.Sample = "full", "debug", 0.5
	next.Models, next.Quotas, next.NoAuth = map[string]Model{"m": {}}, QuotasAWS, true
	got := next.KeepFixed(&running)
	if want := []string{"server.listen", "data_dir", "ledger.sync", "tracing.sample", "account.id"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if next.Server.Listen != running.Server.Listen || next.DataDir != running.DataDir || next.Account.ID != running.Account.ID || next.NoAuth ||
		next.Server.BodyLimit != 77 || !next.Server.Strict || next.Account.Limits.TokensPerDay != 5 || next.Logging.Level != "debug" || next.Models == nil || next.Quotas != QuotasAWS {
		t.Errorf("%+v", next)
	}
	if again := next.KeepFixed(&running); again != nil {
		t.Errorf("%v", again)
	}
}

// The bounds in the tags of durations are durations.
func TestLeastDurations(t *testing.T) {
	var walk func(v reflect.Type)
	found := 0
	walk = func(v reflect.Type) {
		for _, f := range members(v) {
			if least, ok := f.Tag.Lookup("min"); ok {
				found++
				if d, err := time.ParseDuration(least); err != nil || d < minDuration || f.Type != durationType {
					t.Errorf("%s: %q", f.Name, least)
				}
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	if found == 0 {
		t.Error("none has a bound")
	}
}
