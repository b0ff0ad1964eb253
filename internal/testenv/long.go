package testenv

import (
	"os"
	"testing"
)

// Validating reports whether tests may take minutes: under make validate.
func Validating() bool { return os.Getenv("FOREBAY_VALIDATE") == "1" }

// Long skips a test that takes minutes, but under make validate.
func Long(t testing.TB) {
	t.Helper()
	if !Validating() {
		t.Skip("takes long: set FOREBAY_VALIDATE=1, or run make validate")
	}
}
