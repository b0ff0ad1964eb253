package cli

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/config"
	"forebay/fault"
	"forebay/meter"
	"forebay/perf"
	"forebay/plan"
	"forebay/plan/clouds"

	"github.com/go-json-experiment/json"
)

// planOffers are prices and sizes in place of those of the catalogue, or where it has none.
type planOffers struct {
	Quota         string             `help:"Quota on demand: requests and tokens a minute." placeholder:"REQUESTS/TOKENS"`
	UnitSize      string             `help:"What one model unit delivers: input and output tokens a minute." placeholder:"INPUT/OUTPUT"`
	UnitPrice     []string           `help:"Price of a unit an hour, by term: none=24.00, 1-month=21.18, 6-months=13.08; one without a term is of no commitment." placeholder:"[TERM=]PRICE"`
	Rules         []string           `help:"Also consider units under the rules of other clouds: azure-ptu, vertex-gsu, by-the-minute, or a unit that is published, such as azure-ptu-gpt-4o." placeholder:"NAME"`
	RuleUnit      string             `help:"What a unit of those holds, in input tokens a minute, and how many an output token counts for; left out, as much as --unit-size." placeholder:"TOKENS[/WEIGHT]"`
	ReservedPrice []string           `help:"Price of an hour of 1,000 input and 1,000 output tokens a minute of the reserved tier, by term: none, 1-month, 3-months; one without a term is of no commitment." placeholder:"[TERM=]INPUT/OUTPUT"`
	TierFactor    map[string]float64 `help:"Price of the tiers flex and batch over that of the default tier, such as flex=0.5,batch=0.5, where the catalogue knows none." placeholder:"TIER=FACTOR" mapsep:","`
	InstancePrice string             `help:"Instance for --profile and its price an hour." placeholder:"TYPE=PRICE"`
	Profile       string             `help:"Engine that serves the model on machines of one's own, by the name of published coefficients, or a file that forebay calibrate --json has written (.json)." placeholder:"NAME|FILE"`

	planScaling
	planServerless
}

// planScaling is how instances of an endpoint follow the demand.
type planScaling struct {
	InstanceStart    time.Duration `help:"How long an instance takes to be up." default:"5m"`
	ScaleMetric      string        `help:"What target tracking follows: concurrency (calls in flight), invocations (calls a minute), utilisation (slots in use)." default:"concurrency"`
	ScaleTarget      int64         `help:"At which share of what an instance does at most it is kept, per cent." default:"70"`
	ScaleOutCooldown time.Duration `help:"Cooldown of more instances." default:"5m"`
	ScaleInCooldown  time.Duration `help:"Cooldown of fewer instances." default:"5m"`
	ScaleSchedule    []string      `help:"Scheduled action of the least and most instances, in the traffic's time zone: cron(55 8 ? * MON-FRI *)=4-12; also at(...) and rate(...)." placeholder:"WHEN=MIN-MAX" sep:"none"`
}

// planServerless are the price and the behaviour of a serverless endpoint.
type planServerless struct {
	ServerlessPrice       string        `help:"Price of an hour of a serverless endpoint's engine while it is up." placeholder:"PRICE"`
	ServerlessCall        string        `help:"Price of a million calls of it." placeholder:"PRICE"`
	ServerlessTokens      string        `help:"Prices of a million tokens in and out of it, where it is paid by the token; --serverless-price may be left out then." placeholder:"INPUT/OUTPUT"`
	ServerlessWindow      time.Duration `help:"What an engine's time is paid in, each begun one in whole; 0s is by the second." default:"0s"`
	ServerlessConcurrency int64         `help:"Most calls at once; others are refused." placeholder:"N"`
	Provisioned           int64         `name:"serverless-provisioned" help:"Engines that are always up." placeholder:"N"`
	ProvisionedPrice      string        `name:"serverless-provisioned-price" help:"Price of an hour of such an engine; left out, that of others." placeholder:"PRICE"`
	IdleTimeout           time.Duration `help:"How long a serverless engine stays up without a call." default:"5m"`
	ColdStart             time.Duration `help:"How long a serverless engine takes to start." default:"60s"`
	HoldTime              time.Duration `help:"How long a call that finds no engine up is held; then it is refused." default:"55s"`
	HoldCalls             int64         `help:"How many such calls are held at once." default:"1000"`
}

// offers puts them into the question.
func (c *planOffers) offers(q *plan.Question) error {
	for _, take := range []func(*plan.Question) error{c.tiers, c.quota, c.unit, c.rules, c.reserved, c.machine, c.scaling, c.serverless} {
		if err := take(q); err != nil {
			return err
		}
	}
	return nil
}

