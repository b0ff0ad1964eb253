package testenv

import (
	"os"
	"testing"
)

// Long skips a test that takes minutes, but under make validate.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("FOREBAY_VALIDATE") == "" {
		t.Skip("takes long: set FOREBAY_VALIDATE=1, or run make validate")
	}
}
