package catalog

import (
	_ "embed" // the data file
	"fmt"
	"sync"

	"github.com/go-json-experiment/json"
)

//go:embed data/quotas.json
var quotasJSON []byte

// Quota is what AWS lets an account use of one model on demand in one region, by default.
type Quota struct {
	RequestsPerMinute int64
	TokensPerMinute   int64
}

// Quotas are AWS's published defaults. A quota a day is not among them: by default it is the
// quota a minute times the minutes of a day.
type Quotas struct {
	Date   string // of the publication
	Source string
	models map[string]regionalQuota
}

// regionalQuota has a figure by region; "*" is every other region.
type regionalQuota struct {
	RequestsPerMinute map[string]int64 `json:"requestsPerMinute"`
	TokensPerMinute   map[string]int64 `json:"tokensPerMinute"`
}

// Of returns the default quota of a model, false where none is published: models that are
// offered through inference profiles alone, and those that are not of AWS.
func (q *Quotas) Of(model, region string) (Quota, bool) {
	m, ok := q.models[model]
	return Quota{in(m.RequestsPerMinute, region), in(m.TokensPerMinute, region)}, ok
}

func in(figures map[string]int64, region string) int64 {
	if v, ok := figures[region]; ok {
		return v
	}
	return figures["*"]
}

// AWSQuotas returns the published defaults.
var AWSQuotas = sync.OnceValue(func() *Quotas {
	var doc struct {
		Source string                   `json:"source"`
		Date   string                   `json:"date"`
		Models map[string]regionalQuota `json:"models"`
	}
	if err := json.Unmarshal(quotasJSON, &doc, json.RejectUnknownMembers(true)); err != nil {
		panic(fmt.Sprintf("catalog: data/quotas.json: %v", err)) // embedded: a broken build
	}
	return &Quotas{Date: doc.Date, Source: doc.Source, models: doc.Models}
})
