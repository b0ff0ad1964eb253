package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/artifact/cache"

	"github.com/go-json-experiment/json"
)

// serveHub is a hub with one repository, which has one file and a licence.
func serveHub(t *testing.T, licence string) *httptest.Server {
	t.Helper()
	const commit = "0123456789abcdef0123456789abcdef01234567"
	sum := sha256.Sum256([]byte("weights"))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/models/org/name/revision/main":
			fmt.Fprintf(w, `{"sha":%q,"gated":false,"cardData":{"license":%q},"siblings":[{"rfilename":"x.gguf","size":7,"lfs":{"sha256":%q,"size":7}}]}`,
				commit, licence, hex.EncodeToString(sum[:]))
		case "/org/name/resolve/" + commit + "/x.gguf":
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("weights"))
		default:
			w.Header().Set("X-Error-Code", "GatedRepo")
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// weightsRun runs a verb over a data directory.
type weightsRun struct {
	t    *testing.T
	dir  string
	file string
}

func newWeightsRun(t *testing.T, hub string) *weightsRun {
	t.Helper()
	for _, name := range []string{"HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_HOME", t.TempDir())
	r := &weightsRun{t: t, dir: t.TempDir(), file: filepath.Join(t.TempDir(), "forebay.yaml")}
	text := "weights: {hub: {endpoint: '" + hub + "'}}\nengines: {claude: {type: anthropic, url: 'https://example.com', api_key: env:FOREBAY_NOT_SET}}\n"
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *weightsRun) run(in string, terminal bool, args ...string) (code int, out, told string) {
	r.t.Helper()
	var o, e bytes.Buffer
	args = append([]string{"models", args[0], "--config", r.file, "--data-dir", r.dir}, args[1:]...)
	code = Main(r.t.Context(), args, Streams{In: strings.NewReader(in), Out: &o, Err: &e, Terminal: terminal})
	return code, o.String(), e.String()
}

func TestModelsPull(t *testing.T) {
	r := newWeightsRun(t, serveHub(t, "apache-2.0").URL)
	code, out, told := r.run("", false, "pull", "hf://org/name/x.gguf")
	if code != exitOK || told != "" || !strings.Contains(out, "hf://org/name@0123456789abcdef0123456789abcdef01234567/x.gguf") || !strings.Contains(out, "apache-2.0") || !strings.Contains(out, "size   ") {
		t.Fatalf("%d\n%s\n%s", code, out, told)
	}
	code, out, _ = r.run("", false, "pull", "--json", "hf://org/name/x.gguf")
	var p pulled
	if err := json.Unmarshal([]byte(out), &p); code != exitOK || err != nil {
		t.Fatal(code, err)
	}
	if b, err := os.ReadFile(p.Path); err != nil || string(b) != "weights" || !strings.HasPrefix(p.Path, filepath.Join(r.dir, "weights")) || p.Accepted != nil {
		t.Errorf("%q, %v, %+v", b, err, p)
	}
	code, out, _ = r.run("", false, "pulled")
	if code != exitOK || !strings.Contains(out, "hf://org/name/x.gguf") || !strings.Contains(out, "idle") {
		t.Errorf("%d\n%s", code, out)
	}
	var doctor bytes.Buffer
	Main(t.Context(), []string{"doctor", "--config", r.file, "--data-dir", r.dir}, Streams{In: strings.NewReader(""), Out: &doctor, Err: &doctor})
	if !strings.Contains(doctor.String(), "1 pulled, 7 B") {
		t.Error(doctor.String())
	}
	for want, args := range map[string][]string{
		"say what to remove": {"prune"}, "is not among": {"prune", "hf://org/none"}, "is invalid": {"pull", "x.gguf"}, "cannot be read": {"pull", filepath.Join(r.dir, "none")},
	} {
		if code, _, told := r.run("", false, args...); code != exitUsage || !strings.Contains(told, want) {
			t.Errorf("%v: %d %s", args, code, told)
		}
	}
	for _, args := range [][]string{{"prune", "--dry-run", "--all"}, {"prune", p.ID[:12]}} {
		if code, out, _ := r.run("", false, args...); code != exitOK || !strings.Contains(out, "hf://org/name/x.gguf") {
			t.Errorf("%v: %d\n%s", args, code, out)
		}
	}
	if code, out, _ := r.run("", false, "pulled", "--json"); code != exitOK || strings.TrimSpace(out) != "[]" {
		t.Errorf("%d %s", code, out)
	}
	if code, _, told := r.run("", false, "pull", "hf://org/gated"); code != exitFault || !strings.Contains(told, "set HF_TOKEN") {
		t.Errorf("%d %s", code, told)
	}
}

