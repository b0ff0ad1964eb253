package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"forebay/api/admin"
	"forebay/calibrate"
	"forebay/config"
	"forebay/perf"
	"forebay/server"

	"github.com/go-json-experiment/json/jsontext"
)

type calibrateCmd struct {
	remote
	ID        string        `arg:"" help:"Model id."`
	Engine    string        `help:"Which engine of the model is measured, where it has several." placeholder:"NAME"`
	URL       string        `name:"url" help:"Ask the engine itself at its OpenAI-compatible address, such as http://127.0.0.1:8000/v1, instead of the server." placeholder:"URL"`
	EngineKey string        `help:"With --url: where the engine's key is, env:NAME or file:PATH." placeholder:"REF"`
	Upstream  string        `help:"With --url: the engine's own name of the model." placeholder:"NAME"`
	Counters  string        `help:"Fit the counters of a run instead of asking: CSV with the columns t, prompt_throughput, gen_throughput, running, waiting, kv_tokens, once a second." type:"path" placeholder:"FILE" xor:"counters"`
	Metrics   string        `help:"Follow the engine while it serves others instead of asking: the address of vLLM's metrics, such as http://127.0.0.1:8000/metrics, once a second." placeholder:"URL" xor:"counters"`
	For       time.Duration `help:"With --metrics: for how long." default:"2m"`
	Within    bool          `help:"With --counters or --metrics, and --dry-run: take counters that do not span what the engine does; the coefficients hold where they are, and nowhere else."`
	Quick     bool          `help:"The recipe of two points, alone and at the limit: quicker, and without intervals."`

	Slots  int   `help:"Calls that the engine runs at once; found out when left out."`
	Most   int   `help:"Calls at once that are tried." default:"256"`
	Chunk  int64 `help:"Tokens that a step reads and produces at most, as the engine is set (vLLM: max_num_batched_tokens)." default:"2048"`
	KV     int64 `name:"kv" help:"Tokens that the engine's memory holds, as it says; otherwise the most that was seen." placeholder:"TOKENS"`
	Tokens int64 `help:"Tokens of an answer in batches." default:"64"`
	Prompt int64 `help:"The longest prompt in batches, and half of the longest alone." default:"1024"`
	Repeat int   `help:"Times that each cell is asked." default:"2"`

	Typical    string `help:"Tokens of a typical call, INPUT/OUTPUT, by which the unit is sized." default:"1000/100" placeholder:"IN/OUT"`
	PerReplica int    `help:"Model units that a replica backs when they are bought one by one." default:"4"`
	Force      bool   `help:"Keep the result although its errors are large."`
	DryRun     bool   `help:"Do not keep the result."`
	SVG        string `name:"svg" help:"Draw the fit beside the measurements." type:"path" placeholder:"FILE"`
	HTML       string `name:"html" help:"Write the report, with its plots, as one page." type:"path" placeholder:"FILE"`
}

// largeError is the error of a fit beyond which nothing should be sold by it.
const largeError = 0.15

// Run implements the verb.
func (c *calibrateCmd) Run(e *env) error {
	mix, err := typical(c.Typical)
	if err == nil && (c.KV < 0 || c.PerReplica < 1) {
		err = errors.New("--kv must not be negative, and --per-replica at least 1")
	}
	if err != nil {
		return err
	}
	engine, err := c.engineOf(e)
	if err != nil {
		return err
	}
	r := &calibrated{Model: c.ID, Engine: engine, At: time.Now().UTC().Truncate(time.Second), mix: mix, parts: c.PerReplica}
	if c.counted() {
		err = c.fitCounters(e, r)
	} else {
		err = c.measure(e, r)
	}
	if err != nil {
		return err
	}
	if err := r.conclude(); err != nil {
		return err
	}
	body, err := encode(&r.kept)
	if err != nil {
		return err
	}
	if err := c.show(e, r, body); err != nil || c.DryRun {
		return err
	}
	if r.fit.Error > largeError && !c.Force {
		return fmt.Errorf("not kept: the fit's errors are %.0f %% in the mean, so what is sold by it would not be kept up; measure while nothing else runs, with more --repeat, or use --force", 100*r.fit.Error)
	}
	var out admin.Object
	if err := c.call(e.ctx, http.MethodPut, "calibrations/"+url.PathEscape(c.ID+"/"+engine), body, &out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.Err, "kept as %s; see `forebay models show %s`\n", out.Name, c.ID)
	return err
}

// counted says whether what an engine has published is fitted.
func (c *calibrateCmd) counted() bool { return c.Counters != "" || c.Metrics != "" }

