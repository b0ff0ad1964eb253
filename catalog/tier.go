package catalog

// TierPrices are what the reserved tier costs, with where that comes from.
type TierPrices struct {
	Currency      string
	Input, Output TermPrices
	Date, Source  string
}

// TermPrices are what an hour of 1,000 tokens a minute costs by the length of the commitment, in nano-units of a currency. A nil amount is
// not known or not offered.
type TermPrices struct{ None, OneMonth, ThreeMonths *int64 }

// MaxTierPrice bounds prices and costs of the reserved tier, nano-units for an hour of 1,000 tokens a minute, so that the hour of the largest purchase
// is still a number.
const MaxTierPrice = 1_000_000_000_000

// Of returns what an hour of a rate costs, tokens a minute in whole thousands; nil when no price is known.
func (p *TierPrices) Of(input, output int64) *UnitPrices {
	if p == nil {
		return nil
	}
	sum := func(in, out *int64) *int64 {
		if input > 0 && in == nil || output > 0 && out == nil {
			return nil
		}
		var nano int64
		if input > 0 {
			nano += *in * (input / 1000)
		}
		if output > 0 {
			nano += *out * (output / 1000)
		}
		return &nano
	}
	return &UnitPrices{
		Currency: p.Currency, Date: p.Date, Source: p.Source, None: sum(p.Input.None, p.Output.None),
		OneMonth: sum(p.Input.OneMonth, p.Output.OneMonth), ThreeMonths: sum(p.Input.ThreeMonths, p.Output.ThreeMonths),
	}
}

// TierCost is what an hour of 1,000 tokens a minute of the reserved tier costs the operator, in nano-units of a currency.
type TierCost struct {
	Input, Output int64
	Currency      string
}

// Of returns what an hour of a rate costs, as TierPrices.Of.
func (c *TierCost) Of(input, output int64) int64 {
	return c.Input*(input/1000) + c.Output*(output/1000)
}
