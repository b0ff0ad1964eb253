package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/config"
	"forebay/fault"
	"forebay/internal/filelock"
	"forebay/meter"
	"forebay/workload"
	"forebay/workload/ledger"

	"github.com/alecthomas/kong"
)

// ledgerFlag is --ledger, with or without where the ledger is.
type ledgerFlag struct {
	given bool
	at    string
}

// Decode implements kong.MapperValue: what follows is where the ledger is, unless it is another flag.
func (f *ledgerFlag) Decode(ctx *kong.DecodeContext) error {
	f.given = true
	if ctx.Scan.Peek().IsValue() {
		f.at = ctx.Scan.Pop().String()
	}
	return nil
}

// planLedger says which calls of a ledger are planned for.
type planLedger struct {
	Ledger    ledgerFlag        `help:"Calls of a ledger: of the server at a URL, of that on this machine (which need not run), or of a data directory." placeholder:"[DIR|URL]"`
	LedgerKey string            `help:"Where the API key for the ledger's server is, env:NAME or file:PATH; FOREBAY_API_KEY, or the development key of this machine." placeholder:"REF"`
	Since     string            `help:"Only calls of the ledger since: a date, a time, or a duration such as 720h." placeholder:"TIME"`
	Until     string            `help:"Only calls of the ledger before." placeholder:"TIME"`
	OfModel   string            `help:"Only calls of this model in the ledger; left out, of the model that is planned for; * is all." placeholder:"ID"`
	OfAccount string            `help:"Only calls of this account, for keys of the operator's; * is all." placeholder:"ID"`
	OfTeam    string            `help:"Only calls of this team." placeholder:"NAME"`
	OfKey     string            `help:"Only calls of this key id." placeholder:"ID"`
	OfMode    string            `help:"Only calls that were served in this mode: on-demand or provisioned." placeholder:"MODE"`
	OfTag     map[string]string `help:"Only calls with this tag." placeholder:"NAME=VALUE" mapsep:","`
}

// everything is the filter that selects all.
const everything = "*"

// query returns what is selected of the ledger, for a model that is planned for.
func (c *planLedger) query(model string) (q meter.DemandQuery, err error) {
	if c.OfModel != "" {
		model = c.OfModel
	}
	q = meter.DemandQuery{Model: model, Account: c.OfAccount, Team: c.OfTeam, Key: c.OfKey, Mode: c.OfMode, Tags: c.OfTag}
	if q.Model == everything {
		q.Model = ""
	}
	if q.Mode != "" && q.Mode != meter.ModeOnDemand && q.Mode != meter.ModeProvisioned {
		return q, fault.Newf(fault.Invalid, "--of-mode %q: calls are served in the modes %s and %s", q.Mode, meter.ModeOnDemand, meter.ModeProvisioned)
	}
	for flag, x := range map[string]struct {
		text string
		to   *time.Time
	}{"--since": {c.Since, &q.Since}, "--until": {c.Until, &q.Until}} {
		text, err := moment(x.text)
		if err != nil {
			return q, fault.Newf(fault.Invalid, "%s %v", flag, err)
		}
		if text != "" {
			if *x.to, err = time.Parse(time.RFC3339, text); err != nil {
				return q, err
			}
		}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, fault.Newf(fault.Invalid, "--since %s is not before --until %s: give them the other way round", c.Since, c.Until)
	}
	return q, nil
}

// source opens the ledger. What it returns besides is to be called when it has been read for the last time.
func (c *planLedger) source(ctx context.Context, model string, location *time.Location, idle bool) (workload.Source, func(), error) {
	q, err := c.query(model)
	if err != nil {
		return nil, nil, err
	}
	pages, name, done, err := c.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := ledger.Open(pages, ledger.Options{Name: name, Query: q, Location: location, Idle: idle, Now: time.Now()})
	if err != nil {
		done()
		return nil, nil, err
	}
	return s, done, nil
}

// open finds the ledger: a server's, or the files that one has left.
func (c *planLedger) open(ctx context.Context) (pages ledger.Pages, name string, done func(), err error) {
	r := &remote{KeyRef: c.LedgerKey}
	switch {
	case strings.Contains(c.Ledger.at, "://"):
		r.Server = c.Ledger.at
		return demandOf(ctx, r), r.Server, func() {}, nil
	case c.Ledger.at == "" && os.Getenv("FOREBAY_URL") != "":
		return demandOf(ctx, r), os.Getenv("FOREBAY_URL"), func() {}, nil
	}
	dir := c.Ledger.at
	if dir == "" {
		if dir = os.Getenv("FOREBAY_DATA_DIR"); dir == "" {
			def := config.Default()
			dir = def.DataDir
		}
	}
	path := filepath.Join(dir, "ledger.db")
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "", nil, fault.Newf(fault.Invalid, "--ledger: there is no ledger in %s: name the data directory of a server, or its URL", dir)
		}
		return nil, "", nil, err
	}
	l, err := meter.OpenLedger(ctx, meter.LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler)})
	if errors.Is(err, filelock.ErrHeld) { // a server runs on it
		r.DataDir = dir
		return demandOf(ctx, r), dir, func() {}, nil
	}
	if err != nil {
		return nil, "", nil, err
	}
	return func(q meter.DemandQuery) (*meter.DemandPage, error) {
		if q.Account == everything {
			q.Account = ""
		}
		return l.Demand(ctx, q)
	}, dir, func() { _ = l.Close() }, nil
}

// demandOf asks a server for pages.
func demandOf(ctx context.Context, r *remote) ledger.Pages {
	return func(q meter.DemandQuery) (*meter.DemandPage, error) {
		v := url.Values{"account": {q.Account}, "team": {q.Team}, "key": {q.Key}, "model": {q.Model}, "mode": {q.Mode}, "after": {q.After}}
		for _, name := range slices.Sorted(maps.Keys(q.Tags)) {
			v.Add("tag", name+"="+q.Tags[name])
		}
		for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
			if !t.IsZero() {
				v.Set(name, t.UTC().Format(time.RFC3339Nano))
			}
		}
		if q.UpTo > 0 {
			v.Set("upTo", strconv.FormatInt(q.UpTo, 10))
		}
		p := &meter.DemandPage{}
		return p, r.call(ctx, http.MethodGet, "demand?"+v.Encode(), nil, p)
	}
}
