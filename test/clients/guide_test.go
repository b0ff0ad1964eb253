package clients

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"forebay/internal/testenv"
)

// fenced is a block of a document with its language.
var fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// Every command and program of the user guide works as it stands, with what `forebay env` sets.
func TestUserGuide(t *testing.T) {
	t.Parallel()
	py := python(t)
	root := testenv.Root(t)
	node := filepath.Join(root, "test", "clients", "node")
	if _, err := os.Stat(filepath.Join(node, "node_modules")); err != nil {
		t.Skip("SKIPPED: the Node clients are not installed (make deps)")
	}
	guide, err := os.ReadFile(filepath.Join(root, "docs", "user-guide.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t)
	home := t.TempDir()
	plain, secure := r.exports(t, home), r.exports(t, home, "--tls")
	ran := map[string]int{}
	for _, block := range fenced.FindAllStringSubmatch(string(guide), -1) {
		language, code := block[1], block[2]
		var cmd *exec.Cmd
		switch language {
		case "sh":
			cmd = exec.CommandContext(t.Context(), "sh", "-ec", code)
			cmd.Env = slices.Concat(plain, []string{"PATH=" + filepath.Dir(py) + ":" + os.Getenv("PATH")})
		case "python":
			cmd = exec.CommandContext(t.Context(), py, "-c", code)
			cmd.Env = plain
		case "js":
			cmd = exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", code)
			cmd.Dir, cmd.Env = node, plain
		case "go":
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(t.TempDir(), "program")
			compile := exec.CommandContext(t.Context(), "go", "build", "-o", program, file)
			compile.Dir = root
			if out, err := compile.CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			cmd = exec.CommandContext(t.Context(), program)
			cmd.Env = secure
		default:
			t.Errorf("nobody runs the blocks of %s", language)
			continue
		}
		ran[language]++
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "simulated") {
			t.Errorf("%v\n%s\n%s", err, code, out)
		}
	}
	if ran["sh"] != 5 || ran["python"] != 6 || ran["js"] != 3 || ran["go"] != 1 {
		t.Errorf("ran %v", ran)
	}
}

// The commands of the banner work when they are pasted.
func TestBanner(t *testing.T) {
	t.Parallel()
	py := python(t)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	r := &running{}
	cmd := exec.CommandContext(t.Context(), bin, "up", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(home, "data"))
	cmd.Env, cmd.Dir = r.bare(home), home
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Try") {
	}
	var pasted []string
	for lines.Scan() && strings.HasPrefix(lines.Text(), "  ") {
		pasted = append(pasted, strings.TrimSpace(lines.Text()))
	}
	go func() {
		for lines.Scan() {
		}
	}()
	if len(pasted) != 4 {
		t.Fatalf("the banner has the commands %q", pasted)
	}
	env := append(r.bare(home), "PATH="+filepath.Dir(py)+":"+os.Getenv("PATH"))
	for _, command := range pasted[1:] {
		if out := output(t, env, "sh", "-ec", pasted[0]+"\n"+command); !strings.Contains(out, "simulated") {
			t.Errorf("%s\n%s", command, out)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}
