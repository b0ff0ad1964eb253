package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"

	"forebay/api/admin"
	"forebay/config"
	"forebay/internal/version"
	"forebay/meter"
)

type doctorCmd struct {
	remote
	ConfigPath string `name:"config" help:"Configuration file." type:"path" placeholder:"FILE"`
}

// check is one line of the report.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Run implements the verb.
func (c *doctorCmd) Run(e *env) error {
	var list []check
	add := func(name string, err error, ok string) {
		ck := check{Name: name, OK: err == nil, Detail: ok}
		if err != nil {
			ck.Detail = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		list = append(list, ck)
	}
	add("program", nil, version.String()+", "+runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH)
	cfg, err := config.Load(c.ConfigPath)
	if c.DataDir != "" {
		cfg.Override("data_dir", func() { cfg.DataDir = c.DataDir })
	}
	if err == nil {
		err = cfg.Validate()
	}
	add("configuration", err, "valid: "+cmp.Or(cfg.Path, "the defaults, without a file"))
	st, err := os.Stat(cfg.DataDir)
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s can be read by others (mode %o); run chmod 700 on it", cfg.DataDir, st.Mode().Perm())
	}
	add("data directory", err, cfg.DataDir)
	machine(&cfg, add)
	checkWeights(e, &cfg, add)
	c.server(e, add)
	c.purchases(e, add)
	for _, f := range look(e.ctx, knownEngines) {
		add("engine on this machine", nil, fmt.Sprintf("%s at %s serves %s: forebay models add MODEL --engine %s/NAME", f.title, f.URL, strings.Join(f.models, ", "), f.name))
	}
	if err := report(e, c.JSON, list); err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(ck check) bool { return !ck.OK }) {
		return errors.New("some checks failed")
	}
	return nil
}

// report prints the checks.
func report(e *env, asJSON bool, list []check) error {
	if asJSON {
		return printJSON(e, list)
	}
	rows := make([][]string, len(list))
	for i, ck := range list {
		mark := "ok"
		if !ck.OK {
			mark = "FAULT"
		}
		rows[i] = []string{mark, ck.Name, ck.Detail}
	}
	return table(e, "\tCHECK\tDETAIL", rows)
}

// purchases adds those whose pools have shrunk below what is sold of them, and those that are not as forebay.yaml has them.
func (c *doctorCmd) purchases(e *env, add func(string, error, string)) {
	var out struct {
		Provisioned []admin.Provisioned `json:"provisioned"`
	}
	if c.call(e.ctx, http.MethodGet, "provisioned", nil, &out) != nil {
		return // whose key may not read them
	}
	for i := range out.Provisioned {
		if p := &out.Provisioned[i]; p.Shortage != "" {
			add("purchase "+p.Name, errors.New(p.Shortage), "")
		}
		if p := &out.Provisioned[i]; p.Pending != "" && p.ManagedBy != "" {
			add("purchase "+p.Name, fmt.Errorf("not as %s has it: %s", p.ManagedBy, p.Pending), "")
		}
	}
}

// server adds what a running server says of itself.
func (c *doctorCmd) server(e *env, add func(string, error, string)) {
	var st struct {
		Version  string `json:"version"`
		Uptime   string `json:"uptime"`
		URL      string `json:"url"`
		Ready    bool   `json:"ready"`
		NotReady string `json:"notReady"`
		Ledger   *struct {
			Rows int64 `json:"rowsSinceStart"`
			Lost int64 `json:"rowsLost"`
		} `json:"ledger"` // of these, another account than the operator's is told nothing
		Engines []struct {
			Name     string `json:"name"`
			Up       bool   `json:"up"`
			Failures int    `json:"failures"`
		} `json:"engines"`
		Recording *struct {
			Dir     string `json:"dir"`
			Bytes   int64  `json:"bytes"`
			Stopped string `json:"stopped"`
		} `json:"recording"`
	}
	if err := c.call(e.ctx, http.MethodGet, "status", nil, &st); err != nil {
		add("server", err, "")
		return
	}
	add("server", nil, fmt.Sprintf("%s at %s, up %s", st.Version, st.URL, st.Uptime))
	var err error
	if !st.Ready {
		err = errors.New(cmp.Or(st.NotReady, "not ready"))
	}
	switch l := st.Ledger; {
	case l != nil:
		add("ledger", err, fmt.Sprintf("%d rows since the start, %d lost", l.Rows, l.Lost))
	case err != nil:
		add("calls", err, "")
	}
	for _, en := range st.Engines {
		err = nil
		if !en.Up {
			err = fmt.Errorf("taken out after %d failures", en.Failures)
		}
		add("engine "+en.Name, err, "up")
	}
	if r := st.Recording; r != nil {
		err = nil
		if r.Stopped != "" {
			err = fmt.Errorf("stopped: %s", r.Stopped)
		}
		add("recording", err, fmt.Sprintf("%d bytes of events written to %s", r.Bytes, r.Dir))
	}
	var usage struct {
		GaveUp []meter.GaveUp `json:"clientsGaveUp"`
	}
	if c.call(e.ctx, http.MethodGet, "usage", nil, &usage) == nil {
		for _, g := range usage.GaveUp {
			add("clients", nil, fmt.Sprintf("gave up after %d s, %d times; if their calls take longer, raise their time-out (boto3: read_timeout; the time-out of a function), or stream", g.Seconds, g.Times))
		}
	}
}
