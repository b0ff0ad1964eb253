package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func TestUnknownAndDuplicateMembersAreToldWithTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"server:\n  lisen: x\n":                    "2:3",
		"quotas: none\nquotas: none\n":             "quotas",
		"server:\n  body_limit: lots\n":            "2:15",
		"server:\n  keep_alive: 5 parsecs\n":       "parsecs",
		"engines:\n  a: {type: openai, urll: x}\n": "urll",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// Everything that is wrong is told at once.
func TestAllFaultsAtOnce(t *testing.T) {
	c, err := load(t, `
server: {listen: nowhere}
account: {id: "12", billing_zone: Mars/Olympus, limits: {spend_per_day: "5"}}
quotas: lots
keys:
  - {name: a, kind: magic, secret: "plain text", team: ghosts}
  - {name: a, kind: access-key, secret: env:FOREBAY_TEST_NOT_SET}
engines:
  x: {type: teapot}
  y: {type: openai}
  z: {type: simulated, profile: abacus}
models:
  m: {engines: [{engine: nobody}], price: {input: "1 USD", output: "1 EUR"}, guardrails: yes please}
ledger: {sync: sometimes, on_ledger_failure: shrug}
`)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{
		"server.listen", "account.id", "account.billing_zone", "account.limits", "quotas", "keys[0].kind", "keys[0].secret", "keys[0].team",
		"keys[1].name", "keys[1].id", "keys[1].secret", "engines.x.type", "engines.y.url", "engines.z.profile", "models.m.engines[0].engine",
		"models.m.price", "models.m.guardrails", "ledger.sync", "ledger.on_ledger_failure",
	} {
		if !strings.Contains(err.Error(), want+": ") {
			t.Errorf("%s is not told", want)
		}
	}
	if strings.Contains(err.Error(), "plain text") {
		t.Error("a secret is echoed")
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

func TestOperatorGuideExampleIsValid(t *testing.T) {
	guide, err := os.ReadFile("../docs/operator-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	t.Setenv("CI_KEY", "x")
	t.Setenv("ANTHROPIC_KEY", "x")
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
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
