package profile_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"forebay/catalog"
	"forebay/fault"
	"forebay/profile"
	"forebay/resource"
	"forebay/store"
)

const (
	account    = "000000000000"
	haiku      = "anthropic.claude-3-haiku-20240307-v1:0"
	foundation = "arn:aws:bedrock:eu-west-1::foundation-model/"
	system     = "arn:aws:bedrock:eu-west-1:" + account + ":inference-profile/"
)

type direct struct{ s *store.Store }

func (d direct) View(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

func (d direct) Update(ctx context.Context, f func(*store.Tx) error) error { return d.s.Update(ctx, f) }

// names are those of the built-in catalogue.
type names struct{ *catalog.Names }

func (n names) Resolve(_, id string) (catalog.Resolution, error) { return n.Names.Resolve(id) }
func (n names) List(string) []*catalog.Model                     { return n.Names.List() }

func newProfiles(t *testing.T, region string) (*profile.Profiles, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &profile.Profiles{Store: direct{s}, Names: names{catalog.NewNames(catalog.Builtin(), map[string]string{"mine": haiku}, "")}, Region: region}, s
}

// What is copied decides where calls go: the prefix of a system profile stays, an alias stays an alias.
func TestTargets(t *testing.T) {
	p, s := newProfiles(t, "eu-west-1")
	want := map[string]string{}
	for name, from := range map[string]string{"a": foundation + haiku, "b": system + "eu." + haiku, "c": foundation + "mine"} {
		arn, err := p.Create(t.Context(), &resource.Creation{Account: account, Tags: []resource.Tag{{Key: "n", Value: name}}}, &profile.Wanted{Name: name, CopyFrom: from})
		if err != nil {
			t.Fatal(err)
		}
		want[arn] = from[strings.LastIndex(from, "/")+1:]
	}
	var got map[string]profile.Target
	err := s.Update(t.Context(), func(tx *store.Tx) (err error) {
		got, err = profile.Targets(t.Context(), tx)
		return err
	})
	if err != nil || len(got) != len(want) {
		t.Fatal(got, err)
	}
	for arn, target := range got {
		if target.Model != want[arn] || target.Tags["n"] == "" {
			t.Errorf("%s: %+v, want %s", arn, target, want[arn])
		}
	}
}

func TestAccountsAreApart(t *testing.T) {
	p, _ := newProfiles(t, "eu-west-1")
	arn, err := p.Create(t.Context(), &resource.Creation{Account: account}, &profile.Wanted{Name: "a", CopyFrom: foundation + haiku})
	if err != nil {
		t.Fatal(err)
	}
	const other = "111111111111"
	id := arn[strings.LastIndex(arn, "/")+1:]
	for _, name := range []string{arn, id} {
		if _, err := p.Get(t.Context(), other, name); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Delete(t.Context(), other, name); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, _, err := p.List(t.Context(), other, profile.Application, &resource.Filter{}); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := p.Create(t.Context(), &resource.Creation{Account: other}, &profile.Wanted{Name: "a", CopyFrom: foundation + haiku}); err != nil {
		t.Errorf("the same name in another account: %v", err)
	}
}

// The system's profiles are of the region's group, and global.
func TestSystemProfiles(t *testing.T) {
	for region, prefix := range map[string]string{"eu-west-1": "eu.", "us-gov-west-1": "us-gov.", "us-west-2": "us.", "ap-south-1": "apac.", "elsewhere": ""} {
		p, _ := newProfiles(t, region)
		list, next, err := p.List(t.Context(), account, profile.System, &resource.Filter{Max: 1000})
		if err != nil || next != "" {
			t.Fatal(next, err)
		}
		has := func(id string) bool {
			return slices.ContainsFunc(list, func(x *profile.Profile) bool { return x.ID == id && x.System })
		}
		n := len(catalog.Builtin())
		if prefix != "" {
			n *= 2
		}
		if len(list) != n || !has("global."+haiku) || prefix != "" && !has(prefix+haiku) {
			t.Errorf("%s: %d profiles", region, len(list))
		}
	}
}
