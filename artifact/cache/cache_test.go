package cache

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/artifact"
	"forebay/artifact/fetch"
	"forebay/fault"
)

// shop is a source with a few repositories, and counts what is asked of it.
type shop struct {
	mu       sync.Mutex
	listings map[string]*fetch.Listing // by the reference
	files    map[string]string         // by their path
	err      error                     // of List
	lists    int
	brought  []string
	// during is called when a file is half there; its error ends the download.
	during func(ctx context.Context, path string) error
}

func (s *shop) List(_ context.Context, ref artifact.Ref) (*fetch.Listing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	if s.err != nil {
		return nil, s.err
	}
	l := s.listings[ref.String()]
	if l == nil {
		return nil, fault.New(fault.NotFound, "no such weights")
	}
	return l, nil
}

func (s *shop) Download(ctx context.Context, file *fetch.File, path string, grown fetch.Grown) (string, error) {
	s.mu.Lock()
	text := s.files[file.Path]
	s.brought = append(s.brought, file.Path)
	during := s.during
	s.mu.Unlock()
	half := text[:len(text)/2]
	if err := errors.Join(os.WriteFile(path+".part", []byte(half), 0o600), grown(int64(len(half)))); err != nil {
		return "", err
	}
	if during != nil {
		if err := during(ctx, file.Path); err != nil {
			return "", err
		}
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o400), os.Remove(path+".part"), grown(int64(len(text)-len(half)))); err != nil {
		return "", err
	}
	return sha(text), nil
}

