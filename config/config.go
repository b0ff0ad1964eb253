// Package config reads forebay.yaml: defaults, then the file, then the environment, then
// flags. It is strict: unknown and duplicate members, wrong types and units, values out of
// range and references to nothing are all reported at once, each with its line. The types
// below are the format: the decoder, the JSON schema and the documentation read their tags.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"forebay/catalog"
)

// Config is the whole configuration.
//
// The tags of its members: yaml is the name, doc what the schema says, enum the values
// allowed (an empty one among them makes the member optional), required what must be there,
// format a form that is checked: money or time, min the least duration beside 0 (1ms without it), and live marks what a reload changes.
type Config struct {
	Server       Server                 `yaml:"server,omitempty" doc:"The front door."`
	DataDir      string                 `yaml:"data_dir,omitempty" doc:"Where keys, objects made at run time and the ledger are kept."`
	Account      Account                `yaml:"account,omitempty" live:"true" doc:"The account of the operator and of the development keys."`
	Accounts     map[string]Tenant      `yaml:"accounts,omitempty" live:"true" doc:"Further accounts, by their twelve digits."`
	Keys         []Key                  `yaml:"keys,omitempty" live:"true" doc:"Keys of applications."`
	Engines      map[string]Engine      `yaml:"engines,omitempty" live:"true" doc:"What answers calls, by a name of your choice."`
	Models       map[string]Model       `yaml:"models,omitempty" live:"true" doc:"Models by their id: of the catalogue, or new ones."`
	Aliases      map[string]string      `yaml:"aliases,omitempty" live:"true" doc:"Further names of models."`
	Routes       map[string]Route       `yaml:"routes,omitempty" live:"true" doc:"Names that applications call, each for ways to serve a call in order of preference."`
	Provisioned  []Purchase             `yaml:"provisioned,omitempty" live:"true" doc:"Purchases of provisioned throughput and of the reserved tier, which are made, divided and ended as it says."`
	Buckets      map[string]Bucket      `yaml:"buckets,omitempty" doc:"Where the objects of s3:// locations lie, by the bucket's name; DATA_DIR/objects/NAME for others."`
	Weights      Weights                `yaml:"weights,omitempty" doc:"Where weights of models come from, and how they are kept."`
	Images       map[string]Image       `yaml:"images,omitempty" live:"true" doc:"What the replicas of endpoints run, by the name of the image; llama-server, vllm, sglang, tgi, ollama and python are there without it."`
	Instances    map[string]Instance    `yaml:"instances,omitempty" live:"true" doc:"Instance types of endpoints, such as ml.m5.large."`
	Replicas     Replicas               `yaml:"replicas,omitempty" doc:"What the replicas of endpoints may use of this machine."`
	Calibrations map[string]Calibration `yaml:"calibrations,omitempty" live:"true" doc:"What a replica of an engine can do with a model, by MODEL/ENGINE; forebay calibrate measures it."`
	Charge       map[string]string      `yaml:"charge,omitempty" live:"true" doc:"By whose price a call is charged, by alias or model: served (when left out), or asked, the catalogue's model whose name the caller used."`
	Quotas       string                 `yaml:"quotas,omitempty" live:"true" enum:"none,aws" doc:"A preset of quotas for every account: none, or AWS's published defaults."`
	Ledger       Ledger                 `yaml:"ledger,omitempty" doc:"How the ledger is kept."`
	Logging      Logging                `yaml:"logging,omitempty" doc:"What is logged."`
	Tracing      Tracing                `yaml:"tracing,omitempty" doc:"Where OpenTelemetry traces go."`

	Recording Recording `yaml:"recording,omitempty" doc:"Where the scheduler's events are kept, for forebay replay. Off when left out."`

	// Path is the file that was read, "" for none.
	Path string `yaml:"-"`
	// NoAuth accepts every caller as the account, on loopback only.
	NoAuth bool `yaml:"-"`
	// NoLedger writes no rows, to measure what they cost. Nobody's use is known then, so it goes with NoAuth only.
	NoLedger bool `yaml:"-"`
	// Hint is the command that puts a real model in place of the simulated engine; MODEL in it stands for the model's id.
	Hint string `yaml:"-"`

	source source // what reading the file found
}

