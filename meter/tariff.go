package meter

import (
	"math"

	"forebay/catalog"
	"forebay/infer"
)

// unknownRate marks a price that is not known.
const unknownRate = -1

// Tariff is the price of one model at one tier, with where it comes from: what a call is
// charged by, or what an engine costs us. It is immutable; a nil Tariff knows no price. The
// ledger keeps every tariff that it has used, so that each amount can be computed again.
type Tariff struct {
	Model    string
	Tier     string
	Currency string
	// Nano-units per million tokens, unknownRate where not known.
	Input, Output, CacheRead, CacheWrite int64

	Date   string // since when it holds, as its source says
	Source string
}

// NewTariff returns a model's tariff at a tier; nil when no price is known.
func NewTariff(model string, p *catalog.Price, tier infer.Tier) *Tariff {
	r := p.Rates(tier)
	if r.Input == nil && r.Output == nil && r.CacheRead == nil && r.CacheWrite == nil {
		return nil
	}
	rate := func(v *int64) int64 {
		if v == nil {
			return unknownRate
		}
		return *v
	}
	return &Tariff{
		Model: model, Tier: tier.String(), Currency: r.Currency, Date: p.Date, Source: p.Source,
		Input: rate(r.Input), Output: rate(r.Output), CacheRead: rate(r.CacheRead), CacheWrite: rate(r.CacheWrite),
	}
}

// Tariffs are a model's tariffs by tier.
type Tariffs [infer.NumTiers]*Tariff

// NewTariffs returns a model's tariffs at all tiers.
func NewTariffs(model string, p *catalog.Price) (t Tariffs) {
	for tier := range infer.NumTiers {
		t[tier] = NewTariff(model, p, tier)
	}
	return t
}

// Lines are the price lines of one call: the amount of each kind of token, nano-units.
type Lines struct {
	Tariff                               *Tariff // nil when no price is known
	Input, Output, CacheRead, CacheWrite int64
	// Known is false when a price that the call needs is not known; the amounts are void then.
	Known bool
}

// Total is the sum of the lines; 0 when it is not known.
func (l *Lines) Total() int64 { return l.Input + l.Output + l.CacheRead + l.CacheWrite }

// Currency is that of the tariff, "" when no price is known.
func (l *Lines) Currency() string {
	if l.Tariff == nil {
		return ""
	}
	return l.Tariff.Currency
}

// Price returns the lines of a usage. Kinds of tokens that were not used need no price.
// The error is ErrOverflow; the lines are unknown then.
func (t *Tariff) Price(u infer.Usage) (Lines, error) {
	if t == nil {
		return Lines{}, nil
	}
	l := Lines{Tariff: t, Known: true}
	var sum int64
	for _, x := range [...]struct {
		rate, tokens int64
		to           *int64
	}{
		{t.Input, u.Input, &l.Input},
		{t.Output, u.Output, &l.Output},
		{t.CacheRead, u.CacheRead, &l.CacheRead},
		{t.CacheWrite, u.CacheWrite, &l.CacheWrite},
	} {
		if x.tokens == 0 {
			continue
		}
		if x.rate == unknownRate {
			return Lines{Tariff: t}, nil
		}
		var err error
		if *x.to, err = Amount(x.rate, x.tokens); err != nil {
			return Lines{Tariff: t}, err
		}
		if sum > math.MaxInt64-*x.to {
			return Lines{Tariff: t}, ErrOverflow
		}
		sum += *x.to
	}
	return l, nil
}
