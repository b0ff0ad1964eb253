package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"forebay/internal/testenv"
)

// TestFresh: the committed code is what the pinned models give.
func TestFresh(t *testing.T) {
	root := testenv.Root(t)
	for i := range services {
		s := &services[i]
		code, err := generate(root, s)
		if errors.Is(err, errNoModels) {
			t.Skip("SKIPPED: GENERATED SHAPES WERE NOT CHECKED: ", err)
		}
		if err != nil {
			t.Fatalf("%s: %v", s.model, err)
		}
		have, err := os.ReadFile(s.path(root))
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != string(code) {
			t.Errorf("%s is stale: make generate", s.path(root))
		}
		if strings.Contains(string(code), "<p>") {
			t.Errorf("%s carries documentation", s.pkg)
		}
	}
}
