package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"forebay/accrual"
	"forebay/api"
	"forebay/api/admin"
	"forebay/api/anthropic"
	"forebay/api/autoscaling"
	"forebay/api/bedrock"
	"forebay/api/bedrockruntime"
	"forebay/api/openai"
	"forebay/api/sagemakerruntime"
	"forebay/api/sts"
	"forebay/config"
	"forebay/custom"
	"forebay/dispatch"
	"forebay/endpoint"
	"forebay/fleet"
	"forebay/identity"
	"forebay/internal/filelock"
	"forebay/invocationlog"
	"forebay/meter"
	"forebay/meter/tracing"
	"forebay/provision"
	"forebay/store"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"
)

// credentialsFile holds the development keys, for the tools of the same machine.
const credentialsFile = "credentials.json"

// Server is one Forebay.
type Server struct {
	cfg       config.Config // at the start; what can change since is in live
	log       *slog.Logger
	store     *store.Store
	lock      *filelock.Lock // of the data directory
	ledger    *meter.Ledger
	dispatch  *dispatch.Dispatcher
	metrics   *metrics
	front     *front
	live      atomic.Pointer[serving]
	resources sync.RWMutex              // held while resources change
	directory atomic.Pointer[directory] // of resources

	retired []retired // guarded by keys
	creds   Credentials
	keys    sync.Mutex // held while keys, the addresses of engines or the configuration change
	keyring atomic.Pointer[identity.Keyring]
	signing signingKeys
	doors   *doors
	tracer  *tracing.Tracer // nil where nothing is traced
	started time.Time

	discovery *discovery

	custom      *custom.Registry
	invocations *invocationlog.Log
	book        *provision.Book
	endpoints   *endpoint.Book
	fleet       endpoint.Fleet // nil where nothing runs instances
	replicas    *fleet.Fleet   // the same, in one piece
	hours       *accrual.Book
	accruer     *accrual.Accruer
	provisioned atomic.Pointer[provisioned]
	unbacked    atomic.Pointer[map[string]bool] // models of which more is sold than their engines back
	short       map[string]shortage             // shortages that were logged; guarded by keys
	unmet       map[[2]string]string            // declared purchases that are not as declared, as was logged; guarded by keys
	untold      bool                            // what is stored of purchases is not in force yet; guarded by keys
	nextTend    time.Time                       // when the book wants it; guarded by keys
	wakeBook    chan struct{}                   // the time may have changed

	plain   net.Listener
	secure  net.Listener
	cert    certificate
	stopped atomic.Bool
}

// New builds a server and opens its listeners, so that addresses are known and a port in
// use is told at once. Close must be called, also after an error of Run; after an error of New there is nothing to close.
func New(ctx context.Context, cfg config.Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: log, started: time.Now(), discovery: newDiscovery(log)}
	s.cert.warn = func(err error) {
		log.WarnContext(context.WithoutCancel(ctx), "the new certificate cannot be read; the old one stays", "error", err)
	}
	s.doors = newDoors(cfg.Server.Connections, cfg.Server.PerAddress, log)
	for _, step := range []func(context.Context) error{s.open, s.trace, s.wire, s.listen} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// open opens what is kept in the data directory.
func (s *Server) open(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("the data directory cannot be made: %w", err)
	}
	err := s.own(ctx)
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be used: %w", s.cfg.DataDir, err)
	}
	if s.store, err = store.Open(ctx, s.cfg.DataDir); err != nil {
		return fmt.Errorf("the data directory %s cannot be used: %w", s.cfg.DataDir, err)
	}
	s.ledger, err = meter.OpenLedger(ctx, meter.LedgerOptions{
		Path: filepath.Join(s.cfg.DataDir, "ledger.db"), Sync: s.cfg.Ledger.Sync == "full", Serve: s.cfg.Ledger.OnFailure == "serve", Uptimes: true, Log: s.log,
	})
	if err != nil {
		return err
	}
	if err := s.openDirectory(ctx); err != nil {
		return err
	}
	return s.devKeys(ctx)
}

// wire builds the scheduler, the engines and the services.
func (s *Server) wire(ctx context.Context) error {
	s.metrics = &metrics{}
	s.openBook()
	s.openHours()
	s.openCustom()
	if err := s.openFleet(); err != nil {
		return err
	}
	if err := s.openEndpoints(ctx); err != nil {
		return err
	}
	s.openInvocations()
	s.dispatch = dispatch.New(dispatch.Options{
		Recorder: s.recorder(), Log: s.log, Want: s.want, Metrics: (*lateMetrics)(s),
		Recording: dispatch.Recording{Dir: s.cfg.Recording.Dir, SegmentBytes: int64(s.cfg.Recording.Segment), MaxBytes: int64(s.cfg.Recording.Total)},
	})
	s.front = s.services()
	s.metrics = newMetrics(s)
	cfg, err := s.atStart(ctx)
	if err != nil {
		return err
	}
	brought, err := s.brought(ctx)
	if err != nil {
		return err
	}
	first, err := build(&s.cfg, cfg, brought, nil)
	if err != nil {
		return err
	}
	return s.install(ctx, first)
}

