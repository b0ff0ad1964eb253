package provision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
	"forebay/store"

	"pgregory.net/rapid"
)

// declare lets the configuration ask for these, and takes a round.
func (s *shop) declare(list ...provision.Declaration) {
	s.t.Helper()
	s.declared = list
	s.tend()
}

// declaration is one of two units of "base".
func (s *shop) declaration(name string, change ...func(*provision.Declaration)) provision.Declaration {
	d := provision.Declaration{Order: *s.order(name), At: "forebay.yaml:" + name}
	for _, f := range change {
		f(&d)
	}
	return d
}

func units(n int64) func(*provision.Declaration) {
	return func(d *provision.Declaration) { d.Units = n }
}

func term(t provision.Term) func(*provision.Declaration) {
	return func(d *provision.Declaration) { d.Term = t }
}

func model(id string) func(*provision.Declaration) {
	return func(d *provision.Declaration) { d.Model = id }
}

// unmet is why a purchase is not as declared, "" where it is.
func (s *shop) unmet(name string) string {
	for _, u := range s.Unmet() {
		if u.Name == name {
			return u.Why
		}
	}
	return ""
}

// unmetWith checks what is said of a purchase; "" is nothing.
func (s *shop) unmetWith(name, want string) {
	s.t.Helper()
	if got := s.unmet(name); (got == "") != (want == "") || !strings.Contains(got, want) {
		s.t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func (s *shop) tags(arn string) (out map[string]string) {
	s.t.Helper()
	err := s.db.Update(s.t.Context(), func(tx *store.Tx) (err error) {
		out, err = tx.Tags(s.t.Context(), arn)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// gone checks that there is no such purchase any more, and that what is owed for it ended at an instant.
func (s *shop) gone(arn string, at time.Time) {
	s.t.Helper()
	if _, err := s.Get(s.t.Context(), account, arn); fault.KindOf(err) != fault.NotFound {
		s.t.Errorf("%s is there: %v", arn, err)
	}
	list, err := s.Purchases(s.t.Context(), time.Time{})
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(p provision.Purchase) bool { return p.ARN == arn })
	if i < 0 || !list[i].Ended.Equal(at) {
		s.t.Errorf("%+v, want an end at %s", list, at)
	}
}

// What is declared is bought once, whatever the restarts and rounds, with its division and tags, and ends when it has left.
func TestDeclaredPurchase(t *testing.T) {
	dir := t.TempDir()
	s := newShopIn(t, dir)
	d := s.declaration("chat", func(d *provision.Declaration) {
		d.Tags = []resource.Tag{{Key: "team", Value: "search"}}
		d.Parts = []provision.Part{{Team: "search", Units: 1}}
	})
	s.declare(d)
	first := s.get("chat")
	if first.Status != provision.InService || !first.Declared || len(first.Parts) != 1 || s.tags(first.ARN)["team"] != "search" || s.ManagedBy(first) != d.At {
		t.Fatalf("%+v %v", first, s.tags(first.ARN))
	}
	for range 3 {
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(time.Hour)
		s.open(dir)
		s.tend()
		s.tend()
		if x := s.get("chat"); x.ARN != first.ARN || !x.Changed.Equal(first.Changed) || !x.Began.Equal(first.Began) {
			t.Fatalf("%+v", x)
		}
	}
	if list, err := s.Purchases(t.Context(), time.Time{}); err != nil || len(list) != 1 || list[0].Tags["team"] != "search" {
		t.Errorf("%+v %v", list, err)
	}
	d.Parts, d.Tags = []provision.Part{{Team: "lab", Units: 2}}, []resource.Tag{{Key: "project", Value: "x"}}
	s.declare(d)
	if x := s.get("chat"); x.ARN != first.ARN || !slices.Equal(x.Parts, d.Parts) || len(s.tags(x.ARN)) != 1 || s.tags(x.ARN)["project"] != "x" {
		t.Errorf("%+v %v", x, s.tags(first.ARN))
	}
	s.now = s.now.Add(time.Minute)
	s.declare()
	s.gone(first.ARN, s.now)
	s.declare(d)
	if x := s.get("chat"); x.ARN == first.ARN || x.Status != provision.InService {
		t.Errorf("%+v", x)
	}
}

// A commitment that leaves the configuration is kept and paid for to the end of its term, and not renewed; declared again meanwhile, it renews.
func TestDeclaredCommitmentThatLeaves(t *testing.T) {
	s := newShop(t)
	d := s.declaration("chat", term(provision.OneMonth))
	s.declare(d)
	first := *s.get("chat")
	s.declare()
	s.unmetWith("chat", first.Expires.Format(time.RFC3339))
	if x := s.get("chat"); x.Status != provision.InService || !x.Cancelled {
		t.Fatalf("%+v", x)
	}
	s.wants(s.Delete(t.Context(), account, "chat"), fault.Conflict, "before the commitment term is over")
	s.declare(d)
	s.unmetWith("chat", "")
	s.now = first.Expires.Add(time.Minute)
	s.tend()
	second := s.get("chat")
	if second.ARN != first.ARN || second.Terms != 2 || second.Cancelled {
		t.Fatalf("%+v", second)
	}
	s.declare()
	s.now = second.Expires.Add(time.Hour) // while nobody looked
	s.tend()
	s.gone(first.ARN, second.Expires)
}

// Another size, model or term is another purchase: it takes the place of the old one when that may end and the pool backs it, and keeps it
// otherwise.
func TestDeclaredOtherwise(t *testing.T) {
	s := newShop(t)
	s.declare(s.declaration("chat"))
	first := s.get("chat").ARN

	s.room.Units = 3
	s.declare(s.declaration("chat", units(5)))
	s.unmetWith("chat", "3 of 5 model units could be had")
	if x := s.get("chat"); x.ARN != first || x.Units != 2 || x.Status != provision.InService {
		t.Fatalf("%+v", x)
	}
	s.room.Units, s.quota = 100, 4
	s.tend()
	s.unmetWith("chat", "quota")
	s.quota = 0
	s.routes = map[string]string{first: "assistant"}
	s.tend()
	s.unmetWith("chat", "assistant")
	s.routes = nil
	s.now = s.now.Add(time.Minute)
	s.tend()
	s.unmetWith("chat", "")
	s.gone(first, s.now)
	second := s.get("chat")
	if second.Units != 5 || second.Status != provision.InService || !second.Began.Equal(s.now) {
		t.Fatalf("%+v", second)
	}

	s.declare(s.declaration("chat", units(5), term(provision.OneMonth)))
	third := s.get("chat")
	s.declare(s.declaration("chat", units(6), term(provision.OneMonth)))
	s.unmetWith("chat", "commitment until")
	if x := s.get("chat"); x.ARN != third.ARN || x.Units != 5 || !x.Cancelled {
		t.Fatalf("%+v", x)
	}
	s.now = third.Expires
	s.tend()
	s.gone(third.ARN, third.Expires)
	if x := s.get("chat"); x.Units != 6 || x.Terms != 1 {
		t.Errorf("%+v", x)
	}
}

// A custom model is exchanged for its base or its sibling under the same ARN, when the pool backs it.
func TestDeclaredModelIsExchanged(t *testing.T) {
	s := newShop(t)
	s.declare(s.declaration("chat", model("one/base")))
	first := s.get("chat").ARN
	s.room.Units = 1
	s.declare(s.declaration("chat", model("two/base")))
	s.unmetWith("chat", "not replaced: 1 of 2")
	if x := s.get("chat"); x.Model.ID != "one/base" || x.Status != provision.InService {
		t.Errorf("%+v", x)
	}
	s.room.Units = 2
	s.tend()
	if x := s.get("chat"); x.Model.ID != "two/base" || x.ARN != first || x.Status != provision.InService || s.unmet("chat") != "" {
		t.Errorf("%+v %q", x, s.unmet("chat"))
	}
}

// What was bought at run time becomes the configuration's when it is the same, and stays what it is when it is not.
func TestDeclaredAndBought(t *testing.T) {
	s := newShop(t)
	arn := s.create(s.order("chat"))
	s.tend()
	s.declare(s.declaration("Chat", units(3)))
	s.unmetWith("Chat", "made at run time")
	if x := s.get("chat"); x.ARN != arn || x.Declared || s.ManagedBy(x) != "" {
		t.Errorf("%+v", x)
	}
	s.declare(s.declaration("chat"))
	s.unmetWith("chat", "")
	x := s.get("chat")
	if x.ARN != arn || !x.Declared || len(x.Parts) != 0 {
		t.Errorf("%+v", x)
	}
	for what, err := range map[string]error{
		"update": s.Update(t.Context(), account, "chat", &provision.Change{Name: "other"}),
		"delete": s.Delete(t.Context(), account, arn),
		"cancel": second(s.Cancel(t.Context(), account, "chat")),
		"divide": second(s.Divide(t.Context(), account, "chat", nil)),
	} {
		if err == nil || !strings.Contains(err.Error(), "managed by forebay.yaml:chat") {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.create(s.order("free"))
	s.tend()
	s.declared = append(s.declared, s.declaration("late", units(1000)))
	s.wants(s.Update(t.Context(), account, "free", &provision.Change{Name: "late"}), fault.Invalid, "already in use")
	_, err := s.Create(t.Context(), s.order("LATE"))
	s.wants(err, fault.Invalid, "already in use")
	s.declare()
	if _, err := s.Get(t.Context(), account, arn); fault.KindOf(err) != fault.NotFound {
		t.Errorf("it is there still: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// A declared order waits for room, in units as they are sold then, in place of failing; what cannot be ordered is said and tried again.
func TestDeclaredOrderWaits(t *testing.T) {
	s := newShop(t)
	s.room.Units = 0
	s.declare(s.declaration("chat"), s.declaration("odd", model("nothing")), s.declaration("alias"))
	s.now = s.now.Add(48 * time.Hour)
	s.tend()
	s.unmetWith("chat", "0 of 2")
	s.unmetWith("odd", "nothing")
	s.unmetWith("alias", "already in use")
	if x := s.get("chat"); x.Status != provision.Creating || !strings.Contains(x.Failure, "0 of 2") {
		t.Errorf("%+v", x)
	}
	changed := s.get("chat").Changed
	s.now = s.now.Add(time.Hour)
	s.tend()
	if x := s.get("chat"); !x.Changed.Equal(changed) {
		t.Errorf("a round that changed nothing was stored: %+v", x)
	}
	s.unit = 300
	s.room.Units = 2
	s.tend()
	if x := s.get("chat"); x.Status != provision.InService || x.Failure != "" || x.Unit.Input != 300 || !x.Began.Equal(s.now) {
		t.Errorf("%+v", x)
	}
	s.room.Units = 2
	s.declare(s.declaration("chat"), s.declaration("more"))
	if x := s.get("more"); x.Status != provision.Creating {
		t.Fatalf("%+v", x)
	}
	s.declare(s.declaration("chat"))
	if _, err := s.Get(t.Context(), account, "more"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("what only waited is there: %v", err)
	}
}

// An order that failed at run time is nothing that was bought: the declaration takes its name.
func TestDeclaredInPlaceOfAFailure(t *testing.T) {
	s := newShop(t)
	s.room.Units = 0
	arn := s.create(s.order("chat"))
	s.tend()
	s.room.Units = 9
	s.declare(s.declaration("chat", units(4)))
	if x := s.get("chat"); x.ARN == arn || x.Status != provision.InService || x.Units != 4 {
		t.Errorf("%+v", x)
	}
}

// The reserved tier is declared, divided in tokens, and replaced like any other purchase.
func TestDeclaredTier(t *testing.T) {
	s := newShop(t)
	rate := func(input, output int64, parts ...provision.Part) provision.Declaration {
		return s.declaration("tier", func(d *provision.Declaration) { d.Units, d.Input, d.Output, d.Parts = 0, input, output, parts })
	}
	s.declare(rate(4000, 2000, provision.Part{Team: "search", Input: 3000, Output: 1000}))
	first := s.get("tier")
	if !first.Tier || first.Unit.Input != 4000 || len(first.Parts) != 1 || first.Status != provision.InService {
		t.Fatalf("%+v", first)
	}
	s.declare(rate(5000, 2000))
	if x := s.get("tier"); x.ARN == first.ARN || x.Unit.Input != 5000 || x.Parts != nil {
		t.Errorf("%+v", x)
	}
}

// What has left, and is in a route's lane, stays until it is in none.
func TestDeclaredThatARouteNames(t *testing.T) {
	s := newShop(t)
	s.declare(s.declaration("chat"))
	arn := s.get("chat").ARN
	s.routes = map[string]string{"chat": "assistant"}
	s.declare()
	s.unmetWith("chat", "assistant")
	s.routes = nil
	s.tend()
	s.gone(arn, s.now)
}

// Whatever is declared, changed, and passes: after two rounds with room for all, what is there is what is declared and what is committed, each
// name once; no commitment ends before its term; and what began is owed for until it ended.
func TestDeclarationsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		s := newShopIn(t, dir)
		s.room.Units = 1 << 20
		began := map[string]provision.Throughput{}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			s.now = s.now.Add(time.Duration(rapid.Int64Range(1, int64(20*24*time.Hour)).Draw(rt, "time")))
			if rapid.Bool().Draw(rt, "redeclare") {
				s.declared = drawDeclarations(rt, s)
			}
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 {
				if err := s.db.Close(); err != nil {
					rt.Fatal(err)
				}
				s.open(dir)
			}
			s.tend()
			s.tend()
			converged(rt, s, began)
		}
	})
}

func drawDeclarations(rt *rapid.T, s *shop) (out []provision.Declaration) {
	for i := range 3 {
		if rapid.Bool().Draw(rt, "declared") {
			out = append(out, s.declaration(fmt.Sprint("n", i), units(rapid.Int64Range(1, 3).Draw(rt, "units")),
				term(rapid.SampledFrom([]provision.Term{provision.NoTerm, provision.OneMonth}).Draw(rt, "term"))))
		}
	}
	return out
}

// converged checks what is there against what is declared; began are the purchases of before, which it brings up to date.
func converged(rt *rapid.T, s *shop, began map[string]provision.Throughput) {
	all, err := s.All(s.t.Context())
	if err != nil {
		rt.Fatal(err)
	}
	names, arns := map[string]bool{}, map[string]bool{}
	for i := range all {
		x := &all[i]
		at := slices.IndexFunc(s.declared, func(d provision.Declaration) bool { return d.Name == x.Name })
		as := at >= 0 && s.declared[at].Units == x.Units && s.declared[at].Term == x.Term
		committed := x.Term != provision.NoTerm && s.now.Before(x.Expires)
		if names[x.Name] || x.Status != provision.InService || !as && !committed || as == x.Cancelled {
			rt.Fatalf("%+v with %+v", all, s.declared)
		}
		names[x.Name], arns[x.ARN], began[x.ARN] = true, true, *x
	}
	for i := range s.declared {
		if !names[s.declared[i].Name] {
			rt.Fatalf("%s is not there", s.declared[i].Name)
		}
	}
	owed, err := s.Purchases(s.t.Context(), time.Time{})
	if err != nil || len(owed) != len(began) {
		rt.Fatalf("%d began, and %d are owed for, %v", len(began), len(owed), err)
	}
	for i := range owed {
		p := &owed[i]
		switch before := began[p.ARN]; {
		case arns[p.ARN] == !p.Ended.IsZero():
			rt.Fatalf("%+v", p)
		case !p.Ended.IsZero() && before.Term != provision.NoTerm && p.Ended.Before(before.Expires):
			rt.Fatalf("%+v ended before its term, %s", p, before.Expires)
		}
	}
}