// typical reads IN/OUT.
func typical(s string) (m perf.Mix, err error) {
	in, out, _ := strings.Cut(s, "/")
	for _, x := range []struct {
		text string
		to   *int64
	}{{in, &m.Input}, {out, &m.Output}} {
		if *x.to, err = strconv.ParseInt(x.text, 10, 64); err != nil || *x.to < 1 || *x.to > 1<<30 {
			return m, fmt.Errorf("--typical %q is not INPUT/OUTPUT in tokens, such as 1000/100", s)
		}
	}
	return m, nil
}

// engineOf is the name of the engine that is measured.
func (c *calibrateCmd) engineOf(e *env) (string, error) {
	list, err := c.models(e)
	if err != nil {
		return "", err
	}
	for i := range list {
		m := &list[i]
		if m.ID != c.ID {
			continue
		}
		if m.Embeds() {
			return "", errors.New("models of embeddings give no tokens that could be timed; declare what their engines can do in forebay.yaml (calibrations)")
		}
		names := make([]string, len(m.Capacity))
		for k := range m.Capacity {
			if names[k] = m.Capacity[k].Engine; names[k] == c.Engine && (len(names) == 1 || c.URL != "" || c.counted()) {
				return c.Engine, nil
			}
		}
		switch {
		case len(names) == 0:
			return "", fmt.Errorf("only keys of the operator's account may measure %s", c.ID)
		case c.Engine == "" && len(names) == 1:
			return names[0], nil
		case len(names) > 1:
			return "", fmt.Errorf("%s is served by %s, and the server may choose any: say --engine and the engine's --url", c.ID, strings.Join(names, ", "))
		}
		return "", fmt.Errorf("%s has no engine %q; it has %s", c.ID, c.Engine, strings.Join(names, ", "))
	}
	return "", fmt.Errorf("no model %q; see `forebay models`", c.ID)
}

// target is where calls go, and by which name of the model.
func (c *calibrateCmd) target() (server.Credentials, string, error) {
	if c.URL == "" {
		cred, err := c.credentials()
		return cred, c.ID, err
	}
	cred := server.Credentials{URL: strings.TrimSuffix(strings.TrimSuffix(c.URL, "/"), "/v1")}
	if c.EngineKey != "" {
		var err error
		if cred.APIKey, err = config.Secret(c.EngineKey); err != nil {
			return cred, "", fmt.Errorf("--engine-key: %w", err)
		}
	}
	if c.Upstream != "" {
		return cred, c.Upstream, nil
	}
	return cred, c.ID, nil
}

// measure asks the engine.
func (c *calibrateCmd) measure(e *env, r *calibrated) error {
	cred, model, err := c.target()
	if err != nil {
		return err
	}
	d := calibrate.Usual
	d.Slots, d.Most, d.Chunk, d.Output, d.Long, d.Repeat, d.Told = c.Slots, c.Most, c.Chunk, c.Tokens, c.Prompt, c.Repeat, c.bar(e)
	d.Short = min(d.Short, max(1, d.Long/4))
	d.Prompts = nil
	for _, share := range []int64{1, 4, 16, 32, 60} {
		d.Prompts = append(d.Prompts, max(1, min(c.Prompt*share/32, c.Chunk-c.Chunk/16)))
	}
	q := newQuestioner(cred, model)
	if err := q.learn(e.ctx); err != nil {
		return err
	}
	m, err := calibrate.Measure(e.ctx, d, q.ask)
	if e.Terminal {
		_, _ = fmt.Fprint(e.Err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	r.slots, r.limited, r.kv, r.full, r.chunk, r.samples = m.Slots, m.Limited || c.Slots > 0, m.Held, m.Full, c.Chunk, m.Samples
	if c.KV > 0 {
		r.kv, r.full = c.KV, true
	}
	if c.Quick {
		return r.twoPoint(m)
	}
	r.fit, err = calibrate.Fit(m.Samples, calibrate.Span{Batch: m.Slots})
	return err
}

// bar shows on a terminal how far it is.
func (c *calibrateCmd) bar(e *env) func(calibrate.Cell, int, int) {
	if !e.Terminal {
		return nil
	}
	return func(x calibrate.Cell, done, total int) {
		const width = 30
		full := min(width, done*width/total)
		_, _ = fmt.Fprintf(e.Err, "\r\x1b[K[%s%s] %d/%d  %d x %d tokens", strings.Repeat("#", full), strings.Repeat(".", width-full), done, total, x.Batch, x.Prompt)
	}
}

// show prints the result, and writes the files that were asked for.
func (c *calibrateCmd) show(e *env, r *calibrated, kept jsontext.Value) error {
	if c.SVG != "" {
		if err := os.WriteFile(c.SVG, []byte(r.steps().SVG()), 0o600); err != nil {
			return err
		}
	}
	if c.HTML != "" {
		if err := os.WriteFile(c.HTML, r.page(), 0o600); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(e, r.report(kept))
	}
	return r.print(e.Out)
}
