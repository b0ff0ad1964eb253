package cli

import (
	"fmt"

	"forebay/config"

	"github.com/goccy/go-yaml"
)

type configCmd struct {
	Validate configValidate `cmd:"" help:"Check a configuration file and report everything that is wrong."`
	Show     configShow     `cmd:"" help:"Show the configuration in effect: defaults, file and environment."`
	Schema   configSchema   `cmd:"" help:"Print the JSON schema of forebay.yaml, for editors."`
}

type configValidate struct {
	File string `arg:"" optional:"" help:"Configuration file." type:"path"`
}

// Run implements the verb.
func (c *configValidate) Run(e *env) error {
	cfg, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Out, "the configuration is valid")
	return err
}

type configShow struct {
	File string `arg:"" optional:"" help:"Configuration file." type:"path"`
}

// Run implements the verb. Secrets are references (env:NAME, file:PATH), so none can show.
func (c *configShow) Run(e *env) error {
	cfg, err := config.Load(c.File)
	if err != nil {
		return err
	}
	b, err := yaml.Marshal(&cfg)
	if err != nil {
		return err
	}
	_, err = e.Out.Write(b)
	return err
}

type configSchema struct{}

// Run implements the verb.
func (configSchema) Run(e *env) error {
	_, err := e.Out.Write(config.Schema())
	return err
}
