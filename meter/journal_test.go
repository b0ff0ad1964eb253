package meter

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// crash copies a ledger as a killed program leaves it: what write(2) has taken, and no more.
func crash(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(path))
}

// idle opens a ledger whose rows move only when the test says so.
func idle(t testing.TB, path string, segment int64) *Ledger {
	t.Helper()
	l := newLedger(LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler), fast: true})
	if err := l.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.journal.size = segment
	return l
}

// ids returns how often each request is in the tables.
func ids(t testing.TB, l *Ledger) map[string]int {
	t.Helper()
	rows, err := l.read.QueryContext(context.Background(), `SELECT request_id FROM calls`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]int{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		out[id]++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Whatever the order of appending, moving, being killed and coming back, with the end of the last
// segment torn or not: every acknowledged row is there, once.
func TestCrashesLoseAndDoubleNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		path := filepath.Join(t.TempDir(), "ledger.db")
		l := idle(t, path, 2000) // a few rows a segment
		n := 0
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "move", "kill", "torn"}).Draw(r, "step") {
			case "append":
				for range rapid.IntRange(1, 20).Draw(r, "rows") {
					if err := l.Append(context.Background(), row(n)); err != nil {
						r.Fatal(err)
					}
					n++
				}
			case "move":
				if err := l.mover.all(context.Background()); err != nil {
					r.Fatal(err)
				}
			case "torn":
				s := l.journal.segments[len(l.journal.segments)-1]
				tail := record100()[:rapid.IntRange(1, recordHead+99).Draw(r, "written")]
				if _, err := s.file.WriteAt(tail, s.size); err != nil {
					r.Fatal(err)
				}
				fallthrough
			default:
				next := crash(t, path)
				_ = l.release()
				path = next
				l = idle(t, path, 2000)
			}
		}
		got := ids(t, l)
		if err := l.release(); err != nil {
			r.Fatal(err)
		}
		if len(got) != n {
			r.Fatalf("%d rows of %d", len(got), n)
		}
		for id, times := range got {
			if times != 1 {
				r.Fatalf("%s is there %d times", id, times)
			}
		}
		if left, _ := filepath.Glob(path + ".rows-*"); len(left) != 0 {
			r.Fatalf("a closed ledger left %v", left)
		}
	})
}

// record100 is a record of a hundred bytes.
func record100() []byte {
	payload := bytes.Repeat([]byte{7}, 100)
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	return append(binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli)), payload...)
}

// Rows that come while others are being written, and moved, at once.
func TestAppendFromMany(t *testing.T) {
	for _, disk := range []bool{false, true} {
		l := open(t, func(o *LedgerOptions) { o.Sync = disk })
		l.journal.size = 20_000
		const workers = 16
		each := 100
		if disk {
			each = 10
		}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range each {
					if err := l.Append(context.Background(), row(w*each+i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			for range 20 {
				l.move()
			}
		})
		wg.Wait()
		got := ids(t, l)
		if len(got) != workers*each || l.Lost() != 0 {
			t.Errorf("sync %v: %d rows of %d, %d lost", disk, len(got), workers*each, l.Lost())
		}
	}
}

// A segment with damage in its middle gives the rows before it, and is kept.
func TestDamagedSegment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := idle(t, path, 1000)
	for i := range 20 {
		if err := l.Append(t.Context(), row(i)); err != nil {
			t.Fatal(err)
		}
	}
	next := crash(t, path)
	_ = l.release()
	name := next + ".rows-00000001"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l = idle(t, next, 1000)
	defer func() { _ = l.release() }()
	if got := ids(t, l); len(got) != 19 {
		t.Errorf("%d rows", len(got))
	}
	if _, err := os.Stat(name + ".damaged"); err != nil {
		t.Error(err)
	}
}

