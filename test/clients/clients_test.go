// Package clients drives a running Forebay with the real, unmodified, pinned clients of
// AWS, OpenAI and Anthropic. The server is the program itself, started as a user starts it.
package clients

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"forebay/internal/testenv"
	"forebay/server"

	"github.com/go-json-experiment/json"
)

// configuration: a simulated engine that obeys prompts and takes no time, another one to fail as often as tests want, and a purchase that is
// declared.
const configuration = `
engines:
  test: {type: simulated, profile: instant, directives: true}
  faulty: {type: simulated, profile: instant, directives: true}
  declared: {type: simulated, profile: instant, directives: true}
models:
  house.declared: {engines: [{engine: declared}], unit: {input: 60000, output: 6000}}
  anthropic.faulty: {family: anthropic, engines: [{engine: faulty}]}
  anthropic.claude-3-haiku-20240307-v1:0: {engines: [{engine: test}]}
  meta.llama3-8b-instruct-v1:0: {engines: [{engine: test}]}
  mistral.mistral-7b-instruct-v0:2: {engines: [{engine: test}]}
  mistral.mistral-large-2407-v1:0: {engines: [{engine: test}]}
  amazon.nova-lite-v1:0: {engines: [{engine: test}]}
  amazon.titan-text-express-v1: {engines: [{engine: test}]}
  amazon.titan-embed-text-v2:0: {engines: [{engine: test}]}
  cohere.command-r-v1:0: {engines: [{engine: test}]}
provisioned:
  - {name: declared-chat, model: house.declared, units: 2, tags: {team: search}}
`

// images are what endpoints run: a container in Python, by the interpreter that the clients have, and the same as an engine of chat.
func images(t *testing.T) string {
	t.Helper()
	root := testenv.Root(t)
	return fmt.Sprintf("images:\n  echo: {command: [%q, -B, %q]}\n  chat: {from: echo, protocol: openai}\n", filepath.Join(root, ".venv", "bin", "python"), filepath.Join(root, "test", "clients", "python", "echo_container.py"))
}

// running is a server with the environment that points clients at it.
type running struct {
	cred *server.Credentials
	data string // its data directory
	env  []string
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "forebay-clients-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "forebay")
	out, err := exec.Command("go", "build", "-o", bin, "forebay/cmd/forebay").CombinedOutput()
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
	if err := os.WriteFile(conf, []byte(configuration+images(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	data := filepath.Join(dir, "data")
	cmd := exec.Command(bin, "up", "--quiet", "--config", conf, "--listen", "127.0.0.1:0", "--data-dir", data) //nolint:noctx // ended below
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
	return &running{cred, data, append(env,
		"FOREBAY_TEST_URL="+cred.URL, "FOREBAY_TEST_DATA="+data, "FOREBAY_TEST_TLS_URL="+cred.TLSURL, "FOREBAY_TEST_CA="+cred.CA, "FOREBAY_TEST_API_KEY="+cred.APIKey,
		"FOREBAY_TEST_ACCESS_KEY="+cred.AccessKeyID, "FOREBAY_TEST_SECRET_KEY="+cred.SecretAccessKey, "AWS_EC2_METADATA_DISABLED=true",
	)}
}

func TestPython(t *testing.T) {
	t.Parallel()
	root := testenv.Root(t)
	python := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Skip("SKIPPED: the Python clients are not installed (make deps)")
	}
	r := start(t)
	cmd := exec.CommandContext(t.Context(), python, "-B", "-m", "pytest", "-q", "--durations=12", "-p", "no:cacheprovider", filepath.Join(root, "test", "clients", "python")) // our own interpreter
	told := filepath.Join(t.TempDir(), "driven.json")
	cmd.Env = append(slices.Clip(r.env), "FOREBAY_TEST_DRIVEN="+told)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	var driven map[string][]string
	if b, err := os.ReadFile(told); err != nil || json.Unmarshal(b, &driven) != nil {
		t.Fatalf("%v %s", err, b)
	}
	for _, client := range []string{"boto3", "cli"} {
		for _, op := range slices.Concat(operationsOfPurchases, operationsOfWhatIsMade) {
			if !slices.Contains(driven[client], op) {
				t.Errorf("%s has not called %s", client, op)
			}
		}
	}
}

// The operations of Bedrock's control plane that boto3, the AWS CLI and the Go SDK are each seen to call.
var (
	operationsOfPurchases = []string{
		"CreateProvisionedModelThroughput", "GetProvisionedModelThroughput", "ListProvisionedModelThroughputs",
		"UpdateProvisionedModelThroughput", "DeleteProvisionedModelThroughput",
	}
	operationsOfWhatIsMade = []string{
		"CreateModelImportJob", "GetModelImportJob", "ListModelImportJobs", "GetImportedModel", "ListImportedModels", "DeleteImportedModel",
		"CreateCustomModel", "GetCustomModel", "ListCustomModels", "DeleteCustomModel",
		"CreateCustomModelDeployment", "GetCustomModelDeployment", "ListCustomModelDeployments", "UpdateCustomModelDeployment", "DeleteCustomModelDeployment",
		"CreateInferenceProfile", "GetInferenceProfile", "ListInferenceProfiles", "DeleteInferenceProfile",
		"TagResource", "UntagResource", "ListTagsForResource",
		"PutModelInvocationLoggingConfiguration", "GetModelInvocationLoggingConfiguration", "DeleteModelInvocationLoggingConfiguration",
	}
)

func TestNode(t *testing.T) {
	t.Parallel()
	root := testenv.Root(t)
	dir := filepath.Join(root, "test", "clients", "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Skip("SKIPPED: the Node clients are not installed (make deps)")
	}
	r := start(t)
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec")
	cmd.Dir = dir
	cmd.Env = r.env
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
