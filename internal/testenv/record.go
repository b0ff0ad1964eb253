package testenv

import (
	"os"
	"testing"

	"github.com/go-json-experiment/json"
)

// Recorded is a figure that a test of the planner has computed, and what it is held against.
type Recorded struct {
	ID     string `json:"id"`     // of the test, T1 to T17
	Test   string `json:"test"`   // its name
	Figure string `json:"figure"` // what came out, in words
	Oracle string `json:"oracle"` // what it must be, and whose word that is
	Failed bool   `json:"failed,omitzero"`
}

// Record logs a figure of a planner's test with its oracle. With FOREBAY_VALIDATION it adds them to the file of that name, a JSON object a
// line, of which docs/planner-validation.md is made.
func Record(t testing.TB, id, figure, oracle string) {
	t.Helper()
	t.Logf("%s: %s; %s", id, figure, oracle)
	name := os.Getenv("FOREBAY_VALIDATION")
	if name == "" {
		return
	}
	line, err := json.Marshal(Recorded{id, t.Name(), figure, oracle, t.Failed()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the developer names it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append(line, '\n')); err != nil { // one write, so that packages that are tested at once do not mix lines
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