// Presets of quotas.
const (
	QuotasNone = "none"
	QuotasAWS  = "aws"
)

// Server is the front door.
type Server struct {
	Listen    string        `yaml:"listen,omitempty" doc:"HOST:PORT; port 0 takes a free one."`
	TLSListen string        `yaml:"tls_listen" doc:"HOST:PORT of the TLS port; empty serves no TLS."`
	TLSCert   string        `yaml:"tls_cert,omitempty" live:"true" doc:"PEM file of the certificate chain; none makes a development certificate. It is read again when it changes."`
	TLSKey    string        `yaml:"tls_key,omitempty" live:"true" doc:"PEM file of the certificate's key."`
	KeepAlive time.Duration `yaml:"keep_alive,omitempty" doc:"Silence before a comment on server-sent events."`
	Stall     time.Duration `yaml:"stall,omitempty" live:"true" min:"1s" doc:"How long a client may take to read what it was sent."`
	Drain     time.Duration `yaml:"drain,omitempty" doc:"How long a stop waits for calls under way."`
	BodyLimit Size          `yaml:"body_limit,omitempty" live:"true" doc:"The largest body of a request."`
	Bodies    Size          `yaml:"body_budget,omitempty" doc:"Memory for the bodies of all requests under way; 0 is no bound."`

	HeaderTimeout time.Duration `yaml:"header_timeout,omitempty" min:"1s" doc:"How long a client may take to send its head."`
	BodyTimeout   time.Duration `yaml:"body_timeout,omitempty" live:"true" min:"1s" doc:"How long a client may take to send its body."`
	HeaderLimit   Size          `yaml:"header_limit,omitempty" doc:"The largest head of a request."`
	Connections   int           `yaml:"max_connections,omitempty" doc:"Open connections; 0 is no bound."`
	PerAddress    int           `yaml:"max_connections_per_address,omitempty" doc:"Open connections of one client address; 0 is no bound."`

	Region string `yaml:"region,omitempty" doc:"The region that this server plays."`
	Strict bool   `yaml:"strict_region,omitempty" live:"true" doc:"Refuse other regions in signatures and ARNs."`
}

// Account is the operator's account: the development keys belong to it, and its keys may
// administer all accounts.
type Account struct {
	ID     string `yaml:"id,omitempty" doc:"Twelve digits, in quotes."`
	Tenant `yaml:",inline"`
}

// Tenant is what an account has beside its id.
type Tenant struct {
	Name   string            `yaml:"name,omitempty" doc:"A name for people."`
	Zone   string            `yaml:"billing_zone,omitempty" doc:"Time zone in which its days and months begin, such as Europe/Rome; UTC when left out."`
	Tier   string            `yaml:"max_tier,omitempty" enum:",priority,default,flex" doc:"The highest tier of service that its calls may ask for."`
	Limits Limits            `yaml:"limits,omitempty" doc:"Quotas and budgets over all its models."`
	Models map[string]Limits `yaml:"models,omitempty" doc:"Quotas and budgets for single models, by model id; in place of the model's own."`
	Teams  map[string]Team   `yaml:"teams,omitempty" doc:"Teams by name."`
	// ModelUnits is nil where nothing is said; 0 buys none.
	ModelUnits *int64 `yaml:"model_units,omitempty" doc:"Model units that its purchases of provisioned throughput may have together; when left out none with quotas: aws, and any number without."`
}

// Team is a part of an account that has keys.
type Team struct {
	Tier   string `yaml:"max_tier,omitempty" enum:",priority,default,flex" doc:"The highest tier of service that its calls may ask for."`
	Limits Limits `yaml:"limits,omitempty" doc:"Quotas and budgets."`
}

