package provision_test

import (
	"fmt"
	"testing"
	"time"

	"forebay/fault"
	"forebay/provision"

	"pgregory.net/rapid"
)

// known is what a test knows of a throughput from outside.
type known struct {
	term      provision.Term
	serves    bool
	cancelled bool
	expires   time.Time
}

// history does what callers, operators and the clock may do, in any order, and checks what must hold whatever they do.
type history struct {
	*shop
	rt    *rapid.T
	dir   string
	known map[string]*known
}

func (h *history) all() []provision.Throughput {
	all, err := h.All(h.t.Context())
	if err != nil {
		h.rt.Fatal(err)
	}
	return all
}

// refused passes what callers may be told.
func (h *history) refused(err error) {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Conflict, fault.NotFound, fault.QuotaExceeded:
	default:
		h.rt.Fatal(err)
	}
}

func (h *history) pick() string {
	return fmt.Sprint("n", rapid.IntRange(0, 6).Draw(h.rt, "which"))
}

func (h *history) orders() {
	o := h.order(h.pick())
	o.Units = rapid.Int64Range(1, 6).Draw(h.rt, "units")
	o.Term = rapid.SampledFrom([]provision.Term{provision.NoTerm, provision.OneMonth, provision.SixMonths}).Draw(h.rt, "term")
	arn, err := h.Create(h.t.Context(), o)
	if err != nil {
		h.refused(err)
		return
	}
	h.known[arn] = &known{term: o.Term}
}

func (h *history) deletes() {
	name := h.pick()
	x, err := h.Get(h.t.Context(), account, name)
	if err != nil {
		h.refused(err)
		return
	}
	bound := x.Status == provision.Creating || x.Status == provision.InService && h.now.Before(x.Expires)
	if err := h.Delete(h.t.Context(), account, name); err != nil {
		h.refused(err)
		if !bound {
			h.rt.Fatalf("%+v is not deleted: %v", x, err)
		}
		return
	}
	if bound {
		h.rt.Fatalf("%+v is deleted", x)
	}
	delete(h.known, x.ARN)
}

func (h *history) cancels() {
	x, err := h.Cancel(h.t.Context(), account, h.pick())
	if err != nil {
		h.refused(err)
		return
	}
	h.known[x.ARN].cancelled = true
}

func (h *history) renames() {
	if err := h.Update(h.t.Context(), account, h.pick(), &provision.Change{Name: h.pick()}); err != nil {
		h.refused(err)
	}
}

func (h *history) timePasses() {
	h.now = h.now.Add(time.Duration(rapid.Int64Range(int64(-2*time.Hour), int64(45*24*time.Hour)).Draw(h.rt, "time")))
}

func (h *history) changes() {
	h.room.Units, h.room.Grows = rapid.Int64Range(0, 12).Draw(h.rt, "room"), rapid.Bool().Draw(h.rt, "grows")
	h.hour = rapid.Int64Range(0, 3).Draw(h.rt, "price")
}

func (h *history) restarts() {
	if err := h.db.Close(); err != nil {
		h.rt.Fatal(err)
	}
	h.open(h.dir)
}

// tends takes a round, and checks what came of it.
func (h *history) tends() {
	h.tend()
	all := h.all()
	units, came := int64(0), false
	there := map[string]bool{}
	for i := range all {
		x := &all[i]
		k := h.known[x.ARN]
		if k == nil {
			h.rt.Fatalf("%+v came from nowhere", x)
		}
		there[x.ARN] = true
		if !x.Status.Serves() {
			continue
		}
		units += x.Units
		came = came || !k.serves
		k.serves, k.expires = true, x.Expires
		h.consistent(x)
	}
	if came && units > h.room.Units {
		h.rt.Fatalf("%d units are served of a room of %d", units, h.room.Units)
	}
	for arn, k := range h.known {
		if there[arn] {
			continue
		}
		if !k.cancelled || h.now.Before(k.expires) {
			h.rt.Fatalf("%s is gone: %+v at %s", arn, k, h.now)
		}
		delete(h.known, arn)
	}
}

// consistent checks what is told of a throughput in service.
func (h *history) consistent(x *provision.Throughput) {
	if x.Term == provision.NoTerm {
		if !x.Expires.IsZero() || x.Terms != 0 {
			h.rt.Fatalf("%+v has a term", x)
		}
	} else if !x.Expires.Equal(x.Term.End(x.Began, x.Terms)) || !h.now.Before(x.Expires) {
		h.rt.Fatalf("%+v at %s", x, h.now)
	}
	for i := range x.Rates {
		if i > 0 && x.Rates[i].From.Before(x.Rates[i-1].From) {
			h.rt.Fatalf("prices go back: %+v", x.Rates)
		}
	}
	if len(x.Rates) == 0 || !x.Rates[0].From.Equal(x.Began) {
		h.rt.Fatalf("%+v began at %s", x.Rates, x.Began)
	}
}

// owed checks that what is to be paid for is what was in service, each from its beginning, and to its end if it has one.
func (h *history) owed(ever map[string]bool) {
	list, err := h.Purchases(h.t.Context(), time.Time{})
	if err != nil {
		h.rt.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range list {
		p := &list[i]
		seen[p.ARN] = true
		k := h.known[p.ARN]
		if lives := k != nil && k.serves; lives != p.Ended.IsZero() {
			h.rt.Fatalf("%+v, known as %+v", p, k)
		}
	}
	for arn, k := range h.known {
		if k.serves {
			ever[arn] = true
		}
	}
	for arn := range ever {
		if !seen[arn] {
			h.rt.Fatalf("nobody owes for %s", arn)
		}
	}
}

func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{rt: rt, dir: t.TempDir(), known: map[string]*known{}}
		h.shop = newShopIn(t, h.dir)
		defer func() { _ = h.db.Close() }()
		h.room.Units = 8
		ever := map[string]bool{}
		steps := []func(){h.orders, h.orders, h.deletes, h.cancels, h.renames, h.timePasses, h.changes, h.tends, h.tends, h.restarts}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			steps[rapid.IntRange(0, len(steps)-1).Draw(rt, "step")]()
			h.owed(ever)
		}
	})
}
