package config

import (
	"cmp"
	"errors"

	"forebay/catalog"
)

// Size is what a unit delivers where the configuration says so, nil where it does not.
func (u *Unit) Size() *catalog.Unit {
	if u.Input == 0 && u.Output == 0 {
		return nil
	}
	return &catalog.Unit{Input: u.Input, Output: u.Output, Basis: catalog.BasisGiven, Source: cmp.Or(u.Source, "configuration")}
}

// Prices are what a unit costs an hour where the configuration says so, nil where it does not.
func (u *Unit) Prices() (*catalog.UnitPrices, error) {
	out := &catalog.UnitPrices{Date: u.Date, Source: cmp.Or(u.Source, "configuration")}
	for _, x := range []struct {
		text string
		to   **int64
	}{{u.Hour, &out.None}, {u.OneMonth, &out.OneMonth}, {u.SixMonths, &out.SixMonths}} {
		if x.text == "" {
			continue
		}
		v, cur, err := Money(x.text)
		if err != nil {
			return nil, err
		}
		if out.Currency != "" && out.Currency != cur {
			return nil, errors.New("the prices of a unit must be in one currency")
		}
		out.Currency, *x.to = cur, &v
	}
	if out.Currency == "" {
		return nil, nil //nolint:nilnil // no price is what most models have
	}
	return out, nil
}

// OurCost is what an hour of a unit costs us where the configuration says so, nil where it does not.
func (u *Unit) OurCost() (*catalog.UnitCost, error) {
	if u.Cost == "" {
		return nil, nil //nolint:nilnil // most do not say
	}
	v, cur, err := Money(u.Cost)
	return &catalog.UnitCost{Nano: v, Currency: cur}, err
}

// check reports what is wrong with a unit; none is no fault.
func (u *Unit) check(k *checker, path string) {
	if u == nil {
		return
	}
	if u.Input == 0 && u.Output > 0 {
		k.bad(path+".input", "is missing: a unit that gives answers reads prompts")
	}
	for i, v := range [...]int64{u.Input, u.Output} {
		if v > catalog.MaxUnit {
			k.bad(path+[...]string{".input", ".output"}[i], "%d is more than %d tokens a minute; sell more units instead", v, catalog.MaxUnit)
		}
	}
	if _, err := u.Prices(); err != nil && !k.inside(path+".") {
		k.bad(path, "%v", err)
	}
	if _, err := u.OurCost(); err != nil && !k.inside(path+".") {
		k.bad(path+".cost", "%v", err)
	}
	if p := (Price{Date: u.Date}); p.checkDate() != nil {
		k.bad(path+".date", "%v", p.checkDate())
	}
}
