package catalog

import (
	"slices"
	"testing"
)

func TestOffersAreDatedAndSourced(t *testing.T) {
	for _, u := range PublishedUnits() {
		known := slices.DeleteFunc([]*int64{u.None, u.OneMonth, u.SixMonths}, func(p *int64) bool { return p == nil })
		if u.Date == "" || u.Source == "" || u.Currency == "" || len(known) == 0 || slices.ContainsFunc(known, func(p *int64) bool { return *p <= 0 }) {
			t.Errorf("%+v", u)
		}
	}
	for _, i := range Instances() {
		if i.Date == "" || i.Source == "" || i.Currency == "" || i.Hour <= 0 || i.Accelerators < 1 || i.Accelerator == "" {
			t.Errorf("%+v", i)
		}
	}
	names := map[string]bool{}
	for _, m := range Builtin() {
		names[m.ID] = true
	}
	for _, e := range offers().Engines {
		if !names[e.Model] {
			t.Errorf("coefficients of %s, which is not in the catalogue", e.Model)
		}
	}
}

// The lowest price of any unit that was ever published, in the worked example: 4.11 USD an hour.
func TestLowestPublishedUnit(t *testing.T) {
	lowest := int64(1) << 62
	for _, u := range PublishedUnits() {
		for _, p := range []*int64{u.None, u.OneMonth, u.SixMonths} {
			if p != nil {
				lowest = min(lowest, *p)
			}
		}
	}
	if lowest != 4_110_000_000 {
		t.Errorf("%d", lowest)
	}
}

func TestEnginesOnInstances(t *testing.T) {
	at := slices.IndexFunc(Instances(), func(i Instance) bool { return i.Type == "ml.p5.48xlarge" })
	p5 := Instances()[at]
	for hardware, want := range map[string]int64{"h100": 8, "4xh100": 2, "8xh100": 1, "16xh100": 0, "a10g": 0, "": 0, "4x": 0} {
		if got := p5.Engines(hardware); got != want {
			t.Errorf("%q: %d, want %d", hardware, got, want)
		}
	}
}
