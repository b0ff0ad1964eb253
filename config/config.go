// Package config reads forebay.yaml: defaults, then the file, then the environment, then
// flags. It is strict: unknown and duplicate members are faults, and everything else
// that is wrong is reported at once, by its path.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/identity"
	"forebay/meter"
	"forebay/perf"

	"github.com/goccy/go-yaml"
)

// Config is the whole configuration.
type Config struct {
	Server  Server            `yaml:"server"`
	DataDir string            `yaml:"data_dir"`
	Account Account           `yaml:"account"`
	Teams   map[string]Limits `yaml:"teams"`
	Keys    []Key             `yaml:"keys"`
	Engines map[string]Engine `yaml:"engines"`
	Models  map[string]Model  `yaml:"models"`
	Aliases map[string]string `yaml:"aliases"`
	// Charge says by whose price a call is charged, by alias or model: "served" (the default)
	// or "asked" (the catalogue's model whose name the caller used).
	Charge map[string]string `yaml:"charge"`
	// Quotas is a preset of account quotas: "none".
	Quotas  string  `yaml:"quotas"`
	Ledger  Ledger  `yaml:"ledger"`
	Logging Logging `yaml:"logging"`
	Tracing Tracing `yaml:"tracing"`

	// Path is the file that was read, "" for none.
	Path string `yaml:"-"`
	// NoAuth accepts every caller as the account, on loopback only.
	NoAuth bool `yaml:"-"`
	// Hint is the command that puts a real model in place of the simulated engine.
	Hint string `yaml:"-"`
}

// Server is the front door.
type Server struct {
	Listen    string        `yaml:"listen"`
	TLSListen string        `yaml:"tls_listen"` // "" serves no TLS
	TLSCert   string        `yaml:"tls_cert"`   // PEM file; "" makes a development certificate
	TLSKey    string        `yaml:"tls_key"`
	KeepAlive time.Duration `yaml:"keep_alive"`  // silence before a comment on event streams
	Stall     time.Duration `yaml:"stall"`       // how long a client may take to read
	Drain     time.Duration `yaml:"drain"`       // how long a stop waits for calls
	BodyLimit int64         `yaml:"body_limit"`  // bytes of one body
	Bodies    int64         `yaml:"body_budget"` // bytes of all bodies in memory at one time; 0 is no bound
	// HeaderTimeout and BodyTimeout bound how long a client may take to send its head and its body.
	HeaderTimeout time.Duration `yaml:"header_timeout"`
	BodyTimeout   time.Duration `yaml:"body_timeout"`
	HeaderLimit   int           `yaml:"header_limit"` // bytes of one head
	// Connections and PerAddress bound open connections in total and of one client address; 0 is no bound.
	Connections int `yaml:"max_connections"`
	PerAddress  int `yaml:"max_connections_per_address"`

	Region string `yaml:"region"`
	Strict bool   `yaml:"strict_region"` // refuse other regions in scopes and ARNs
}

// Account is the account that everything belongs to.
type Account struct {
	ID     string            `yaml:"id"`
	Zone   string            `yaml:"billing_zone"`
	Limits Limits            `yaml:"limits"`
	Models map[string]Limits `yaml:"models"`
}

// Limits are quotas and budgets. Money is written as "12.50 USD".
type Limits struct {
	RequestsPerMinute int64  `yaml:"requests_per_minute"`
	TokensPerMinute   int64  `yaml:"tokens_per_minute"`
	TokensPerDay      int64  `yaml:"tokens_per_day"`
	SpendPerDay       string `yaml:"spend_per_day"`
	SpendPerMonth     string `yaml:"spend_per_month"`
}

// Key is a key that the configuration declares. Its secret comes from the environment or a file.
type Key struct {
	Name   string   `yaml:"name"`
	Kind   string   `yaml:"kind"` // "api-key" or "access-key"
	ID     string   `yaml:"id"`   // the access key id of an access-key
	Secret string   `yaml:"secret"`
	Team   string   `yaml:"team"`
	Allow  []string `yaml:"actions"`
	Models []string `yaml:"models"`
	Tier   string   `yaml:"max_tier"`
	Limits Limits   `yaml:"limits"`
}

