package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func runCLI(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"version"}, 0, "forebay"},
		{[]string{"--help"}, 0, "Deploy foundation models"},
		{nil, 0, "up"},
		{[]string{"nonsense"}, exitUsage, "unexpected argument"},
		{[]string{"up", "--listen", "nowhere"}, exitFault, "server.listen"},
		{[]string{"up", "--config", "/does/not/exist.yaml"}, exitFault, "no such file"},
		{[]string{"usage", "--data-dir", t.TempDir()}, exitFault, "forebay up"},
		{[]string{"up", "--no-auth", "--listen", "0.0.0.0:0"}, exitFault, "loopback"},
		{[]string{"up", "--no-ledger"}, exitFault, "--no-auth"},
		{[]string{"up", "--pprof", "0.0.0.0:0"}, exitFault, "loopback"},
		{[]string{"up", "--data-dir", "/proc/nope"}, exitFault, "data directory"},
		{[]string{"up", "--serve", "x"}, exitFault, "ID=ENGINE"},
	} {
		code, out, errs := runCLI(t, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit %d, %q %q", c.args, code, out, errs)
		}
		if c.code != 0 && strings.Count(strings.TrimSpace(errs), "\n") > 30 {
			t.Errorf("%v: an essay instead of a line", c.args)
		}
	}
}

func TestCompletionScriptsParse(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			code, out, errs := runCLI(t, "completion", shell)
			for _, word := range []string{"usage", "rotate", "--price-input", "growth 5% a month"} {
				if code != 0 || !strings.Contains(out, word) {
					t.Errorf("exit %d %s, and no word %s", code, errs, word)
				}
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("SKIPPED: no %s here", shell)
			}
			cmd := exec.CommandContext(t.Context(), path, "-n")
			cmd.Stdin = strings.NewReader(out)
			if b, err := cmd.CombinedOutput(); err != nil || len(b) > 0 {
				t.Errorf("%v %s", err, b)
			}
		})
	}
}

// A profile is written beside what is there, and written again without a trace.
func TestReplaceSection(t *testing.T) {
	const other = "[default]\nregion = eu-west-1\n\n# a comment\n[profile x]\nregion=us-west-2\n"
	once := replaceSection(other, "profile forebay", "region = a\n")
	if !strings.HasPrefix(once, other) {
		t.Errorf("what was there changed:\n%s", once)
	}
	if again := replaceSection(once, "profile forebay", "region = a\n"); again != once {
		t.Errorf("not the same the second time:\n%s", again)
	}
	changed := replaceSection(once+"\n[profile y]\nregion = z\n", "profile forebay", "region = b\n")
	if !strings.Contains(changed, "[profile forebay]\nregion = b\n\n[profile y]") || !strings.HasPrefix(changed, other) {
		t.Errorf("%s", changed)
	}
}

func TestConfigValidate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte("quotas: x\nledger: {sync: y}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runCLI(t, "config", "validate", path)
	if want := "forebay: " + path + ":1: quotas: \"x\" is not one of none, aws\nforebay: " + path + ":2: ledger.sync: \"y\" is not one of normal, full\n"; code != exitFault || errs != want {
		t.Errorf("%d %s", code, errs)
	}
}

// The script completes verbs, the verbs below them, and flags, as bash would ask it to, and of the words of a shape the last clause.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("SKIPPED: no bash here")
	}
	_, script, _ := runCLI(t, "completion", "bash")
	for line, want := range map[string]string{
		"forebay us": "usage", "forebay keys ro": "rotate", "forebay models add x --price-in": "--price-input", "forebay keys --js": "--json", "forebay usage --cs": "--csv", "forebay usage x --cs": "--csv",
		`forebay plan --shape 50`: "50k/day", `forebay plan --shape grow`: `growth\ 5%\ a\ month`, `forebay plan --shape "'5k/day, in 1, pea"`: "5k/day, in 1, peak x2",
	} {
		run := script + "\nCOMP_WORDS=(" + line + "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _forebay; echo \"${COMPREPLY[*]}\"\n"
		out, err := exec.CommandContext(t.Context(), bash, "--norc", "-c", run).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %v %s, want %s", line, err, out, want)
		}
	}
}
