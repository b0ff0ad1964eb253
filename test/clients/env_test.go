package clients

import (
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"forebay/identity"
	"forebay/internal/testenv"

	"github.com/go-json-experiment/json"
)

// python is the interpreter with the pinned clients, and aws the command line beside it.
func python(t *testing.T) string {
	t.Helper()
	p := filepath.Join(testenv.Root(t), ".venv", "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Skip("SKIPPED: the Python clients are not installed (make deps)")
	}
	return p
}

// exports returns what `forebay env` sets, for somebody with a home directory of their own
// and nothing set before.
func (r *running) exports(t *testing.T, home string, flags ...string) []string {
	t.Helper()
	out := forebay(t, r.bare(home), append([]string{"env", "--json", "--data-dir", r.data}, flags...)...)
	vars := map[string]string{}
	if err := json.Unmarshal([]byte(out), &vars); err != nil {
		t.Fatal(err)
	}
	env := r.bare(home)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

// bare is an environment that says nothing of AWS, OpenAI, Anthropic or Forebay.
func (r *running) bare(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "AWS_EC2_METADATA_DISABLED=true", "PYTHONDONTWRITEBYTECODE=1"}
}

// forebay runs a verb of the program.
func forebay(t *testing.T, env []string, args ...string) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return output(t, env, bin, args...)
}

// output runs a program that must succeed and returns what it prints.
func output(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = env
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, failed.String())
	}
	return string(out)
}

// bucket is an S3 elsewhere, with credentials of its own.
type bucket struct {
	id, secret string
	mu         sync.Mutex
	objects    map[string]string
	wrong      []string // what was not as it should be
}

// ServeHTTP implements http.Handler.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	path, query, _ := strings.Cut(r.RequestURI, "?")
	q := &identity.Request{Method: r.Method, Path: path, Query: query, Host: r.Host, Header: r.Header}
	claim, err := identity.ParseAuthorization(q)
	if err == nil {
		key := identity.SigningKey(b.secret, claim.Date, claim.Region, claim.Service)
		err = claim.Verify(q, key, r.Header.Get("X-Amz-Content-Sha256"))
	}
	if err != nil || claim.KeyID != b.id || claim.Service != "s3" {
		b.wrong = append(b.wrong, r.Method+" "+path+" with "+r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
		return
	}
	switch r.Method {
	case http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		b.objects[path] = string(body)
	case http.MethodGet:
		_, _ = io.WriteString(w, b.objects[path])
	}
}

// One process calls S3 elsewhere, with credentials of its own, and Bedrock here, with nothing but
// the variables of `forebay env`.
func TestS3ElsewhereAndBedrockHere(t *testing.T) {
	t.Parallel()
	py := python(t)
	r := start(t)
	elsewhere := &bucket{id: "AKIAELSEWHERE0000000", secret: "a-secret-of-elsewhere", objects: map[string]string{"/questions/first.txt": "[[text:It is a basin.]]"}}
	s3 := httptest.NewServer(elsewhere)
	t.Cleanup(s3.Close)
	env := append(r.exports(t, t.TempDir()),
		"AWS_ACCESS_KEY_ID="+elsewhere.id, "AWS_SECRET_ACCESS_KEY="+elsewhere.secret, "AWS_ENDPOINT_URL_S3="+s3.URL)
	output(t, env, py, filepath.Join(testenv.Root(t), "test", "clients", "python", "s3_elsewhere.py"))
	elsewhere.mu.Lock()
	defer elsewhere.mu.Unlock()
	if got := elsewhere.objects["/answers/first.txt"]; !strings.Contains(got, "It is a basin.") || len(elsewhere.wrong) > 0 {
		t.Errorf("%q is kept elsewhere; refused there: %v", got, elsewhere.wrong)
	}
	if counts := outcomes(t, r.cred, ""); counts["ok"] != 1 || len(counts) != 1 {
		t.Errorf("%v", counts)
	}
}

// A profile is written, and nothing else in the home directory is touched.
func TestProfile(t *testing.T) {
	t.Parallel()
	aws := filepath.Join(filepath.Dir(python(t)), "aws")
	r := start(t)
	home := t.TempDir()
	const config = "# mine\n[default]\nregion = eu-south-1\n\n[profile work]\nregion=eu-west-1\n"
	const secrets = "[default]\naws_access_key_id = AKIADEFAULT000000000\naws_secret_access_key = mine\n"
	write := func(name, text string) {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".aws/config", config)
	write(".aws/credentials", secrets)
	write(".aws/cli/cache/x.json", "{}")
	write(".profile", "export A=1\n")
	before := tree(t, home)
	for range 2 { // again changes nothing more
		forebay(t, r.bare(home), "env", "--profile", "forebay", "--data-dir", r.data)
	}
	after := tree(t, home)
	if !strings.HasPrefix(after[".aws/config"], config) || !strings.HasPrefix(after[".aws/credentials"], secrets) || strings.Count(after[".aws/config"], "[profile forebay]") != 1 {
		t.Errorf("%s\n%s", after[".aws/config"], after[".aws/credentials"])
	}
	delete(after, ".aws/config")
	delete(after, ".aws/credentials")
	for name, text := range after {
		if before[name] != text {
			t.Errorf("%s was touched", name)
		}
	}
	if len(after) != len(before)-2 {
		t.Errorf("%d files, there were %d", len(after)+2, len(before))
	}
	out := output(t, append(r.bare(home), "AWS_PROFILE=forebay"), aws, "bedrock-runtime", "converse", "--model-id", haiku, "--messages", `[{"role":"user","content":[{"text":"Hi"}]}]`)
	if !strings.Contains(out, `"outputTokens"`) {
		t.Error(out)
	}
	// The profile gives Bedrock an address, and other services none.
	listed := output(t, append(r.bare(home), "AWS_PROFILE=work"), aws, "configure", "get", "region")
	if strings.TrimSpace(listed) != "eu-west-1" || strings.Contains(after[".aws/config"], "\nendpoint_url") {
		t.Errorf("%s", listed)
	}
}

// tree reads the files below a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// --all points every AWS call here, those that Forebay knows nothing of included.
func TestEnvAll(t *testing.T) {
	t.Parallel()
	aws := filepath.Join(filepath.Dir(python(t)), "aws")
	r := start(t)
	env := r.exports(t, t.TempDir(), "--all")
	if out := output(t, env, aws, "sts", "get-caller-identity"); !strings.Contains(out, `"000000000000"`) {
		t.Error(out)
	}
	if out := output(t, env, aws, "bedrock", "list-foundation-models", "--query", "modelSummaries[].modelId"); !strings.Contains(out, haiku) {
		t.Error(out)
	}
	cmd := exec.CommandContext(t.Context(), aws, "stepfunctions", "list-state-machines")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "UnknownOperationException") {
		t.Errorf("%v %s", err, out)
	}
}

// The lines that a shell evaluates set the same as --json says.
func TestEnvOfTheShell(t *testing.T) {
	t.Parallel()
	r := start(t)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	got := output(t, r.bare(home), "sh", "-c", `eval "$("$1" env --data-dir "$2")" && env`, "sh", bin, r.data)
	for _, v := range r.exports(t, home) {
		if !slices.Contains(strings.Split(got, "\n"), v) {
			t.Errorf("%s is not set", strings.SplitN(v, "=", 2)[0])
		}
	}
}
