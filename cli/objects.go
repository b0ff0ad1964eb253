package cli

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"forebay/api/admin"
	"forebay/config"

	"github.com/go-json-experiment/json/jsontext"
)

// objects lists the objects of a kind, by the path of the admin API.
func (r *remote) objects(e *env, path, query string) ([]admin.Object, error) {
	out := map[string][]admin.Object{}
	err := r.call(e.ctx, http.MethodGet, path+query, nil, &out)
	return out[path], err
}

// encode writes an object of the configuration as the admin API takes it.
func encode(object any) (jsontext.Value, error) {
	b, err := config.EncodeObject(object)
	return jsontext.Value(b), err
}

// change changes an object and shows what it is then.
func (r *remote) change(e *env, method, path string, object any) error {
	var in any
	if object != nil {
		body, err := encode(object)
		if err != nil {
			return err
		}
		in = body
	}
	var out admin.Object
	if err := r.call(e.ctx, method, path, in, &out); err != nil {
		return err
	}
	if r.JSON {
		return printJSON(e, &out)
	}
	if method == http.MethodDelete {
		_, err := fmt.Fprintf(e.Out, "%s %s is deleted\n", out.Kind, out.Name)
		return err
	}
	_, err := fmt.Fprintf(e.Out, "%s %s is %s\n", out.Kind, out.Name, cmp.Or(compact(out.Body), "{}"))
	return err
}

// compact is a value in one line.
func compact(v jsontext.Value) string {
	_ = v.Compact() // a value that was decoded is valid, and an invalid one stays as it is
	return string(v)
}

// listObjects shows the objects of a kind.
func (r *remote) listObjects(e *env, path, query string) error {
	list, err := r.objects(e, path, query)
	if err != nil {
		return err
	}
	if r.JSON {
		return printJSON(e, list)
	}
	rows := make([][]string, len(list))
	for i := range list {
		o := &list[i]
		rows[i] = []string{o.Name, compact(o.Body), o.ManagedBy}
	}
	return table(e, strings.ToUpper(strings.TrimSuffix(path, "s"))+"\tSETTINGS\tMANAGED BY", rows)
}

type accountsCmd struct {
	List   accountList   `cmd:"" default:"withargs" help:"List accounts."`
	Create accountCreate `cmd:"" help:"Make an account."`
	Set    accountSet    `cmd:"" help:"Set all settings of an account that was made at run time."`
	Delete accountDelete `cmd:"" help:"Delete an account that has no live keys."`
}

type accountList struct{ remote }

// Run implements the verb.
func (c *accountList) Run(e *env) error { return c.listObjects(e, "accounts", "") }

// tenantFlags are the settings of an account.
type tenantFlags struct {
	limitFlags
	Name        string `help:"A name for people."`
	BillingZone string `help:"Time zone in which its days and months begin, such as Europe/Rome."`
	MaxTier     string `help:"Highest tier of service." enum:",priority,default,flex" default:""`
	ModelUnits  *int64 `help:"Model units that its purchases may have together." placeholder:"UNITS"`
}

func (f *tenantFlags) tenant() *config.Tenant {
	return &config.Tenant{Name: f.Name, Zone: f.BillingZone, Tier: f.MaxTier, Limits: f.limits(), ModelUnits: f.ModelUnits}
}

type accountCreate struct {
	remote
	tenantFlags
	ID string `arg:"" help:"Twelve digits."`
}

// Run implements the verb.
func (c *accountCreate) Run(e *env) error {
	return c.change(e, http.MethodPost, "accounts/"+url.PathEscape(c.ID), c.tenant())
}

type accountSet struct {
	remote
	tenantFlags
	ID string `arg:"" help:"Twelve digits."`
}

// Run implements the verb.
func (c *accountSet) Run(e *env) error {
	return c.change(e, http.MethodPut, "accounts/"+url.PathEscape(c.ID), c.tenant())
}

type accountDelete struct {
	remote
	ID string `arg:"" help:"Twelve digits."`
}

// Run implements the verb.
func (c *accountDelete) Run(e *env) error {
	return c.change(e, http.MethodDelete, "accounts/"+url.PathEscape(c.ID), nil)
}

type teamsCmd struct {
	List   teamList   `cmd:"" default:"withargs" help:"List the teams of an account."`
	Create teamCreate `cmd:"" help:"Make a team."`
	Set    teamSet    `cmd:"" help:"Set all settings of a team that was made at run time."`
	Delete teamDelete `cmd:"" help:"Delete a team that has no live keys."`
}

type teamList struct {
	remote
	ofAccount
}

// Run implements the verb.
func (c *teamList) Run(e *env) error { return c.listObjects(e, "teams", c.query()) }

// teamFlags are the settings of a team.
type teamFlags struct {
	ofAccount
	limitFlags
	MaxTier string `help:"Highest tier of service." enum:",priority,default,flex" default:""`
}

