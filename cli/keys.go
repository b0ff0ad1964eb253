package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"forebay/api/admin"
	"forebay/config"

	"github.com/go-json-experiment/json/jsontext"
)

type keysCmd struct {
	List   keyList   `cmd:"" default:"withargs" help:"List keys."`
	Create keyCreate `cmd:"" help:"Make a key; its secret is shown once."`
	Revoke keyRevoke `cmd:"" help:"End a key at once."`
	Rotate keyRotate `cmd:"" help:"Give a key a new secret; the old one is good for a while longer."`
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
		if !k.OldUntil.IsZero() && state == "live" {
			state += ", an old secret too until " + k.OldUntil.Local().Format(time.DateTime)
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
	ConcurrentCalls   int64  `help:"Calls in flight at once, those that wait included."`
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

// newSecret asks for a secret and shows it with its key. When it cannot be shown, lost says what becomes of the key.
func (r *remote) newSecret(e *env, path string, in any, lost func(*admin.KeyInfo) error) error {
	signal.Ignore(syscall.SIGPIPE) // a pipe that nobody reads is an error to tell, not the end
	var out admin.KeyInfo
	if err := r.call(e.ctx, http.MethodPost, path, in, &out); err != nil {
		return err
	}
	err := r.showSecret(e, &out)
	if err != nil {
		err = fmt.Errorf("the secret of key %s could not be shown (%w): %w", out.ID, err, lost(&out))
	}
	return err
}

func (r *remote) showSecret(e *env, k *admin.KeyInfo) error {
	if r.JSON {
		return printJSON(e, k)
	}
	text := fmt.Sprintf("id      %s\nsecret  %s\nThe secret is not shown again.\n", k.ID, k.Secret)
	if !k.OldUntil.IsZero() {
		text += "The old one is good until " + k.OldUntil.Local().Format(time.DateTime) + ".\n"
	}
	_, err := io.WriteString(e.Out, text)
	return err
}

// Run implements the verb.
func (c *keyCreate) Run(e *env) error {
	policy, err := config.EncodeObject(config.Policy{Allow: c.AllowAction, Models: c.AllowModel, Tier: c.MaxTier, Limits: c.limits()})
	if err != nil {
		return err
	}
	in := map[string]any{"name": c.Name, "kind": c.Kind, "team": c.Team, "policy": jsontext.Value(policy)}
	if c.ExpiresIn > 0 {
		in["expires"] = time.Now().Add(c.ExpiresIn).UTC()
	}
	return c.newSecret(e, "keys"+c.query(), in, func(k *admin.KeyInfo) error {
		var out map[string]string
		if err := c.call(e.ctx, http.MethodDelete, "keys/"+url.PathEscape(k.ID)+c.query(), nil, &out); err != nil {
			return fmt.Errorf("the key is live and could not be revoked: %w; revoke it: forebay keys revoke %s", err, k.ID)
		}
		return errors.New("the key is revoked; make it again")
	})
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
	ID    string        `arg:"" help:"Key id."`
	Grace time.Duration `help:"How long the old secret is good; 0 ends it, and all before it, at once." default:"24h"`
}

// Run implements the verb.
func (c *keyRotate) Run(e *env) error {
	in := map[string]string{"grace": c.Grace.String()}
	return c.newSecret(e, "keys/"+url.PathEscape(c.ID)+"/rotate"+c.query(), in, func(k *admin.KeyInfo) error {
		if k.OldUntil.IsZero() {
			return fmt.Errorf("no secret of it is known now; rotate it again: forebay keys rotate %s --grace 0", k.ID)
		}
		return fmt.Errorf("the old one is good until %s; rotate it again: forebay keys rotate %s", k.OldUntil.Local().Format(time.DateTime), k.ID)
	})
}
