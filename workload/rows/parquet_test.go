package rows_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/workload/rows"
)

// all reads a table to its end.
func all(t *testing.T, name string) (names []string, out [][]string) {
	t.Helper()
	x, err := rows.OpenTable(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}()
	for n := int64(1); ; n++ {
		row, line, err := x.Next()
		if errors.Is(err, io.EOF) {
			return x.Names, out
		}
		if err != nil || line != n {
			t.Fatal(line, err)
		}
		out = append(out, slices.Clone(row))
	}
}

// The files of testdata are written by pyarrow 26: every type with which calls and quantities are told, in two groups of rows, compressed by zstd.
func TestParquet(t *testing.T) {
	names, got := all(t, "testdata/types.parquet")
	if want := "at_utc at_wall day count small ratio single price name ok hash_ids usage.input usage.output tags"; strings.Join(names, " ") != want {
		t.Errorf("%q", names)
	}
	want := [][]string{
		{"2026-01-05T09:00:00.123456Z", "2026-01-05T09:00:00", "1969-12-31", "1", "1", "0.1", "0.1", "0.0000001", "a", "true", "1,2", "10", "2", "team"},
		{"2026-01-05T09:00:01.123456Z", "2026-01-05T09:00:01", "2026-01-05", "-2", "2", "1e-09", "0.5", "-12.5000000", "b, c", "false", "7", "20", "", ""},
		{"2026-01-05T09:00:02.123456Z", "2026-01-05T09:00:02", "", "", "3", "", "", "", "", "", "", "", "", ""},
		{"2026-01-05T09:00:03.123456Z", "2026-01-05T09:00:03", "2026-01-07", "1099511627776", "255", "1.234567825e+07", "3e+10", "7.0000000", "ä", "true", "", "5", "1", "team,env"},
	}
	for i := range want {
		if i >= len(got) || !slices.Equal(got[i], want[i]) {
			t.Errorf("row %d:\n%q, want\n%q", i+1, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows", len(got))
	}
	if _, got := all(t, "testdata/legacy.parquet"); len(got) != 2 || got[0][0] != "2026-01-05T09:00:00.5" || got[1][0] != "1969-12-31T23:59:59" {
		t.Errorf("times of 96 bits: %q", got)
	}
}

// Hashes of blocks are the same as those of the same trace as JSON.
func TestParquetBlocks(t *testing.T) {
	x, err := rows.OpenTable("testdata/types.parquet")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	b, ok := x.Reader.(rows.Blocked)
	if !ok {
		t.Fatal("no blocks")
	}
	b.WantBlocks()
	for _, want := range []string{"[1,2,3]", "[7]", "[]", "[]"} {
		if _, _, err := x.Next(); err != nil {
			t.Fatal(err)
		}
		if got := b.Blocks(); !slices.Equal(got, rows.AppendBlocks(nil, []byte(want))) {
			t.Errorf("%v for %s", got, want)
		}
	}
}

func TestParquetDamaged(t *testing.T) {
	whole, err := os.ReadFile("testdata/types.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{"cut": whole[:len(whole)/2], "begun": whole[:4], "end alone": append([]byte("PAR1"), whole[len(whole)-200:]...)} {
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := drain(name); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// drain reads a table, and returns what ended it but for its end.
func drain(name string) error {
	x, err := rows.OpenTable(name)
	if err != nil {
		return err
	}
	defer func() { _ = x.Close() }()
	for {
		if _, _, err := x.Next(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// No byte that is damaged ends the program: what is read is refused, or other than it was.
func TestParquetOfOneWrongByte(t *testing.T) {
	whole, err := os.ReadFile("testdata/types.parquet")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	name := filepath.Join(t.TempDir(), "f")
	for at := 0; at < len(whole)-8; at += 101 { // but for the length of the end, which can ask for much memory
		text := slices.Clone(whole)
		text[at] ^= 0x55
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if drain(name) != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no damage was seen")
	}
}
