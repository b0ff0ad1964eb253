// Package testenv finds what some tests need from outside the repository (conformance
// vectors, traces, real engines) and skips loudly when it is absent.
package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Root returns the repository's root folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}

// Shared returns the path of a file or folder of the shared test data: below
// FOREBAY_SHARED, or else ../shared beside the repository. It skips the test when it is absent.
func Shared(t testing.TB, name string) string {
	t.Helper()
	base := os.Getenv("FOREBAY_SHARED")
	if base == "" {
		base = filepath.Join(Root(t), "..", "shared")
	}
	path := filepath.Join(base, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: shared test data %s not found (set FOREBAY_SHARED): %v", name, err)
	}
	return path
}