func (f *teamFlags) team() *config.Team { return &config.Team{Tier: f.MaxTier, Limits: f.limits()} }

type teamCreate struct {
	remote
	teamFlags
	Name string `arg:"" help:"Name of the team."`
}

// Run implements the verb.
func (c *teamCreate) Run(e *env) error {
	return c.change(e, http.MethodPost, "teams/"+url.PathEscape(c.Name)+c.query(), c.team())
}

type teamSet struct {
	remote
	teamFlags
	Name string `arg:"" help:"Name of the team."`
}

// Run implements the verb.
func (c *teamSet) Run(e *env) error {
	return c.change(e, http.MethodPut, "teams/"+url.PathEscape(c.Name)+c.query(), c.team())
}

type teamDelete struct {
	remote
	ofAccount
	Name string `arg:"" help:"Name of the team."`
}

// Run implements the verb.
func (c *teamDelete) Run(e *env) error {
	return c.change(e, http.MethodDelete, "teams/"+url.PathEscape(c.Name)+c.query(), nil)
}

type enginesCmd struct {
	List   engineList   `cmd:"" default:"withargs" help:"List engines."`
	Show   engineShow   `cmd:"" help:"Show what stands behind an engine, for each model, and what that guarantees."`
	Add    engineAdd    `cmd:"" help:"Add an engine."`
	Remove engineRemove `cmd:"" help:"Remove an engine that no model is bound to."`
}

type engineList struct{ remote }

// Run implements the verb.
func (c *engineList) Run(e *env) error { return c.listObjects(e, "engines", "") }

type engineShow struct {
	remote
	Name string `arg:"" help:"Name of the engine."`
}

// Run implements the verb.
func (c *engineShow) Run(e *env) error {
	var out admin.EngineInfo
	if err := c.call(e.ctx, http.MethodGet, "engines/"+url.PathEscape(c.Name), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, &out)
	}
	if _, err := fmt.Fprintf(e.Out, "%s, %s %s\n\n", out.Name, out.Type, out.URL); err != nil {
		return err
	}
	var rows [][]string
	said := map[string]string{} // guarantees by kind
	for i := range out.Pools {
		p := &out.Pools[i]
		rows = append(rows, []string{p.Model, p.Upstream, p.Kind, p.Why, bound(int64(p.Slots)), bound(p.RequestsPerMinute), bound(p.TokensPerMinute)})
		said[p.Kind] = p.Guarantee
	}
	err := table(e, "MODEL\tITS NAME THERE\tKIND\tBECAUSE\tSLOTS\tREQUESTS/MIN\tTOKENS/MIN", rows)
	for _, kind := range slices.Sorted(maps.Keys(said)) {
		_, _ = fmt.Fprintf(e.Out, "\n%s: %s\n", kind, said[kind])
	}
	return err
}

// bound is a number of which 0 is none.
func bound(n int64) string {
	if n == 0 {
		return "no bound"
	}
	return count(n)
}

type engineAdd struct {
	remote
	Pool    string `help:"What stands behind it, where it does not follow from the rest." enum:",owned,rented,bought" default:""`
	RPM     int64  `name:"requests-per-minute" help:"Calls a minute that its owner lets us make of each model."`
	TPM     int64  `name:"tokens-per-minute" help:"Tokens a minute that its owner lets us have of each model."`
	Name    string `arg:"" help:"A name of your choice."`
	Type    string `help:"The API that it speaks." enum:"openai,anthropic,bedrock,simulated" default:"openai"`
	URL     string `name:"url" help:"Its address, such as http://127.0.0.1:8000/v1."`
	APIKey  string `name:"api-key" help:"Where the server finds its key: env:FOREBAY_ENGINE_NAME, or file: and a file in the folder secrets of its data directory." placeholder:"REF"`
	Region  string `help:"Region of a bedrock engine."`
	Flavour string `help:"What runs there: llama-server, vllm, sglang, tgi, ollama, openai or chat."`
	Slots   int32  `help:"Calls that it takes at once; 0 is many."`
}

// Run implements the verb.
func (c *engineAdd) Run(e *env) error {
	return c.change(e, http.MethodPost, "engines/"+url.PathEscape(c.Name), &config.Engine{
		Type: c.Type, URL: c.URL, APIKey: c.APIKey, Region: c.Region, Flavour: c.Flavour, Slots: c.Slots, Pool: c.Pool,
		Quota: config.Quota{RequestsPerMinute: c.RPM, TokensPerMinute: c.TPM},
	})
}

type engineRemove struct {
	remote
	Name string `arg:"" help:"Name of the engine."`
}

// Run implements the verb.
func (c *engineRemove) Run(e *env) error {
	return c.change(e, http.MethodDelete, "engines/"+url.PathEscape(c.Name), nil)
}