// Limits are quotas and budgets. Zero is no limit.
type Limits struct {
	RequestsPerMinute int64  `yaml:"requests_per_minute,omitempty" doc:"Calls a minute."`
	TokensPerMinute   int64  `yaml:"tokens_per_minute,omitempty" doc:"Tokens a minute, held and settled."`
	TokensPerDay      int64  `yaml:"tokens_per_day,omitempty" doc:"Tokens a day in the account's billing zone."`
	ConcurrentCalls   int64  `yaml:"concurrent_calls,omitempty" doc:"Calls in flight at once, those that wait included."`
	SpendPerDay       string `yaml:"spend_per_day,omitempty" format:"money" doc:"Money a day, such as 12.50 USD."`
	SpendPerMonth     string `yaml:"spend_per_month,omitempty" format:"money" doc:"Money a calendar month."`
}

// Key is a key that the configuration declares. Its secret comes from the environment or a file.
type Key struct {
	Name    string `yaml:"name" required:"true" doc:"Name of the key."`
	Kind    string `yaml:"kind" required:"true" enum:"api-key,access-key" doc:"api-key is a bearer token, access-key a pair for AWS signatures."`
	ID      string `yaml:"id,omitempty" doc:"The access key id of an access-key."`
	Secret  string `yaml:"secret,omitempty" doc:"Where the secret is: env:NAME or file:PATH, never the secret itself."`
	Hash    string `yaml:"token_sha256,omitempty" doc:"In place of the secret of an api-key: the SHA-256 of its token, in hex."`
	Account string `yaml:"account,omitempty" doc:"Account that the key belongs to; the operator's when left out."`
	Team    string `yaml:"team,omitempty" doc:"Team that the key belongs to."`
	Policy  `yaml:",inline"`
	Expires string `yaml:"expires,omitempty" format:"time" doc:"When it ends: a date or a time such as 2030-01-31T10:00:00Z."`
}

// Policy is what a key may do, and how much.
type Policy struct {
	Allow  []string `yaml:"actions,omitempty" doc:"Actions that it may perform, with * and ?; every call of models when left out, administration only by name."`
	Models []string `yaml:"models,omitempty" doc:"Models that it may call, with * and ?; all when left out."`
	Tier   string   `yaml:"max_tier,omitempty" enum:",priority,default,flex" doc:"The highest tier of service that its calls may ask for."`
	Limits Limits   `yaml:"limits,omitempty" doc:"Quotas and budgets."`
}

// Engine is something that answers calls.
type Engine struct {
	Type       string        `yaml:"type" required:"true" enum:"openai,anthropic,bedrock,simulated" doc:"The API that it speaks."`
	URL        string        `yaml:"url,omitempty" doc:"Its address, with the path before the operation, such as http://127.0.0.1:8000/v1."`
	APIKey     string        `yaml:"api_key,omitempty" doc:"Where its key is: env:NAME or file:PATH."`
	Region     string        `yaml:"region,omitempty" doc:"Region of a bedrock engine."`
	Slots      int32         `yaml:"slots,omitempty" doc:"Calls that it takes at once; 0 is many."`
	Connect    time.Duration `yaml:"connect_timeout,omitempty" doc:"Bound on connecting."`
	FirstToken time.Duration `yaml:"first_token_timeout,omitempty" doc:"Bound on the wait for the first token of a stream. Pings and openings do not end it."`
	Between    time.Duration `yaml:"between_tokens_timeout,omitempty" doc:"Bound on the time between two tokens of a stream. Pings do not prolong it."`
	Total      time.Duration `yaml:"total_timeout,omitempty" doc:"Bound on a whole call; 1h when left out."`
	ProbeEvery time.Duration `yaml:"probe_every,omitempty" doc:"Time between health probes; 0 probes only what has failed."`
	Flavour    string        `yaml:"flavour,omitempty" doc:"What runs there: llama-server, vllm, sglang, tgi, ollama, openai or chat."`
	Profile    string        `yaml:"profile,omitempty" doc:"Engine model of a simulated engine."`
	Seed       uint64        `yaml:"seed,omitempty" doc:"Seed of a simulated engine's text."`
	Directives bool          `yaml:"directives,omitempty" doc:"A simulated engine obeys directives in prompts, for tests."`
	Cost       *Price        `yaml:"cost,omitempty" doc:"What its tokens cost us, whichever the model."`
	Quota      Quota         `yaml:"quota,omitempty" doc:"What its owner lets us have of each model. Calls go to other engines of their lane, or spill, before it is used up."`
	Pool       string        `yaml:"pool,omitempty" enum:",owned,rented,bought" doc:"What stands behind it: owned replicas, a rented quota of a cloud, or what was bought elsewhere by the hour. It follows from the rest when left out."`
	Resolve    string        `yaml:"resolve,omitempty" enum:",dns" doc:"dns for a URL whose name has several addresses (a headless service): each is a replica of its own, that comes and goes with its record."`
}

