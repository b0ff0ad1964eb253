package catalog

import (
	_ "embed" // the data file
	"fmt"
	"regexp"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"
)

//go:embed data/offers.json
var offersJSON []byte

// Instance is a machine that can be rented by the hour, with its dated price.
type Instance struct {
	Type         string `json:"type"`
	Accelerator  string `json:"accelerator"` // as the profiles of engines name it
	Accelerators int64  `json:"accelerators"`
	Region       string `json:"region"`
	Currency     string `json:"currency"`
	Hour         int64  `json:"hour"` // nano-units of the currency
	Date         string `json:"date"`
	Source       string `json:"source"`
}

// needs is the hardware at the end of an engine profile's name: "h100", "4xh100".
var needs = regexp.MustCompile(`^(?:(\d+)x)?([a-z].*)$`)

// Engines returns how many engines with a profile of such hardware ("4xh100") run on the instance; 0 for none.
func (i *Instance) Engines(hardware string) int64 {
	m := needs.FindStringSubmatch(hardware)
	if m == nil || m[2] != i.Accelerator {
		return 0
	}
	n := int64(1)
	if m[1] != "" {
		var err error
		if n, err = strconv.ParseInt(m[1], 10, 32); err != nil || n < 1 {
			return 0
		}
	}
	return i.Accelerators / n
}

// PublishedUnit is the price of a model unit that a cloud has published, also of a model that is not in the catalogue.
type PublishedUnit struct {
	Model string `json:"model"`
	Name  string `json:"name"`
	UnitPrices
}

// EngineOf says that the coefficients of an engine profile are those of a model.
type EngineOf struct {
	Model   string `json:"model"`
	Profile string `json:"profile"`
	Note    string `json:"note,omitempty"` // what differs
}

// closedProvider is one whose models nobody else can run.
type closedProvider struct {
	Provider string `json:"provider"`
	Why      string `json:"why"`
}

var offers = sync.OnceValue(func() (doc struct {
	UnitPrices []PublishedUnit  `json:"unitPrices"`
	Instances  []Instance       `json:"instances"`
	Engines    []EngineOf       `json:"engines"`
	Closed     []closedProvider `json:"closed"`
},
) {
	if err := json.Unmarshal(offersJSON, &doc, json.RejectUnknownMembers(true)); err != nil {
		panic(fmt.Sprintf("catalog: data/offers.json: %v", err)) // embedded: a broken build
	}
	return doc
})

// Instances returns the machines whose prices are known, in the order of the data. The caller must not change them.
func Instances() []Instance { return offers().Instances }

// PublishedUnits returns every published price of a model unit: those of the catalogue's models, and of others.
func PublishedUnits() []PublishedUnit {
	var out []PublishedUnit
	for _, m := range Builtin() {
		if m.UnitPrices != nil {
			out = append(out, PublishedUnit{m.ID, m.Name, *m.UnitPrices})
		}
	}
	return append(out, offers().UnitPrices...)
}

// EnginesOf returns the engine profiles whose coefficients are published for a model.
func EnginesOf(model string) []EngineOf {
	var out []EngineOf
	for _, e := range offers().Engines {
		if e.Model == model {
			out = append(out, e)
		}
	}
	return out
}

// Closed says why nobody but its provider can run a model; "" if anybody may, or nothing is known of that.
func (m *Model) Closed() string {
	for _, c := range offers().Closed {
		if c.Provider == m.Provider {
			return c.Why
		}
	}
	return ""
}
