package prove

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"forebay/perf"
)

// Setting is what an experiment runs on and with.
type Setting struct {
	// Profile is the engine model of each replica, Replicas how many there are, Slots how many calls each takes at once (its batch ceiling).
	Profile  string `json:"profile"`
	Replicas int    `json:"replicas"`
	Slots    int    `json:"slots"`
	// Input and Output are the tokens of every call.
	Input  int `json:"input_tokens"`
	Output int `json:"output_tokens"`
	// Sold is the share of the pool's calls that the purchase covers, and Used how much of the purchase is used.
	Sold float64 `json:"sold"`
	Used float64 `json:"used"`
	// Tenants share what is left; together they offer Overload times what the pool can do.
	Tenants  int     `json:"tenants"`
	Overload float64 `json:"overload"`
	// PoolRate is how many calls a second an operator's own pool completes, and Units how many units of it are bought, which cover the share Sold of
	// that; 0 with simulated engines, where both are computed.
	PoolRate float64 `json:"pool_calls_per_second,omitempty"`
	Units    int     `json:"units,omitempty"`
	// Length is of one run, Pairs how many pairs of runs there are. Seconds is Length in reports.
	Length  time.Duration `json:"-"`
	Seconds float64       `json:"seconds"`
	Pairs   int           `json:"pairs"`
	Seed    uint64        `json:"seed"`
}

// Default is what `make prove` runs: about twenty minutes on two cores, 10,000 reserved calls under load.
func Default() Setting {
	return Setting{
		Profile: "demo", Replicas: 6, Slots: 12, Input: 60, Output: 16, Sold: 0.25, Used: 0.95,
		Tenants: 50, Overload: 10, Length: 65 * time.Second, Pairs: 3, Seed: 1,
	}
}

// Bounds of a setting: what one machine can hold.
const (
	maxReplicas = 256
	maxTenants  = 10_000
	maxPairs    = 100
	maxOverload = 1000
)

// Check says what of a setting makes no experiment.
func (s *Setting) Check() error {
	for _, x := range []struct {
		ok   bool
		what string
	}{
		{s.Length > 0, "the length of a run must be positive"},
		{s.Pairs >= 1 && s.Pairs <= maxPairs, fmt.Sprintf("there must be 1 to %d pairs of runs", maxPairs)},
		{s.Replicas >= 1 && s.Replicas <= maxReplicas, fmt.Sprintf("there must be 1 to %d replicas", maxReplicas)},
		{s.Slots >= 1, "a replica must have a slot"},
		{s.Input >= 1 && s.Output >= 1, "a call must have tokens in and out"},
		{s.Sold > 0 && s.Sold <= 1, "the share that is sold must be above 0 and at most 1"},
		{s.Tenants >= 1 && s.Tenants <= maxTenants, fmt.Sprintf("there must be 1 to %d tenants", maxTenants)},
		{s.Overload > 0 && s.Overload <= maxOverload, fmt.Sprintf("the overload must be above 0 and at most %d", maxOverload)},
	} {
		if !x.ok {
			return errors.New(x.what)
		}
	}
	return nil
}

// The models that the experiments call: one on the simulated engines, and one on engines of its own that are reached through proxies. Behind
// each proxy is a model of this same server, on one simulated engine.
const (
	Model  = "forebay.proof-v1:0"
	faulty = "forebay.proof-faulty-v1:0"
	// burning is a model of the catalogue whose output counts burndown times against a limit of tokens.
	burning  = "anthropic.claude-3-haiku-20240307-v1:0"
	burndown = 5
)

func behind(i int) string { return fmt.Sprintf("forebay.proof-behind-%d-v1:0", i+1) }

// rates are what follows from a setting.
type rates struct {
	profile perf.Profile
	// pool is how many calls a second the engines complete with all slots busy.
	pool float64
	// bought is how many calls a second the purchase covers.
	bought float64
	// A unit is a hundredth of the pool: so many tokens a minute. units are bought.
	units                 int
	unitInput, unitOutput int64
}

func (s *Setting) rates() (rates, error) {
	if s.PoolRate > 0 {
		return rates{pool: s.PoolRate, bought: s.PoolRate * s.Sold, units: s.Units}, nil
	}
	p, err := perf.Named(s.Profile)
	if err != nil {
		return rates{}, err
	}
	w, ok := p.W(s.Slots, int64(s.Input), int64(s.Output))
	if !ok {
		return rates{}, fmt.Errorf("%d calls of %d + %d tokens do not fit into an engine of profile %s", s.Slots, s.Input, s.Output, s.Profile)
	}
	r := rates{profile: p, pool: float64(s.Replicas*s.Slots) / (float64(w) / 1e9)}
	r.units = max(1, int(s.Sold*100))
	r.unitInput = int64(r.pool * 60 / 100 * float64(s.Input))
	r.unitOutput = int64(r.pool * 60 / 100 * float64(s.Output))
	r.bought = r.pool * float64(r.units) / 100
	return r, nil
}

// Clients beside the tenants: one with a quota of requests that obeys its refusals, one with a quota of tokens, and the server itself.
const (
	metered   = -1
	bounded   = -2
	operator  = -3     // calls engines through proxies
	perMinute = 6      // requests of metered
	tokens    = 60_000 // a minute, of bounded
)

// client is the name of a tenant.
func client(tenant int) string {
	switch tenant {
	case metered:
		return "metered"
	case bounded:
		return "bounded"
	case operator:
		return "operator"
	default:
		return fmt.Sprintf("tenant-%02d", tenant)
	}
}

// keyOf names the key file of a tenant.
func keyOf(dir string, tenant int) string { return filepath.Join(dir, client(tenant)+".key") }

