package enginetest

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests and fails them for goroutines they leave behind. The
// fuzzing engine has goroutines of its own, so a fuzzing run is not held to that.
func Main(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}
