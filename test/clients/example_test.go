package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/internal/testenv"
)

// The example function works with nothing but environment variables. Killed after three
// seconds with a slow engine, its call is cancelled and settled, and the advice knows of it.
func TestExampleFunction(t *testing.T) {
	root := testenv.Root(t)
	python := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Skip("SKIPPED: the Python clients are not installed (make deps)")
	}
	r := start(t)
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL_BEDROCK_RUNTIME=" + r.cred.URL, "AWS_BEARER_TOKEN_BEDROCK=" + r.cred.APIKey,
	}
	handler := filepath.Join(root, "examples", "function", "handler.py")
	run := func(ctx context.Context, prompt string) (string, error) {
		cmd := exec.CommandContext(ctx, python, handler, prompt) // our own example
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run(t.Context(), "Hello")
	if err != nil || !strings.Contains(out, "simulated") {
		t.Fatalf("%v %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // a second to start, three for the call
	defer cancel()
	if out, err := run(ctx, "[[hang]]"); err == nil {
		t.Fatalf("the slow call was answered: %s", out)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		m, gaveUp := outcomes(t, r.cred, "")
		if m["ok"] == 1 && m["canceled"] == 1 && gaveUp == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, %d gave up", m, gaveUp)
		}
		<-time.After(10 * time.Millisecond)
	}
}
