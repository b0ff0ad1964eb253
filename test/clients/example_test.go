package clients

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/server"
)

// status of the calls of a server, by outcome, from its admin API.
func outcomes(t *testing.T, cred *server.Credentials) (map[string]int64, int64) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cred.URL+"/admin/v1/usage?by=outcome", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+cred.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var out struct {
		Rows []struct {
			Group    []string `json:"group"`
			Requests int64    `json:"requests"`
		} `json:"rows"`
		GaveUp []struct{ Seconds, Times int64 } `json:"clientsGaveUp"`
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	m := map[string]int64{}
	for _, r := range out.Rows {
		m[r.Group[0]] = r.Requests
	}
	var gaveUp int64
	for _, g := range out.GaveUp {
		gaveUp += g.Times
	}
	return m, gaveUp
}

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
		cmd := exec.CommandContext(ctx, python, handler, prompt) //nolint:gosec // our own example
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
		m, gaveUp := outcomes(t, r.cred)
		if m["ok"] == 1 && m["canceled"] == 1 && gaveUp == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, %d gave up", m, gaveUp)
		}
		<-time.After(10 * time.Millisecond)
	}
}
