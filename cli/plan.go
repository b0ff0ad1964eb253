package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/plan"
	"forebay/plan/replay"
	planreport "forebay/plan/report"
	"forebay/plan/shape"
	"forebay/workload"
	"forebay/workload/trace"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// planCmd answers which way of serving a traffic is the cheapest, without a server.
type planCmd struct {
	planTraffic
	planOffers
	planWatch
	Model      string  `help:"Model that the traffic is for." placeholder:"ID"`
	Substitute string  `help:"Also compare this model in its place, such as an open one that runs on machines of one's own." placeholder:"ID"`
	Region     string  `help:"Region whose quotas hold." default:"us-east-1"`
	Currency   string  `help:"Currency of the answer: that of the prices; nothing is exchanged." default:"USD"`
	Days       int64   `help:"Days of a month." default:"30"`
	Deadline   string  `help:"When an answer is of no use any more: a duration such as 30s, or whose it is: lambda (3 s, its default), lambda-max (15 min), sagemaker (60 s), sdk (60 s, the default read time-out of botocore)." placeholder:"TIME"`
	MaxTokens  int64   `help:"The max_tokens that callers send, where the traffic does not say; left out, the model's maximum." placeholder:"N"`
	Flex       float64 `help:"Share of the calls that may wait for minutes and be stopped and begun again, from 0 to 1: they go by the tier flex."`
	Batch      float64 `help:"Share of the calls that may wait for a day: they go by batch."`
	Retry      string  `help:"Clients whose way of trying again after a refusal is counted on: aws-standard, aws-legacy (boto3 and the AWS CLI as they come), openai, anthropic, none." default:"aws-standard" placeholder:"CLIENT"`
	Seed       uint64  `help:"Seed of everything random." default:"1"`
	Calls      int64   `help:"Calls of one replay at most: the busiest part of the busiest day." default:"60000"`

	JSON    bool   `name:"json" help:"Print the answer as JSON."`
	CSV     bool   `name:"csv" help:"Print the options as CSV."`
	Sizing  bool   `help:"Print the sheet for a request for quota."`
	Explain bool   `help:"Also print where each figure comes from: formula, values, source."`
	HTML    string `name:"html" help:"Also write the report as one page that needs no network." type:"path" placeholder:"FILE"`
	PNG     string `name:"png" help:"Also write the chart of costs as a picture." type:"path" placeholder:"FILE"`
}

// badInput is a question that cannot be answered as it was asked.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

// Error says what is wrong, and the explanation of it that there may be.
func (b badInput) Error() string {
	f := fault.From(b.error)
	switch {
	case f.Kind == fault.Internal:
		return plain(b.error.Error())
	case f.Reason != "":
		return plain(f.Message + " " + f.Reason)
	default:
		return plain(f.Message)
	}
}

// bad marks what the asker can mend.
func bad(err error) error {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Malformed, fault.UnknownModel, fault.NotFound, fault.TooLarge, fault.Unsupported:
		return badInput{err}
	default:
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return badInput{err}
		}
		return err
	}
}

// Run implements the verb.
func (c *planCmd) Run(e *env) error {
	if c.Watch {
		return c.watch(e)
	}
	q, done, err := c.question(e.ctx)
	if err != nil {
		return bad(err)
	}
	defer done()
	bar := &progressBar{out: e.Err, since: time.Now(), silent: !e.Terminal}
	q.Progress = bar.show
	a, err := plan.Do(e.ctx, q)
	bar.clear()
	if err != nil {
		return bad(err)
	}
	return c.report(e, a)
}

// question is what was asked. done is to be called when it has been answered.
func (c *planCmd) question(ctx context.Context) (q *plan.Question, done func(), err error) {
	if q, err = c.asked(); err != nil {
		return nil, nil, err
	}
	if q.Traffic, done, err = c.source(ctx, q.Model.ID, c.Seed); err != nil {
		return nil, nil, err
	}
	return q, done, nil
}