// killed leaves the journal of a ledger with n rows, none of them in the tables, and returns its path and what edit makes
// of its only segment, whose name is returned too.
func killed(t *testing.T, n int, edit func(b []byte) []byte) (path, name string) {
	t.Helper()
	first := filepath.Join(t.TempDir(), "ledger.db")
	l := idle(t, first, segmentSize)
	for i := range n {
		if err := l.Append(t.Context(), row(i)); err != nil {
			t.Fatal(err)
		}
	}
	path = crash(t, first)
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	name = path + ".rows-00000001"
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, edit(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, name
}

// The last segment, which holds the rows of the last second, is no different: what lies behind the damage
// is not thrown away as the torn end of a write.
func TestDamagedLastSegment(t *testing.T) {
	for name, at := range map[string]int{"mark": 2, "row": len(segmentMark) + recordHead + 3} {
		t.Run(name, func(t *testing.T) {
			var damaged []byte
			path, file := killed(t, 10, func(b []byte) []byte {
				b[at] ^= 1
				damaged = b
				return b
			})
			l := idle(t, path, segmentSize)
			if got := ids(t, l); len(got) != 0 {
				t.Errorf("%d rows", len(got))
			}
			if err := l.release(); err != nil {
				t.Error(err)
			}
			if kept, err := os.ReadFile(file + damagedSuffix); err != nil || !bytes.Equal(kept, damaged) {
				t.Errorf("%d bytes of %d are kept: %v", len(kept), len(damaged), err)
			}
		})
	}
}

// Rows that a newer version wrote are left to it.
func TestNewerJournal(t *testing.T) {
	var newer []byte
	path, file := killed(t, 10, func(b []byte) []byte {
		b[len(segmentProduct)]++
		newer = b
		return b
	})
	l, err := OpenLedger(t.Context(), LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		_ = l.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "newer forebay") {
		t.Errorf("opened: %v", err)
	}
	if left, err := os.ReadFile(file); err != nil || !bytes.Equal(left, newer) {
		t.Errorf("%d bytes of %d are left: %v", len(left), len(newer), err)
	}
}

// A commit that failed may have happened: its rows are not moved again.
func TestCommitOfUnknownOutcome(t *testing.T) {
	l := idle(t, filepath.Join(t.TempDir(), "ledger.db"), segmentSize)
	defer func() { _ = l.release() }()
	for i := range 3 {
		if err := l.Append(t.Context(), row(i)); err != nil {
			t.Fatal(err)
		}
	}
	before := l.mover.at
	if err := l.mover.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.mover.disconnect()
	l.mover.at = before
	if err := l.Append(t.Context(), row(3)); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, l); len(got) != 4 || l.Lost() != 0 {
		t.Errorf("%v, %d lost", got, l.Lost())
	}
}

// A row that comes while the ledger closes is refused, or there when it is opened again.
func TestRowsOfAClosingLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := idle(t, path, segmentSize)
	for range 2 {
		if err := l.Append(t.Context(), row(1)); err != nil {
			t.Fatal(err)
		}
	}
	taken := false
	l.mover.lose = func(error) { taken = l.Append(context.Background(), row(2)) == nil } // in the last move, of the second of them
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	l = idle(t, path, segmentSize)
	defer func() { _ = l.release() }()
	if got := ids(t, l); got["r1"] != 1 || taken != (got["r2"] == 1) {
		t.Errorf("%v, taken: %v", got, taken)
	}
}

// A file that somebody named as the last of all segments does not make the next one the first.
func TestNoSegmentAfterTheLast(t *testing.T) {
	path, file := killed(t, 3, func(b []byte) []byte { return b })
	if err := os.WriteFile(strings.TrimSuffix(file, "00000001")+"18446744073709551615", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := idle(t, path, segmentSize)
	defer func() { _ = l.release() }()
	if err := l.Append(t.Context(), row(3)); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, l); len(got) != 4 {
		t.Errorf("%d rows of 4", len(got))
	}
}

