package cli

import (
	"errors"
	"fmt"
	"net/http"

	"forebay/config"
)

type configCmd struct {
	Validate configValidate `cmd:"" help:"Check a configuration file and report everything that is wrong."`
	Show     configShow     `cmd:"" help:"Show the configuration that a running server has in force, or what a file makes of the defaults."`
	Schema   configSchema   `cmd:"" help:"Print the JSON schema of forebay.yaml, for editors."`
	Export   configExport   `cmd:"" help:"Print what was made at run time, to be declared in forebay.yaml."`
}

type configValidate struct {
	File string `arg:"" optional:"" help:"Configuration file; forebay.yaml of this folder when left out." type:"path"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run implements the verb.
func (c *configValidate) Run(e *env) error {
	cfg, err := config.Load(c.File)
	if err == nil {
		err = cfg.Validate()
	}
	var faults config.Faults
	if c.JSON && (err == nil || errors.As(err, &faults)) {
		list := make([]map[string]any, 0, len(faults))
		for i := range faults {
			f := &faults[i]
			list = append(list, map[string]any{"file": f.File, "line": f.Line, "path": f.Path, "text": f.Text})
		}
		if jerr := printJSON(e, map[string]any{"valid": err == nil, "faults": list}); jerr != nil {
			return jerr
		}
		if err != nil {
			return errors.New("the configuration is not valid")
		}
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Out, "the configuration is valid")
	return err
}

type configShow struct {
	remote
	File string `arg:"" optional:"" help:"Show what this file makes of the defaults, without a server." type:"path"`
}

// Run implements the verb. Secrets are references (env:NAME, file:PATH), so none can show.
func (c *configShow) Run(e *env) error {
	if c.File == "" {
		return c.yaml(e, "config")
	}
	cfg, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	b, err := cfg.Marshal()
	if err != nil {
		return err
	}
	_, err = e.Out.Write(b)
	return err
}

// yaml prints a document of the admin API that is YAML.
func (r *remote) yaml(e *env, path string) error {
	var out struct {
		YAML string `json:"yaml"`
	}
	if err := r.call(e.ctx, http.MethodGet, path, nil, &out); err != nil {
		return err
	}
	if r.JSON {
		return printJSON(e, out)
	}
	_, err := fmt.Fprint(e.Out, out.YAML)
	return err
}

type configExport struct{ remote }

// Run implements the verb.
func (c *configExport) Run(e *env) error { return c.yaml(e, "config/export") }

type configSchema struct{}

// Run implements the verb.
func (configSchema) Run(e *env) error {
	_, err := e.Out.Write(config.Schema())
	return err
}
