package server

import (
	"context"
	"slices"
	"time"

	"forebay/api"
	"forebay/api/admin"
	"forebay/artifact"
	"forebay/config"
	"forebay/fault"
	"forebay/invocationlog"
)

// recordedWithin is how old the record of a model invocation is at most when it is written.
const recordedWithin = 10 * time.Second

// openInvocations opens the log of model invocations.
func (s *Server) openInvocations() {
	s.invocations = invocationlog.New(invocationlog.Options{Objects: s.objects(), Region: s.cfg.Server.Region, Log: s.log, Every: recordedWithin})
}

// invocationLogging implements bedrock.Logging: what the configuration says holds for all accounts, or else what
// each says itself.
type invocationLogging struct{ s *Server }

// Get implements bedrock.Logging.
func (l invocationLogging) Get(account string) *invocationlog.Config {
	if c := l.s.live.Load().recorded; c != nil {
		return c
	}
	return l.s.directory.Load().logging[account]
}

// recorded is what the configuration says, nil for nothing.
func recorded(c *config.Invocations) *invocationlog.Config {
	if c.Location == "" {
		return nil
	}
	at, err := artifact.Parse(c.Location)
	if err != nil {
		return nil // which Validate has told
	}
	on := func(kind string) bool { return !slices.Contains(c.LeaveOut, kind) }
	return &invocationlog.Config{Location: at, Data: invocationlog.Data{
		Text: on("text"), Image: on("image"), Embedding: on("embedding"), Video: on("video"), Audio: on("audio"),
	}}
}

// managed refuses a change where the configuration says what holds.
func (l invocationLogging) managed() error {
	cfg := &l.s.live.Load().cfg
	if cfg.Logging.Invocations.Location == "" {
		return nil
	}
	return fault.Newf(fault.Invalid, "The logging configuration is managed by %s; change it there.", declaredAt(cfg))
}

func (l invocationLogging) settings() *invocationlog.Settings {
	return &invocationlog.Settings{Store: resourceStore(l), Objects: l.s.objects(), Region: l.s.cfg.Server.Region}
}

// Put implements bedrock.Logging.
func (l invocationLogging) Put(ctx context.Context, account string, c *invocationlog.Config) error {
	if err := l.managed(); err != nil {
		return err
	}
	defer l.s.invocations.Flush() // who looks for records after a change finds those before it
	return l.settings().Put(ctx, account, c)
}

// Delete implements bedrock.Logging.
func (l invocationLogging) Delete(ctx context.Context, account string) error {
	if err := l.managed(); err != nil {
		return err
	}
	defer l.s.invocations.Flush()
	return l.settings().Delete(ctx, account)
}

// witness returns who wants to know of a call: the log, where its account has one.
func (s *Server) witness(c *api.Call) api.Witness {
	l := invocationLogging{s}.Get(c.Principal.Account)
	if l == nil {
		return nil
	}
	return &witness{Call: s.invocations.Begin(l, c.Body), s: s}
}

// witness implements api.Witness.
type witness struct {
	*invocationlog.Call
	s *Server
}

// End implements api.Witness. A call whose model nobody could read is none.
func (w *witness) End(c *api.Call, name string) {
	in := c.Intent
	if in == nil {
		w.Discard()
		return
	}
	m := w.s.live.Load().model(c.Model)
	w.Call.End(&invocationlog.End{
		Account: c.Principal.Account, ARN: c.Principal.ARN, RequestID: c.ID, Operation: c.Operation, Model: in.Model, Began: c.Started,
		Metadata: in.Given, Error: name, Embeds: m != nil && m.Embeds(),
	})
}

// loggingOf says where an account's model invocations are recorded.
func (s *Server) loggingOf(account string) admin.Logging {
	counts := s.invocations.Counts()
	out := admin.Logging{Records: &counts}
	if l := (invocationLogging{s}).Get(account); l != nil {
		out.Location, out.Data = l.Location.String(), &l.Data
	}
	if cfg := &s.live.Load().cfg; cfg.Logging.Invocations.Location != "" {
		out.ManagedBy = declaredAt(cfg)
	}
	return out
}

// declaredAt is where the configuration says what is recorded.
func declaredAt(cfg *config.Config) string {
	if at := cfg.Where("logging.invocations"); at != "" {
		return at
	}
	return "the server's configuration"
}
