// Package llamatest starts a real engine for tests: llama.cpp's server from a published
// package, with a tiny model generated on the spot. It skips loudly where the package is not installed.
package llamatest

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"forebay/internal/testenv"
	"forebay/internal/tinygguf"
)

// Start starts the engine and returns its base URL. It is stopped when the test ends.
func Start(t testing.TB) string {
	t.Helper()
	root := testenv.Root(t)
	python := filepath.Join(root, ".venv", "bin", "python")
	if err := exec.CommandContext(t.Context(), python, "-c", "import xllamacpp").Run(); err != nil { //nolint:gosec // our own interpreter
		t.Skipf("SKIPPED: no real engine: test/engines/requirements.txt is not installed in .venv (make deps): %v", err)
	}
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	f, err := os.Create(model) //nolint:gosec // a temporary file
	if err != nil {
		t.Fatal(err)
	}
	if err := tinygguf.Write(f, tinygguf.Params{}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join(root, "test", "engines", "llama_server.py"), model, strconv.Itoa(freePort(t))) //nolint:gosec,noctx // ends with its standard input
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	for sc := bufio.NewScanner(stdout); sc.Scan(); {
		if line := sc.Text(); strings.HasPrefix(line, "http://") {
			return line
		}
	}
	t.Fatal("the engine ended before it listened")
	return ""
}

// freePort returns a port that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