// recorder is where rows go.
func (s *Server) recorder() dispatch.Recorder {
	if s.cfg.NoLedger {
		s.log.Warn("no call is recorded: usage, explain and restarts will know of none")
		return unrecorded{}
	}
	return s.ledger
}

// unrecorded forgets rows.
type unrecorded struct{}

func (unrecorded) Append(context.Context, *meter.Record) error { return nil }
func (unrecorded) Healthy() error                              { return nil }

// lateMetrics lets the dispatcher be made before the metrics that read it.
type lateMetrics Server

// Called implements dispatch.Metrics.
func (m *lateMetrics) Called(r *meter.Record) { m.metrics.Called(r) }

func (s *Server) services() *front {
	g := &api.Gateway{
		Models: (*modelsView)(s), Infer: s.dispatch.Infer, Count: s.count, KeepAlive: s.cfg.Server.KeepAlive, Region: s.cfg.Server.Region,
		Witness: s.witness, FailureName: bedrockruntime.FailureName,
	}
	f := &front{
		s: s, log: s.log, budget: api.NewBudget(int64(s.cfg.Server.Bodies)),
		openai: &openai.Service{Gateway: g}, anthropic: &anthropic.Service{Gateway: g}, runtime: bedrockruntime.New(g),
		bedrock: bedrock.New(g, s.control()), sts: sts.New(), sagemaker: s.endpointControl(), endpoints: sagemakerruntime.New(g, s.endpoints), scaling: autoscaling.New(s.endpoints),
	}
	f.admin = admin.New(adminView{s}, provisionAdmin{s}, s.loggingOf, config.ObjectSchemas("#/components/schemas/"))
	return f
}

// changeKeys changes the stored keys and puts the change into force. One change at a time: a
// keyring that was read before a key was revoked must not come into force after it. What is
// stored comes into force although the caller has left meanwhile.
func (s *Server) changeKeys(ctx context.Context, change func() error) error {
	s.keys.Lock()
	defer s.keys.Unlock()
	if err := change(); err != nil {
		return err
	}
	return s.loadKeys(context.WithoutCancel(ctx))
}

// loadKeys puts the stored keys, and the addresses of engines, in force.
func (s *Server) loadKeys(ctx context.Context) error { return s.apply(ctx, s.live.Load()) }

// listen opens the ports.
func (s *Server) listen(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	if s.plain, err = lc.Listen(ctx, "tcp", s.cfg.Server.Listen); err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", s.cfg.Server.Listen, err)
	}
	s.creds.URL = "http://" + s.plain.Addr().String()
	if s.cfg.Server.TLSListen != "" {
		if err := s.listenTLS(ctx, &lc); err != nil {
			return err
		}
	}
	s.creds.Region = s.cfg.Server.Region
	return s.writeCredentials()
}

func (s *Server) listenTLS(ctx context.Context, lc *net.ListenConfig) error {
	err := s.loadCertificate(&s.cfg)
	if err != nil {
		return err
	}
	if s.cfg.Server.TLSCert == "" {
		s.creds.CA = caPath(s.cfg.DataDir)
	}
	if s.secure, err = lc.Listen(ctx, "tcp", s.cfg.Server.TLSListen); err != nil {
		return fmt.Errorf("cannot listen on %s: %w", s.cfg.Server.TLSListen, err)
	}
	s.creds.TLSURL = "https://" + s.secure.Addr().String()
	return nil
}

func (s *Server) writeCredentials() error {
	b, err := json.Marshal(&s.creds, jsontext.Multiline(true))
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.cfg.DataDir, credentialsFile), append(b, '\n'))
}

// Credentials returns the addresses and the development keys.
func (s *Server) Credentials() Credentials {
	s.keys.Lock() // a rotation may change them
	defer s.keys.Unlock()
	return s.creds
}

// ReadCredentials reads what a server left in a data directory for the tools of the same machine.
func ReadCredentials(dir string) (*Credentials, error) {
	b, err := os.ReadFile(filepath.Join(dir, credentialsFile)) //nolint:gosec // the operator's own directory
	if err != nil {
		return nil, err
	}
	c := new(Credentials)
	return c, json.Unmarshal(b, c)
}

