package cli

import (
	"errors"
	"fmt"
	"net/http"

	"forebay/api/admin"
	"forebay/config"
)

type configCmd struct {
	Validate configValidate `cmd:"" help:"Check a configuration file and report everything that is wrong."`
	Show     configShow     `cmd:"" help:"Show the configuration that a running server has in force, or what a file makes of the defaults."`
	Schema   configSchema   `cmd:"" help:"Print the JSON schema of forebay.yaml, for editors."`
	Export   configExport   `cmd:"" help:"Print what was made at run time, to be declared in forebay.yaml."`
	Logging  configLogging  `cmd:"" help:"Show where the model invocations of an account are recorded, with prompts and answers."`
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

type configLogging struct {
	remote
	ofAccount
}

// Run implements the verb.
func (c *configLogging) Run(e *env) error {
	var out admin.Logging
	if err := c.call(e.ctx, http.MethodGet, "logging"+c.query(), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, &out)
	}
	if out.Location == "" {
		_, err := fmt.Fprintln(e.Out, "model invocations are not recorded; see PutModelInvocationLoggingConfiguration, or logging.invocations of forebay.yaml")
		return err
	}
	by := ""
	if out.ManagedBy != "" {
		by = ", as " + out.ManagedBy + " says"
	}
	d := out.Data
	_, err := fmt.Fprintf(e.Out, "recorded in %s%s\nbodies of text %t, image %t, embedding %t, video %t, audio %t\n", out.Location, by, d.Text, d.Image, d.Embedding, d.Video, d.Audio)
	if n := out.Records; err == nil && n != nil {
		_, err = fmt.Fprintf(e.Out, "records since the start: %d written, %d dropped, %d failed\n", n.Written, n.Dropped, n.Failed)
	}
	return err
}
