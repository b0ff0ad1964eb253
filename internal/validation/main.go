// Command validation writes the results of docs/planner-validation.md from what the planner's tests have recorded (testenv.Record).
//
//	go run ./internal/validation RECORDS DOCUMENT
package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"forebay/internal/testenv"

	"github.com/go-json-experiment/json"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: validation RECORDS DOCUMENT")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "validation:", err)
		os.Exit(1)
	}
}

// The marks of the document between which the results stand.
const (
	begin = "<!-- results: begin -->\n"
	end   = "<!-- results: end -->\n"
)

func write(records, document string) error {
	list, err := read(records)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(document) //nolint:gosec // the developer names it
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no place for results: put the lines %q and %q into it", document, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(document, []byte(before+begin+table(list)+end+after), 0o644) //nolint:gosec // a document
}

// read reads the records; the last one of equal test, figure and oracle counts once.
func read(name string) ([]testenv.Recorded, error) {
	f, err := os.Open(name) //nolint:gosec // the developer names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out []testenv.Recorded
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var r testenv.Recorded
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			return nil, err
		}
		if number(r.ID) == 0 {
			return nil, fmt.Errorf("%s: %q is none of T1 to T17", r.Test, r.ID)
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, errors.Join(sc.Err(), errors.New("nothing was recorded"))
	}
	slices.SortStableFunc(out, func(a, b testenv.Recorded) int {
		return cmp.Or(number(a.ID)-number(b.ID), cmp.Compare(a.Test, b.Test))
	})
	return out, sc.Err()
}

// tests is how many the planner has.
const tests = 17

// number is that of an id, 0 for none of the planner's.
func number(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "T"))
	if err != nil || n < 1 || n > tests || id != "T"+strconv.Itoa(n) {
		return 0
	}
	return n
}

func table(list []testenv.Recorded) string {
	var b strings.Builder
	b.WriteString("\n| id | test | figure | oracle | |\n|---|---|---|---|---|\n")
	cell := strings.NewReplacer("|", "\\|", "\n", " ")
	for i := range list {
		r := &list[i]
		verdict := "holds"
		if r.Failed {
			verdict = "**fails**"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", r.ID, r.Test, cell.Replace(r.Figure), cell.Replace(r.Oracle), verdict)
	}
	b.WriteString("\n")
	return b.String()
}
