package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"forebay/api/admin"
	"forebay/config"
	"forebay/identity"
)

type keysCmd struct {
	List   keyList   `cmd:"" default:"withargs" help:"List keys."`
	Create keyCreate `cmd:"" help:"Make a key; its secret is shown once."`
	Revoke keyRevoke `cmd:"" help:"End a key at once."`
	Rotate keyRotate `cmd:"" help:"Make a new key with the policy of an old one, and end the old one."`
}

type keyList struct {
	remote
	ofAccount
}

// Run implements the verb.
func (c *keyList) Run(e *env) error {
	var out struct {
		Keys []admin.KeyInfo `json:"keys"`
	}
	if err := c.call(e.ctx, http.MethodGet, "keys"+c.query(), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, out.Keys)
	}
	var rows [][]string
	for _, k := range out.Keys {
		state := "live"
		if !k.Revoked.IsZero() {
			state = "revoked"
		} else if !k.Expires.IsZero() && k.Expires.Before(time.Now()) {
			state = "expired"
		}
		rows = append(rows, []string{k.ID, k.Kind, k.Name, k.Team, state, k.ManagedBy})
	}
	return table(e, "ID\tKIND\tNAME\tTEAM\tSTATE\tMANAGED BY", rows)
}

// limitFlags are quotas and budgets.
type limitFlags struct {
	RequestsPerMinute int64  `help:"Requests a minute."`
	TokensPerMinute   int64  `help:"Tokens a minute."`
	TokensPerDay      int64  `help:"Tokens a day."`
	SpendPerDay       string `help:"Money a day." placeholder:"\"12.50 USD\""`
	SpendPerMonth     string `help:"Money a calendar month." placeholder:"\"500 USD\""`
}

func (f *limitFlags) limits() config.Limits { return config.Limits(*f) }

// ofAccount chooses the account of a verb.
type ofAccount struct {
	Account string `help:"Another account than the key's own; for keys of the operator's." placeholder:"ID"`
}

// query is the account as the admin API takes it.
func (a *ofAccount) query() string {
	if a.Account == "" {
		return ""
	}
	return "?account=" + url.QueryEscape(a.Account)
}

type keyCreate struct {
	remote
	ofAccount
	limitFlags
	Name        string        `arg:"" help:"Name of the key."`
	Kind        string        `help:"api-key (a bearer token) or access-key (for AWS signatures)." enum:"api-key,access-key" default:"api-key"`
	Team        string        `help:"Team that the key belongs to."`
	AllowModel  []string      `help:"Models the key may call; * and ? match."`
	AllowAction []string      `help:"Actions the key may perform, such as bedrock:InvokeModel*; forebay:Admin* administers."`
	MaxTier     string        `help:"Highest tier of service." enum:",priority,default,flex" default:""`
	ExpiresIn   time.Duration `help:"Life of the key, such as 720h."`
}

// newKey asks for a new key and shows it with its secret.
func (r *remote) newKey(e *env, path string, in any) error {
	var out admin.KeyInfo
	if err := r.call(e.ctx, http.MethodPost, path, in, &out); err != nil {
		return err
	}
	if r.JSON {
		return printJSON(e, out)
	}
	_, err := fmt.Fprintf(e.Out, "id      %s\nsecret  %s\nThe secret is not shown again.\n", out.ID, out.Secret)
	return err
}

// Run implements the verb.
func (c *keyCreate) Run(e *env) error {
	l := c.limits()
	limits, err := l.Parse()
	if err != nil {
		return err
	}
	in := map[string]any{"name": c.Name, "kind": c.Kind, "team": c.Team, "policy": identity.Policy{
		Actions: c.AllowAction, Models: c.AllowModel, Tier: c.MaxTier, Limits: limits,
	}}
	if c.ExpiresIn > 0 {
		in["expires"] = time.Now().Add(c.ExpiresIn).UTC()
	}
	return c.newKey(e, "keys"+c.query(), in)
}

type keyRevoke struct {
	remote
	ofAccount
	ID string `arg:"" help:"Key id."`
}

// Run implements the verb.
func (c *keyRevoke) Run(e *env) error {
	var out map[string]string
	if err := c.call(e.ctx, http.MethodDelete, "keys/"+url.PathEscape(c.ID)+c.query(), nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, out)
	}
	_, err := fmt.Fprintln(e.Out, "revoked", c.ID)
	return err
}

type keyRotate struct {
	remote
	ofAccount
	ID string `arg:"" help:"Key id."`
}

// Run implements the verb.
func (c *keyRotate) Run(e *env) error {
	return c.newKey(e, "keys/"+url.PathEscape(c.ID)+"/rotate"+c.query(), nil)
}
