package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
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

// A rotation replaces the secret and nothing else; the one before it stays for a stated time.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Now()
	bearer := &identity.Key{ID: "key_a", Kind: identity.KeyBearer, Name: "b", Account: "000000000000", Created: now}
	signer, first := pair(t, "a")
	secrets := map[string][]string{bearer.ID: {"fb-0"}, signer.ID: {first}}
	rotate := func(k *identity.Key, grace time.Duration) error {
		secret := fmt.Sprint("fb-", len(secrets[k.ID]))
		err := s.Update(t.Context(), func(tx *Tx) error {
			live, err := tx.LiveKey(t.Context(), k.Account, k.ID)
			if err != nil {
				return err
			}
			return tx.RotateKey(t.Context(), &live.Key, secret, now, now.Add(grace))
		})
		if err == nil {
			secrets[k.ID] = append(secrets[k.ID], secret)
		}
		return err
	}
	for _, k := range []*identity.Key{bearer, signer} {
		if err := s.CreateKey(t.Context(), k, secrets[k.ID][0]); err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			grace time.Duration
			old   []time.Duration // how long the old secrets are good
		}{{time.Hour, []time.Duration{time.Hour}}, {2 * time.Hour, []time.Duration{2 * time.Hour, time.Hour}}, {time.Minute, []time.Duration{time.Minute, time.Minute, time.Minute}}, {0, nil}} {
			if err := rotate(k, x.grace); err != nil {
				t.Fatal(err)
			}
			s2, err := Open(t.Context(), dir) // what a restart reads
			if err != nil {
				t.Fatal(err)
			}
			keys, err := s2.Keys(t.Context())
			_ = s2.Close()
			if err != nil {
				t.Fatal(err)
			}
			got := keys[slices.IndexFunc(keys, func(x StoredKey) bool { return x.ID == k.ID })]
			mine := secrets[k.ID]
			newest, proof := got.Secret, func(s string) string { return s }
			if k.Kind == identity.KeyBearer {
				newest, proof = got.Hash, identity.HashToken
			}
			if newest != proof(mine[len(mine)-1]) || got.Name != k.Name || !got.Created.Equal(k.Created) || !got.Rotated.Equal(now) || len(got.Retired) != len(x.old) {
				t.Fatalf("%s after %v: %+v", k.Kind, x.grace, got)
			}
			for i, r := range got.Retired {
				if !r.Until.Equal(now.Add(x.old[i])) || !slices.ContainsFunc(mine[:len(mine)-1], func(s string) bool { return proof(s) == r.Proof }) {
					t.Errorf("%s after %v: old secret %d until %v", k.Kind, x.grace, i, r.Until)
				}
			}
		}
	}
	for range maxRetired {
		if err := rotate(bearer, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := rotate(bearer, time.Hour); fault.KindOf(err) != fault.Conflict {
		t.Errorf("too many old secrets: %v", err)
	}
	if err := rotate(bearer, 0); err != nil {
		t.Error(err)
	}
	if err := rotate(&identity.Key{ID: "key_none", Account: bearer.Account}, 0); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
}

// Policies that an earlier version stored under other names are read as they were meant.
func TestStoredPoliciesAreRenamed(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, databaseFile)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(schemas[:2:2], `PRAGMA user_version = 2`) {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	for i, policy := range []string{
		`{"Actions":["a","b*"],"Models":["m"],"Tier":"flex","Limits":{"RequestsPerMinute":1,"TokensPerMinute":2,"TokensPerDay":3,"SpendPerDay":9007199254740993,"SpendPerMonth":5,"Currency":"USD"}}`,
		`{"Actions":[],"Models":null,"Tier":"","Limits":{"RequestsPerMinute":0,"TokensPerMinute":0,"TokensPerDay":0,"SpendPerDay":0,"SpendPerMonth":0,"Currency":""}}`,
	} {
		_, err := db.ExecContext(t.Context(), `INSERT INTO keys VALUES (?,'api-key',?,'000000000000','',?,?,NULL,NULL,'',?,NULL)`, fmt.Sprint("key_", i), strconv.Itoa(i), policy, i, strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := open(t, dir).Keys(t.Context())
	want := []identity.Policy{{Actions: []string{"a", "b*"}, Models: []string{"m"}, Tier: "flex", Limits: identity.Limits{
		RequestsPerMinute: 1, TokensPerMinute: 2, TokensPerDay: 3, SpendPerDay: 9007199254740993, SpendPerMonth: 5, Currency: "USD",
	}}, {Actions: []string{}}}
	if err != nil || len(keys) != 2 || !reflect.DeepEqual(keys[0].Policy, want[0]) || !reflect.DeepEqual(keys[1].Policy, want[1]) {
		t.Errorf("%+v %v", keys, err)
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