// pair reads two positive numbers.
func pair(flag, s, form string) (a, b int64, err error) {
	if n, err := fmt.Sscanf(s+"\n", "%d/%d\n", &a, &b); err != nil || n != 2 || a < 1 || b < 1 {
		return 0, 0, fault.Newf(fault.Invalid, "%s %q is not %s, each at least 1", flag, s, form)
	}
	return a, b, nil
}

// priced reads a price in the currency of the answer.
func priced(flag, s string) (int64, error) {
	amount, currency, _ := strings.Cut(strings.TrimSpace(s), " ")
	n, err := meter.ParseMoney(amount)
	switch {
	case err != nil:
		return 0, fault.Newf(fault.Invalid, "%s %q: %v, such as 24.00", flag, s, err)
	case n <= 0:
		return 0, fault.Newf(fault.Invalid, "%s %q: a price of zero or less makes every comparison meaningless: leave it out to have it counted as unknown", flag, s)
	case currency != "" && currency != "USD":
		return 0, fault.Newf(fault.Invalid, "%s %q: prices are in USD here, and nothing is exchanged", flag, s)
	}
	return n, nil
}

// tiers gives the model the factors of tiers that the asker says.
func (c *planOffers) tiers(q *plan.Question) error {
	if len(c.TierFactor) == 0 {
		return nil
	}
	if q.Model.Price == nil {
		return fault.Newf(fault.Invalid, "--tier-factor: no price on demand is known of %s that it could be a factor of", q.Model.ID)
	}
	m, price := *q.Model, *q.Model.Price
	m.Price = &price
	for name, factor := range c.TierFactor {
		n := permille(factor)
		if n < 1 {
			return fault.Newf(fault.Invalid, "--tier-factor %s=%v: a factor is above 0 and at most 1, such as 0.5", name, factor)
		}
		switch name {
		case "flex":
			price.FlexPermille = n
		case "batch":
			price.BatchPermille = n
		default:
			return fault.Newf(fault.Invalid, "--tier-factor %s: the tiers at which calls wait are flex and batch", name)
		}
	}
	price.Source += ", factors of tiers " + givenOffer
	q.Model = &m
	return nil
}

// permille is a share in thousandths, -1 of what is none.
func permille(share float64) int64 {
	if share >= 0 && share <= 1 {
		return int64(math.Round(share * 1000))
	}
	return -1
}

func (c *planOffers) quota(q *plan.Question) error {
	if c.Quota == "" {
		return nil
	}
	r, t, err := pair("--quota", c.Quota, "REQUESTS/TOKENS a minute, such as 1000/2000000")
	q.Quota = &catalog.Quota{RequestsPerMinute: r, TokensPerMinute: t}
	return err
}

// givenOffer is the source of what the asker says.
const givenOffer = "given on the command line"

func (c *planOffers) unit(q *plan.Question) error {
	if c.UnitSize != "" {
		in, out, err := pair("--unit-size", c.UnitSize, "INPUT/OUTPUT tokens a minute, such as 100000/10000")
		if err != nil {
			return err
		}
		q.Unit = &catalog.Unit{Input: in, Output: out, Basis: catalog.BasisGiven, Source: givenOffer}
	}
	for _, s := range c.UnitPrice {
		term, price, ok := strings.Cut(s, "=")
		if !ok {
			term, price = "none", s
		}
		n, err := priced("--unit-price", price)
		if err != nil {
			return err
		}
		if q.UnitPrices == nil {
			q.UnitPrices = &catalog.UnitPrices{Currency: "USD", Date: time.Now().UTC().Format(time.DateOnly), Source: givenOffer}
		}
		switch term {
		case "none":
			q.UnitPrices.None = &n
		case "1-month":
			q.UnitPrices.OneMonth = &n
		case "6-months":
			q.UnitPrices.SixMonths = &n
		default:
			return fault.Newf(fault.Invalid, "--unit-price %q: the term is none, 1-month or 6-months", s)
		}
	}
	return nil
}

// rules are those of other clouds.
func (c *planOffers) rules(q *plan.Question) error {
	var perUnit, weight int64
	if c.RuleUnit != "" {
		text := c.RuleUnit
		if !strings.Contains(text, "/") {
			text += "/1"
		}
		var err error
		if perUnit, weight, err = pair("--rule-unit", text, "TOKENS a minute or TOKENS/WEIGHT of output, such as 2500/4"); err != nil {
			return err
		}
	}
	for _, name := range c.Rules {
		p, err := clouds.Named(name)
		if err != nil {
			return fault.Newf(fault.Invalid, "--rules: %s", fault.From(err).Message)
		}
		q.Rules = append(q.Rules, plan.RuleOffer{Preset: p, PerUnit: perUnit, Weight: weight})
	}
	return nil
}