// Engine is something that answers calls.
type Engine struct {
	Type       string        `yaml:"type"` // openai, anthropic, bedrock, simulated
	URL        string        `yaml:"url"`
	APIKey     string        `yaml:"api_key"` // env:NAME or file:PATH
	Region     string        `yaml:"region"`
	Slots      int32         `yaml:"slots"` // concurrent calls; 0 is many
	Connect    time.Duration `yaml:"connect_timeout"`
	FirstToken time.Duration `yaml:"first_token_timeout"`
	Between    time.Duration `yaml:"between_tokens_timeout"`
	Total      time.Duration `yaml:"total_timeout"`
	ProbeEvery time.Duration `yaml:"probe_every"`
	Flavour    string        `yaml:"flavour"` // llama-server, vllm, sglang, tgi, ollama, openai, chat
	Profile    string        `yaml:"profile"` // of a simulated engine
	Seed       uint64        `yaml:"seed"`
	Directives bool          `yaml:"directives"` // a simulated engine obeys prompts, for tests
	Cost       *Price        `yaml:"cost"`       // what the engine's tokens cost us, whichever the model
	// Resolve is "dns" for a URL whose name has several addresses (a headless service): each is a
	// replica of its own, with its own health and slots, that comes and goes with its record.
	Resolve string `yaml:"resolve"`
}

// Model binds a model of the catalogue, or a new one, to engines.
type Model struct {
	Engines   []Binding     `yaml:"engines"`
	Family    string        `yaml:"family"` // new models
	Provider  string        `yaml:"provider"`
	Name      string        `yaml:"name"`
	Context   int64         `yaml:"context"`
	MaxOutput int64         `yaml:"max_output"`
	Price     *Price        `yaml:"price"`
	Guardrail string        `yaml:"guardrails"` // "ignore" serves calls that name one: rules.guardrails: drop
	MaxQueue  int32         `yaml:"max_queue"`
	MaxWait   time.Duration `yaml:"max_wait"`

	// Features are what the model has, in place of what the catalogue says.
	Features []string `yaml:"features"`
	// Rules say what becomes of parts of a request, by feature: serve, drop or refuse.
	Rules map[string]catalog.Rule `yaml:"rules"`

	// Time-outs of the model's calls, in place of the engine's.
	FirstToken time.Duration `yaml:"first_token_timeout"`
	Between    time.Duration `yaml:"between_tokens_timeout"`
	Total      time.Duration `yaml:"total_timeout"`
}

// Binding says which engine serves a model, and under which name.
type Binding struct {
	Engine  string `yaml:"engine"`
	Model   string `yaml:"model"`
	Weight  int32  `yaml:"weight"`
	Standby bool   `yaml:"standby"`
	Cost    *Price `yaml:"cost"` // what this model's tokens cost us on this engine
}

// Price is a price per million tokens, as "0.25 USD".
type Price struct {
	Input      string `yaml:"input"`
	Output     string `yaml:"output"`
	CacheRead  string `yaml:"cache_read"`
	CacheWrite string `yaml:"cache_write"`
	Date       string `yaml:"date"`   // since when it holds, 2026-01-31
	Source     string `yaml:"source"` // where it comes from
}

// Ledger says how rows are kept.
type Ledger struct {
	Sync      string `yaml:"sync"`              // normal, full
	OnFailure string `yaml:"on_ledger_failure"` // refuse, serve
}

// Logging says what is logged.
type Logging struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"` // text, json
	Access bool   `yaml:"access"` // one line for every request
	// Prompts adds the bodies of requests to the lines of the access log.
	Prompts bool `yaml:"prompts"`
}

// Tracing says where OpenTelemetry traces go. Without an endpoint here or in the standard
// variable OTEL_EXPORTER_OTLP_ENDPOINT nothing is traced.
type Tracing struct {
	Endpoint string            `yaml:"endpoint"` // of OTLP over HTTP, such as http://127.0.0.1:4318
	Headers  map[string]string `yaml:"headers"`  // env:NAME or file:PATH each
	Sample   float64           `yaml:"sample"`   // share of the calls whose caller has not decided, 0 to 1
	Prompts  bool              `yaml:"prompts"`  // record the bodies of requests
}

// Default returns the configuration without a file.
func Default() Config {
	return Config{
		Server: Server{
			Listen: "127.0.0.1:8484", TLSListen: "127.0.0.1:0", KeepAlive: 15 * time.Second, Stall: 2 * time.Minute, Drain: 30 * time.Second,
			BodyLimit: 25 << 20, Bodies: 1 << 30, Region: "us-east-1",
			HeaderTimeout: 10 * time.Second, BodyTimeout: 5 * time.Minute, HeaderLimit: 64 << 10, Connections: 16384, PerAddress: 8192,
		},
		DataDir: dataDir(), Account: Account{ID: "000000000000", Zone: "UTC"}, Quotas: "none",
		Ledger: Ledger{Sync: "normal", OnFailure: "refuse"}, Logging: Logging{Level: "info", Format: "text"}, Tracing: Tracing{Sample: 1},
		Hint: "forebay up --serve MODEL=http://127.0.0.1:11434/v1/NAME",
	}
}

