package catalog

import "testing"

// Published prices of a unit-hour, by their sources; and that nothing else claims to be known.
func TestUnitPricesAreThoseOfTheirSources(t *testing.T) {
	const usd = 1_000_000_000
	known := map[string][3]int64{ // hundredths of a dollar: none, one month, six months
		"anthropic.claude-v2": {0, 6300, 3500}, "anthropic.claude-v2:1": {0, 6300, 3500}, "anthropic.claude-instant-v1": {0, 3960, 2200},
		"anthropic.claude-3-sonnet-20240229-v1:0": {8800, 0, 0}, "amazon.titan-text-lite-v1": {710, 640, 510},
		"amazon.titan-text-express-v1": {2050, 1840, 1480}, "amazon.titan-embed-text-v1": {0, 640, 510},
		"meta.llama2-13b-chat-v1": {0, 2118, 1308}, "meta.llama2-70b-chat-v1": {0, 2118, 1308},
		"meta.llama3-1-70b-instruct-v1:0": {2400, 0, 0}, "amazon.nova-2-lite-v1:0": {6050, 5500, 0},
	}
	for _, m := range Builtin() {
		want, ok := known[m.ID]
		delete(known, m.ID)
		p := m.UnitPrices
		if ok != (p != nil) {
			t.Errorf("%s: %+v", m.ID, p)
		}
		if p == nil {
			continue
		}
		for i, got := range []*int64{p.None, p.OneMonth, p.SixMonths} {
			if (got == nil) != (want[i] == 0) || got != nil && *got != want[i]*usd/100 {
				t.Errorf("%s: price %d is %v, want %d", m.ID, i, got, want[i])
			}
		}
		if p.Currency != "USD" || p.Date == "" || p.Source == "" {
			t.Errorf("%s: %+v", m.ID, p)
		}
	}
	for id := range known {
		t.Errorf("%s is not in the catalogue", id)
	}
}

// What is sold by the unit somewhere has a size, marked as a placeholder until it is given.
func TestUnitSize(t *testing.T) {
	for id, want := range map[string]Unit{
		haiku:                        {Input: placeholderInput, Output: placeholderOutput, Basis: BasisPlaceholder},
		"anthropic.claude-v2":        {Input: placeholderInput, Output: placeholderOutput, Basis: BasisPlaceholder},
		"amazon.titan-embed-text-v1": {Input: placeholderInput, Basis: BasisPlaceholder},
		"deepseek.r1-v1:0":           {},
	} {
		got, ok := names().Get(id).UnitSize()
		if got != want || ok != (want != Unit{}) {
			t.Errorf("%s: %+v %v", id, got, ok)
		}
	}
	given := Model{Unit: &Unit{Input: 1, Basis: BasisGiven}}
	if got, ok := given.UnitSize(); !ok || got.Input != 1 || got.Basis != BasisGiven {
		t.Errorf("%+v", got)
	}
}
