package catalog

// Basis says where the size of a model unit comes from.
type Basis string

// The bases.
const (
	// BasisPlaceholder is a size that nobody has given or measured. No cloud publishes what its units deliver, so a
	// placeholder compares with none of theirs.
	BasisPlaceholder Basis = "placeholder"
	// BasisGiven is a size that the operator has given.
	BasisGiven Basis = "given"
	// BasisMeasured is a size that a calibration has measured on the model's own engines.
	BasisMeasured Basis = "measured"
)

// Unit is what one model unit delivers, tokens a minute.
type Unit struct {
	Input  int64  `json:"input"`
	Output int64  `json:"output,omitzero"` // 0 for embeddings
	Basis  Basis  `json:"basis"`
	Source string `json:"source,omitempty"`
}

// Placeholder sizes: ten to one as prompts and answers are in chat, and small enough that the
// simulated engine of the demonstration backs several units.
const (
	placeholderInput  = 60_000
	placeholderOutput = 6_000
)

// MaxUnit bounds what a unit delivers a minute, so that the largest purchase is still a number.
const MaxUnit = 1_000_000_000

// UnitSize returns what one unit of the model delivers; false for a model that is not sold by the unit: one for which
// no size is given and no cloud sells any.
func (m *Model) UnitSize() (Unit, bool) {
	switch {
	case m.Unit != nil:
		return *m.Unit, true
	case len(m.ProvisionedContexts) == 0 && m.UnitPrices == nil:
		return Unit{}, false
	}
	u := Unit{Input: placeholderInput, Output: placeholderOutput, Basis: BasisPlaceholder}
	if m.Embeds() {
		u.Output = 0
	}
	return u, true
}

// UnitCost is what an hour of a unit costs the operator, in nano-units of a currency.
type UnitCost struct {
	Nano     int64
	Currency string
}

// UnitPrices are what a model unit costs an hour by the length of the commitment, in nano-units of a currency, with where that
// comes from. A nil amount is not known or not offered.
type UnitPrices struct {
	Currency  string `json:"currency"`
	None      *int64 `json:"none,omitempty"` // without a commitment
	OneMonth  *int64 `json:"oneMonth,omitempty"`
	SixMonths *int64 `json:"sixMonths,omitempty"`
	// ThreeMonths is a term of the reserved tier.
	ThreeMonths *int64 `json:"threeMonths,omitempty"`
	Date        string `json:"date"`
	Source      string `json:"source"`
}