// dataDir is the XDG data directory's.
func dataDir() string {
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "forebay")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "forebay-data"
	}
	return filepath.Join(home, ".local", "share", "forebay")
}

// Load reads the file at path over the defaults, then the environment (FOREBAY_LISTEN,
// FOREBAY_DATA_DIR). An empty path reads forebay.yaml of the working directory if it is there.
func Load(path string) (Config, error) {
	c := Default()
	named := path != ""
	if !named {
		path = "forebay.yaml"
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own file
	switch {
	case err == nil:
		c.Path = path
		if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
			return c, fmt.Errorf("%s: %s", path, strings.TrimSpace(yaml.FormatError(err, false, true)))
		}
	case named || !errors.Is(err, fs.ErrNotExist):
		return c, err
	}
	if v := os.Getenv("FOREBAY_LISTEN"); v != "" {
		c.Server.Listen = v
	}
	if v := os.Getenv("FOREBAY_DATA_DIR"); v != "" {
		c.DataDir = v
	}
	return c, nil
}

// checker collects what is wrong.
type checker struct{ errs []error }

func (k *checker) bad(path, format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf(path+": "+format, args...))
}

var accountID = regexp.MustCompile(`^\d{12}$`)

// Validate reports everything that is wrong, at once.
func (c *Config) Validate() error {
	var k checker
	if !accountID.MatchString(c.Account.ID) {
		k.bad("account.id", "%q is not twelve digits", c.Account.ID)
	}
	if _, err := time.LoadLocation(c.Account.Zone); err != nil {
		k.bad("account.billing_zone", "%q is no time zone, use a name such as Europe/Rome", c.Account.Zone)
	}
	for _, x := range [][2]string{{"server.listen", c.Server.Listen}, {"server.tls_listen", c.Server.TLSListen}} {
		if x[1] == "" && x[0] == "server.tls_listen" {
			continue
		}
		host, _, err := net.SplitHostPort(x[1])
		if err != nil {
			k.bad(x[0], "%q is not HOST:PORT", x[1])
		} else if ip := net.ParseIP(host); c.NoAuth && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			k.bad(x[0], "without authentication only loopback addresses may be listened on, not %q", host)
		}
	}
	if c.Server.BodyLimit < 1 || c.Server.BodyLimit > 1<<30 {
		k.bad("server.body_limit", "%d is not between 1 and %d bytes", c.Server.BodyLimit, 1<<30)
	}
	oneOf := func(path, v string, allowed ...string) {
		if !slices.Contains(allowed, v) {
			k.bad(path, "%q is not one of %s", v, strings.Join(allowed, ", "))
		}
	}
	oneOf("quotas", c.Quotas, "none")
	oneOf("ledger.sync", c.Ledger.Sync, "normal", "full")
	oneOf("ledger.on_ledger_failure", c.Ledger.OnFailure, "refuse", "serve")
	oneOf("logging.level", c.Logging.Level, "debug", "info", "warn", "error")
	oneOf("logging.format", c.Logging.Format, "text", "json")
	c.Account.Limits.check(&k, "account.limits")
	for _, name := range sorted(c.Account.Models) {
		l := c.Account.Models[name]
		l.check(&k, "account.models."+name)
	}
	for _, name := range sorted(c.Teams) {
		l := c.Teams[name]
		l.check(&k, "teams."+name)
	}
	c.checkKeys(&k)
	c.checkEngines(&k)
	c.checkModels(&k)
	c.checkOperation(&k)
	return errors.Join(k.errs...)
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (c *Config) checkKeys(k *checker) {
	seen := map[string]bool{}
	for i, key := range c.Keys {
		path := fmt.Sprintf("keys[%d]", i)
		switch {
		case key.Name == "":
			k.bad(path+".name", "is missing")
		case seen[key.Name]:
			k.bad(path+".name", "%q occurs twice", key.Name)
		}
		seen[key.Name] = true
		if key.Kind != "api-key" && key.Kind != "access-key" {
			k.bad(path+".kind", "%q is not one of api-key, access-key", key.Kind)
		}
		if key.Kind == "access-key" && key.ID == "" {
			k.bad(path+".id", "an access-key needs its access key id")
		}
		if _, err := Secret(key.Secret); err != nil {
			k.bad(path+".secret", "%v", err)
		}
		if _, ok := c.Teams[key.Team]; key.Team != "" && !ok {
			k.bad(path+".team", "no team %q is declared", key.Team)
		}
		switch key.Tier {
		case "", "priority", "default", "flex":
		default:
			k.bad(path+".max_tier", "%q is not one of priority, default, flex", key.Tier)
		}
		key.Limits.check(k, path+".limits")
	}
}

