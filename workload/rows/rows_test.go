package rows

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/workload"
)

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// table reads all rows of a file, each with its line.
func table(path string) (names []string, lines []int64, out [][]string, err error) {
	in, closer, err := Open(path)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	isJSON, err := Begin(path, in)
	if err != nil {
		return nil, nil, nil, err
	}
	var r Reader
	if isJSON {
		r, names, err = NewJSON(path, in)
	} else {
		r, names, err = NewCSV(path, in)
	}
	for err == nil {
		var row []string
		var line int64
		if row, line, err = r.Next(); err == nil {
			lines, out = append(lines, line), append(out, slices.Clone(row))
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, lines, out, err
}

// Rows keep their lines, also where one goes over several; members of members have names of their own.
func TestRows(t *testing.T) {
	for text, want := range map[string]string{
		"a,b\n1,2\n\"x\ny\",3\n4,5,6\n":                    "a b: 2 1 2, 3 x\ny 3, 5 4 5 6",
		"\xef\xbb\xbf a;b\n1;2\n":                          "a b: 2 1 2",
		"2026-01-05,1\n2026-01-06,2\n":                     "1 2: 1 2026-01-05 1, 2 2026-01-06 2",
		`{"a":1,"b":{"c":"x"}}` + "\n" + `{"b":{"c":"y"}}`: "a b.c: 1 1 x, 2  y",
		`[{"a":true,"z":[1,2,3]},{"a":null}]`:              "a z: 1 true 1,2, 2  ",
	} {
		names, lines, rows, err := table(write(t, text))
		var got []string
		for i, r := range rows {
			got = append(got, strings.Join(append([]string{string(rune('0' + lines[i]))}, r...), " "))
		}
		if all := strings.Join(names, " ") + ": " + strings.Join(got, ", "); err != nil || all != want {
			t.Errorf("%q: %q %v, want %q", text, all, err, want)
		}
	}
}

// What is known and not read is named, with what to do.
func TestPacked(t *testing.T) {
	for text, want := range map[string]string{"PK\x03\x04x": "unpack it", "\x28\xb5\x2f\xfdx": "gzip", "BZh9": "gzip", "SQLite format 3": "--ledger DIR", "\x1f\x8bx": "not a gzip file", " \n": "has no rows"} {
		if _, _, _, err := table(write(t, text)); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The blocks of a prompt are told where they are wanted, the same for numbers and for texts wherever they stand.
func TestBlocks(t *testing.T) {
	path := write(t, `{"hash_ids":[1,2,"x"]}`+"\n"+`{"hash_ids":["x",1]}`+"\n"+`{"a":1}`)
	in, closer, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = closer.Close() }()
	r, _, err := NewJSON(path, in)
	if err != nil {
		t.Fatal(err)
	}
	r.WantBlocks()
	var got [][]uint64
	for range 3 {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		got = append(got, slices.Clone(r.Blocks()))
	}
	if len(got[0]) != 3 || len(got[1]) != 2 || len(got[2]) != 0 || got[0][2] != got[1][0] || got[0][0] != got[1][1] || got[0][0] == got[0][1] {
		t.Error(got)
	}
}

// Gaps are missing data unless they are said to be idle.
func TestGaps(t *testing.T) {
	var g Gaps
	if text := g.Settle(false); text != "" {
		t.Error(text)
	}
	g.Miss(5, 9)
	g.Miss(20, 30)
	if text := g.Settle(false); !strings.HasPrefix(text, "14ns have no window: that is missing data") || !slices.Equal(g, Gaps{{From: 5, To: 9}, {From: 20, To: 30}}) {
		t.Error(text, g)
	}
	if text := g.Settle(true); !strings.Contains(text, "count as idle") || g != nil {
		t.Error(text, g)
	}
}

// Faults are counted by their reason, and the first of each is kept.
func TestFaults(t *testing.T) {
	f := Faults{}
	f.LeaveOut("late", 9, []string{"a", "b"})
	f.LeaveOut("wrong", 3, []string{strings.Repeat("x", 200)})
	f.LeaveOut("late", 10, nil)
	want := []workload.Fault{{Reason: "wrong", Count: 1, Line: 3, Text: `"` + strings.Repeat("x", 100) + `"`}, {Reason: "late", Count: 2, Line: 9, Text: `"a,b"`}}
	if !slices.Equal(f.List(), want) || f.Count() != 3 {
		t.Errorf("%+v", f.List())
	}
}

// FuzzRows reads what is no table without harm, and never more rows than there are bytes.
func FuzzRows(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "\"a\nb\",c\n", `{"a":[1,2]}`, `[{"a":{"b":1}}]`, "\x1f\x8b", "a\tb\n1\t2", "\xef\xbb\xbf1;2\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		names, lines, out, err := table(write(t, string(bytes.TrimPrefix(text, []byte{0x1f, 0x8b})))) // what is packed can be longer than it looks
		if err != nil {
			return
		}
		if len(out) > len(text) || len(names) == 0 && len(out) > 0 && len(text) > 0 && text[0] != '{' && text[0] != '[' || !slices.IsSorted(lines) {
			t.Errorf("%d rows of %d bytes, %q, %v", len(out), len(text), names, lines)
		}
	})
}