// reserved are the prices of the reserved tier.
func (c *planOffers) reserved(q *plan.Question) error {
	for _, s := range c.ReservedPrice {
		term, both, ok := strings.Cut(s, "=")
		if !ok {
			term, both = "none", s
		}
		in, out, ok := strings.Cut(both, "/")
		if !ok {
			return fault.Newf(fault.Invalid, "--reserved-price %q is not [TERM=]INPUT/OUTPUT, such as 1-month=0.02/0.08", s)
		}
		input, err := priced("--reserved-price", in)
		if err != nil {
			return err
		}
		output, err := priced("--reserved-price", out)
		if err != nil {
			return err
		}
		if input > catalog.MaxTierPrice || output > catalog.MaxTierPrice {
			return fault.Newf(fault.Invalid, "--reserved-price %q: at most %s an hour of a thousand tokens a minute", s, plan.Amount(catalog.MaxTierPrice))
		}
		if q.Reserved == nil {
			q.Reserved = &catalog.TierPrices{Currency: "USD", Date: time.Now().UTC().Format(time.DateOnly), Source: givenOffer}
		}
		switch term {
		case "none":
			q.Reserved.Input.None, q.Reserved.Output.None = &input, &output
		case "1-month":
			q.Reserved.Input.OneMonth, q.Reserved.Output.OneMonth = &input, &output
		case "3-months":
			q.Reserved.Input.ThreeMonths, q.Reserved.Output.ThreeMonths = &input, &output
		default:
			return fault.Newf(fault.Invalid, "--reserved-price %q: the term is none, 1-month or 3-months", s)
		}
	}
	return nil
}

// engineProfile is an engine by the name of its published coefficients, or as it was measured.
func engineProfile(name string) (perf.Profile, error) {
	if !strings.HasSuffix(name, ".json") {
		return perf.Named(name)
	}
	raw, err := os.ReadFile(name) //nolint:gosec // the operator's own file
	if err != nil {
		return perf.Profile{}, err
	}
	var r struct {
		Model       string `json:"model"`
		Engine      string `json:"engine"`
		Calibration struct {
			Step         float64 `json:"step_us"`
			PrefillToken float64 `json:"prefill_token_us"`
			ContextToken float64 `json:"context_token_us"`
			Sequence     float64 `json:"sequence_us"`
			Slots        int32   `json:"slots"`
			Chunk        int64   `json:"chunk_tokens"`
			KV           int64   `json:"kv_tokens"`
			Measured     string  `json:"measured"`
		} `json:"calibration"`
		Range perf.Range `json:"range"`
	}
	if err := json.Unmarshal(raw, &r); err != nil || r.Calibration.Step == 0 {
		return perf.Profile{}, fmt.Errorf("%s is no report of forebay calibrate --json: write one with it", name)
	}
	c := config.Calibration{
		Step: r.Calibration.Step, PrefillToken: r.Calibration.PrefillToken, ContextToken: r.Calibration.ContextToken, Sequence: r.Calibration.Sequence,
		Slots: r.Calibration.Slots, Chunk: r.Calibration.Chunk, KV: r.Calibration.KV,
	}
	p := c.Profile()
	p.Name, p.Source, p.Measured = r.Model+" on "+r.Engine, "measured "+r.Calibration.Measured, r.Range
	if err := p.Validate(); err != nil {
		return perf.Profile{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (c *planOffers) machine(q *plan.Question) error {
	if c.Profile != "" {
		p, err := engineProfile(c.Profile)
		if err != nil {
			return fault.Newf(fault.Invalid, "--profile: %v", err)
		}
		q.Engine = &p
	}
	if c.InstancePrice == "" {
		return nil
	}
	name, price, ok := strings.Cut(c.InstancePrice, "=")
	if !ok || name == "" {
		return fault.Newf(fault.Invalid, "--instance-price %q is not TYPE=PRICE, such as ml.p5.48xlarge=113.068", c.InstancePrice)
	}
	n, err := priced("--instance-price", price)
	if err != nil {
		return err
	}
	x := catalog.Instance{Type: name}
	for _, i := range catalog.Instances() {
		if i.Type == name {
			x = i // its accelerators, at another price
		}
	}
	x.Hour, x.Currency, x.Date, x.Source = n, "USD", time.Now().UTC().Format(time.DateOnly), givenOffer
	q.Instance = &x
	return nil
}
