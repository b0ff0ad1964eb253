package store

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/fault"
)

func TestResources(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Unix(1000, 0).UTC()
	one := Resource{ARN: "arn:1", Kind: "k", Account: "a", Name: "One", Body: []byte(`{"x":1}`), Created: now, Updated: now}
	two := Resource{ARN: "arn:2", Kind: "k", Account: "a", Name: "two", Body: []byte(`{}`), Created: now.Add(1), Updated: now}
	steps := []struct {
		name string
		do   func(tx *Tx) error
		want fault.Kind
		ok   bool
	}{
		{"create", func(tx *Tx) error { return tx.CreateResource(t.Context(), &one) }, 0, true},
		{"create another", func(tx *Tx) error { return tx.CreateResource(t.Context(), &two) }, 0, true},
		{"a name that differs in case", func(tx *Tx) error {
			r := one
			r.ARN, r.Name = "arn:3", "ONE"
			return tx.CreateResource(t.Context(), &r)
		}, fault.Conflict, false},
		{"a name of another kind", func(tx *Tx) error {
			r := one
			r.ARN, r.Kind = "arn:4", "other"
			return tx.CreateResource(t.Context(), &r)
		}, 0, true},
		{"a name of another account", func(tx *Tx) error {
			r := one
			r.ARN, r.Account = "arn:5", "b"
			return tx.CreateResource(t.Context(), &r)
		}, 0, true},
		{"rename to one that is taken", func(tx *Tx) error {
			r := two
			r.Name = "one"
			return tx.UpdateResource(t.Context(), &r)
		}, fault.Conflict, false},
		{"rename", func(tx *Tx) error {
			two.Name, two.Updated = "Two", now.Add(time.Hour)
			return tx.UpdateResource(t.Context(), &two)
		}, 0, true},
		{"update what is not there", func(tx *Tx) error { return tx.UpdateResource(t.Context(), &Resource{ARN: "arn:9", Name: "x"}) }, fault.NotFound, false},
		{"delete what is not there", func(tx *Tx) error { return tx.DeleteResource(t.Context(), "arn:9") }, fault.NotFound, false},
		{"no name is no name", func(tx *Tx) error { _, err := tx.NamedResource(t.Context(), "k", "a", ""); return err }, fault.NotFound, false},
		{"a name", func(tx *Tx) error {
			r, err := tx.NamedResource(t.Context(), "k", "a", "oNE")
			if err == nil && r.ARN != "arn:1" {
				err = fmt.Errorf("%+v", r)
			}
			return err
		}, 0, true},
		{"list", func(tx *Tx) error {
			list, err := tx.Resources(t.Context(), "k", "a")
			if err == nil && (len(list) != 2 || list[0].Name != "One" || string(list[0].Body) != `{"x":1}` || list[1].Name != "Two" || !list[1].Updated.Equal(now.Add(time.Hour))) {
				err = fmt.Errorf("%+v", list)
			}
			return err
		}, 0, true},
	}
	for _, x := range steps {
		err := s.Update(t.Context(), x.do)
		if (err == nil) != x.ok || !x.ok && fault.KindOf(err) != x.want {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// A resource goes with its tags: one that is made anew has none.
func TestTags(t *testing.T) {
	s := open(t, t.TempDir())
	r := Resource{ARN: "arn:1", Kind: "k", Account: "a"}
	err := s.Update(t.Context(), func(tx *Tx) error {
		if err := tx.CreateResource(t.Context(), &r); err != nil {
			return err
		}
		if err := tx.SetTags(t.Context(), r.ARN, map[string]string{"a": "1", "b": "2"}); err != nil {
			return err
		}
		if err := tx.SetTags(t.Context(), r.ARN, map[string]string{"b": "3", "c": ""}); err != nil {
			return err
		}
		return tx.RemoveTags(t.Context(), r.ARN, []string{"a", "never"})
	})
	if err != nil {
		t.Fatal(err)
	}
	tags := func() (out map[string]string) {
		err := s.Update(t.Context(), func(tx *Tx) (err error) {
			out, err = tx.Tags(t.Context(), r.ARN)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := tags(); !maps.Equal(got, map[string]string{"b": "3", "c": ""}) {
		t.Errorf("%v", got)
	}
	if err := s.Update(t.Context(), func(tx *Tx) error { return tx.DeleteResource(t.Context(), r.ARN) }); err != nil {
		t.Fatal(err)
	}
	if got := tags(); got != nil {
		t.Errorf("%v are left", got)
	}
}

// Of a hundred that make a resource of one name at once, one does.
func TestOneOfManyIsMade(t *testing.T) {
	s := open(t, t.TempDir())
	var made, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			err := s.Update(t.Context(), func(tx *Tx) error {
				return tx.CreateResource(t.Context(), &Resource{ARN: fmt.Sprint("arn:", i), Kind: "k", Account: "a", Name: "one"})
			})
			switch {
			case err == nil:
				made.Add(1)
			case fault.KindOf(err) == fault.Conflict:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || refused.Load() != 99 {
		t.Errorf("%d made, %d refused", made.Load(), refused.Load())
	}
}