// Terms that are not open are shown, and accepted by a flag or by whoever sits there; else nothing is pulled.
func TestModelsPullLicence(t *testing.T) {
	hub := serveHub(t, "llama3.1").URL
	for _, c := range []struct {
		in       string
		terminal bool
		args     []string
		ok       bool
	}{
		{"", false, nil, false},
		{"y\n", false, nil, false}, // nobody sits there
		{"n\n", true, nil, false},
		{"", true, nil, false},
		{"y\n", true, nil, true},
		{"", false, []string{"--accept-licence"}, true},
	} {
		r := newWeightsRun(t, hub)
		code, out, told := r.run(c.in, c.terminal, append([]string{"pull", "hf://org/name"}, c.args...)...)
		if (code == exitOK) != c.ok || !strings.Contains(told, "The licence of hf://org/name: llama3.1, see "+hub+"/org/name") || !c.ok && !strings.Contains(told, "--accept-licence") {
			t.Errorf("%+v: %d\n%s\n%s", c, code, out, told)
		}
		if c.ok && !strings.Contains(out, "; accepted by ") {
			t.Error(out)
		}
		if code, _, told := r.run("", false, "pull", "hf://org/name"); (code == exitOK) != c.ok || c.ok && told != "" {
			t.Errorf("%+v: asked again: %d %s", c, code, told)
		}
	}
}

func TestModelsPullWithFaultyConfiguration(t *testing.T) {
	r := newWeightsRun(t, "no address")
	if code, _, told := r.run("", false, "pulled"); code != exitFault || !strings.Contains(told, "weights.hub.endpoint") || strings.Contains(told, "api_key") {
		t.Errorf("%d %s", code, told)
	}
}

func TestPullProgress(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	p := &pullProgress{bar: &progressBar{out: &out, since: now}, now: func() time.Time { return now }}
	for _, c := range []struct {
		after time.Duration
		x     cache.Progress
		want  string
	}{
		{0, cache.Progress{Phase: cache.Resolving}, "resolving"},
		{0, cache.Progress{Phase: cache.Downloading, Done: 1 << 30, Total: 4 << 30}, "downloading 1.0 GiB of 4.0 GiB"},
		{10 * time.Second, cache.Progress{Phase: cache.Downloading, Done: 2 << 30, Total: 4 << 30}, "downloading 2.0 GiB of 4.0 GiB, 102.4 MiB/s, 21s left"},
		{0, cache.Progress{Phase: cache.Downloading, Done: 3 << 30}, "downloading 3.0 GiB, 204.8 MiB/s"},
		{0, cache.Progress{Phase: cache.Unpacking, Done: 2048}, "unpacking 2.0 KiB"},
		{0, cache.Progress{Phase: cache.Waiting, Done: 5, Total: 10}, "waiting 5 B of 10 B"},
	} {
		now = now.Add(c.after)
		out.Reset()
		p.show(c.x)
		if got := out.String(); !strings.HasSuffix(got, "] "+c.want) {
			t.Errorf("%+v: %q", c.x, got)
		}
	}
	if got := bytesText(5 << 50); got != "5120.0 TiB" {
		t.Error(got)
	}
}
