package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"forebay/fault"
)

func TestObjects(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Unix(1000, 0).UTC()
	a := &Object{Kind: "team", Account: "1", Name: "a", Body: []byte(`{"x":1}`), Created: now, Updated: now}
	steps := []struct {
		do   func(tx *Tx) error
		want fault.Kind
		ok   bool
	}{
		{func(tx *Tx) error { return tx.CreateObject(t.Context(), a) }, 0, true},
		{func(tx *Tx) error { return tx.CreateObject(t.Context(), a) }, fault.Conflict, false},
		{func(tx *Tx) error {
			b := *a
			b.Body, b.Updated = []byte(`{}`), now.Add(time.Hour)
			return tx.PutObject(t.Context(), &b)
		}, 0, true},
		{func(tx *Tx) error {
			return tx.PutObject(t.Context(), &Object{Kind: "model", Name: "m", Body: []byte(`{}`), Created: now, Updated: now})
		}, 0, true},
		{func(tx *Tx) error { _, err := tx.Object(t.Context(), "team", "2", "a"); return err }, fault.NotFound, false},
		{func(tx *Tx) error { return tx.DeleteObject(t.Context(), "team", "2", "a") }, fault.NotFound, false},
	}
	for i, x := range steps {
		err := s.Update(t.Context(), x.do)
		if (err == nil) != x.ok || !x.ok && fault.KindOf(err) != x.want {
			t.Errorf("step %d: %v", i, err)
		}
	}
	list, err := s.Objects(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "m" || string(list[1].Body) != `{}` || !list[1].Created.Equal(now) || !list[1].Updated.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v %v", list, err)
	}
}

// A token makes a change once; its result is sealed, outlives a restart and ends after a day.
func TestOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	runs := 0
	now := time.Now()
	once := func(k Token, at time.Time, fail error) (result string, again bool, err error) {
		err = s.Update(t.Context(), func(tx *Tx) error {
			var b []byte
			var err error
			b, again, err = tx.Once(t.Context(), &k, at, func() ([]byte, error) {
				runs++
				return []byte("a secret result"), fail
			})
			result = string(b)
			return err
		})
		return result, again, err
	}
	k := Token{Account: "1", Operation: "create", Token: "t", Body: []byte("x")}
	if _, _, err := once(k, now, errors.New("no")); err == nil || runs != 1 {
		t.Fatal("a failure is not told")
	}
	for i, again := range []bool{false, true, true} {
		if r, a, err := once(k, now, nil); err != nil || r != "a secret result" || a != again {
			t.Errorf("%d: %q %v %v", i, r, a, err)
		}
	}
	other := k
	other.Body = []byte("y")
	if _, _, err := once(other, now, nil); fault.KindOf(err) != fault.Conflict {
		t.Errorf("another request with the same token: %v", err)
	}
	for _, free := range []Token{{Account: "2", Operation: "create", Token: "t"}, {Account: "1", Operation: "delete", Token: "t"}, {Account: "1", Operation: "create"}} {
		if _, a, err := once(free, now, nil); err != nil || a {
			t.Errorf("%+v: %v %v", free, a, err)
		}
	}
	if runs != 5 {
		t.Errorf("%d changes", runs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{databaseFile, databaseFile + "-wal"} {
		if raw, err := os.ReadFile(filepath.Join(dir, f)); err == nil && bytes.Contains(raw, []byte("secret result")) {
			t.Errorf("%s discloses a result", f)
		}
	}
	s = open(t, dir)
	if _, a, err := once(k, now.Add(23*time.Hour), nil); err != nil || !a {
		t.Errorf("after a restart: %v %v", a, err)
	}
	if _, a, err := once(k, now.Add(25*time.Hour), nil); err != nil || a {
		t.Errorf("after a day: %v %v", a, err)
	}
}