// The folders of a run, in that of the experiments.
const (
	dataFolder      = "data"
	recordingFolder = "recording"
)

// Files writes the configuration of the server that the experiments run against, and the tenants' keys, into a directory, and returns the
// path of the configuration. The keys hold for that server only. The proxies, as many as replicas or none, are for the experiment of faults. A
// folder that another run has used is refused: what stands in its records would be taken for this one's.
func (s *Setting) Files(dir string, proxies []*Proxy) (string, error) {
	for _, used := range []string{dataFolder, recordingFolder} {
		if _, err := os.Stat(filepath.Join(dir, used)); !errors.Is(err, fs.ErrNotExist) {
			return "", errors.Join(err, fmt.Errorf("%s has what another run left there: name another folder, or delete its %s and %s", dir, dataFolder, recordingFolder))
		}
	}
	r, err := s.rates()
	if err != nil {
		return "", err
	}
	var y strings.Builder
	fmt.Fprintf(&y, "# What `forebay prove` runs against.\nserver: {listen: \"127.0.0.1:0\"}\ndata_dir: %q\n", filepath.Join(dir, dataFolder))
	fmt.Fprintf(&y, "recording: {dir: %q, segment: 64MiB, total: 8GiB}\nengines:\n", filepath.Join(dir, recordingFolder))
	var bindings []string
	for i := range s.Replicas {
		fmt.Fprintf(&y, "  replica-%d: {type: simulated, profile: %q, slots: %d, seed: %d, directives: true, cost: {input: 0.05 USD, output: 0.20 USD}}\n", i+1, s.Profile, s.Slots, i+1)
		bindings = append(bindings, fmt.Sprintf("{engine: replica-%d}", i+1))
	}
	fmt.Fprintf(&y, "  burning: {type: simulated, profile: %q, slots: %d, seed: 1, directives: true}\n", s.Profile, s.Slots)
	s.faultyEngines(&y, dir, proxies)
	fmt.Fprintf(&y, "models:\n  %q:\n    {family: openai, context: 8192, max_output: 256, max_queue: 500, max_wait: 5s, price: {input: 100 USD, output: 400 USD, flex: 0.5},\n", Model)
	fmt.Fprintf(&y, "     unit: {input: %d, output: %d, hour: 10.00 USD}, engines: [%s]}\n", r.unitInput, r.unitOutput, strings.Join(bindings, ", "))
	fmt.Fprintf(&y, "  %q: {max_queue: 500, max_wait: 5s, engines: [{engine: burning}]}\n", burning)
	s.faultyModels(&y, &r, len(proxies))
	var accounts, keys strings.Builder
	for i := operator; i < s.Tenants; i++ {
		limits := ""
		switch i {
		case metered:
			limits = fmt.Sprintf(", limits: {requests_per_minute: %d}", perMinute)
		case bounded:
			limits = fmt.Sprintf(", limits: {tokens_per_minute: %d}", tokens)
		}
		fmt.Fprintf(&accounts, "  %q: {name: %s%s}\n", account(i), client(i), limits)
		path := keyOf(dir, i)
		if err := os.WriteFile(path, fmt.Appendf(nil, "fb-proof-%s-%016x\n", client(i), s.Seed), 0o600); err != nil {
			return "", err
		}
		fmt.Fprintf(&keys, "  - {name: %s, kind: api-key, account: %q, secret: %q}\n", client(i), account(i), "file:"+path)
	}
	fmt.Fprintf(&y, "accounts:\n%skeys:\n%s", &accounts, &keys)
	fmt.Fprintf(&y, "routes:\n  %s: {lanes: [{name: %s, provisioned: %s, spill: over-rate}, {name: %s, model: %q}]}\n", route, laneBought, spillName, laneSpill, Model)
	path := filepath.Join(dir, "forebay.yaml")
	return path, os.WriteFile(path, []byte(y.String()), 0o600)
}

func account(tenant int) string { return fmt.Sprintf("1%011d", tenant+10) }

// key reads the key of a tenant.
func key(dir string, tenant int) (string, error) {
	b, err := os.ReadFile(keyOf(dir, tenant))
	return strings.TrimSpace(string(b)), err
}

// faultyEngines declares, for each proxy, the engine that is reached through it and the one that stands behind it.
func (s *Setting) faultyEngines(y *strings.Builder, dir string, proxies []*Proxy) {
	for i, p := range proxies {
		fmt.Fprintf(y, "  behind-%d: {type: simulated, profile: %q, slots: %d, seed: %d, directives: true}\n", i+1, s.Profile, s.Slots, i+1)
		fmt.Fprintf(y, "  through-%d: {type: openai, flavour: openai, url: \"http://%s/v1\", api_key: %q, slots: %d, probe_every: 1s, connect_timeout: 1s, first_token_timeout: 2s, between_tokens_timeout: 2s}\n",
			i+1, p.Address(), "file:"+keyOf(dir, operator), s.Slots)
	}
}

func (s *Setting) faultyModels(y *strings.Builder, r *rates, proxies int) {
	if proxies == 0 {
		return
	}
	var bindings []string
	for i := range proxies {
		fmt.Fprintf(y, "  %q: {family: openai, context: 8192, max_output: 256, max_queue: 500, engines: [{engine: behind-%d}]}\n", behind(i), i+1)
		bindings = append(bindings, fmt.Sprintf("{engine: through-%d, model: %q, units: %d}", i+1, behind(i), 100/proxies))
	}
	fmt.Fprintf(y, "  %q:\n    {family: openai, context: 8192, max_output: 256, max_queue: 500, max_wait: 5s,\n     unit: {input: %d, output: %d, hour: 10.00 USD}, engines: [%s]}\n",
		faulty, r.unitInput, r.unitOutput, strings.Join(bindings, ", "))
}
