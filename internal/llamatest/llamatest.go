// Package llamatest starts a real engine for tests: llama.cpp's server from a published
// package, with a tiny model generated on the spot. It serves chat completions,
// completions and embeddings, listens after a tenth of a second, and skips loudly where
// the package is not installed.
package llamatest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/internal/tinygguf"
)

// patience is how long the engine may take to listen before it counts as stuck.
const patience = time.Minute

// Start starts an engine with the default model and returns its base URL, without a path. It is stopped when the test ends.
func Start(t testing.TB) string {
	t.Helper()
	return StartModel(t, tinygguf.Params{})
}

// StartModel is Start with another model; a wide and deep one takes longer for each token.
func StartModel(t testing.TB, p tinygguf.Params) string {
	t.Helper()
	root := testenv.Root(t)
	python := filepath.Join(root, ".venv", "bin", "python")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import xllamacpp").CombinedOutput(); err != nil { //nolint:gosec // our own interpreter
		t.Skipf("SKIPPED: no real engine: test/engines/requirements.txt is not installed in .venv (make deps): %v %s", err, out)
	}
	return run(t, exec.Command(python, filepath.Join(root, "test", "engines", "llama_server.py"), model(t, p))) //nolint:gosec,noctx // it ends with its standard input
}

// model writes the model's file.
func model(t testing.TB, p tinygguf.Params) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "tiny.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tinygguf.Write(f, p); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// run starts the server's process and returns the address that it prints.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder // whole only once the process has ended
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	for sc := bufio.NewScanner(stdout); sc.Scan(); {
		if line := sc.Text(); strings.HasPrefix(line, "http://") && stuck.Stop() {
			t.Cleanup(func() {
				_ = stdin.Close()
				_ = cmd.Wait()
			})
			return line
		}
	}
	_ = cmd.Wait()
	t.Fatalf("the engine ended before it listened, or took longer than %v: %s", patience, said.String())
	return ""
}
