// Command testreport reads the output of go test -json on its standard input and prints
// what a person wants to see of it: a line for each package, the whole output of what
// failed, every skipped test with its reason, and the totals. A reason for skipping would
// otherwise show only with -v, among everything else. Its exit code is that of the tests.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

func main() {
	ok, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// event is one line of test2json's output; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of a build
}

// tally counts tests; those with subtests count themselves too.
type tally struct {
	passed, failed, packages int
	broken                   bool // a package failed, to be built or to pass
	skipped                  []string
	output                   map[string][]string // of the tests under way, by package and test
}

// maxLine bounds a line of the input; a test that logs more than that on one line fails the report.
const maxLine = 16 << 20

func report(in io.Reader, out io.Writer) (ok bool, err error) {
	t := tally{output: map[string][]string{}}
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, maxLine)
	seen := false
	for sc.Scan() {
		seen = true
		var e event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			fmt.Fprintln(out, sc.Text()) // what is not an event is for the reader: go's own messages
			continue
		}
		t.take(&e, out)
	}
	if err := sc.Err(); err != nil {
		return false, err
	}
	if !seen {
		return false, errors.New("no output of go test")
	}
	if len(t.skipped) > 0 {
		fmt.Fprintf(out, "\nSkipped:\n")
		for _, s := range t.skipped {
			fmt.Fprintln(out, "  "+s)
		}
	}
	ok = !t.broken && t.failed == 0
	word := "PASS"
	if !ok {
		word = "FAIL"
	}
	fmt.Fprintf(out, "\n%s: %d tests passed, %d failed, %d skipped in %d packages\n", word, t.passed, t.failed, len(t.skipped), t.packages)
	return ok, nil
}

func (t *tally) take(e *event, out io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(out, e.Output)
	case "build-fail":
		t.broken = true
	case "output":
		if e.Test != "" {
			t.output[key] = append(t.output[key], e.Output)
		} else if line := e.Output; line != "PASS\n" && !strings.HasPrefix(line, "testing: warning") {
			fmt.Fprint(out, line)
		}
	case "pass", "fail", "skip":
		t.end(e, key, out)
	}
}

// end takes the result of a test or, without one, of a package.
func (t *tally) end(e *event, key string, out io.Writer) {
	lines := t.output[key]
	delete(t.output, key)
	switch {
	case e.Test == "":
		t.packages++
		t.broken = t.broken || e.Action == "fail"
		if e.Action == "fail" {
			t.dump(e.Package, out) // of tests that a panic or the time limit cut off
		}
	case e.Action == "pass":
		t.passed++
	case e.Action == "fail":
		t.failed++
		fmt.Fprint(out, strings.Join(lines, ""))
	default:
		t.skipped = append(t.skipped, e.Package+" "+e.Test+": "+reason(lines))
	}
}

// dump prints what is left of a package's tests.
func (t *tally) dump(pkg string, out io.Writer) {
	var keys []string
	for key := range t.output {
		if strings.HasPrefix(key, pkg+" ") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		fmt.Fprint(out, strings.Join(t.output[key], ""))
		delete(t.output, key)
	}
}

// reason is what a skipped test said.
func reason(lines []string) string {
	var said []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			said = append(said, l)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
