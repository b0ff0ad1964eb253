package config

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCostChargeAndLimitsAreRead(t *testing.T) {
	t.Setenv("OTLP_TOKEN", "x")
	path := filepath.Join(t.TempDir(), "forebay.yaml")
	const text = `
server: {header_timeout: 3s, body_timeout: 1m, header_limit: 16384, max_connections: 10, max_connections_per_address: 2, body_budget: 1000}
engines:
  own: {type: openai, url: "http://127.0.0.1:1/v1", cost: {input: 0.05 USD, output: 0.10 USD, flex: 0.5, date: 2026-01-31, source: the finance team}}
models:
  m: {engines: [{engine: own, cost: {input: 0.07 EUR}}]}
charge: {m: asked}
logging: {access: true, prompts: true}
tracing: {endpoint: "http://127.0.0.1:4318", headers: {authorization: "env:OTLP_TOKEN"}, sample: 0.5}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	own := c.Engines["own"].Cost
	if r, err := own.Parse(); err != nil || r.FlexPermille != 500 || r.PriorityPermille != 0 {
		t.Errorf("%+v %v", r, err)
	}
	for _, bad := range []float64{-1, 0.0001, 1000, math.NaN(), math.Inf(1)} {
		if _, err := (&Price{Input: "1 USD", Flex: bad}).Parse(); err == nil {
			t.Errorf("a factor of %v passed", bad)
		}
	}
	if own.Date != "2026-01-31" || own.Source != "the finance team" || c.Models["m"].Engines[0].Cost.Input != "0.07 EUR" || c.Charge["m"] != ChargeAsked {
		t.Errorf("%+v", c)
	}
}

func TestOperationFaults(t *testing.T) {
	c := Default()
	c.Server.BodyTimeout, c.Server.HeaderLimit, c.Server.Connections, c.Server.PerAddress = 0, 1, -1, -1
	c.Engines = map[string]Engine{"e": {Type: "bedrock", Cost: &Price{Input: "1"}}}
	c.Models = map[string]Model{"m": {Engines: []Binding{{Engine: "e", Cost: &Price{Input: "1 USD", Date: "yesterday"}}}}}
	c.Charge = map[string]string{"m": "twice"}
	c.Tracing = Tracing{Endpoint: "localhost", Headers: map[string]string{"authorization": "Bearer x"}, Sample: math.NaN()}
	err := c.Validate()
	if err == nil {
		t.Fatal("all of it passed")
	}
	for _, path := range []string{
		"server.body_timeout", "server.header_limit", "server.max_connections", "server.max_connections_per_address", "engines.e.cost.input",
		"models.m.engines[0].cost.date", "charge.m", "tracing.endpoint", "tracing.headers.authorization", "tracing.sample",
	} {
		if !strings.Contains(err.Error(), path+":") {
			t.Errorf("%s is not reported: %v", path, err)
		}
	}
	if strings.Contains(err.Error(), "Bearer x") {
		t.Error("a secret is in the report")
	}
}