// asked is the question without its traffic.
func (c *planCmd) asked() (*plan.Question, error) {
	if err := c.given(); err != nil {
		return nil, err
	}
	q := &plan.Question{Region: c.Region, Days: c.Days, MaxOutput: c.MaxTokens, Flex: permille(c.Flex), Batch: permille(c.Batch), Seed: c.Seed, Calls: c.Calls}
	var err error
	if q.Model, err = planModel("--model", c.Model); err != nil {
		return nil, err
	}
	if c.Substitute != "" {
		if q.Substitute, err = planModel("--substitute", c.Substitute); err != nil {
			return nil, err
		}
	}
	if p := q.Model.Price; p != nil && !strings.EqualFold(p.Currency, c.Currency) {
		return nil, fault.Newf(fault.Invalid, "--currency %s: the prices of %s are known in %s, and nothing is exchanged here: leave --currency out", c.Currency, q.Model.ID, p.Currency)
	}
	if q.Deadline, q.DeadlineOf, err = deadline(c.Deadline); err != nil {
		return nil, err
	}
	if q.Retry, err = client(c.Retry); err != nil {
		return nil, err
	}
	return q, c.offers(q)
}

// client finds how some software tries again.
func client(id string) (*replay.Client, error) {
	var known []string
	for _, x := range replay.Clients() {
		if x.ID == id {
			return &x, nil
		}
		known = append(known, x.ID)
	}
	return nil, fault.Newf(fault.Invalid, "--retry %q: give one of %s", id, strings.Join(known, ", "))
}

// given refuses zeros that would be taken for nothing given.
func (c *planCmd) given() error {
	for _, x := range []struct {
		flag  string
		value int64
	}{{"--days", c.Days}, {"--calls", c.Calls}, {"--instance-start", int64(c.InstanceStart)}} {
		if x.value <= 0 {
			return fault.Newf(fault.Invalid, "%s must be more than 0: give more, or leave it out", x.flag)
		}
	}
	return nil
}

// planModel finds a model of the catalogue.
func planModel(flag, id string) (*catalog.Model, error) {
	if id == "" {
		return nil, fault.Newf(fault.Invalid, "%s is missing: name a model of the catalogue, such as anthropic.claude-3-haiku-20240307-v1:0 (forebay models lists those of a server)", flag)
	}
	r, err := catalog.NewNames(catalog.Builtin(), nil, "").Resolve(id)
	if err != nil {
		f := fault.From(err)
		return nil, fault.Newf(fault.UnknownModel, "%s %s: %s", flag, id, f.Message).WithReason("%s", f.Reason)
	}
	return r.Model, nil
}

func deadline(s string) (time.Duration, string, error) {
	if s == "" {
		return 0, "", nil
	}
	for _, c := range plan.Callers() {
		if c.ID == s {
			return c.After, c.Of, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, "", fault.Newf(fault.Invalid, "--deadline %q: give a time such as 30s, or lambda, lambda-max, sagemaker, sdk", s)
	}
	return d, "given", nil
}

// report prints the answer, and writes the files that were asked for.
func (c *planCmd) report(e *env, a *plan.Answer) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer, *plan.Answer) error
	}{{c.HTML, planreport.HTML}, {c.PNG, planreport.PNG}} {
		if f.name == "" {
			continue
		}
		if err := writeFile(f.name, func(w io.Writer) error { return f.write(w, a) }); err != nil {
			return err
		}
	}
	switch {
	case c.JSON:
		text, err := json.Marshal(a, jsontext.Multiline(true))
		if err != nil {
			return err
		}
		_, err = e.Out.Write(append(text, '\n'))
		return err
	case c.CSV:
		return planreport.CSV(e.Out, a)
	case c.Sizing:
		return planreport.Sizing(plainLines{e.Out}, a)
	}
	if err := planreport.Text(plainLines{e.Out}, a, c.Explain); err != nil {
		return err
	}
	fmt.Fprintln(e.Out)
	return planreport.Sizing(plainLines{e.Out}, a)
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name) //nolint:gosec // the operator names it
	if err != nil {
		return badInput{err} // whatever is wrong with it: another name may be better
	}
	return errors.Join(write(f), f.Close())
}

// progressBar is shown on a terminal after a second.
type progressBar struct {
	out    io.Writer
	since  time.Time
	silent bool
	shown  bool
}

const progressWidth = 30

func (b *progressBar) show(done int64, what string) {
	if b.silent || time.Since(b.since) < time.Second {
		return
	}
	b.shown = true
	full := int(done * progressWidth / 1000)
	fmt.Fprintf(b.out, "\r\x1b[K[%s%s] %s", strings.Repeat("=", full), strings.Repeat(" ", progressWidth-full), what)
}

