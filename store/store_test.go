package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/fault"
	"forebay/identity"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func pair(t *testing.T, name string) (*identity.Key, string) {
	t.Helper()
	sec, err := identity.NewPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &identity.Key{ID: sec.ID, Kind: identity.KeyPair, Name: name, Account: "000000000000", Created: time.Now()}, sec.Value
}

func TestKeysSurviveAndAreSealed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	k, secret := pair(t, "app")
	k.Policy = identity.Policy{Models: []string{"a*"}, Limits: identity.Limits{RequestsPerMinute: 7}}
	if err := s.CreateKey(t.Context(), k, secret); err != nil {
		t.Fatal(err)
	}
	tok, err := identity.NewBearer(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &identity.Key{ID: tok.ID, Kind: identity.KeyBearer, Account: k.Account, Created: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := s.CreateKey(t.Context(), b, tok.Value); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{databaseFile, databaseFile + "-wal"} {
		raw, err := os.ReadFile(filepath.Join(dir, f))
		if err == nil && (bytes.Contains(raw, []byte(secret)) || bytes.Contains(raw, []byte(tok.Value))) {
			t.Errorf("%s discloses a secret", f)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, sealingFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	keys, err := open(t, dir).Keys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].Secret != secret || keys[0].Policy.Limits.RequestsPerMinute != 7 || keys[1].Hash != identity.HashToken(tok.Value) {
		t.Errorf("%+v %v", keys, err)
	}
}

// A hundred creations of one name at once: one succeeds, the others are told of the conflict.
func TestConcurrentCreatesOfOneName(t *testing.T) {
	s := open(t, t.TempDir())
	var ok, conflicts atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		k, secret := pair(t, "same")
		wg.Go(func() {
			switch err := s.CreateKey(context.Background(), k, secret); {
			case err == nil:
				ok.Add(1)
			case fault.KindOf(err) == fault.Conflict:
				conflicts.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 1 || conflicts.Load() != 99 {
		t.Errorf("%d created, %d conflicts", ok.Load(), conflicts.Load())
	}
}

func TestRevoke(t *testing.T) {
	s := open(t, t.TempDir())
	k, secret := pair(t, "a")
	if err := s.CreateKey(t.Context(), k, secret); err != nil {
		t.Fatal(err)
	}
	for i, want := range []fault.Kind{fault.Internal, fault.NotFound} {
		err := s.RevokeKey(t.Context(), k.Account, k.ID, time.Now())
		if i == 0 && err != nil || i == 1 && fault.KindOf(err) != want {
			t.Errorf("%d: %v", i, err)
		}
	}
	again, secret := pair(t, "a") // the name is free again
	if err := s.CreateKey(t.Context(), again, secret); err != nil {
		t.Error(err)
	}
	managed, secret := pair(t, "m")
	managed.ManagedBy = "forebay.yaml:3"
	if err := s.CreateKey(t.Context(), managed, secret); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeKey(t.Context(), managed.Account, managed.ID, time.Now()); fault.KindOf(err) != fault.Conflict {
		t.Errorf("%v", err)
	}
}

func TestWrongSealingKeyIsTold(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	k, secret := pair(t, "a")
	if err := s.CreateKey(t.Context(), k, secret); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, sealingFile), bytes.Repeat([]byte{1}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Keys(t.Context()); err == nil {
		t.Error("a secret was unsealed with another key")
	}
	if err := os.WriteFile(filepath.Join(dir, sealingFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil {
		t.Error("a short key file passed")
	}
}

// Without its file, what was sealed is lost; a new file in its place would hide that, and
// keys would be sealed with it that the restored one cannot unseal.
func TestLostSealingKeyIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	k, secret := pair(t, "a")
	if err := s.CreateKey(t.Context(), k, secret); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, sealingFile)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("%v", err)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	if keys, err := open(t, dir).Keys(t.Context()); err != nil || keys[0].Secret != secret {
		t.Errorf("%v", err)
	}
}

// A file that a power cut left empty at the first start holds nothing that anybody needs.
func TestSealingKeyThatSealsNothingIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, sealingFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k, secret := pair(t, "a")
	if err := open(t, dir).CreateKey(t.Context(), k, secret); err != nil {
		t.Fatal(err)
	}
	if keys, err := open(t, dir).Keys(t.Context()); err != nil || keys[0].Secret != secret {
		t.Errorf("%v", err)
	}
}

// Several that open one directory at once agree on schema and sealing key.
func TestConcurrentFirstStarts(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 6 {
		k, secret := pair(t, fmt.Sprint("k", i))
		wg.Go(func() {
			s, err := Open(context.Background(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.CreateKey(context.Background(), k, secret); err != nil {
				t.Error(err)
			}
			_ = s.Close()
		})
	}
	wg.Wait()
	if keys, err := open(t, dir).Keys(t.Context()); err != nil || len(keys) != 6 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestDirectoryNamesAreTakenLiterally(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "what?mode=memory#1 50%25")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k, secret := pair(t, "a")
	if err := open(t, dir).CreateKey(t.Context(), k, secret); err != nil {
		t.Fatal(err)
	}
	if keys, err := open(t, dir).Keys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.db.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA user_version = %d`, len(schemas)+1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil {
		t.Error("a newer database was opened")
	}
}
