package config

import (
	"cmp"
	"errors"

	"forebay/catalog"
)

// Reserved is what the reserved tier of a model costs.
type Reserved struct {
	Input  ReservedPrice `yaml:"input,omitempty" doc:"1,000 input tokens a minute."`
	Output ReservedPrice `yaml:"output,omitempty" doc:"1,000 output tokens a minute."`
	Date   string        `yaml:"date,omitempty" doc:"Since when the prices hold, such as 2026-01-31."`
	Source string        `yaml:"source,omitempty" doc:"Where they come from."`
}

// ReservedPrice is what an hour of 1,000 tokens a minute costs, by commitment.
type ReservedPrice struct {
	Hour        string `yaml:"hour,omitempty" format:"money" doc:"An hour without a commitment, such as 0.05 USD."`
	OneMonth    string `yaml:"hour_one_month,omitempty" format:"money" doc:"An hour with a commitment of one month."`
	ThreeMonths string `yaml:"hour_three_months,omitempty" format:"money" doc:"An hour with a commitment of three months."`
	Cost        string `yaml:"cost,omitempty" format:"money" doc:"What an hour costs us."`
}

// oneMoney reads amounts that must be in one currency, which is "" where there are none.
func oneMoney(texts []string, to []**int64) (currency string, err error) {
	for i, text := range texts {
		if text == "" {
			continue
		}
		v, cur, err := Money(text)
		switch {
		case err != nil:
			return "", err
		case currency != "" && currency != cur:
			return "", errors.New("the prices of the reserved tier must be in one currency, and so must its costs")
		case v > catalog.MaxTierPrice:
			return "", errors.New(text + " is more than an hour of 1,000 tokens a minute can cost here")
		}
		currency, *to[i] = cur, &v
	}
	return currency, nil
}

// Prices are what the tier costs its buyers; nil where the configuration says nothing.
func (r *Reserved) Prices() (*catalog.TierPrices, error) {
	out := &catalog.TierPrices{Date: r.Date, Source: cmp.Or(r.Source, "configuration")}
	in, ans := &r.Input, &r.Output
	currency, err := oneMoney([]string{in.Hour, in.OneMonth, in.ThreeMonths, ans.Hour, ans.OneMonth, ans.ThreeMonths}, []**int64{
		&out.Input.None, &out.Input.OneMonth, &out.Input.ThreeMonths, &out.Output.None, &out.Output.OneMonth, &out.Output.ThreeMonths,
	})
	if out.Currency = currency; currency == "" {
		return nil, err
	}
	return out, err
}

// OurCost is what the tier costs us; nil where the configuration says nothing. A side of which it says nothing costs nothing.
func (r *Reserved) OurCost() (*catalog.TierCost, error) {
	var in, out *int64
	currency, err := oneMoney([]string{r.Input.Cost, r.Output.Cost}, []**int64{&in, &out})
	if err != nil || currency == "" {
		return nil, err
	}
	c := &catalog.TierCost{Currency: currency}
	if in != nil {
		c.Input = *in
	}
	if out != nil {
		c.Output = *out
	}
	return c, nil
}

// check reports what is wrong with the prices of the tier; none is no fault.
func (r *Reserved) check(k *checker, path string) {
	if r == nil {
		return
	}
	if _, err := r.Prices(); err != nil && !k.inside(path+".") {
		k.bad(path, "%v", err)
	}
	if _, err := r.OurCost(); err != nil && !k.inside(path+".") {
		k.bad(path, "%v", err)
	}
	if p := (Price{Date: r.Date}); p.checkDate() != nil {
		k.bad(path+".date", "%v", p.checkDate())
	}
}
