package config

import (
	"fmt"
	"maps"

	"github.com/goccy/go-yaml"
)

// Kinds of objects that can be made at run time, with the form that the file has for them.
const (
	KindAccount     = "account"     // a Tenant
	KindTeam        = "team"        // a Team
	KindEngine      = "engine"      // an Engine
	KindModel       = "model"       // a Model
	KindRoute       = "route"       // a Route
	KindCalibration = "calibration" // a Calibration, named MODEL/ENGINE
)

// NewObject returns an empty object of a kind, nil for no kind.
func NewObject(kind string) any {
	switch kind {
	case KindAccount:
		return new(Tenant)
	case KindTeam:
		return new(Team)
	case KindEngine:
		return new(Engine)
	case KindModel:
		return new(Model)
	case KindRoute:
		return new(Route)
	case KindCalibration:
		return new(Calibration)
	default:
		return nil
	}
}

// Declared returns where an object is declared: a place in the file, or the command line; ""
// when it is not.
func (c *Config) Declared(kind, account, name string) string {
	t := c.Tenants()
	found := false
	switch kind {
	case KindAccount:
		_, found = t[name]
	case KindTeam:
		_, found = t[account].Teams[name]
	case KindEngine:
		_, found = c.Engines[name]
	case KindModel:
		_, found = c.Models[name]
	case KindRoute:
		_, found = c.Routes[name]
	case KindCalibration:
		_, found = c.Calibrations[name]
	}
	if !found {
		return ""
	}
	if at := c.Where(c.objectPath(kind, account, name)); at != "" {
		return at
	}
	return "the command line and defaults"
}

// objectPath is where the file would declare an object.
func (c *Config) objectPath(kind, account, name string) string {
	switch kind {
	case KindAccount:
		return c.tenantPath(name)
	case KindTeam:
		return c.tenantPath(account) + ".teams." + name
	case KindEngine:
		return "engines." + name
	case KindRoute:
		return "routes." + name
	case KindCalibration:
		return "calibrations." + name
	default:
		return "models." + name
	}
}

func (c *Config) tenantPath(id string) string {
	if id == c.Account.ID {
		return "account"
	}
	return "accounts." + id
}

// Clone returns a copy to which objects can be added.
func (c *Config) Clone() *Config {
	out := *c
	out.Accounts, out.Engines, out.Models = maps.Clone(c.Accounts), maps.Clone(c.Engines), maps.Clone(c.Models)
	out.Routes, out.Calibrations = maps.Clone(c.Routes), maps.Clone(c.Calibrations)
	return &out
}

// Add puts an object that was made at run time into a clone. What the file declares stays as
// it is declared.
func (c *Config) Add(kind, account, name string, object any) error {
	switch o := object.(type) {
	case *Tenant:
		if _, ok := c.Tenants()[name]; !ok {
			put(&c.Accounts, name, *o)
		}
	case *Team:
		return c.addTeam(account, name, o)
	case *Engine:
		if _, ok := c.Engines[name]; !ok {
			put(&c.Engines, name, *o)
		}
	case *Model:
		if _, ok := c.Models[name]; !ok {
			put(&c.Models, name, *o)
		}
	case *Route:
		if _, ok := c.Routes[name]; !ok {
			put(&c.Routes, name, *o)
		}
	case *Calibration:
		if _, ok := c.Calibrations[name]; !ok {
			put(&c.Calibrations, name, *o)
		}
	default:
		return fmt.Errorf("%s %q is of no kind that can be added", kind, name)
	}
	return nil
}

func (c *Config) addTeam(account, name string, team *Team) error {
	t, ok := c.Tenants()[account]
	if !ok {
		return fmt.Errorf("team %q is of account %s, which is not there", name, account)
	}
	if _, ok := t.Teams[name]; ok {
		return nil
	}
	t.Teams = maps.Clone(t.Teams)
	put(&t.Teams, name, *team)
	if account == c.Account.ID {
		c.Account.Tenant = t
	} else {
		c.Accounts[account] = t
	}
	return nil
}

func put[V any](m *map[string]V, name string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[name] = v
}

// EncodeObject writes an object as JSON, with the members that the file has.
func EncodeObject(object any) ([]byte, error) {
	text, err := marshal(object)
	if err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(text)
}

// Export writes objects that were made at run time as a part of forebay.yaml, to be declared there.
func (c *Config) Export() ([]byte, error) {
	return marshal(&struct {
		Account      Account                `yaml:"account,omitempty"`
		Accounts     map[string]Tenant      `yaml:"accounts,omitempty"`
		Keys         []Key                  `yaml:"keys,omitempty"`
		Engines      map[string]Engine      `yaml:"engines,omitempty"`
		Models       map[string]Model       `yaml:"models,omitempty"`
		Routes       map[string]Route       `yaml:"routes,omitempty"`
		Provisioned  []Purchase             `yaml:"provisioned,omitempty"`
		Calibrations map[string]Calibration `yaml:"calibrations,omitempty"`
	}{c.Account, c.Accounts, c.Keys, c.Engines, c.Models, c.Routes, c.Provisioned, c.Calibrations})
}
