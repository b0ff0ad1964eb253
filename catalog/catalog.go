// Package catalog knows models: their families, limits, features and dated prices, the
// names by which callers ask for them, and which of them an account can call. The data
// are files of this package; what is not publicly known is left out, never guessed.
package catalog

import (
	_ "embed" // the data file
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"forebay/infer"

	"github.com/go-json-experiment/json"
)

//go:embed data/models.json
var modelsJSON []byte

// Model is an entry of the catalogue. It is immutable once it is served.
type Model struct {
	ID       string        `json:"id"`
	Provider string        `json:"provider"`
	Name     string        `json:"name"`
	Family   infer.Dialect `json:"family"`
	// Completion is the dialect of the prompts that the model's InvokeModel takes beside the messages of Family, "" for
	// most models, which take one dialect. Source: Bedrock user guide, "Mistral AI text completion" and "chat completion".
	Completion infer.Dialect `json:"completion,omitempty"`
	Input      []string      `json:"input"`  // modalities: TEXT, IMAGE
	Output     []string      `json:"output"` // TEXT or EMBEDDING

	Context   int64    `json:"context"`   // tokens
	MaxOutput int64    `json:"maxOutput"` // tokens; 0 for embeddings
	Streaming bool     `json:"streaming"`
	Legacy    bool     `json:"legacy,omitzero"`
	Features  []string `json:"features"`
	// Burndown multiplies output tokens in quotas, per mille. Source: Bedrock user guide,
	// "Token burndown rates".
	Burndown int32 `json:"burndown"`
	// Price is nil when it is not known.
	Price *Price `json:"price,omitempty"`
	// ProvisionedContexts are the context suffixes for which model units are sold.
	ProvisionedContexts []string `json:"provisionedContexts,omitempty"`
	// Unit is what a model unit delivers, nil where nobody has said or measured it: see UnitSize.
	Unit *Unit `json:"unit,omitempty"`
	// UnitPrices is nil when no price of a unit is known.
	UnitPrices *UnitPrices `json:"unitPrices,omitempty"`
	// UnitCost is nil when it is not known. It is the operator's own.
	UnitCost *UnitCost `json:"-"`
	// Tier is what the reserved tier costs, and TierCost what it costs the operator; each nil when it is not known.
	Tier     *TierPrices `json:"-"`
	TierCost *TierCost   `json:"-"`
	// Rules are what the configuration says becomes of parts of a request, by the part's name.
	Rules map[string]Rule `json:"rules,omitempty"`
	// Base is the id of the model that this one was fine-tuned from, "" for one that was not.
	Base string `json:"base,omitempty"`
	// ManagedBy is the place in the configuration that declares the model, "" for built-in ones.
	ManagedBy string `json:"managedBy,omitempty"`
}

// Embeds reports whether the model makes embeddings.
func (m *Model) Embeds() bool { return slices.Contains(m.Output, "EMBEDDING") }

// Has reports whether the model has a feature by its name in the catalogue.
func (m *Model) Has(feature string) bool { return slices.Contains(m.Features, feature) }

// Price is what tokens cost, in nano-units of a currency per million tokens, with where
// it comes from. A nil amount is not known.
type Price struct {
	Currency   string `json:"currency"`
	Input      *int64 `json:"input,omitempty"`
	Output     *int64 `json:"output,omitempty"`
	CacheRead  *int64 `json:"cacheRead,omitempty"`
	CacheWrite *int64 `json:"cacheWrite,omitempty"`
	// Factors of the tiers, per mille of the default tier; 0 is not offered or not known.
	PriorityPermille int64  `json:"priorityPermille,omitzero"`
	FlexPermille     int64  `json:"flexPermille,omitzero"`
	BatchPermille    int64  `json:"batchPermille,omitzero"`
	Date             string `json:"date"`
	Source           string `json:"source"`
}

// CacheAsInput prices input tokens that came from or went into a cache as all others, where
// they have no price of their own: what is sold without prompt caching bills them alike,
// although an engine may well have cached them.
func (p *Price) CacheAsInput() {
	if p.CacheRead == nil {
		p.CacheRead = p.Input
	}
	if p.CacheWrite == nil {
		p.CacheWrite = p.Input
	}
}

// factor returns the tier's factor, per mille; false when the tier's price is not known.
func (p *Price) factor(t infer.Tier) (int64, bool) {
	switch t {
	case infer.TierPriority:
		return p.PriorityPermille, p.PriorityPermille > 0
	case infer.TierFlex:
		return p.FlexPermille, p.FlexPermille > 0
	case infer.TierBatch:
		return p.BatchPermille, p.BatchPermille > 0
	case infer.TierReserved:
		return 0, false
	default:
		return 1000, true
	}
}

// Rates are the prices of one tier, nano-units per million tokens; nil is not known.
type Rates struct {
	Currency                             string
	Input, Output, CacheRead, CacheWrite *int64
}

// Rates returns the prices at a tier. A tier whose factor is not known has no known price.
func (p *Price) Rates(t infer.Tier) Rates {
	if p == nil {
		return Rates{}
	}
	r := Rates{Currency: p.Currency}
	f, ok := p.factor(t)
	if !ok {
		return r
	}
	scale := func(v *int64) *int64 {
		if v == nil {
			return nil
		}
		x := *v / 1000 * f // list prices are whole micro-units, so this is exact
		return &x
	}
	r.Input, r.Output, r.CacheRead, r.CacheWrite = scale(p.Input), scale(p.Output), scale(p.CacheRead), scale(p.CacheWrite)
	return r
}

// bedrockSuffix is what Bedrock adds to a provider's own name of a model.
var bedrockSuffix = regexp.MustCompile(`-v\d+(:\d+)?$`)

// ListPrice returns the price that the catalogue knows of a model by a cloud's own name of it, and
// the catalogue's id: on Bedrock an id, an inference profile or the ARN of one of them;
// elsewhere the provider's name without Bedrock's decoration ("claude-3-haiku-20240307"). Nil when
// no such model or no price is known.
func ListPrice(upstream string) (id string, p *Price) {
	name := upstream
	if i := strings.LastIndexByte(name, '/'); i >= 0 && strings.HasPrefix(name, "arn:") {
		name = name[i+1:]
	}
	if m := contextSuffix.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	_, name = CutRegion(name)
	for _, m := range Builtin() {
		_, own, _ := strings.Cut(m.ID, ".")
		if m.ID == name || bedrockSuffix.ReplaceAllString(own, "") == name {
			return m.ID, m.Price
		}
	}
	return "", nil
}

// Builtin returns the catalogue's own models, ordered by id. The caller may keep the
// slice; the models are shared and must be copied before they are changed.
var Builtin = sync.OnceValue(func() []*Model {
	var list []*Model
	if err := json.Unmarshal(modelsJSON, &list); err != nil {
		panic(fmt.Sprintf("catalog: data/models.json: %v", err)) // embedded: a broken build
	}
	for _, m := range list {
		if m.Price != nil && !m.Has("cachePoints") {
			m.Price.CacheAsInput()
		}
	}
	return list
})
