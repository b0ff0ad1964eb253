package server

import (
	"net/http"
	"strings"
	"testing"

	"forebay/api/admin"
	"forebay/catalog"
	"forebay/config"
	"forebay/provision"

	"github.com/go-json-experiment/json"
)

const measuredBody = `{"step_us":16400,"prefill_token_us":47.8,"sequence_us":18,"slots":48,"kv_tokens":400000,"unit_input":120000,"unit_output":24000,"measured":"2026-05-04T10:00:00Z","intervals":{"step_us":{"low":16300,"high":16500}}}`

// listed returns the model as the admin API shows it.
func listed(t *testing.T, s *Server) *admin.ModelInfo {
	t.Helper()
	var out struct {
		Models []admin.ModelInfo `json:"models"`
	}
	got := ask(t, s, http.MethodGet, "models", "")
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		t.Fatal(err)
	}
	for i := range out.Models {
		if out.Models[i].ID == haiku {
			return &out.Models[i]
		}
	}
	t.Fatal("the model is not listed")
	return nil
}

// What was measured is kept, shown with its date, makes the model's unit, and says how many calls the engine is given; it goes as
// it came.
func TestCalibrationIsKept(t *testing.T) {
	c := testConfig(t)
	s := run(t, c)
	before := listed(t, s)
	if x := before.Capacity[0]; x.Basis != catalog.BasisGiven || x.Profile != "instant" {
		t.Errorf("before: %+v", x)
	}
	const path = "calibrations/" + haiku + "%2Fsim"
	if got := ask(t, s, http.MethodPut, path, measuredBody); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	m := listed(t, s)
	x := m.Capacity[0]
	if x.Basis != catalog.BasisMeasured || x.Measured != "2026-05-04T10:00:00Z" || x.Slots != 48 || x.KV != 400_000 || x.StepMicros != 16400 || x.PrefillTokenMicros != 47.8 {
		t.Errorf("%+v", x)
	}
	if x.InputPerMinute < 350_000 || x.InputPerMinute > 400_000 || x.OutputPerMinute*5 != x.InputPerMinute { // 501,000 with all slots busy: 48 calls of 1000 and 200 tokens in 5.75 s; at a p99 wait of half a second 35 of them are
		t.Errorf("%+v", x)
	}
	if m.Unit == nil || m.Unit.Basis != catalog.BasisMeasured || m.Unit.Input != 120_000 || m.Unit.Output != 24_000 {
		t.Errorf("unit %+v", m.Unit)
	}
	for _, b := range s.live.Load().base.Models {
		if b.ID == haiku && b.Bindings[0].Slots != 48 {
			t.Errorf("%d slots are given", b.Bindings[0].Slots)
		}
	}
	if got := ask(t, s, http.MethodGet, "calibrations", ""); !strings.Contains(got.body, haiku+"/sim") {
		t.Errorf("%s", got.body)
	}
	if got := ask(t, s, http.MethodGet, "config/export", ""); !strings.Contains(got.body, "calibrations:") {
		t.Errorf("%s", got.body)
	}
	if got := ask(t, s, http.MethodDelete, path, ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if after := listed(t, s); after.Unit == nil || after.Unit.Basis != catalog.BasisPlaceholder || after.Capacity[0].Basis != catalog.BasisGiven {
		t.Errorf("after: %+v", after)
	}
}

// What the file declares is given, goes before what is measured, and its unit before both.
func TestDeclaredCalibrationIsGiven(t *testing.T) {
	c := testConfig(t)
	c.Calibrations = map[string]config.Calibration{haiku + "/sim": {Step: 20_000, Slots: 8, KV: 50_000, UnitInput: 1000}}
	m := c.Models[haiku]
	m.Unit = &config.Unit{Input: 5000, Output: 500}
	c.Models[haiku] = m
	s := run(t, c)
	got := listed(t, s)
	if x := got.Capacity[0]; x.Basis != catalog.BasisGiven || x.Slots != 8 || got.Unit.Input != 5000 || got.Unit.Basis != catalog.BasisGiven {
		t.Errorf("%+v, unit %+v", x, got.Unit)
	}
	if r := ask(t, s, http.MethodPut, "calibrations/"+haiku+"%2Fsim", measuredBody); r.status != http.StatusConflict || !strings.Contains(r.body, "is managed by") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What cannot be, or belongs to nothing, is refused.
func TestCalibrationsThatCannotBe(t *testing.T) {
	s := run(t, testConfig(t))
	for _, c := range [][3]string{
		{haiku + "%2Fother", measuredBody, "is not bound to an engine"},
		{"nosuch%2Fsim", measuredBody, "is not bound to an engine"},
		{haiku, measuredBody, "is named MODEL/ENGINE"},
		{haiku + "%2Fsim", `{}`, "step_us is missing"},
		{haiku + "%2Fsim", `{"step_us":-1,"slots":1,"kv_tokens":1}`, "no time in microseconds"},
		{haiku + "%2Fsim", `{"step_us":1,"sequence_us":2,"slots":1,"kv_tokens":1}`, "degenerate"},
		{haiku + "%2Fsim", `{"step_us":99999999999,"slots":1,"kv_tokens":1}`, "no time in microseconds"},
		{haiku + "%2Fsim", `{"step_us":100,"slots":4000,"kv_tokens":1}`, "no room for a batch"},
		{haiku + "%2Fsim", `{"step_us":100,"slots":4,"kv_tokens":99999999999999}`, "at most"},
		{haiku + "%2Fsim", `{"step_us":100,"slots":4,"kv_tokens":9,"unit_output":1}`, "unit_input is missing"},
		{haiku + "%2Fsim", `{"step_us":100,"slots":4,"kv_tokens":9,"intervals":{"step_us":{"low":2,"high":1}}}`, "ends before it begins"},
		{haiku + "%2Fsim", `{"step_us":100,"slots":4,"kv_tokens":9,"measured":"yesterday"}`, "yesterday"},
		{haiku + "%2Fsim", `{"steps_us":100}`, "did you mean step_us"},
	} {
		got := ask(t, s, http.MethodPut, "calibrations/"+c[0], c[1])
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, c[2]) {
			t.Errorf("%s %s: %d %s", c[0], c[1], got.status, got.body)
		}
	}
}

// An engine that nobody has measured backs nothing; with a calibration it backs what follows from that, and no more beside what
// is sold.
func TestCalibratedEngineBacksPurchases(t *testing.T) {
	c := testConfig(t)
	c.Engines["real"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1"}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "real"}}}
	s := run(t, c)
	unit := catalog.Unit{Input: 60_000, Output: 6_000, Basis: catalog.BasisGiven}
	if r := s.live.Load().Room(&provision.Ask{Model: haiku, Unit: unit}, nil); r.Units != 0 || !strings.Contains(r.Why, "nobody has measured") {
		t.Errorf("not measured: %+v", r)
	}
	if got := ask(t, s, http.MethodPut, "calibrations/"+haiku+"%2Freal", measuredBody); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	r := s.live.Load().Room(&provision.Ask{Model: haiku, Unit: unit}, nil)
	if r.Units < 6 || r.Units > 13 { // with all slots busy 48 calls of 1000 and 100 tokens in 4.0 s, 720 a minute: 12 units
		t.Errorf("measured: %+v", r)
	}
	sold := provision.Throughput{ARN: "arn:x", Units: r.Units, Unit: unit, Model: provision.Model{ID: haiku}, Status: provision.InService}
	if left := s.live.Load().Room(&provision.Ask{Model: haiku, Unit: unit}, []provision.Throughput{sold}); left.Units != 0 {
		t.Errorf("after all was sold: %+v", left)
	}
}
