package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"forebay/api/admin"
	"forebay/config"
	"forebay/meter"
)

type modelsCmd struct {
	List   modelList   `cmd:"" default:"withargs" help:"List the models that can be called."`
	Show   modelShow   `cmd:"" help:"Show one model with its prices and their source."`
	Add    modelAdd    `cmd:"" help:"Add a model, or bind one of the catalogue to engines."`
	Price  modelPrice  `cmd:"" help:"Set what callers are charged for a model; what is not named is unknown."`
	Remove modelRemove `cmd:"" help:"Remove what was added."`
	Pull   modelPull   `cmd:"" help:"Bring weights to this machine, from the Hugging Face hub, S3 or the web."`
	Pulled modelPulled `cmd:"" help:"List the weights on this machine."`
	Prune  modelPrune  `cmd:"" help:"Remove weights from this machine."`
}

type modelList struct{ remote }

// Run implements the verb.
func (c *modelList) Run(e *env) error { return listModels(e, &c.remote) }

type modelShow struct {
	remote
	ID string `arg:"" help:"Model id."`
}

func (r *remote) models(e *env) ([]admin.ModelInfo, error) {
	var out struct {
		Models []admin.ModelInfo `json:"models"`
	}
	err := r.call(e.ctx, http.MethodGet, "models", nil, &out)
	return out.Models, err
}

func rate(v *int64, currency string) string {
	if v == nil {
		return "unknown"
	}
	return meter.FormatMoney(*v, currency)
}

func listModels(e *env, r *remote) error {
	list, err := r.models(e)
	if err != nil {
		return err
	}
	if r.JSON {
		return printJSON(e, list)
	}
	var rows [][]string
	for _, m := range list {
		in, out := "unknown", "unknown"
		if p := m.Price; p != nil {
			in, out = rate(p.Input, p.Currency), rate(p.Output, p.Currency)
		}
		engine := strings.Join(m.Engines, ", ")
		if m.Simulated {
			engine += " (SIMULATED)"
		}
		rows = append(rows, []string{m.ID, string(m.Family), engine, in, out})
	}
	return table(e, "MODEL\tFAMILY\tENGINES\tINPUT PER M\tOUTPUT PER M", rows)
}

// Run implements the verb.
func (c *modelShow) Run(e *env) error {
	list, err := c.models(e)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.ID == c.ID {
			return printJSON(e, m)
		}
	}
	return fmt.Errorf("no model %q; see `forebay models`", c.ID)
}

// priceFlags are what tokens cost, per million.
type priceFlags struct {
	Input      string  `help:"A million input tokens." placeholder:"\"0.25 USD\""`
	Output     string  `help:"A million output tokens." placeholder:"\"1.25 USD\""`
	CacheRead  string  `help:"A million input tokens read from a prompt cache." placeholder:"\"0.03 USD\""`
	CacheWrite string  `help:"A million input tokens written to a prompt cache." placeholder:"\"0.30 USD\""`
	Priority   float64 `help:"What the priority tier costs, as a multiple, such as 1.75; unknown when left out."`
	Flex       float64 `help:"What the flex tier costs, as a multiple."`
	Batch      float64 `help:"What batch costs, as a multiple."`
	Source     string  `help:"Where the price comes from."`
	Date       string  `help:"Since when it holds, such as 2026-01-31."`
}

func (f *priceFlags) price() *config.Price {
	p := config.Price{
		Input: f.Input, Output: f.Output, CacheRead: f.CacheRead, CacheWrite: f.CacheWrite, Priority: f.Priority, Flex: f.Flex, Batch: f.Batch,
		Source: f.Source, Date: f.Date,
	}
	if p == (config.Price{}) {
		return nil
	}
	return &p
}

type modelAdd struct {
	remote
	limitFlags
	priceFlags `embed:"" prefix:"price-"`
	ID         string   `arg:"" help:"Model id: one of the catalogue, a new one, or the ARN of a custom or imported model."`
	Engine     []string `help:"An engine of the server, or one of up --serve's, with its own name of the model." placeholder:"ENGINE[/MODEL]" sep:"none"`
	Base       string   `help:"The model that it was fine-tuned from, whose family and features it has."`
	Family     string   `help:"Dialect of its InvokeModel body, such as anthropic or llama; openai for a new model."`
	Provider   string   `help:"Who made it."`
	Name       string   `help:"A name for people."`
	Context    int64    `help:"Tokens of its context."`
	MaxOutput  int64    `help:"The most tokens of one answer."`
}

// Run implements the verb: engines that the server does not have yet are added first.
func (c *modelAdd) Run(e *env) error {
	if len(c.Engine) == 0 && c.Base == "" {
		return errors.New("say what serves it, --engine ENGINE[/MODEL], or what it was made from, --base MODEL; without an engine it is simulated")
	}
	known, err := c.objects(e, "engines", "")
	if err != nil {
		return err
	}
	m := config.Model{
		Base: c.Base, Family: c.Family, Provider: c.Provider, Name: c.Name, Context: c.Context, MaxOutput: c.MaxOutput, Limits: c.limits(), Price: c.price(),
	}
	for _, target := range c.Engine {
		b, err := c.bind(e, target, known)
		if err != nil {
			return err
		}
		m.Engines = append(m.Engines, b)
	}
	return c.change(e, http.MethodPost, "models/"+url.PathEscape(c.ID), &m)
}

// bind finds or adds the engine of a target.
func (c *modelAdd) bind(e *env, target string, known []admin.Object) (config.Binding, error) {
	name, model, _ := strings.Cut(target, "/")
	for i := range known {
		if known[i].Name == name {
			return config.Binding{Engine: name, Model: model}, nil
		}
	}
	var cfg config.Config
	if err := serve(&cfg, "x="+target); err != nil {
		names := make([]string, len(known))
		for i := range known {
			names[i] = known[i].Name
		}
		return config.Binding{}, fmt.Errorf("%q is neither an engine of the server (%s) nor a URL or one of ollama, llama-server, vllm, lm-studio", target, cmp.Or(strings.Join(names, ", "), "it has none"))
	}
	b := cfg.Models["x"].Engines[0]
	for i := range known {
		if known[i].Name == b.Engine {
			return b, nil
		}
	}
	engine := cfg.Engines[b.Engine]
	body, err := encode(&engine)
	if err != nil {
		return b, err
	}
	var out admin.Object
	return b, c.call(e.ctx, http.MethodPost, "engines/"+url.PathEscape(b.Engine), body, &out)
}

type modelPrice struct {
	remote
	priceFlags
	ID string `arg:"" help:"Model id."`
}

// Run implements the verb.
func (c *modelPrice) Run(e *env) error {
	p := c.price()
	if p == nil || p.Input+p.Output+p.CacheRead+p.CacheWrite == "" {
		return errors.New(`say at least one price, such as --input "0.25 USD" --output "1.25 USD"`)
	}
	return c.change(e, http.MethodPut, "prices/"+url.PathEscape(c.ID), p)
}

type modelRemove struct {
	remote
	ID string `arg:"" help:"Model id."`
}

// Run implements the verb.
func (c *modelRemove) Run(e *env) error {
	return c.change(e, http.MethodDelete, "models/"+url.PathEscape(c.ID), nil)
}