func (c *Config) checkEngines(k *checker) {
	for _, name := range sorted(c.Engines) {
		e, path := c.Engines[name], "engines."+name
		switch e.Type {
		case "openai", "anthropic":
			if e.URL == "" {
				k.bad(path+".url", "is missing")
			}
		case "bedrock":
		case "simulated":
			if e.Profile != "" {
				if _, err := perf.Named(e.Profile); err != nil {
					k.bad(path+".profile", "%v", err)
				}
			}
		default:
			k.bad(path+".type", "%q is not one of openai, anthropic, bedrock, simulated", e.Type)
		}
		if e.Resolve != "" && (e.Resolve != "dns" || e.Type != "openai" && e.Type != "anthropic") {
			k.bad(path+".resolve", "%q: only dns can be said, of engines of type openai and anthropic", e.Resolve)
		}
		if e.APIKey != "" {
			if _, err := Secret(e.APIKey); err != nil {
				k.bad(path+".api_key", "%v", err)
			}
		}
		e.Cost.check(k, path+".cost")
	}
}

func (c *Config) checkModels(k *checker) {
	for _, id := range sorted(c.Models) {
		m, path := c.Models[id], "models."+id
		for i, b := range m.Engines {
			if _, ok := c.Engines[b.Engine]; !ok {
				k.bad(fmt.Sprintf("%s.engines[%d].engine", path, i), "no engine %q is declared", b.Engine)
			}
			b.Cost.check(k, fmt.Sprintf("%s.engines[%d].cost", path, i))
		}
		if m.Guardrail != "" && m.Guardrail != "ignore" {
			k.bad(path+".guardrails", "%q: only ignore can be said", m.Guardrail)
		}
		c.checkRules(k, &m, path)
		m.Price.check(k, path+".price")
	}
}

func (l *Limits) check(k *checker, path string) {
	if _, err := l.Parse(); err != nil {
		k.bad(path, "%v", err)
	}
}

// Parse returns the limits as the scheduler takes them.
func (l *Limits) Parse() (identity.Limits, error) {
	out := identity.Limits{RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute, TokensPerDay: l.TokensPerDay}
	if l.RequestsPerMinute < 0 || l.TokensPerMinute < 0 || l.TokensPerDay < 0 {
		return out, errors.New("limits must not be negative; leave them out for no limit")
	}
	var err error
	var cur string
	if l.SpendPerDay != "" {
		if out.SpendPerDay, cur, err = Money(l.SpendPerDay); err != nil {
			return out, err
		}
		out.Currency = cur
	}
	if l.SpendPerMonth != "" {
		if out.SpendPerMonth, cur, err = Money(l.SpendPerMonth); err != nil {
			return out, err
		}
		if out.Currency != "" && out.Currency != cur {
			return out, errors.New("the limits per day and per month are in different currencies")
		}
		out.Currency = cur
	}
	return out, nil
}

// Rates are parsed prices, nano-units per million tokens.
type Rates struct {
	Currency                             string
	Input, Output, CacheRead, CacheWrite *int64
}

// Parse returns the prices in nano-units.
func (p *Price) Parse() (Rates, error) {
	var r Rates
	for _, x := range []struct {
		text string
		to   **int64
	}{{p.Input, &r.Input}, {p.Output, &r.Output}, {p.CacheRead, &r.CacheRead}, {p.CacheWrite, &r.CacheWrite}} {
		if x.text == "" {
			continue
		}
		v, cur, err := Money(x.text)
		if err != nil {
			return r, err
		}
		if v%1000 != 0 {
			return r, fmt.Errorf("%q has more than six places", x.text)
		}
		if r.Currency != "" && r.Currency != cur {
			return r, errors.New("the prices of a model must be in one currency")
		}
		r.Currency = cur
		*x.to = &v
	}
	return r, nil
}

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

// Money reads "0.25 USD" as nano-units and a currency.
func Money(s string) (int64, string, error) {
	amount, cur, ok := strings.Cut(s, " ")
	if !ok || !currencyCode.MatchString(cur) {
		return 0, "", fmt.Errorf("%q is not an amount with its currency, such as \"0.25 USD\"", s)
	}
	v, err := meter.ParseMoney(amount)
	if err != nil || v < 0 {
		return 0, "", fmt.Errorf("%q is not an amount with its currency, such as \"0.25 USD\"", s)
	}
	return v, cur, nil
}

// Secret reads a secret by reference: env:NAME or file:PATH. A secret written into the
// file itself is refused, so that it does not end in a repository.
func Secret(ref string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if v := os.Getenv(name); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		b, err := os.ReadFile(path) //nolint:gosec // the operator's own file
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(string(b)), nil
	}
	return "", errors.New("write env:NAME or file:PATH, not the secret itself")
}
