package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/prove"

	"github.com/go-json-experiment/json"
)

// One experiment, too short to prove anything: what is asserted is that it was made, recorded, decided the same again and reported.
func TestProve(t *testing.T) {
	dir, doc := t.TempDir(), filepath.Join(t.TempDir(), "proof.md")
	if err := os.WriteFile(doc, []byte("# Proof\n"+resultsBegin+"old\n"+resultsEnd+"end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "prove", "--only", "contention", "--length", "1s", "--pairs", "1", "--replicas", "1", "--slots", "8", "--tenants", "3", "--overload", "2",
		"--sold", "0.2", "--dir", dir, "--write", doc)
	if code != exitFault || !strings.Contains(errs, errNotProven.Error()) { // there are not 10,000 calls
		t.Fatalf("%d %s %s", code, out, errs)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r prove.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Experiments) != 1 || len(r.Experiments[0].Checks) == 0 {
		t.Fatalf("report %s", text)
	}
	checks := r.Experiments[0].Checks
	if last := checks[len(checks)-1]; !last.Holds || !strings.HasPrefix(last.Figure, "0 of ") || strings.HasSuffix(last.Figure, "of 0 events differ") {
		t.Errorf("the record: %+v", last)
	}
	written, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(written); strings.Contains(s, "old\n") || !strings.HasSuffix(s, resultsEnd+"end\n") || !strings.Contains(s, "(proof/contention.svg)") {
		t.Errorf("the document:\n%s", s)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(doc), "proof", "contention.svg")); err != nil {
		t.Error(err)
	}
	if code, _, errs := runCLI(t, "prove", "--dir", dir); code != exitFault || !strings.Contains(errs, "another run") {
		t.Errorf("the folder again: %d %s", code, errs)
	}
	if err := os.WriteFile(doc, []byte("# Proof\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := document(doc, &r); err == nil || !strings.Contains(err.Error(), "results: begin") {
		t.Errorf("a document without marks: %v", err)
	}
}

// Every experiment is in the help, and one that there is not is told, as is a setting that makes none.
func TestProveNames(t *testing.T) {
	_, out, _ := runCLI(t, "prove", "--help")
	for _, name := range prove.Experiments() {
		if !strings.Contains(out, name) {
			t.Errorf("the help does not name %s", name)
		}
	}
	for _, flag := range []string{"--sold=NaN", "--sold=0", "--sold=1.01", "--length=0s", "--pairs=0", "--replicas=0", "--replicas=1000000", "--slots=-1", "--tenants=0", "--overload=Inf", "--overload=-1"} {
		if code, _, errs := runCLI(t, "prove", "--only", "overshoot", flag); code != exitFault || !strings.Contains(errs, " must ") {
			t.Errorf("%s: %d %s", flag, code, errs)
		}
	}
	if code, _, errs := runCLI(t, "prove", "--only", "nothing"); code != exitFault || !strings.Contains(errs, `there is no experiment "nothing"`) {
		t.Errorf("%d %s", code, errs)
	}
}

// The same on a server that runs, whose pool is the operator's own.
func TestProveOnOnesOwnPool(t *testing.T) {
	t.Setenv("TENANT_A", "fb-tenant-a-0123456789")
	t.Setenv("TENANT_B", "fb-tenant-b-0123456789")
	dir := serving(t, "engines: {simulated: {type: simulated, profile: demo, slots: 8}}\naccount: {teams: {a: {}, b: {}}}\n"+
		"keys:\n  - {name: a, kind: api-key, team: a, secret: env:TENANT_A}\n  - {name: b, kind: api-key, team: b, secret: env:TENANT_B}\n")
	t.Setenv("FOREBAY_DATA_DIR", dir)
	args := []string{
		"prove", "--model", "amazon.nova-lite-v1:0", "--tenant", "env:TENANT_A", "--tenant", "env:TENANT_B", "--pool-rate", "20", "--units", "1", "--sold", "0.3",
		"--length", "1s", "--pairs", "1", "--overload", "2", "--json",
	}
	code, out, errs := runCLI(t, args...)
	var r prove.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFault {
		t.Fatalf("%d %v %s %s", code, err, out, errs)
	}
	if len(r.Experiments) != 1 || len(r.Experiments[0].Plots) != 1 || r.Setting.Units != 1 {
		t.Errorf("%+v", r)
	}
	if c := r.Experiments[0].Checks[1]; !c.Holds { // that no reserved call is refused
		t.Errorf("%+v", c)
	}
	if _, out, _ := runCLI(t, "provision"); strings.Contains(out, "proof") {
		t.Errorf("what was bought was not given back: %s", out)
	}
	if code, _, errs := runCLI(t, "prove", "--model", "amazon.nova-lite-v1:0"); code != exitFault || !strings.Contains(errs, "--tenant") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := runCLI(t, append(args, "--only", "faults")...); code != exitFault || !strings.Contains(errs, "contention, isolated") {
		t.Errorf("%d %s", code, errs)
	}
}
