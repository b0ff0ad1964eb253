package unpack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"forebay/artifact/unpack"
	"forebay/fault"
)

// entry is one of an archive; without a type it is a file.
type entry struct {
	name string
	body string
	kind byte
	link string
	mode int64
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.body))}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func tarInto(t testing.TB, ctx context.Context, dir string, b []byte, l unpack.Limits, room func(int64) error) ([]unpack.File, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	return unpack.Tar(ctx, bytes.NewReader(b), root, l, room)
}

func TestTar(t *testing.T) {
	plain := archive(
		t, entry{name: "./", kind: tar.TypeDir}, entry{name: "./config.json", body: "{}"}, entry{name: "code/", kind: tar.TypeDir}, entry{name: "code/run.sh", body: "#!", mode: 0o755},
		entry{name: "deep/er/w.bin", body: strings.Repeat("w", 3<<20)}, entry{name: "deep/latest", kind: tar.TypeSymlink, link: "er/w.bin"},
		entry{name: "deep/er/up", kind: tar.TypeSymlink, link: "../../config.json"}, entry{name: "again.json", kind: tar.TypeLink, link: "config.json"},
	)
	for name, b := range map[string][]byte{"tar": plain, "tar.gz": gzipped(t, plain)} {
		dir := t.TempDir()
		var room int64
		files, err := tarInto(t, t.Context(), dir, b, unpack.Limits{}, func(n int64) error { room += n; return nil })
		if err != nil || len(files) != 6 || room != 2+2+3<<20 {
			t.Fatalf("%s: %d files, %d bytes, %v", name, len(files), room, err)
		}
		for _, f := range files {
			got, err := os.ReadFile(filepath.Join(dir, f.Path))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(got)
			if f.Link == "" && (hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(got)) != f.Size) {
				t.Errorf("%s: %+v", name, f)
			}
			if st, err := os.Stat(filepath.Join(dir, f.Path)); err != nil || (st.Mode().Perm()&0o100 != 0) != (f.Path == "code/run.sh") {
				t.Errorf("%s: %s has mode %v, %v", name, f.Path, st.Mode(), err)
			}
		}
		if got, err := os.ReadFile(filepath.Join(dir, "deep/er/up")); err != nil || string(got) != "{}" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// What is refused, and by which kind of fault. Each was, somewhere, a way out or a way to fill a machine.
func TestTarRefuses(t *testing.T) {
	file := entry{name: "a", body: "x"}
	link := func(name, target string) entry { return entry{name: name, kind: tar.TypeSymlink, link: target} }
	many := make([]entry, 12)
	for i := range many {
		many[i] = entry{name: string(rune('a' + i)), body: "x"}
	}
	whole := gzipped(t, archive(t, entry{name: "a", body: strings.Repeat("x", 100_000)}))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 1 // the checksum of the compression
	for name, c := range map[string]struct {
		b      []byte
		limits unpack.Limits
		want   fault.Kind
		words  string
	}{
		"nothing":             {want: fault.Invalid},
		"empty":               {b: archive(t), want: fault.Invalid, words: "nothing in it"},
		"no archive":          {b: []byte(strings.Repeat("no archive ", 100)), want: fault.Invalid, words: "damaged"},
		"cut":                 {b: whole[:len(whole)/2], want: fault.Invalid, words: "cut off"},
		"wrong checksum":      {b: damaged, want: fault.Invalid, words: "damaged"},
		"something behind":    {b: gzipped(t, append(archive(t, file), strings.Repeat("x", 600)...)), want: fault.Invalid, words: "behind its end"},
		"up":                  {b: archive(t, entry{name: "../a", body: "x"}), want: fault.Invalid, words: "leads out"},
		"up inside":           {b: archive(t, entry{name: "b/../../a", body: "x"}), want: fault.Invalid, words: "leads out"},
		"up and down":         {b: archive(t, entry{name: "b/../a", body: "x"}), want: fault.Invalid, words: "leads out"},
		"absolute":            {b: archive(t, entry{name: "/etc/passwd", body: "x"}), want: fault.Invalid, words: "leads out"},
		"backslash":           {b: archive(t, entry{name: `..\a`, body: "x"}), want: fault.Invalid, words: "leads out"},
		"twice":               {b: archive(t, file, file), want: fault.Invalid, words: "twice"},
		"file over link":      {b: archive(t, file, link("b", "a"), entry{name: "b", body: "y"}), want: fault.Invalid, words: "twice"},
		"folder over file":    {b: archive(t, file, entry{name: "a/", kind: tar.TypeDir}), want: fault.Invalid, words: "twice"},
		"below a file":        {b: archive(t, file, entry{name: "a/b", body: "x"}), want: fault.Invalid, words: "no folder"},
		"below a link":        {b: archive(t, entry{name: "d/", kind: tar.TypeDir}, link("l", "d"), entry{name: "l/a", body: "x"}), want: fault.Invalid, words: "no folder"},
		"link out":            {b: archive(t, file, link("l", "../x")), want: fault.Invalid, words: "leads out"},
		"absolute link":       {b: archive(t, file, link("l", "/etc/passwd")), want: fault.Invalid, words: "leads out"},
		"link out by a link":  {b: archive(t, entry{name: "p/q/f", body: "x"}, link("p/q/up", ".."), link("l", "p/q/up/../..")), want: fault.Invalid, words: "leads out"},
		"link to nothing":     {b: archive(t, file, link("l", "none")), want: fault.Invalid, words: "nothing inside"},
		"links in a ring":     {b: archive(t, file, link("l", "m"), link("m", "l")), want: fault.Invalid, words: "nothing inside"},
		"hard link out":       {b: archive(t, file, entry{name: "l", kind: tar.TypeLink, link: "/etc/passwd"}), want: fault.Invalid, words: "no file before"},
		"hard link to a link": {b: archive(t, file, link("m", "a"), entry{name: "l", kind: tar.TypeLink, link: "m"}), want: fault.Invalid, words: "no file before"},
		"device":              {b: archive(t, entry{name: "null", kind: tar.TypeChar}), want: fault.Invalid, words: "neither"},
		"pipe":                {b: archive(t, entry{name: "p", kind: tar.TypeFifo}), want: fault.Invalid, words: "neither"},
		"long name":           {b: archive(t, entry{name: strings.Repeat("x", 1025), body: "x"}), want: fault.Invalid, words: "too long"},
		"deep":                {b: archive(t, entry{name: strings.Repeat("x/", 40) + "x", body: "x"}), want: fault.Invalid, words: "too deep"},
		"many":                {b: archive(t, many...), limits: unpack.Limits{Entries: 11}, want: fault.TooLarge, words: "entries"},
		"many folders":        {b: archive(t, entry{name: strings.Repeat("x/", 20) + "x", body: "x"}), limits: unpack.Limits{Entries: 11}, want: fault.TooLarge, words: "entries"},
		"large":               {b: archive(t, many...), limits: unpack.Limits{Bytes: 11}, want: fault.TooLarge, words: "bytes"},
		"bomb":                {b: gzipped(t, archive(t, entry{name: "a", body: strings.Repeat("\x00", 2<<20)})), limits: unpack.Limits{Free: 1 << 18}, want: fault.TooLarge, words: "times its size"},
		"bomb behind the end": {b: gzipped(t, append(archive(t, file), make([]byte, 2<<20)...)), limits: unpack.Limits{Free: 1 << 18}, want: fault.TooLarge, words: "times its size"},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		files, err := tarInto(t, t.Context(), dir, c.b, c.limits, nil)
		if fault.KindOf(err) != c.want || !strings.Contains(fault.From(err).Message, c.words) {
			t.Errorf("%s: %+v, %v", name, files, err)
		}
		if names, err := os.ReadDir(outer); err != nil || len(names) != 1 {
			t.Errorf("%s: wrote outside: %v, %v", name, names, err)
		}
	}
}

// A bound refuses an archive before what is over it is written.
func TestLargeFileIsNotBegun(t *testing.T) {
	dir := t.TempDir()
	if _, err := tarInto(t, t.Context(), dir, archive(t, entry{name: "a", body: strings.Repeat("x", 100)}), unpack.Limits{Bytes: 99}, nil); fault.KindOf(err) != fault.TooLarge {
		t.Error(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Error(names, err)
	}
}

func TestTarStops(t *testing.T) {
	b := archive(t, entry{name: "a", body: "x"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tarInto(t, ctx, t.TempDir(), b, unpack.Limits{}, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err := tarInto(t, t.Context(), t.TempDir(), b, unpack.Limits{}, func(int64) error { return syscall.ENOSPC })
	if e := fault.From(err); e.Kind != fault.Unavailable || e.Code != fault.CodeStorage {
		t.Errorf("a full disk: %v", err)
	}
	own := fault.New(fault.QuotaExceeded, "no room")
	if _, err := tarInto(t, t.Context(), t.TempDir(), b, unpack.Limits{}, func(int64) error { return own }); !errors.Is(err, own) {
		t.Error(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	broken := errors.New("the disk of the archive fails")
	if _, err := unpack.Tar(t.Context(), io.MultiReader(bytes.NewReader(b[:600]), failing{broken}), root, unpack.Limits{}, nil); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Whatever the bytes are: nothing is outside, every link leads inside, and what is told is what is there.
func FuzzTar(f *testing.F) {
	link := entry{name: "d/l", kind: tar.TypeSymlink, link: "../a"}
	for _, b := range [][]byte{
		archive(f, entry{name: "a", body: "x"}), archive(f, entry{name: "a", body: "x"}, link), archive(f, entry{name: "../a", body: "x"}),
		archive(f, entry{name: "p/q/f", body: "x"}, entry{name: "p/q/up", kind: tar.TypeSymlink, link: ".."}, entry{name: "l", kind: tar.TypeSymlink, link: "p/q/up/../.."}),
		archive(f, entry{name: "l", kind: tar.TypeSymlink, link: "/etc"}, entry{name: "l/passwd", body: "x"}), archive(f, entry{name: "a", body: "x"}, entry{name: "b", kind: tar.TypeLink, link: "a"}),
	} {
		f.Add(b)
		f.Add(gzipped(f, b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		outer, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		files, err := tarInto(t, t.Context(), dir, b, unpack.Limits{Bytes: 1 << 20, Entries: 64, Free: 1 << 20}, nil)
		if k := fault.KindOf(err); err != nil && k != fault.Invalid && k != fault.TooLarge {
			var path *fs.PathError
			if !errors.As(err, &path) && !errors.Is(err, syscall.ENAMETOOLONG) {
				t.Fatal(err)
			}
		}
		if names, err := os.ReadDir(outer); err != nil || len(names) != 1 {
			t.Fatalf("wrote outside: %v, %v", names, err)
		}
		if err != nil {
			return
		}
		for _, file := range files {
			at, err := filepath.EvalSymlinks(filepath.Join(dir, file.Path))
			if err != nil || at != dir && !strings.HasPrefix(at, dir+string(filepath.Separator)) {
				t.Fatalf("%s leads to %s, %v", file.Path, at, err)
			}
		}
	})
}