// A row that the tables refuse does not hold up those behind it.
func TestUnfitRow(t *testing.T) {
	l := open(t, nil)
	for _, i := range []int{1, 1, 2} {
		if err := l.Append(t.Context(), row(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(t, l); len(got) != 2 || l.Lost() != 1 || l.Healthy() != nil {
		t.Errorf("%v, %d lost, %v", got, l.Lost(), l.Healthy())
	}
}

func TestOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := OpenLedger(t.Context(), LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLedger(t.Context(), LedgerOptions{Path: path}); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("%v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), row(1)); err == nil {
		t.Error("a closed ledger took a row")
	}
}

func (v value) String() string {
	switch v.kind {
	case valueNull:
		return "NULL"
	case valueInteger:
		return strconv.FormatInt(v.n, 10)
	default:
		return string(v.text)
	}
}

// The values of a row come out of the journal as they went in.
func TestRowCodec(t *testing.T) {
	r := row(7)
	r.Team, r.Explanation, r.Attempts = "", []byte(`{"a":"\u00e9"}`), []Attempt{{Engine: "one", Began: 1, Took: 2, Err: os.ErrClosed, Outcome: "timeout"}, {Engine: "two", Outcome: "ok", Recalled: true}}
	var in rowReader
	if err := in.read(appendRow(nil, r, &places{charge: 3})); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range in.args {
		got = append(got, a.String())
	}
	names := strings.Split(strings.ReplaceAll(columns, " ", ""), ",")
	if len(names) != numColumns {
		t.Fatalf("%d names", len(names))
	}
	want := map[string]string{
		"request_id": "r7", "team": "NULL", "key": "k1", "arrived": strconv.FormatInt(r.Arrived.UnixNano(), 10), "input": "7", "output": "2",
		"outcome": "ok", "explanation": string(r.Explanation), "count": "0", "charge_tariff": "3", "cost_tariff": "NULL", "deadline": "NULL", "stream": "0",
	}
	for i, name := range names {
		if w, ok := want[strings.TrimSpace(name)]; ok && got[i] != w {
			t.Errorf("%s: %s, want %s", name, got[i], w)
		}
	}
	if len(in.tries) != 2*attemptValues || in.tries[4].String() != "0" || in.tries[14].String() != "1" || in.tries[10].String() != "two" {
		t.Errorf("%v", in.tries)
	}
}

// A row that an older program left in the journal has fewer columns, and fewer values of its attempts.
func TestRowsOfAnOlderProgram(t *testing.T) {
	w := rowWriter(binary.AppendUvarint(nil, oldColumns))
	for range oldColumns {
		w.null()
	}
	w = binary.AppendUvarint(w, 2)
	for _, engine := range []string{"one", "two"} {
		w.label(engine)
		w.integer(1)
		w.integer(2)
		w.name("ok")
		w.boolean(false)
	}
	var in rowReader
	if err := in.read(w); err != nil {
		t.Fatal(err)
	}
	if len(in.tries) != 2*attemptValues || in.tries[0].String() != "one" || in.tries[10].String() != "two" || in.tries[5].kind != valueNull || in.args[numColumns-1].kind != valueNull {
		t.Errorf("%v", in.tries)
	}
}

// Rows of more shapes than have statements of their own are all there, with what they had.
func TestRowsOfManyShapes(t *testing.T) {
	l := open(t, nil)
	var want int64
	for i := range 8 * maxShapes {
		r := row(i)
		r.Media, r.Held, r.Estimate, r.MaxTokens, r.CacheRead, r.CacheWrite = int64(i&1), int64(i&2), int64(i&4), int64(i&8), int64(i&16), int64(i&32)
		want += r.Media + r.Held + r.Estimate + r.MaxTokens + r.CacheRead + r.CacheWrite
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	var got, nulls int64
	err := l.read.QueryRowContext(t.Context(), `SELECT SUM(media + held + estimate + max_tokens + cache_read + cache_write),
 SUM(media IS NULL OR team IS NOT NULL OR lane <> 0) FROM calls`).Scan(&got, &nulls)
	if err != nil || got != want || nulls != 0 || l.Lost() != 0 {
		t.Errorf("%d, want %d; %d rows with NULL for 0 or the reverse, %d lost, %v", got, want, nulls, l.Lost(), err)
	}
}

func BenchmarkMove(b *testing.B) {
	l := idle(b, filepath.Join(b.TempDir(), "ledger.db"), segmentSize)
	defer func() { _ = l.release() }()
	const rows = 500
	n := 0
	for b.Loop() {
		b.StopTimer()
		for range rows {
			n++
			r := row(n)
			r.RequestID, r.Tags = fmt.Sprintf("%036d", n), nil
			if err := l.Append(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if err := l.mover.all(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
}

func FuzzRowReader(f *testing.F) {
	f.Add(appendRow(nil, row(1), &places{charge: 1, cost: 2}))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var r rowReader
		_ = r.read(b) // any bytes give a row or an error
		_, _, _ = record(b)
	})
}