// Model binds a model of the catalogue, or a new one, to engines.
type Model struct {
	Base      string            `yaml:"base,omitempty" doc:"The model that it was fine-tuned from, whose family, context and features it has: a custom model."`
	Engines   []Binding         `yaml:"engines,omitempty" doc:"Engines that serve it; the simulated one when left out."`
	Family    string            `yaml:"family,omitempty" enum:",anthropic,nova,llama,mistral,mistral-chat,titan-text,titan-embed,cohere-command,cohere-embed,jamba,deepseek,gpt-oss,openai,openai-embeddings" doc:"Dialect of its InvokeModel body; openai for a new model when left out."`
	Provider  string            `yaml:"provider,omitempty" doc:"Who made it."`
	Name      string            `yaml:"name,omitempty" doc:"A name for people."`
	Context   int64             `yaml:"context,omitempty" doc:"Tokens of its context."`
	MaxOutput int64             `yaml:"max_output,omitempty" doc:"The most tokens of one answer, held when a call names no maximum."`
	Price     *Price            `yaml:"price,omitempty" doc:"What callers are charged."`
	Limits    Limits            `yaml:"limits,omitempty" doc:"Quotas and budgets of each account for this model."`
	Unit      *Unit             `yaml:"unit,omitempty" doc:"What a model unit of provisioned throughput delivers and costs."`
	Reserved  *Reserved         `yaml:"reserved,omitempty" doc:"What the reserved tier costs, which is bought in tokens a minute."`
	Guardrail string            `yaml:"guardrails,omitempty" enum:",ignore" doc:"ignore serves calls that name a guardrail, without applying it: rules.guardrails: drop."`
	Tags      map[string]string `yaml:"tags,omitempty" doc:"Tags of a custom model, which has a base."`
	Features  []string          `yaml:"features,omitempty" doc:"What it has, in place of what the catalogue says."`

	Rules map[string]catalog.Rule `yaml:"rules,omitempty" doc:"What becomes of parts of a request, by feature: serve, drop or refuse."`

	MaxQueue   int32         `yaml:"max_queue,omitempty" doc:"Calls that may wait."`
	MaxWait    time.Duration `yaml:"max_wait,omitempty" doc:"How long a call may wait."`
	FirstToken time.Duration `yaml:"first_token_timeout,omitempty" doc:"In place of the engines'."`
	Between    time.Duration `yaml:"between_tokens_timeout,omitempty" doc:"In place of the engines'."`
	Total      time.Duration `yaml:"total_timeout,omitempty" doc:"In place of the engines'."`
}

// Bucket is a folder of objects: weights of models, logs.
type Bucket struct {
	Dir string `yaml:"dir" required:"true" doc:"An absolute path."`
}

// Binding says which engine serves a model, and under which name.
type Binding struct {
	Engine  string `yaml:"engine" required:"true" doc:"Name of an engine."`
	Model   string `yaml:"model,omitempty" doc:"The engine's own name of the model; the model's id when left out."`
	Weight  int32  `yaml:"weight,omitempty" doc:"Share of the load; 1 when left out."`
	Standby bool   `yaml:"standby,omitempty" doc:"Used only while no other engine of the model is up."`
	Units   int64  `yaml:"units,omitempty" doc:"Model units of provisioned throughput that it backs, each address of it where it has several; measured engines need none."`
	Cost    *Price `yaml:"cost,omitempty" doc:"What this model's tokens cost us on this engine."`
	Quota   *Quota `yaml:"quota,omitempty" doc:"What the engine's owner lets us have of this model, in place of what the engine says."`
}

