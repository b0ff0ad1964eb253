package provision

import (
	"fmt"

	"forebay/catalog"
	"forebay/fault"
)

// The reserved tier is sold by the thousand tokens a minute, input and output apart. Source: Bedrock user guide, "Service tiers".
const perThousand = 1000

// parts is into how many equal parts a rate of the reserved tier can be divided among engines. It divides a thousand.
const parts = 100

// MaxTier is how many purchases of the reserved tier an account has of one model: calls try one after the other, and then the default tier.
const MaxTier = 3

// tier reports whether the order is one of the reserved tier.
func (o *Order) tier() bool { return o.Input != 0 || o.Output != 0 }

// checkTier refuses what cannot be an order of the reserved tier.
func (o *Order) checkTier() error {
	for _, x := range []struct {
		what string
		rate int64
	}{{"input", o.Input}, {"output", o.Output}} {
		if x.rate < 0 || x.rate > catalog.MaxUnit || x.rate%perThousand != 0 {
			return fault.Newf(fault.Invalid, "The reserved tier is sold by the %d tokens a minute, up to %d; %d %s tokens are not.", perThousand, catalog.MaxUnit, x.rate, x.what)
		}
	}
	switch {
	case o.Units != 0:
		return fault.New(fault.Invalid, "An order is of model units, or of tokens a minute, and not of both.")
	case o.Input == 0:
		return fault.New(fault.Invalid, "The reserved tier needs input tokens a minute: every call has a prompt.")
	case o.Term != NoTerm && o.Term != OneMonth && o.Term != ThreeMonths:
		return fault.Newf(fault.Invalid, "The commitment %.32q is not one of OneMonth, ThreeMonths.", string(o.Term))
	}
	if err := o.isolate(); err != nil {
		return err
	}
	if o.Isolation != Shared {
		return fault.New(fault.Invalid, "The reserved tier has no replicas of its own; buy model units for isolation.")
	}
	return nil
}

// oneMore refuses a purchase of the reserved tier beyond those that calls can try.
func oneMore(all []Throughput, model string) error {
	have := 0
	for i := range all {
		if t := &all[i]; t.Tier && t.Model.ID == model && t.Status != Failed {
			have++
		}
	}
	if have < MaxTier {
		return nil
	}
	return fault.Newf(fault.Invalid, "The account has %d purchases of the reserved tier of %s, which is the most; end one and buy a larger one.", have, model)
}

// offer is what is sold to an order.
func (b *Book) offer(o *Order) (Offer, error) {
	if !o.tier() {
		return b.Models.Offer(o.Account, o.Model)
	}
	offer, err := b.Models.OfferTier(o.Account, o.Model)
	if err != nil {
		return offer, err
	}
	if offer.Embeds != (o.Output == 0) {
		what := "needs output tokens a minute: its calls are answered with tokens"
		if offer.Embeds {
			what = "makes no output tokens; buy none"
		}
		return offer, fault.Newf(fault.Invalid, "The reserved tier of %s %s.", offer.Model.ID, what)
	}
	offer.Unit = catalog.Unit{Input: o.Input, Output: o.Output, Basis: catalog.BasisGiven, Source: "the order"}
	return offer, nil
}

// prices are those of one unit of the throughput.
func (b *Book) prices(t *Throughput) (*catalog.UnitPrices, error) {
	if !t.Tier {
		offer, err := b.Models.Offer(t.Account, t.Model.ARN)
		return offer.Prices, err
	}
	offer, err := b.Models.OfferTier(t.Account, t.Model.ID)
	return offer.Tier.Of(t.Unit.Input, t.Unit.Output), err
}

// Backed is what engines are asked to back: so many of a unit, which can be divided among them. A rate of the reserved tier is as many
// equal parts of it.
func (t *Throughput) Backed() (unit catalog.Unit, units int64) {
	if !t.Tier {
		return t.Unit, t.Units
	}
	unit = t.Unit
	unit.Input, unit.Output = unit.Input/parts, unit.Output/parts
	return unit, parts
}

// had says how much of what was ordered could be had, for people.
func (t *Throughput) had(room *Room) string {
	had := max(room.Units, 0)
	if !t.Tier {
		return fmt.Sprintf("%d of %d model units could be had", had, t.Units)
	}
	unit, _ := t.Backed()
	thousands := func(rate int64) int64 { return min(had, parts) * rate / perThousand * perThousand }
	return fmt.Sprintf("%d of %d input and %d of %d output tokens a minute could be had",
		thousands(unit.Input), t.Unit.Input, thousands(unit.Output), t.Unit.Output)
}
