package clients

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"forebay/internal/testenv"
)

// The example function works with nothing but environment variables. With a slow engine and a
// time-out of three seconds its call is cancelled and settled, and the advice knows of it.
func TestExampleFunction(t *testing.T) {
	t.Parallel()
	py := python(t)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true", "FOREBAY=" + bin, "PYTHON=" + py}
	out := output(t, env, filepath.Join(testenv.Root(t), "examples", "function", "run.sh"))
	for _, want := range []string{
		`This answer is simulated`,
		`the function ended with status 142`,                                  // SIGALRM
		`(?m)^canceled +1 +0 +0 +1 +[1-9]\d* +0 +0\.0000\d+ USD +0 `,          // left, with its prompt charged
		`(?m)^ok +1 +0 +0 +0 +[1-9]\d* +[1-9]\d* +0\.000\d+ USD +0 `,          // answered
		`clients +gave up after [34] s, 1 times; .*raise their time-out .*\n`, // one second of grace for a busy machine
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}
