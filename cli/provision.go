package cli

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/api/admin"
	"forebay/meter"
)

type provisionCmd struct {
	List    provisionList    `cmd:"" default:"withargs" help:"List what was bought, with what is used of it now."`
	Create  provisionCreate  `cmd:"" help:"Buy model units."`
	Reserve provisionReserve `cmd:"" help:"Buy tokens a minute of the reserved tier: calls of the model use them that ask for the tier."`
	Show    provisionShow    `cmd:"" help:"Show one throughput: its units, term and price, and what is used of it now."`
	Divide  provisionDivide  `cmd:"" help:"Divide a throughput among teams: each has its part guaranteed, and borrows what the others leave."`
	Delete  provisionDelete  `cmd:"" help:"End a throughput; a commitment only when its term has ended."`
}

// commitments are the terms in the words of the command line.
var commitments = map[string]string{"none": "", "one-month": "OneMonth", "three-months": "ThreeMonths", "six-months": "SixMonths"}

func commitment(term string) string {
	for name, t := range commitments {
		if t == term {
			return name
		}
	}
	return term
}

type provisionList struct {
	remote
	ofAccount
}

// Run implements the verb.
func (c *provisionList) Run(e *env) error {
	var out struct {
		Provisioned []admin.Provisioned `json:"provisioned"`
	}
	if err := c.call(e.ctx, http.MethodGet, "provisioned"+c.query(), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, out.Provisioned)
	}
	rows := make([][]string, len(out.Provisioned))
	for i := range out.Provisioned {
		p := &out.Provisioned[i]
		rows[i] = []string{
			p.Name, p.Model.ID, standing(p), units(p), size(p), commitment(string(p.Term)), perHour(p), used(p, func(u *admin.Use) admin.Level { return u.Input }),
			used(p, func(u *admin.Use) admin.Level { return u.Output }), p.ManagedBy,
		}
	}
	return table(e, "NAME\tMODEL\tSTATUS\tUNITS\tUNIT (IN/OUT A MINUTE)\tTERM\tA UNIT-HOUR\tINPUT USED\tOUTPUT USED\tMANAGED BY", rows)
}

// standing is the status, whether the pool still backs what is sold of it, and whether it is as it is declared.
func standing(p *admin.Provisioned) string {
	text := string(p.Status)
	if p.Shortage != "" {
		text += ", short"
	}
	if p.Pending != "" {
		text += ", not as declared"
	}
	return text
}

// units is how many there are, and how they are divided.
func units(p *admin.Provisioned) string {
	whole := count(p.Units)
	if p.Tier {
		whole = "reserved tier"
	}
	parts := make([]string, len(p.Parts))
	for i := range p.Parts {
		parts[i] = p.Parts[i].Team + "=" + part(p, i)
	}
	if len(parts) == 0 {
		return whole
	}
	return whole + " (" + strings.Join(parts, ", ") + ")"
}

// part is how much a team has: units, or input and output tokens a minute.
func part(p *admin.Provisioned, i int) string {
	if x := &p.Parts[i]; p.Tier {
		return fmt.Sprintf("%d/%d", x.Input, x.Output)
	}
	return count(p.Parts[i].Units)
}

// size is what a unit delivers, and where that comes from.
func size(p *admin.Provisioned) string {
	return fmt.Sprintf("%d/%d %s", p.Unit.Input, p.Unit.Output, p.Unit.Basis)
}

// perHour is the price of a unit-hour now.
func perHour(p *admin.Provisioned) string {
	if n := len(p.Rates); n > 0 && p.Rates[n-1].Known {
		return meter.FormatMoney(p.Rates[n-1].Nano, p.Rates[n-1].Currency)
	}
	return unknownPrice
}

const unknownPrice = "unknown"

// unitPrice is perHour in words.
func unitPrice(p *admin.Provisioned) string {
	if text := perHour(p); text != unknownPrice {
		return text + " a unit-hour"
	}
	return unknownPrice
}

// used is how full a bucket of what was bought is.
func used(p *admin.Provisioned, of func(*admin.Use) admin.Level) string {
	if p.Use == nil {
		return "-"
	}
	l := of(p.Use)
	if l.Depth == 0 {
		return "-"
	}
	return fmt.Sprintf("%d %%", l.Fill*100/l.Depth)
}

type provisionShow struct {
	remote
	ofAccount
	Name string `arg:"" help:"Its name or ARN."`
}

