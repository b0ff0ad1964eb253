package provision_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
)

// Failed orders are kept to be looked at, but not without end.
func TestFailedOrdersMakeRoom(t *testing.T) {
	s := newShop(t)
	s.room.Units = 0
	const many = 103
	for i := range many {
		s.create(s.order(fmt.Sprint("n", i)))
	}
	s.tend()
	s.room.Units = 2
	s.create(s.order("n0")) // whose name the oldest leaves
	s.tend()
	all, err := s.All(t.Context())
	if err != nil || len(all) != 100 || all[0].Name != "n4" || all[98].Name != fmt.Sprint("n", many-1) || all[99].Name != "n0" || all[99].Status != provision.InService {
		t.Errorf("%d are left, %v", len(all), err)
	}
}

// A model that was deleted, and is offered for as long as it is in force, is neither bought nor put in another's place.
func TestModelsThatAreGone(t *testing.T) {
	s := newShop(t)
	o := s.order("a")
	o.Model = "mine/base"
	s.create(o)
	s.tend()
	s.removed = "other/base"
	o = s.order("b")
	o.Model = s.removed
	_, err := s.Create(t.Context(), o)
	s.wants(err, fault.NotFound, "other/base")
	s.wants(s.Update(t.Context(), account, "a", &provision.Change{Model: s.removed}), fault.NotFound, "other/base")
	if x := s.get("a"); x.Status != provision.InService || x.Desired != x.Model {
		t.Errorf("%+v", x)
	}
}

// A clock that was set centuries ahead makes no more work than one that has passed the end of one term.
func TestManyTermsAtOnce(t *testing.T) {
	s := newShop(t)
	o := s.order("a")
	o.Term = provision.OneMonth
	s.create(o)
	s.tend()
	s.now, s.hour, s.offers = s.now.AddDate(200, 0, 1), 7, 0
	s.tend()
	x := s.get("a")
	if x.Terms != 2401 || len(x.Rates) != 2 || !x.Rates[1].From.Equal(provision.OneMonth.End(x.Began, 1)) || s.offers > 2 {
		t.Errorf("%d terms, %+v, asked for the price %d times", x.Terms, x.Rates, s.offers)
	}
}

// Who does not run the engines is told how much could be had of an order, and how many replicas are its own.
func TestEnginesAreHidden(t *testing.T) {
	s := newShop(t)
	s.room = provision.Room{Units: 1, Why: "engine secret is small"}
	s.create(s.order("a"))
	s.tend()
	x := s.get("a")
	if y := x.Hidden(); !strings.Contains(x.Failure, "secret") || y.Failure != "1 of 2 model units could be had." || y.Told != "" || y.Status != provision.Failed {
		t.Errorf("%+v", y)
	}
	x.Told = "" // as it was stored once
	if y := x.Hidden(); y.Failure == "" || strings.Contains(y.Failure, "secret") {
		t.Errorf("%+v", y)
	}
	s.declare(s.declaration("c"))
	if u := s.Unmet(); len(u) != 1 || !strings.Contains(u[0].Why, "secret") || u[0].Told != "1 of 2 model units could be had." {
		t.Errorf("%+v", u)
	}
	if y := s.get("c").Hidden(); y.Failure != "1 of 2 model units could be had." || y.Status != provision.Creating {
		t.Errorf("%+v", y)
	}
	s.declare()
	s.room = provision.Room{Units: 2, Replicas: []provision.Whole{{Engine: "secret", Replicas: 1}, {Engine: "other", Replicas: 2}}}
	o := s.order("b")
	o.Isolation = provision.Replica
	s.create(o)
	s.tend()
	if y := s.get("b").Hidden(); len(y.Replicas) != 1 || y.Replicas[0] != (provision.Whole{Replicas: 3}) || y.Failure != "" {
		t.Errorf("%+v", y)
	}
}

func TestList(t *testing.T) {
	s := newShop(t)
	for i := range 5 {
		s.now = s.now.Add(time.Second)
		o := s.order(fmt.Sprint("n", i))
		if i == 3 {
			o.Model = "mine/base"
		}
		s.create(o)
	}
	s.room.Units = 6
	s.tend()
	start := time.Date(2026, 1, 31, 10, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		f    provision.Filter
		want string
	}{
		{"all", provision.Filter{}, "n0 n1 n2 n3 n4"},
		{"newest first", provision.Filter{Filter: resource.Filter{Descending: true, Max: 2}}, "n4 n3 n2 n1 n0"},
		{"pages", provision.Filter{Filter: resource.Filter{Max: 2}}, "n0 n1 n2 n3 n4"},
		{"times", provision.Filter{Filter: resource.Filter{After: start.Add(time.Second + 1), Before: start.Add(4 * time.Second)}}, "n1 n2"},
		{"status", provision.Filter{Status: provision.Failed}, "n3 n4"},
		{"model", provision.Filter{ModelARN: baseARN + "mine/base"}, "n3"},
		{"name", provision.Filter{Filter: resource.Filter{NameContains: "2"}}, "n2"},
	} {
		var got []string
		for {
			page, next, err := s.List(t.Context(), account, &c.f)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page {
				got = append(got, x.Name)
			}
			if c.f.Token = next; next == "" {
				break
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
