package resource_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

// direct is a store of which nothing else is in force.
type direct struct{ s *store.Store }

func (d direct) View(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

func (d direct) Update(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

func TestTagger(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	const account, arn = "000000000000", "arn:aws:bedrock:us-east-1:000000000000:imported-model/abcdefghij12"
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		return tx.CreateResource(t.Context(), &store.Resource{ARN: arn, Kind: resource.ImportedModel, Account: account, Name: "one"})
	})
	if err != nil {
		t.Fatal(err)
	}
	tagger := resource.Tagger{Store: direct{s}}
	tag := func(tags ...resource.Tag) error { return tagger.Tag(t.Context(), account, arn, tags) }
	if err := tag(resource.Tag{Key: "team", Value: "a"}, resource.Tag{Key: "stage"}); err != nil {
		t.Fatal(err)
	}
	if err := tag(resource.Tag{Key: "team", Value: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := tagger.Untag(t.Context(), account, arn, []string{"stage", "never"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"team": "b"}
	check := func(after string) {
		t.Helper()
		if got, err := tagger.Tags(t.Context(), account, arn); err != nil || !maps.Equal(got, want) {
			t.Errorf("after %s: %v, %v", after, got, err)
		}
	}
	check("changes")

	var more []resource.Tag // with the one that is there they are fifty-one
	for i := range resource.MaxTags {
		more = append(more, resource.Tag{Key: fmt.Sprint("k", i)})
	}
	for name, c := range map[string]struct {
		do   func() error
		want fault.Kind
	}{
		"too many":           {func() error { return tag(more...) }, fault.QuotaExceeded},
		"reserved":           {func() error { return tag(resource.Tag{Key: "aws:x"}) }, fault.Invalid},
		"untag reserved":     {func() error { return tagger.Untag(t.Context(), account, arn, []string{"aws:x"}) }, fault.Invalid},
		"of another account": {func() error { return tagger.Tag(t.Context(), "111111111111", arn, nil) }, fault.NotFound},
		"unknown":            {func() error { return tagger.Untag(t.Context(), account, arn+"3", nil) }, fault.NotFound},
		"no ARN":             {func() error { _, err := tagger.Tags(t.Context(), account, "my-model"); return err }, fault.Invalid},
	} {
		if err := c.do(); err == nil || fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		check(name)
	}
	more[0].Key = "team" // so that they are fifty
	if err := tag(more...); err != nil {
		t.Error(err)
	}
}