// Run implements the verb.
func (c *provisionShow) Run(e *env) error {
	var p admin.Provisioned
	if err := c.call(e.ctx, http.MethodGet, "provisioned/"+url.PathEscape(c.Name)+c.query(), nil, &p); err != nil {
		return err
	}
	return c.print(e, &p)
}

// print shows all that is known of a throughput.
func (r *remote) print(e *env, p *admin.Provisioned) error {
	if r.JSON {
		return printJSON(e, p)
	}
	rows := [][]string{
		{"name", p.Name},
		{"arn", p.ARN},
		{"model", p.Model.ARN},
		{"status", string(p.Status)},
		{"units", fmt.Sprintf("%d of %d input and %d output tokens a minute (%s)", p.Units, p.Unit.Input, p.Unit.Output, p.Unit.Basis)},
		{"price", unitPrice(p)},
		{"created", p.Created.Format(time.RFC3339)},
	}
	if p.Tier {
		rows[4] = []string{"reserved tier", fmt.Sprintf("%d input and %d output tokens a minute, for calls that ask for the tier", p.Unit.Input, p.Unit.Output)}
		rows[5][1] = perHour(p) + " an hour"
	}
	if p.Desired != p.Model {
		rows = slices.Insert(rows, 3, []string{"becomes", p.Desired.ARN})
	}
	if p.Isolation != "" {
		rows = append(rows, []string{"isolation", isolation(p)})
	}
	if p.Failure != "" {
		rows = append(rows, []string{"failure", p.Failure})
	}
	if p.Shortage != "" {
		rows = append(rows, []string{"short", p.Shortage})
	}
	if p.ManagedBy != "" {
		rows = append(rows, []string{"managed by", p.ManagedBy})
	}
	if p.Pending != "" && p.Pending != p.Failure {
		rows = append(rows, []string{"not as declared", p.Pending})
	}
	if !p.Expires.IsZero() {
		rows = append(rows, []string{"commitment", term(p)})
	}
	if u := p.Use; u != nil {
		rows = append(rows, []string{"input", level(u.Input)}, []string{"output", level(u.Output)},
			[]string{"slots", fmt.Sprintf("%d back it; %d of its calls run, %d wait", u.Slots+u.Own, u.Running, u.Waiting)},
			[]string{"pool", fmt.Sprintf("%d of %d slots are sold; %d of those are lent to calls that can be recalled", u.Pool.Sold, u.Pool.Slots, u.Pool.Lent)})
		for i := range u.Parts {
			rows = append(rows, []string{"team " + u.Parts[i].Team, partUse(p, &u.Parts[i])})
		}
	}
	return table(e, "WHAT\tVALUE", rows)
}

// isolation says which replicas a throughput has for itself.
func isolation(p *admin.Provisioned) string {
	var own []string
	for _, w := range p.Replicas {
		if w.Engine == "" { // not told
			own = append(own, strconv.FormatInt(w.Replicas, 10))
			continue
		}
		own = append(own, fmt.Sprintf("%d of %s", w.Replicas, w.Engine))
	}
	if len(own) == 0 {
		return "replicas of its own"
	}
	text := "replicas of its own: " + strings.Join(own, ", ")
	if p.Use != nil {
		text += fmt.Sprintf("; %d slots of them are up", p.Use.Own)
	}
	return text
}

func term(p *admin.Provisioned) string {
	what := "renews"
	if p.Cancelled {
		what = "ends"
	}
	return fmt.Sprintf("%s, term %d, %s at %s", commitment(string(p.Term)), p.Terms, what, p.Expires.Format(time.RFC3339))
}

func level(l admin.Level) string {
	if l.Depth == 0 {
		return "not sold"
	}
	return fmt.Sprintf("%d of %d tokens in the bucket (%d %%); %d drain a minute", l.Fill, l.Depth, l.Fill*100/l.Depth, l.Rate)
}

// partUse says what a team has of a throughput, and what is used of it.
func partUse(p *admin.Provisioned, u *admin.PartUse) string {
	has := "units"
	for i := range p.Parts {
		if p.Parts[i].Team == u.Team {
			has = part(p, i) + " of " + count(p.Units) + " units"
			if p.Tier {
				has = part(p, i) + " input and output tokens a minute"
			}
		}
	}
	return fmt.Sprintf("%s, %d slots; input %s, output %s; %d of its calls run, %d wait", has, u.Slots, share(u.Input), share(u.Output), u.Running, u.Waiting)
}

type provisionDivide struct {
	remote
	ofAccount
	Name string            `arg:"" help:"Its name or ARN."`
	Team map[string]string `help:"What a team has: NAME=UNITS, or of the reserved tier NAME=INPUT/OUTPUT tokens a minute. What is given to no team is for all." placeholder:"NAME=UNITS" mapsep:"none" xor:"how" required:""`
	Undo bool              `help:"Make it one again." xor:"how" required:""`
}

