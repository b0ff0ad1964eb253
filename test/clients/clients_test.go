// Package clients drives a running Forebay with the real, unmodified, pinned clients of
// AWS, OpenAI and Anthropic. The server is the program itself, started as a user starts it.
package clients

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"forebay/identity"
	"forebay/internal/testenv"
	"forebay/server"
)

// configuration: one simulated engine that obeys prompts and takes no time, and keys of
// one request a minute for the throttles that clients must see.
const configuration = `
engines:
  test: {type: simulated, profile: instant, directives: true}
models:
  anthropic.claude-3-haiku-20240307-v1:0: {engines: [{engine: test}]}
  meta.llama3-8b-instruct-v1:0: {engines: [{engine: test}]}
  mistral.mistral-7b-instruct-v0:2: {engines: [{engine: test}]}
  mistral.mistral-large-2407-v1:0: {engines: [{engine: test}]}
  amazon.nova-lite-v1:0: {engines: [{engine: test}]}
  amazon.titan-text-express-v1: {engines: [{engine: test}]}
  amazon.titan-embed-text-v2:0: {engines: [{engine: test}]}
  cohere.command-r-v1:0: {engines: [{engine: test}]}
keys:
  - {name: slow-py-openai, kind: api-key, secret: env:FOREBAY_TEST_THROTTLED_KEY, limits: {requests_per_minute: 1}}
  - {name: slow-py-anthropic, kind: api-key, secret: env:FOREBAY_TEST_THROTTLED_KEY_2, limits: {requests_per_minute: 1}}
  - {name: slow-node, kind: api-key, secret: env:FOREBAY_TEST_THROTTLED_KEY_3, limits: {requests_per_minute: 1}}
  - {name: slow-pair, kind: access-key, id: AKIATHROTTLED0000001, secret: env:FOREBAY_TEST_THROTTLED_SECRET_KEY, limits: {requests_per_minute: 1}}
`

// running is a server with the environment that points clients at it.
type running struct {
	cred *server.Credentials
	env  []string
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "forebay-clients-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "forebay")
	out, err := exec.Command("go", "build", "-o", bin, "forebay/cmd/forebay").CombinedOutput() //nolint:noctx // bounded by the test's time-out
	if err != nil {
		return "", &buildError{string(out), err}
	}
	return bin, nil
})

type buildError struct {
	out string
	err error
}

func (e *buildError) Error() string { return e.err.Error() + "\n" + e.out }

func start(t *testing.T) *running {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "forebay.yaml")
	if err := os.WriteFile(conf, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	for _, name := range []string{"FOREBAY_TEST_THROTTLED_KEY", "FOREBAY_TEST_THROTTLED_KEY_2", "FOREBAY_TEST_THROTTLED_KEY_3"} {
		s, err := identity.NewBearer(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+s.Value)
	}
	env = append(env, "FOREBAY_TEST_THROTTLED_ACCESS_KEY=AKIATHROTTLED0000001", "FOREBAY_TEST_THROTTLED_SECRET_KEY="+rand.Text())
	data := filepath.Join(dir, "data")
	cmd := exec.Command(bin, "up", "--quiet", "--config", conf, "--listen", "127.0.0.1:0", "--data-dir", data) //nolint:gosec,noctx // ended below
	cmd.Env = env
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server did not stop cleanly: %v\n%s", err, log.String())
		}
	})
	sc := bufio.NewScanner(out)
	for sc.Scan() && !strings.HasPrefix(sc.Text(), "Try") {
	}
	go func() {
		for sc.Scan() {
		}
	}()
	cred, err := server.ReadCredentials(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return &running{cred, append(env,
		"FOREBAY_TEST_URL="+cred.URL, "FOREBAY_TEST_TLS_URL="+cred.TLSURL, "FOREBAY_TEST_CA="+cred.CA, "FOREBAY_TEST_API_KEY="+cred.APIKey,
		"FOREBAY_TEST_ACCESS_KEY="+cred.AccessKeyID, "FOREBAY_TEST_SECRET_KEY="+cred.SecretAccessKey, "AWS_EC2_METADATA_DISABLED=true",
	)}
}

func TestPython(t *testing.T) {
	root := testenv.Root(t)
	python := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Skip("SKIPPED: the Python clients are not installed (make deps)")
	}
	r := start(t)
	cmd := exec.CommandContext(t.Context(), python, "-m", "pytest", "-q", "-p", "no:cacheprovider", filepath.Join(root, "test", "clients", "python")) //nolint:gosec // our own interpreter
	cmd.Env = append(r.env, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

func TestNode(t *testing.T) {
	root := testenv.Root(t)
	dir := filepath.Join(root, "test", "clients", "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Skip("SKIPPED: the Node clients are not installed (make deps)")
	}
	r := start(t)
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec")
	cmd.Dir = dir
	cmd.Env = append(r.env, "FOREBAY_TEST_THROTTLED_KEY="+lookup(r.env, "FOREBAY_TEST_THROTTLED_KEY_3"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

func lookup(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}