// Quota is what the owner of an engine lets us have of a model. Zero is no limit.
type Quota struct {
	RequestsPerMinute int64 `yaml:"requests_per_minute,omitempty" doc:"Calls a minute."`
	TokensPerMinute   int64 `yaml:"tokens_per_minute,omitempty" doc:"Tokens a minute, held and settled as the owner does."`
}

// Price is what tokens cost, per million.
type Price struct {
	Input      string `yaml:"input,omitempty" format:"money" doc:"A million input tokens, such as 0.25 USD."`
	Output     string `yaml:"output,omitempty" format:"money" doc:"A million output tokens."`
	CacheRead  string `yaml:"cache_read,omitempty" format:"money" doc:"A million input tokens read from a prompt cache."`
	CacheWrite string `yaml:"cache_write,omitempty" format:"money" doc:"A million input tokens written to a prompt cache."`
	// Factors of the tiers; zero is not offered, or for a cost the same as at any tier.
	Priority float64 `yaml:"priority,omitempty" doc:"What the priority tier costs, as a multiple: 1.75. Left out, its price is unknown."`
	Flex     float64 `yaml:"flex,omitempty" doc:"What the flex tier costs, as a multiple."`
	Batch    float64 `yaml:"batch,omitempty" doc:"What batch costs, as a multiple."`
	Date     string  `yaml:"date,omitempty" doc:"Since when it holds, such as 2026-01-31."`
	Source   string  `yaml:"source,omitempty" doc:"Where it comes from."`
}

// Unit is what a model unit delivers a minute and costs an hour, by commitment.
type Unit struct {
	Input     int64  `yaml:"input,omitempty" doc:"Input tokens a minute; the catalogue's size when input and output are left out."`
	Output    int64  `yaml:"output,omitempty" doc:"Output tokens a minute."`
	Hour      string `yaml:"hour,omitempty" format:"money" doc:"An hour without a commitment, such as 20.50 USD."`
	OneMonth  string `yaml:"hour_one_month,omitempty" format:"money" doc:"An hour with a commitment of one month."`
	SixMonths string `yaml:"hour_six_months,omitempty" format:"money" doc:"An hour with a commitment of six months."`
	Cost      string `yaml:"cost,omitempty" format:"money" doc:"What an hour of a unit costs us: a share of instances, or of a commitment upstream."`
	Date      string `yaml:"date,omitempty" doc:"Since when the prices hold, such as 2026-01-31."`
	Source    string `yaml:"source,omitempty" doc:"Where they come from."`
}

// Ledger says how rows are kept.
type Ledger struct {
	Sync      string `yaml:"sync,omitempty" enum:"normal,full" doc:"normal survives a crash of the program, full a power cut too."`
	OnFailure string `yaml:"on_ledger_failure,omitempty" enum:"refuse,serve" doc:"What happens to calls while the ledger cannot be written."`
}

// Recording says where the scheduler's events are kept. It is off unless Dir is set.
type Recording struct {
	Dir     string `yaml:"dir,omitempty" doc:"The directory of the files, which is made if need be."`
	Segment Size   `yaml:"segment,omitempty" doc:"About how large one file gets; 64 MiB when left out."`
	Total   Size   `yaml:"total,omitempty" doc:"Bound of all files together, beyond which the oldest are deleted; 16 files when left out."`
}

// Logging says what is logged.
type Logging struct {
	Level   string `yaml:"level,omitempty" live:"true" enum:"debug,info,warn,error" doc:"The least level that is logged."`
	Format  string `yaml:"format,omitempty" enum:"text,json" doc:"Form of log lines."`
	Access  bool   `yaml:"access,omitempty" live:"true" doc:"One line for every request."`
	Prompts bool   `yaml:"prompts,omitempty" live:"true" doc:"Add the bodies of requests to the lines of the access log."`

	Invocations Invocations `yaml:"invocations,omitempty" live:"true" doc:"Where model invocations of all accounts are recorded, with prompts and answers. Off when left out."`
}