// teamPart reads what a team is to have: model units, or input and output tokens a minute.
func teamPart(team, text string) (map[string]any, error) {
	part := map[string]any{"team": team}
	names := []string{"units"}
	values := strings.Split(text, "/")
	if len(values) > 1 {
		names = []string{"inputTokensPerMinute", "outputTokensPerMinute"}
	}
	for i, v := range values {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || i >= len(names) {
			return nil, fmt.Errorf("--team %s=%s: write UNITS, or INPUT/OUTPUT tokens a minute of the reserved tier", team, text)
		}
		if n != 0 || len(values) == 1 {
			part[names[i]] = n
		}
	}
	return part, nil
}

// Run implements the verb.
func (c *provisionDivide) Run(e *env) error {
	parts := []map[string]any{}
	for _, team := range slices.Sorted(maps.Keys(c.Team)) {
		part, err := teamPart(team, c.Team[team])
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	var p admin.Provisioned
	if err := c.call(e.ctx, http.MethodPut, "provisioned/"+url.PathEscape(c.Name)+c.query(), map[string]any{"parts": parts}, &p); err != nil {
		return err
	}
	return c.print(e, &p)
}

type provisionCreate struct {
	remote
	ofAccount
	Name       string            `arg:"" help:"A name of your choice."`
	Model      string            `required:"" help:"Id or ARN of the model."`
	Units      int64             `required:"" help:"How many model units."`
	Commitment string            `help:"none, one-month or six-months: it is paid for so long, and renews until it is cancelled." enum:"none,one-month,six-months" default:"none"`
	Isolation  string            `help:"replica: replicas of its own, which others use only as long as they can be recalled." enum:",replica" default:"" placeholder:"replica"`
	Tag        map[string]string `help:"Tags: KEY=VALUE." mapsep:"none"`
}

// Run implements the verb.
func (c *provisionCreate) Run(e *env) error {
	order := admin.Order{Model: c.Model, Units: c.Units, Commitment: commitments[c.Commitment], Isolation: c.Isolation, Tags: c.Tag}
	return c.buy(e, url.PathEscape(c.Name)+c.query(), &order)
}

// buy orders, by the name and what follows it, and shows what became of it.
func (r *remote) buy(e *env, name string, order *admin.Order) error {
	var p admin.Provisioned
	if err := r.call(e.ctx, http.MethodPost, "provisioned/"+name, order, &p); err != nil {
		return err
	}
	return r.print(e, &p)
}

type provisionReserve struct {
	remote
	ofAccount
	Name       string            `arg:"" help:"A name of your choice."`
	Model      string            `required:"" help:"Id of the model."`
	Input      int64             `required:"" help:"Input tokens a minute, in thousands: 100000."`
	Output     int64             `help:"Output tokens a minute, in thousands; none for embeddings."`
	Commitment string            `help:"none, one-month or three-months: it is paid for so long, and renews until it is cancelled." enum:"none,one-month,three-months" default:"none"`
	Tag        map[string]string `help:"Tags: KEY=VALUE." mapsep:"none"`
}

// Run implements the verb.
func (c *provisionReserve) Run(e *env) error {
	order := admin.Order{Model: c.Model, InputTokens: c.Input, OutputTokens: c.Output, Commitment: commitments[c.Commitment], Tags: c.Tag}
	return c.buy(e, url.PathEscape(c.Name)+c.query(), &order)
}

type provisionDelete struct {
	remote
	ofAccount
	Name      string `arg:"" help:"Its name or ARN."`
	AtTermEnd bool   `help:"Let a commitment end with its term instead of being renewed."`
}

// Run implements the verb.
func (c *provisionDelete) Run(e *env) error {
	query := c.query()
	if c.AtTermEnd {
		query = "?at_term_end=true"
		if c.Account != "" {
			query += "&account=" + url.QueryEscape(c.Account)
		}
	}
	var p admin.Provisioned
	if err := c.call(e.ctx, http.MethodDelete, "provisioned/"+url.PathEscape(c.Name)+query, nil, &p); err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(e, &p)
	case c.AtTermEnd:
		_, err := fmt.Fprintf(e.Out, "%s ends at %s\n", p.Name, p.Expires.Format(time.RFC3339))
		return err
	}
	_, err := fmt.Fprintf(e.Out, "%s is deleted\n", p.Name)
	return err
}
