package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forebay/artifact/fetch"
	"forebay/artifact/unpack"
	"forebay/fault"
)

// kept lists the references that are in the cache, sorted.
func kept(t *testing.T, c *Cache) string {
	t.Helper()
	entries, err := c.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range entries {
		name := strings.TrimPrefix(entries[i].Ref, "hf://org/")
		if entries[i].Partial {
			name += "(partial)"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// What was used longest ago goes first, and never what is in use.
func TestEviction(t *testing.T) {
	s := newShop()
	a, b, c3 := s.sell(t, "hf://org/a", "a.bin"), s.sell(t, "hf://org/b", "b.bin"), s.sell(t, "hf://org/c", "c.bin")
	dir := t.TempDir()
	c := open(t, s, Options{Dir: dir, Limit: 5000})
	held, err := c.Open(t.Context(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	two := lease(t, c, b)
	if err := two.Release(); err != nil {
		t.Fatal(err)
	}
	last := lease(t, c, c3) // 6000: b goes, though a was used before it
	if got := kept(t, c); got != "a c" {
		t.Errorf("kept %s", got)
	}
	_, err = c.Open(t.Context(), b, nil)
	wantCode(t, err, fault.Unavailable, CodeFull)
	if got := kept(t, c); got != "a c" {
		t.Errorf("kept %s after a pull that found no room", got)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	other := open(t, s, Options{Dir: dir, Limit: 5000}) // of another program: c is held by the first
	again := lease(t, other, b)
	if got := kept(t, c); got != "b c" {
		t.Errorf("kept %s", got)
	}
	if err := errors.Join(last.Release(), again.Release()); err != nil {
		t.Fatal(err)
	}
	lease(t, c, c3) // used again, so that b is the older one
	s.files["e.bin"] = strings.Repeat("e", 1500)
	lease(t, c, s.sell(t, "hf://org/e", "e.bin"))
	if got := kept(t, c); got != "c e" {
		t.Errorf("kept %s", got)
	}
	s.files["f.bin"] = strings.Repeat("f", 5001)
	_, err = c.Open(t.Context(), s.sell(t, "hf://org/f", "f.bin"), nil)
	wantCode(t, err, fault.TooLarge, "")
	if got := kept(t, c); got != "c e" {
		t.Errorf("kept %s after what can never fit", got)
	}
}

// The disk is a bound, too: some of it stays free for others, first of all the ledger.
func TestFullDisk(t *testing.T) {
	s := newShop()
	free := int64(4000)
	c := open(t, s, Options{KeepFree: 1500, free: func(string) (int64, error) { return free, nil }})
	one := lease(t, c, s.sell(t, "hf://org/a", "a.bin"))
	free -= 1000
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Open(t.Context(), s.sell(t, "hf://org/c", "c.bin"), nil) // 3000, and 2500 by removing a
	wantCode(t, err, fault.Unavailable, fault.CodeStorage)
	if got := kept(t, c); got != "a" && got != "a (partial)" {
		t.Errorf("kept %s", got)
	}
	lease(t, c, s.sell(t, "hf://org/b", "b.bin"))
	if got := kept(t, c); strings.Contains(got, "a") && !strings.Contains(got, "partial") {
		t.Errorf("kept %s", got)
	}
}

// Sizes that nobody announced are held to the limit as they come.
func TestUnknownSizes(t *testing.T) {
	s := newShop()
	r := s.sell(t, "https://example.com/c.bin", "c.bin")
	s.listings[r.String()].Files[0].Size = -1
	_, err := open(t, s, Options{Limit: 1400}).Open(t.Context(), r, nil)
	wantCode(t, err, fault.TooLarge, "")
	lease(t, open(t, s, Options{Limit: 3100}), r)
	s.files["model.tar.gz"] = archive(t, map[string]string{"w": strings.Repeat("w", 50_000)})
	z := s.sell(t, "https://example.com/model.tar.gz", "model.tar.gz")
	c := open(t, s, Options{Limit: 40_000})
	_, err = c.Open(t.Context(), z, nil)
	wantCode(t, err, fault.TooLarge, "")
	if got := kept(t, c); got != "" {
		t.Errorf("kept %s", got)
	}
	_, err = open(t, s, Options{Unpack: unpack.Limits{Bytes: 49_999}}).Open(t.Context(), z, nil)
	wantCode(t, err, fault.TooLarge, "")
}

func TestPrune(t *testing.T) {
	s := newShop()
	c := open(t, s, Options{})
	held := lease(t, c, s.sell(t, "hf://org/a", "a.bin"))
	if err := lease(t, c, s.sell(t, "hf://org/b", "b.bin")).Release(); err != nil {
		t.Fatal(err)
	}
	s.during = func(context.Context, string) error { return errors.New("cut") }
	if _, err := c.Open(t.Context(), s.sell(t, "hf://org/c", "c.bin"), nil); err == nil {
		t.Fatal("no failure")
	}
	s.during = nil
	if got := kept(t, c); got != "a b c(partial)" {
		t.Fatal(got)
	}
	entries, err := c.Entries(t.Context())
	if err != nil || len(entries) != 3 {
		t.Fatal(entries, err)
	}
	for i := range entries {
		if e := &entries[i]; e.InUse != (e.Ref == "hf://org/a") || e.Used.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	if removed, err := c.Prune(t.Context(), func(e *Entry) bool { return e.Partial }); err != nil || len(removed) != 1 {
		t.Error(removed, err)
	}
	if removed, err := c.Prune(t.Context(), func(*Entry) bool { return true }); err != nil || len(removed) != 1 || removed[0].Ref != "hf://org/b" {
		t.Error(removed, err)
	}
	if got := kept(t, c); got != "a" {
		t.Error(got)
	}
	reads(t, held, "a.bin", s.files["a.bin"])
	if names, err := os.ReadDir(c.at("refs")); err != nil || len(names) != 3 { // the reference, its commit, its identity
		t.Error(names, err)
	}
	if names, err := os.ReadDir(c.at("trash")); err != nil || len(names) != 0 {
		t.Error(names, err)
	}
}

// What a kill may leave: trash, a snapshot without its manifest, notes of nothing, a plan that is cut off. None is believed, none is in the way.
func TestDebris(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/a", "a.bin")
	dir := t.TempDir()
	l := lease(t, open(t, s, Options{Dir: dir}), r)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"trash/1/x/files/a.bin": "x", "snapshots/" + l.Snapshot().ID + "/manifest.json": "{", "snapshots/none/files/x": "x", "refs/" + keyOf("x") + ".json": `{"id":"../../x"}`,
		"pulls/" + keyOf("y") + "/plan.json": "{", "pulls/" + keyOf("y") + "/files/a.part": "xx", "refs/" + keyOf("z") + ".json": "",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, s, Options{Dir: dir, Limit: 1001})
	if names, err := os.ReadDir(c.at("trash")); err != nil || len(names) != 0 {
		t.Error(names, err)
	}
	reads(t, lease(t, c, r), "a.bin", s.files["a.bin"])
	if got := kept(t, c); got != "a" {
		t.Errorf("kept %q", got)
	}
	if lists, downloads := s.count(); lists != 2 || downloads != 2 {
		t.Errorf("asked %d times, %d downloads", lists, downloads)
	}
	if _, err := New(Options{Dir: filepath.Join(dir, "refs", keyOf("z")+".json")}); err == nil {
		t.Error("a cache in a file")
	}
}

// A file of an earlier pull that is not what it was is brought again.
func TestEarlierPullIsNotTrusted(t *testing.T) {
	s := newShop()
	r := s.sell(t, "hf://org/a", "a.bin", "b.bin")
	c := open(t, s, Options{Files: 1})
	s.during = func(_ context.Context, path string) error {
		if path == "b.bin" {
			return errors.New("cut")
		}
		return nil
	}
	if _, err := c.Open(t.Context(), r, nil); err == nil {
		t.Fatal("no failure")
	}
	s.during = nil
	pulled, err := filepath.Glob(c.at("pulls", "*", "files", "a.bin"))
	if err != nil || len(pulled) != 1 {
		t.Fatal(pulled, err)
	}
	if err := errors.Join(os.Chmod(pulled[0], 0o600), os.WriteFile(pulled[0], []byte(strings.Repeat("x", 1000)), 0o600)); err != nil {
		t.Fatal(err)
	}
	reads(t, lease(t, c, r), "a.bin", s.files["a.bin"])
	if _, downloads := s.count(); downloads != 4 {
		t.Errorf("%d downloads", downloads)
	}
}

// What another content would be taken for is not kept.
func TestFailuresThatLeaveNothing(t *testing.T) {
	s := newShop()
	changed := fault.New(fault.Unavailable, "changed")
	changed.Code = fetch.CodeChanged
	for _, err := range []error{changed, fault.New(fault.Invalid, "bad")} {
		c := open(t, s, Options{})
		s.during = func(context.Context, string) error { return err }
		if _, got := c.Open(t.Context(), s.sell(t, "hf://org/a", "a.bin"), nil); !errors.Is(got, err) {
			t.Error(got)
		}
		if got := kept(t, c); got != "" {
			t.Error(got)
		}
	}
	r := s.sell(t, "https://example.com/a.bin", "a.bin")
	s.listings[r.String()].Identity = ""
	c := open(t, s, Options{})
	if _, err := c.Open(t.Context(), r, nil); err == nil || kept(t, c) != "" {
		t.Error(err, kept(t, c))
	}
}
