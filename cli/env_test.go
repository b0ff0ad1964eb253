package cli

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"forebay/server"

	"github.com/go-json-experiment/json"
)

// A region is set only where AWS clients would find none: calls to other services keep theirs.
func TestRegionIsLeftToWhoHasOne(t *testing.T) {
	for name, c := range map[string]struct {
		region, fallback, config string
		all, set                 bool
	}{
		"a fresh machine":        {set: true},
		"in the environment":     {region: "eu-west-1"},
		"the older name":         {fallback: "eu-west-1"},
		"in the configuration":   {config: "[default]\n region=eu-west-1\n"},
		"configured without":     {config: "[default]\noutput = json\n# region of mine\n", set: true},
		"every AWS call is ours": {region: "eu-west-1", all: true, set: true},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("AWS_CONFIG_FILE", "")
			t.Setenv("AWS_REGION", c.region)
			t.Setenv("AWS_DEFAULT_REGION", c.fallback)
			if c.config != "" {
				if err := os.MkdirAll(filepath.Join(home, ".aws"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(home, ".aws", "config"), []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			vars, err := (&envCmd{All: c.all}).variables(&server.Credentials{URL: "http://127.0.0.1:1", Region: "us-east-1"})
			if err != nil {
				t.Fatal(err)
			}
			set := 0
			for _, v := range vars {
				if v == [2]string{"AWS_REGION", "us-east-1"} || v == [2]string{"AWS_DEFAULT_REGION", "us-east-1"} {
					set++
				}
			}
			if want := map[bool]int{true: 2}[c.set]; set != want {
				t.Errorf("%d variables name a region, want %d", set, want)
			}
		})
	}
}

// The variables reach programs as they are, and leave what is not ours alone.
func TestEnvInAShell(t *testing.T) {
	dir := serving(t, instant)
	t.Setenv("FOREBAY_DATA_DIR", dir)
	for _, c := range []struct {
		args  []string
		has   []string // variables that are set
		hasnt []string
		tls   bool
	}{
		{
			nil,
			[]string{"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "AWS_BEARER_TOKEN_BEDROCK", "OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BEDROCK_BASE_URL"},
			[]string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CA_BUNDLE"},
			false,
		},
		{[]string{"--all"}, []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}, []string{"AWS_CA_BUNDLE"}, false},
		{[]string{"--tls"}, []string{"AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}, []string{"AWS_ENDPOINT_URL"}, true},
	} {
		code, script, errs := runCLI(t, append([]string{"env"}, c.args...)...)
		if code != 0 {
			t.Fatal(errs)
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script+"\nenv")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		vars := map[string]string{}
		for line := range strings.Lines(string(out)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			vars[name] = value
		}
		for _, name := range c.has {
			if vars[name] == "" {
				t.Errorf("%v: %s is not set", c.args, name)
			}
		}
		for _, name := range c.hasnt {
			if vars[name] != "" {
				t.Errorf("%v: %s is set to %s", c.args, name, vars[name])
			}
		}
		if scheme := strings.HasPrefix(vars["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"], "https://"); scheme != c.tls {
			t.Errorf("%v: %s", c.args, vars["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
		}
		if c.tls {
			if b, err := os.ReadFile(vars["AWS_CA_BUNDLE"]); err != nil || !strings.Contains(string(b), "BEGIN CERTIFICATE") {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestAssignments(t *testing.T) {
	const value = `it's a \ back$lash`
	for shell, want := range map[string]string{
		"sh": `export A='it'\''s a \ back$lash'`, "fish": `set -gx A 'it\'s a \\ back$lash'`, "powershell": `$env:A = 'it''s a \ back$lash'`,
	} {
		if got := assignment(shell, "A", value); got != want {
			t.Errorf("%s: %s", shell, got)
		}
	}
}

// A shell that has the variables already gets the same from another call, and a data directory that is named
// comes before the variables of another server.
func TestEnvInAShellThatHasIt(t *testing.T) {
	dir, other := serving(t, instant), serving(t, instant)
	environment := func(args ...string) map[string]string {
		t.Helper()
		code, out, errs := runCLI(t, append([]string{"env", "--json"}, args...)...)
		var vars map[string]string
		if err := json.Unmarshal([]byte(out), &vars); code != 0 || err != nil {
			t.Fatalf("%v: %d %v %s", args, code, err, errs)
		}
		return vars
	}
	first := environment("--data-dir", dir, "--all", "--tls")
	second := environment("--data-dir", other)
	t.Setenv("FOREBAY_DATA_DIR", dir)
	t.Setenv("FOREBAY_URL", first["FOREBAY_URL"])
	t.Setenv("FOREBAY_API_KEY", first["FOREBAY_API_KEY"])
	if again := environment("--all", "--tls"); !maps.Equal(again, first) || first["AWS_ACCESS_KEY_ID"] == "" {
		t.Errorf("%v\nwas\n%v", again, first)
	}
	if got := environment("--data-dir", other); !maps.Equal(got, second) {
		t.Errorf("%v\nwant\n%v", got, second)
	}
	t.Setenv("FOREBAY_URL", "http://127.0.0.1:1") // the port that the server of this key had before
	if got := environment("--all", "--tls"); !maps.Equal(got, first) {
		t.Errorf("after a move to another port: %v\nwant %v", got, first)
	}
	if code, out, errs := runCLI(t, "models"); code != exitOK {
		t.Errorf("a verb after the move: %d %s %s", code, out, errs)
	}
	t.Setenv("FOREBAY_URL", "http://gateway.example:8484") // nothing is known of it but its address and key
	if got := environment(); got["FOREBAY_URL"] != "http://gateway.example:8484" {
		t.Errorf("%v", got)
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
	for _, args := range [][]string{{"env", "--all"}, {"env", "--profile", "forebay"}} {
		if code, out, errs := runCLI(t, args...); code != exitFault || out != "" || !strings.Contains(errs, "key pair") {
			t.Errorf("%v: %d %s %s", args, code, out, errs)
		}
	}
}

func TestEnvProfile(t *testing.T) {
	dir := serving(t, instant)
	t.Setenv("FOREBAY_DATA_DIR", dir)
	conf, secret := filepath.Join(t.TempDir(), "aws", "config"), filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_CONFIG_FILE", conf)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", secret)
	const mine = "[default]\naws_access_key_id = AKIAMINE\naws_secret_access_key = mine\n"
	if err := os.WriteFile(secret, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if code, out, errs := runCLI(t, "env", "--profile", "forebay", "--tls"); code != 0 || !strings.Contains(out, "AWS_PROFILE=forebay") {
			t.Fatalf("%d %s %s", code, out, errs)
		}
	}
	b, err := os.ReadFile(conf)
	if err != nil || strings.Count(string(b), "[profile forebay]") != 1 || !strings.Contains(string(b), "endpoint_url = https://") || !strings.Contains(string(b), "ca_bundle = ") {
		t.Errorf("%v\n%s", err, b)
	}
	if b, err = os.ReadFile(secret); err != nil || !strings.HasPrefix(string(b), mine) || strings.Count(string(b), "[forebay]") != 1 {
		t.Errorf("%v\n%s", err, b)
	}
	if code, _, errs := runCLI(t, "env", "--profile", "a]\n[default"); code != exitFault || !strings.Contains(errs, "no name for a profile") {
		t.Errorf("%d %s", code, errs)
	}
}
