package provision_test

import (
	"slices"
	"testing"

	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
)

// rate is an order of the reserved tier.
func rate(name string, input, output int64) *provision.Order {
	return &provision.Order{Account: account, Name: name, Model: "base", Input: input, Output: output}
}

// A rate of the reserved tier comes into service as one unit, at the price of its thousands, whatever the quota of model units is, and lasts for its term.
func TestReservedTierIsBought(t *testing.T) {
	s := newShop(t)
	s.quota = 1
	o := rate("tier", 100_000, 10_000)
	o.Term = provision.ThreeMonths
	s.create(o)
	s.tend()
	x := s.get("tier")
	if !x.Tier || x.Status != provision.InService || x.Units != 1 || x.InputRate() != 100_000 || x.OutputRate() != 10_000 {
		t.Fatalf("%+v", x)
	}
	if len(x.Rates) != 1 || x.Rates[0].Nano != 100*3+10*7 { // a hundred thousands of input, and ten of output
		t.Errorf("%+v", x.Rates)
	}
	if want := "2026-04-30"; x.Expires.Format("2006-01-02") != want {
		t.Errorf("the term ends %s, want %s", x.Expires, want)
	}
	s.wants(s.Delete(t.Context(), account, "tier"), fault.Conflict, "commitment term")
	unit := s.order("unit")
	unit.Units = 1
	s.create(unit) // the quota is of model units
	page, _, err := s.List(t.Context(), account, &provision.Filter{Filter: resource.Filter{Max: 10}})
	if err != nil || slices.ContainsFunc(page, func(x *provision.Throughput) bool { return x.Tier }) {
		t.Errorf("the service lists %+v, %v", page, err)
	}
}

// A rate is divided in tokens a minute, of each side that was bought.
func TestReservedTierIsDivided(t *testing.T) {
	s := newShop(t)
	s.create(rate("tier", 100_000, 10_000))
	s.tend()
	a := provision.Part{Team: "a", Input: 60_000, Output: 6000}
	for text, parts := range map[string][]provision.Part{
		"in model units":         {{Team: "a", Units: 1}},
		"must have tokens":       {{Team: "a", Input: 1000}},
		"input, and output":      {{Team: "a", Output: 1000}},
		"more than the 100000":   {a, {Team: "b", Input: 40_001, Output: 1}},
		"and 10000 output":       {a, {Team: "b", Input: 1, Output: 4001}},
		"given twice":            {a, a},
		"tokens a minute of wha": {{Team: "a", Input: -5, Output: 5}},
	} {
		_, err := s.Divide(t.Context(), account, "tier", parts)
		s.wants(err, fault.Invalid, text)
	}
	want := []provision.Part{a, {Team: "b", Input: 40_000, Output: 4000}}
	if x, err := s.Divide(t.Context(), account, "tier", want); err != nil || !slices.Equal(x.Parts, want) {
		t.Errorf("%+v %v", x, err)
	}
	s.create(s.order("units"))
	s.tend()
	_, err := s.Divide(t.Context(), account, "units", []provision.Part{a})
	s.wants(err, fault.Invalid, "given in tokens")
}

// A rate that cannot be backed fails with what could be had of it, in tokens.
func TestReservedTierBeyondItsPool(t *testing.T) {
	s := newShop(t)
	s.room = provision.Room{Units: 42, Why: "test"} // of a hundred equal parts
	s.create(rate("tier", 100_000, 10_000))
	s.tend()
	if x := s.get("tier"); x.Status != provision.Failed || x.Failure != "42000 of 100000 input and 4000 of 10000 output tokens a minute could be had: test." {
		t.Errorf("%+v", x)
	}
}

func TestRatesThatAreNotSold(t *testing.T) {
	s := newShop(t)
	for name, c := range map[string]struct {
		change func(*provision.Order)
		kind   fault.Kind
		text   string
	}{
		"no thousands":       {func(o *provision.Order) { o.Input = 1500 }, fault.Invalid, "1500 input"},
		"a negative rate":    {func(o *provision.Order) { o.Output = -1000 }, fault.Invalid, "-1000 output"},
		"a huge rate":        {func(o *provision.Order) { o.Input = 1 << 62 }, fault.Invalid, "input"},
		"no input":           {func(o *provision.Order) { o.Input = 0 }, fault.Invalid, "input"},
		"no output":          {func(o *provision.Order) { o.Output = 0 }, fault.Invalid, "output"},
		"units, too":         {func(o *provision.Order) { o.Units = 1 }, fault.Invalid, "both"},
		"a term of units":    {func(o *provision.Order) { o.Term = provision.SixMonths }, fault.Invalid, "SixMonths"},
		"isolation":          {func(o *provision.Order) { o.Isolation = provision.Replica }, fault.Invalid, "isolation"},
		"no model":           {func(o *provision.Order) { o.Model = "none" }, fault.UnknownModel, ""},
		"output of vectors":  {func(o *provision.Order) { o.Model = "embed" }, fault.Invalid, "no output"},
		"a name that is not": {func(o *provision.Order) { o.Name = "" }, fault.Invalid, "name"},
	} {
		o := rate("tier", 2000, 1000)
		c.change(o)
		_, err := s.Create(t.Context(), o)
		if err == nil || fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.wants(err, c.kind, c.text)
	}
	units := s.order("unit")
	units.Term = provision.ThreeMonths
	_, err := s.Create(t.Context(), units)
	s.wants(err, fault.Invalid, "OneMonth, SixMonths")
	for _, name := range []string{"a", "b", "c"} {
		s.create(rate(name, 1000, 1000))
	}
	_, err = s.Create(t.Context(), rate("d", 1000, 1000))
	s.wants(err, fault.Invalid, "which is the most")
}
