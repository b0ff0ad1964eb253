package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong.
type Fault struct {
	File string // "" when the value does not come from a file
	Line int    // 0 likewise
	Path string // of the member, such as keys[0].kind
	Text string
}

// Error implements error: "forebay.yaml:12: keys[0].kind: ...".
func (f *Fault) Error() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Path, f.Text)
	}
	return f.Path + ": " + f.Text
}

// Faults is everything that is wrong with a configuration, in the order of the file. It is an error when it is not empty.
type Faults []Fault

// Error implements error, a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// source is what reading a file found, beside the values.
type source struct {
	lines  map[string]int // of members, by path
	faults []Fault        // of the file itself
	silent map[string]bool
}

// override forgets where a member came from.
func (s *source) override(path string) {
	if s.lines == nil {
		s.lines = map[string]int{}
	}
	s.lines[path] = -1
}

// line returns the line of a member, or of the nearest one around it; 0 for what is not from the file.
func (s *source) line(path string) int {
	for path != "" {
		if n, ok := s.lines[path]; ok {
			return max(n, 0)
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// checker collects what is wrong.
type checker struct {
	file   string
	source *source
	faults Faults
}

// bad reports a fault of the member at path. A member that could not be read is reported once.
func (k *checker) bad(path, format string, args ...any) {
	if k.source.silent[path] {
		return
	}
	f := Fault{Path: path, Line: k.source.line(path), Text: fmt.Sprintf(format, args...)}
	if f.Line > 0 {
		f.File = k.file
	}
	k.faults = append(k.faults, f)
}

// err returns the faults in the order of the file, nil when there are none.
func (k *checker) err() error {
	if len(k.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(k.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return k.faults
}

// nearest returns the candidate that a misspelt name most likely stands for, "" when none is near.
func nearest(name string, candidates []string) string {
	best, at := "", len(name)/2+1
	for _, c := range candidates {
		if len(name) > 3 && strings.HasPrefix(c, name) && (best == "" || len(c) < len(best)) {
			best = c // an id without its version
		}
	}
	if best != "" {
		return best
	}
	for _, c := range candidates {
		if d := distance(name, c); d < at {
			best, at = c, d
		}
	}
	return best
}

// distance is the number of single-byte edits, and swaps of neighbours, between two
// names (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