func (b *progressBar) clear() {
	if b.shown {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

// planTraffic says what traffic is planned for.
type planTraffic struct {
	Shape string `help:"Traffic in words: calls a day, when they come, how large they are." placeholder:"WORDS"`
	Trace string `help:"Recorded traffic: a CSV or JSON file, also gzipped, or a folder, whose form is found out (docs/traffic.md)." type:"path" placeholder:"FILE|DIR"`

	Columns map[string]string `help:"Columns of the file by what they say, where the guess is wrong: time=NAME,input=NAME,output=NAME (also cached, max-output, tenant, prefix, status, count, rate)." placeholder:"WHAT=NAME" mapsep:","`
	Tokens  string            `help:"Tokens of a call, in and out, where the file counts calls alone." placeholder:"IN,OUT"`
	planLedger
	Missing   string        `help:"What windows of a file without a row, and times of a ledger in which no server ran, are: unknown (missing data, filled by what other days had) or idle." enum:"unknown,idle" default:"unknown"`
	Copies    bool          `help:"Rows like the one before are calls of their own, also where most rows are."`
	UsageType string        `help:"Only usage types of a cost report that have this in their names." placeholder:"TEXT"`
	UsageUnit float64       `help:"Tokens of one unit of a cost report, where it does not say." placeholder:"N"`
	Reuse     time.Duration `help:"Prompts whose blocks were in another within this time read them from a cache, for traces with the hashes of blocks; 5m for sessions." placeholder:"TIME"`
	Sessions  float64       `help:"Sessions that begin a day, for traces of what sessions are like." placeholder:"N"`
	Timezone  string        `help:"Time zone of clocks that name none, and of the days." default:"UTC" placeholder:"ZONE"`
}

// source returns the traffic for a model, and what is to be called when it has been read for the last time.
func (c *planTraffic) source(ctx context.Context, model string, seed uint64) (s workload.Source, done func(), err error) {
	given := 0
	for _, g := range []bool{c.Shape != "", c.Trace != "", c.Ledger.given} {
		if g {
			given++
		}
	}
	location, err := time.LoadLocation(c.Timezone)
	done = func() {}
	switch {
	case given == 0:
		return nil, nil, fault.New(fault.Invalid, `there is no traffic to plan for: give --shape "50000/day, 80% 09-17, 1% 22-06, America/New_York, peak x2, in 1000, out 300", --trace FILE, or --ledger`)
	case given > 1:
		return nil, nil, fault.New(fault.Invalid, "--shape, --trace and --ledger are two traffics or more: give one of them")
	case err != nil:
		return nil, nil, fault.Newf(fault.Invalid, "--timezone %q is not known: name one such as America/New_York", c.Timezone)
	case c.Ledger.given:
		return c.planLedger.source(ctx, model, location, c.Missing == "idle")
	case c.Shape != "":
		s, err = shape.Parse(c.Shape, seed)
	default:
		s, err = c.trace(seed, location)
	}
	return s, done, err
}

// trace opens the file.
func (c *planTraffic) trace(seed uint64, location *time.Location) (workload.Source, error) {
	opt := trace.Options{
		Columns: c.Columns, Seed: seed, Location: location, Idle: c.Missing == "idle", Copies: c.Copies, Usage: c.UsageType, Unit: c.UsageUnit, Reuse: c.Reuse, Sessions: c.Sessions,
	}
	if c.UsageUnit < 0 || c.Reuse < 0 || c.Sessions < 0 {
		return nil, fault.New(fault.Invalid, "--usage-unit, --reuse and --sessions must not be negative: give more than 0, or leave them out")
	}
	var err error
	if c.Tokens != "" {
		in, out, ok := strings.Cut(c.Tokens, ",")
		opt.Input, err = strconv.ParseInt(strings.TrimSpace(in), 10, 64)
		if ok && err == nil {
			opt.Output, err = strconv.ParseInt(strings.TrimSpace(out), 10, 64)
		}
		if !ok || err != nil || opt.Input < 1 || opt.Output < 0 {
			return nil, fault.Newf(fault.Invalid, "--tokens %q: give the mean tokens of a call, in and out, such as 1000,300", c.Tokens)
		}
	}
	return trace.Read(c.Trace, opt)
}