// Bounds of connections.
const (
	idleTimeout = 2 * time.Minute
	maxStreams  = 1000 // of one HTTP/2 connection
	// A silent HTTP/2 connection is asked for a sign of life.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

func (s *Server) httpServer(secure bool) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	if secure {
		p.SetHTTP2(true)
	} else {
		p.SetUnencryptedHTTP2(true) // the JavaScript SDK speaks it with prior knowledge
	}
	return &http.Server{
		DisableGeneralOptionsHandler: true, // OPTIONS * is an unknown operation like any other
		Handler:                      s.front, Protocols: p, ReadHeaderTimeout: s.cfg.Server.HeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: int(s.cfg.Server.HeaderLimit),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: s.cfg.Server.Stall},
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		TLSConfig: &tls.Config{GetCertificate: s.cert.get, MinVersion: tls.VersionTLS12},
	}
}

// Run serves until ctx ends, then finishes what is under way, for at most the configured
// time, and returns nil. When it returns no call is under way: those that were cut off have written their rows. It is
// called once.
func (s *Server) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	s.dispatch.BeginRecording() // before the first call can come
	endLog, endDispatch := outliving(ctx, s.invocations.Run), outliving(ctx, s.dispatch.Run)
	g.Go(func() error { tendMemory(gctx); return nil })
	g.Go(func() error { return s.tendProvisioned(gctx) })
	g.Go(func() error { return s.accruer.Run(gctx) })
	g.Go(func() error { return s.custom.Run(gctx) })
	s.takeOver(gctx)
	changes := s.replicas.Changes(gctx)
	g.Go(func() error { s.wakeEndpoints(changes); return nil })
	g.Go(func() error { return s.endpoints.Run(gctx) })
	g.Go(func() error {
		return s.discovery.run(gctx, s.replicasChanged)
	})
	serve := func(srv *http.Server, run func() error) {
		g.Go(func() error {
			if err := run(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		g.Go(func() error {
			<-gctx.Done()
			s.stopped.Store(true)
			dctx, cancel := context.WithTimeout(context.WithoutCancel(gctx), s.cfg.Server.Drain)
			defer cancel()
			if err := srv.Shutdown(dctx); err != nil {
				s.log.WarnContext(dctx, "calls were cut off after the drain time", "drain", s.cfg.Server.Drain)
				return srv.Close()
			}
			return nil
		})
	}
	plain := s.httpServer(false)
	serve(plain, func() error { return plain.Serve(s.doors.listen(s.plain, false)) })
	if s.secure != nil {
		secure := s.httpServer(true)
		serve(secure, func() error { return secure.ServeTLS(s.doors.listen(s.secure, true), "", "") })
	}
	err := g.Wait()
	s.front.end()
	s.endReplicasInOrder(ctx)
	return errors.Join(err, endDispatch(), endLog())
}

// outliving runs what the calls need that are still under way when ctx ends, until the returned function is called.
func outliving(ctx context.Context, run func(context.Context) error) (end func() error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() error {
		stop()
		return <-done
	}
}

// Close releases everything. It may be called more than once.
func (s *Server) Close() error {
	s.endReplicas()
	s.keys.Lock() // a change ends first
	defer s.keys.Unlock()
	var errs []error
	for _, l := range []net.Listener{s.plain, s.secure} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if s.dispatch != nil {
		s.dispatch.Close()
	}
	s.sweep(time.Now(), true)
	if p := s.live.Load(); p != nil {
		errs = append(errs, closeAll(p.release(nil)))
		s.live.Store(nil)
	}
	errs = append(errs, s.untrace())
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close())
		s.ledger = nil
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
		s.store = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// ready says whether calls can be served.
func (s *Server) ready() error {
	if s.stopped.Load() {
		return errors.New("stopping")
	}
	return s.ledger.Healthy()
}

// DataDir returns where the server keeps its files.
func (s *Server) DataDir() string { return s.cfg.DataDir }

// Hint returns the command that puts a real model in place of the simulated engine.
func (s *Server) Hint(model string) string { return strings.ReplaceAll(s.cfg.Hint, "MODEL", model) }

// Example returns the model to show things with: preferred, or where only simulated engines answer for that, the
// first of those that a real one chats for.
func (s *Server) Example(preferred string) string {
	if !s.Simulated(preferred) {
		return preferred
	}
	for _, m := range (adminView{s}).Models() {
		if !m.Simulated && !m.Embeds() {
			return m.ID
		}
	}
	return preferred
}

// Simulated reports whether only simulated engines answer for a model.
func (s *Server) Simulated(model string) bool {
	for _, m := range (adminView{s}).Models() {
		if m.ID == model {
			return m.Simulated
		}
	}
	return false
}