// Invocations says where records of model invocations go, and what they leave out.
type Invocations struct {
	Location string   `yaml:"location,omitempty" doc:"s3://BUCKET/KEY, or an absolute path."`
	LeaveOut []string `yaml:"leave_out,omitempty" doc:"Kinds of bodies that are not recorded: text, image, embedding, video, audio."`
}

// Tracing says where OpenTelemetry traces go. Without an endpoint here or in the standard
// variable OTEL_EXPORTER_OTLP_ENDPOINT nothing is traced.
type Tracing struct {
	Endpoint string            `yaml:"endpoint,omitempty" doc:"Address of OTLP over HTTP, such as http://127.0.0.1:4318."`
	Headers  map[string]string `yaml:"headers,omitempty" doc:"Headers to send: env:NAME or file:PATH each."`
	Sample   float64           `yaml:"sample" doc:"Share of the calls whose caller has not decided, 0 to 1."`
	Prompts  bool              `yaml:"prompts,omitempty" doc:"Record the bodies of requests."`
}

// Default returns the configuration without a file.
func Default() Config {
	return Config{
		Server: Server{
			Listen: "127.0.0.1:8484", TLSListen: "127.0.0.1:0", KeepAlive: 15 * time.Second, Stall: 2 * time.Minute, Drain: 30 * time.Second,
			BodyLimit: 25 << 20, Bodies: 1 << 30, Region: "us-east-1",
			HeaderTimeout: 10 * time.Second, BodyTimeout: 5 * time.Minute, HeaderLimit: 64 << 10, Connections: 16384, PerAddress: 8192,
		},
		DataDir: dataDir(), Account: Account{ID: "000000000000", Tenant: Tenant{Zone: "UTC"}}, Quotas: QuotasNone,
		Ledger: Ledger{Sync: "normal", OnFailure: "refuse"}, Logging: Logging{Level: "info", Format: "text"}, Tracing: Tracing{Sample: 1},
		Weights: Weights{KeepFree: 1 << 30, Downloads: 8},
		Hint:    "forebay up --serve MODEL=ollama/llama3.2",
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

// defaultFile is read when no file is named.
const defaultFile = "forebay.yaml"

// Load reads the file at path over the defaults, then the environment (FOREBAY_LISTEN,
// FOREBAY_DATA_DIR). An empty path reads forebay.yaml of the working directory if it is
// there. Its error says that the file cannot be read or is no YAML; what is wrong inside is
// kept, and Validate reports it together with everything else.
func Load(path string) (Config, error) {
	c := Default()
	named := path != ""
	if !named {
		path = defaultFile
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own file
	switch {
	case err == nil:
		c.Path = path
		if err := c.read(text); err != nil {
			return c, err
		}
	case named || !errors.Is(err, fs.ErrNotExist):
		return c, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	if v := os.Getenv("FOREBAY_LISTEN"); v != "" {
		c.Override("server.listen", func() { c.Server.Listen = v })
	}
	if v := os.Getenv("FOREBAY_DATA_DIR"); v != "" {
		c.Override("data_dir", func() { c.DataDir = v })
	}
	return c, nil
}

// Override sets a member in place of what the file says, so that a fault of it is not
// blamed on the file.
func (c *Config) Override(path string, set func()) {
	set()
	c.source.override(path)
}

// Where returns where the file declares a member ("forebay.yaml:12"), "" when it does not.
func (c *Config) Where(path string) string {
	if line := c.source.lines[path]; line > 0 {
		return fmt.Sprintf("%s:%d", c.Path, line)
	}
	return ""
}

// Tenants returns all accounts by id, the operator's among them.
func (c *Config) Tenants() map[string]Tenant {
	out := make(map[string]Tenant, 1+len(c.Accounts))
	maps.Copy(out, c.Accounts)
	out[c.Account.ID] = c.Account.Tenant
	return out
}