func (s *shop) count() (lists, downloads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists, len(s.brought)
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// sell adds a repository of files to the shop.
func (s *shop) sell(t *testing.T, ref string, names ...string) artifact.Ref {
	t.Helper()
	r := mustRef(t, ref)
	l := &fetch.Listing{Pinned: r, Identity: "id of " + ref, Folder: true, Licence: fetch.Licence{Of: "hf://org/x", ID: "mit"}}
	if r.Source == artifact.Hub && r.Revision == "" {
		l.Pinned.Revision = strings.Repeat("a1", 20)
	}
	if r.Source == artifact.Web {
		l.Folder, l.Licence = false, fetch.Licence{}
	}
	for _, name := range names {
		l.Files = append(l.Files, fetch.File{Path: name, Size: int64(len(s.files[name])), Sums: fetch.Sums{fetch.SumSHA256: sha(s.files[name])}})
	}
	s.listings[r.String()] = l
	s.listings[l.Pinned.String()] = l
	return r
}

func newShop() *shop {
	return &shop{listings: map[string]*fetch.Listing{}, files: map[string]string{
		"a.bin": strings.Repeat("a", 1000), "b.bin": strings.Repeat("b", 2000), "c.bin": strings.Repeat("c", 3000), "sub/d.txt": "d",
	}}
}

func mustRef(t *testing.T, s string) artifact.Ref {
	t.Helper()
	r, err := artifact.ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t *testing.T, s Source, o Options) *Cache {
	t.Helper()
	o.Source = s
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.free == nil {
		o.free = func(string) (int64, error) { return 1 << 50, nil }
	}
	if o.now == nil {
		o.now = ticking()
	}
	o.poll = time.Millisecond
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ticking is a clock that goes on by a second each time it is asked, so that no two uses are at one time.
func ticking() func() time.Time {
	var mu sync.Mutex
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}
}

func lease(t *testing.T, c *Cache, r artifact.Ref) *Lease {
	t.Helper()
	l, err := c.Open(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func reads(t *testing.T, l *Lease, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(l.Dir(), name)); err != nil || string(got) != want {
		t.Errorf("%s: %d bytes, %v", name, len(got), err)
	}
}

func wantCode(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if e := fault.From(err); e == nil || e.Kind != kind || e.Code != code {
		t.Errorf("want %v %s, have %v", kind, code, err)
	}
}

func TestOpen(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/x", "a.bin", "sub/d.txt")
	dir := t.TempDir()
	c := open(t, s, Options{Dir: dir})
	var seen []Progress
	first, err := c.Open(t.Context(), r, func(p Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	reads(t, first, "a.bin", s.files["a.bin"])
	reads(t, first, "sub/d.txt", "d")
	if snap := first.Snapshot(); first.Path() != first.Dir() || snap.Bytes != 1001 || len(snap.Files) != 2 || snap.Licence.ID != "mit" || first.Stale() {
		t.Errorf("%+v", snap)
	}
	var phases []string
	for i, p := range seen {
		if i == 0 || p.Phase != seen[i-1].Phase {
			phases = append(phases, string(p.Phase))
		}
	}
	if got := strings.Join(phases, " "); got != "resolving downloading verifying ready" || seen[len(seen)-1].Done != 1001 {
		t.Errorf("%s, %+v", got, seen[len(seen)-1])
	}
	if err := errors.Join(first.Release(), first.Release()); err != nil {
		t.Error(err)
	}
	// Another program finds it: by asking the source which commit it is, or, knowing that, without.
	c = open(t, s, Options{Dir: dir})
	lease(t, c, r)
	lease(t, c, mustRef(t, first.Snapshot().Pinned))
	if lists, downloads := s.count(); lists != 2 || downloads != 2 {
		t.Errorf("asked %d times, %d downloads", lists, downloads)
	}
	names, err := os.ReadDir(filepath.Join(dir, "pulls"))
	if err != nil || len(names) != 0 {
		t.Error(names, err)
	}
	if st, err := os.Stat(filepath.Join(first.Dir(), "a.bin")); err != nil || st.Mode().Perm()&0o222 != 0 {
		t.Error("the weights can be written:", st.Mode(), err)
	}
}

// One file has a path of its own, and a checksum that pins it.
func TestOneFile(t *testing.T) {
	s := newShop()
	r := s.sell(t, "https://example.com/a.bin?signature=hush", "a.bin")
	dir := t.TempDir()
	l := lease(t, open(t, s, Options{Dir: dir}), r)
	if l.Path() != filepath.Join(l.Dir(), "a.bin") || strings.Contains(l.Snapshot().Ref, "hush") {
		t.Errorf("%s %+v", l.Path(), l.Snapshot())
	}
	pinned := mustRef(t, l.Snapshot().Pinned)
	if pinned.SHA256 != sha(s.files["a.bin"]) {
		t.Error(pinned)
	}
	s.err = errors.New("must not be asked")
	lease(t, open(t, s, Options{Dir: dir}), pinned)
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("hush")) {
			t.Error("the signature is in", path)
		}
		return nil
	})
}

// The same file of two references is on the disk once.
func TestFilesAreShared(t *testing.T) {
	s := newShop()
	c := open(t, s, Options{})
	one, two := lease(t, c, s.sell(t, "hf://org/x", "a.bin", "b.bin")), lease(t, c, s.sell(t, "hf://org/y", "a.bin", "c.bin"))
	a, aerr := os.Stat(filepath.Join(one.Dir(), "a.bin"))
	b, berr := os.Stat(filepath.Join(two.Dir(), "a.bin"))
	if aerr != nil || berr != nil || !os.SameFile(a, b) {
		t.Error("two copies", aerr, berr)
	}
	if _, downloads := s.count(); downloads != 3 {
		t.Errorf("%d downloads", downloads)
	}
	same := lease(t, c, s.sell(t, "hf://org/z", "a.bin", "b.bin"))
	if same.Snapshot().ID != one.Snapshot().ID {
		t.Error("the same content has two snapshots")
	}
}

// When the source cannot be reached, what it was the last time is better than nothing; when it says no, it is no.
func TestSourceIsAway(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/x", "a.bin")
	c := open(t, s, Options{})
	lease(t, c, r)
	gone := fault.New(fault.Unavailable, "away")
	gone.Code = fetch.CodeUnreachable
	s.err = gone
	if l := lease(t, c, r); !l.Stale() {
		t.Error("it does not say so")
	}
	if _, err := c.Open(t.Context(), mustRef(t, "hf://org/other"), nil); !errors.Is(err, gone) {
		t.Error(err)
	}
	s.err = fault.New(fault.Denied, "no")
	if _, err := c.Open(t.Context(), r, nil); fault.KindOf(err) != fault.Denied {
		t.Error(err)
	}
}

func TestLicence(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/x", "a.bin")
	terms := fetch.Licence{Of: "hf://org/x", ID: "llama3.1", Link: "https://example.com/l"}
	s.listings[r.String()].Licence = terms
	c := open(t, s, Options{})
	_, err := c.Open(t.Context(), r, nil)
	wantCode(t, err, fault.Denied, CodeLicence)
	if _, downloads := s.count(); downloads != 0 {
		t.Error("downloaded before")
	}
	if err := c.Accept(terms, "someone"); err != nil {
		t.Fatal(err)
	}
	if a, ok := c.Accepted(terms); !ok || a.By != "someone" || a.At.IsZero() {
		t.Errorf("%+v", a)
	}
	lease(t, c, r)
	s.sell(t, "hf://org/x", "b.bin")
	s.listings[r.String()].Licence = fetch.Licence{Of: "hf://org/x", ID: "llama4", Link: "https://example.com/l"}
	_, err = c.Open(t.Context(), r, nil)
	wantCode(t, err, fault.Denied, CodeLicence)
}

func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o755, Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestArchive(t *testing.T) {
	s := newShop()
	s.files["model.tar.gz"] = archive(t, map[string]string{"config.json": "{}", "code/run.sh": "#!"})
	r := s.sell(t, "https://example.com/model.tar.gz", "model.tar.gz")
	c := open(t, s, Options{})
	l := lease(t, c, r)
	reads(t, l, "config.json", "{}")
	st, err := os.Stat(filepath.Join(l.Dir(), "code/run.sh"))
	if l.Path() != l.Dir() || err != nil || st.Mode().Perm() != 0o500 || l.Snapshot().Bytes != 4 {
		t.Errorf("%+v %v", l.Snapshot(), err)
	}
	lease(t, c, r)
	if _, downloads := s.count(); downloads != 1 {
		t.Errorf("%d downloads", downloads)
	}
	path := filepath.Join(t.TempDir(), "model.tar.gz") // one of this machine is unpacked, too
	if err := os.WriteFile(path, []byte(s.files["model.tar.gz"]), 0o600); err != nil {
		t.Fatal(err)
	}
	s.listings[path] = &fetch.Listing{Local: path}
	local := mustRef(t, path)
	s.listings[local.String()] = s.listings[path]
	if again := lease(t, c, local); again.Snapshot().ID != l.Snapshot().ID {
		t.Errorf("%+v", again.Snapshot())
	}
	for name, text := range map[string]string{"damaged": "no archive", "up": archive(t, map[string]string{"../x": "x"})} {
		s.files["model.tar.gz"] = text
		_, err := c.Open(t.Context(), s.sell(t, "https://example.com/"+name+"/model.tar.gz", "model.tar.gz"), nil)
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := c.Entries(t.Context()); err != nil || len(entries) != 1 {
		t.Errorf("left: %+v, %v", entries, err)
	}
}

// Files and folders of this machine are used where they are.
func TestLocal(t *testing.T) {
	s := newShop()
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.WriteFile(filepath.Join(filepath.Dir(path), "other.gguf"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	file, folder, sum := mustRef(t, path), mustRef(t, filepath.Dir(path)), mustRef(t, path+"#sha256="+sha("x"))
	wrong := mustRef(t, path+"#sha256="+sha("y"))
	for _, r := range []artifact.Ref{file, sum, wrong} {
		s.listings[r.String()] = &fetch.Listing{Local: path, Pinned: r}
	}
	s.listings[folder.String()] = &fetch.Listing{Local: filepath.Dir(path), Folder: true, Pinned: folder}
	c := open(t, s, Options{})
	for r, want := range map[artifact.Ref]string{file: path, folder: filepath.Dir(path), sum: path} {
		l := lease(t, c, r)
		if l.Path() != want || l.Snapshot().ID != "" {
			t.Errorf("%s: %s in %s", r, l.Path(), l.Dir())
		}
		reads(t, l, "x.gguf", "x")
		names, err := os.ReadDir(l.Dir())
		if want := map[bool]int{true: 2, false: 1}[r == folder]; err != nil || len(names) != want {
			t.Errorf("%s: beside it: %v, %v", r, names, err)
		}
	}
	lease(t, c, sum)
	_, err := c.Open(t.Context(), wrong, nil)
	wantCode(t, err, fault.Unavailable, fetch.CodeCorrupt)
	if entries, err := c.Entries(t.Context()); err != nil || len(entries) != 0 {
		t.Errorf("%+v, %v", entries, err)
	}
}
