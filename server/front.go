package server

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"forebay/api"
	"forebay/api/anthropic"
	"forebay/api/autoscaling"
	"forebay/api/bedrock"
	"forebay/api/bedrockruntime"
	"forebay/api/openai"
	"forebay/api/sagemaker"
	"forebay/api/sagemakerruntime"
	"forebay/config"
	"forebay/fault"
	"forebay/identity"
	"forebay/wire/awsjson"
)

// front is the front door: it finds the service, authenticates, reads the body within
// its bounds, and answers what goes wrong in the service's own form.
type front struct {
	s      *Server
	log    *slog.Logger
	budget *api.Budget
	// calls is held for reading by every call, and for writing once no more are taken.
	calls sync.RWMutex

	openai    api.Service
	anthropic api.Service
	runtime   api.Service
	bedrock   api.Service
	sts       api.Service
	sagemaker api.Service
	endpoints api.Service // the runtime of sagemaker
	scaling   api.Service
	admin     api.Service
}

// end waits for the calls under way, whose connections are closed already, and takes no more. An http.Server that is
// closed does not wait for its handlers, and they write rows.
func (f *front) end() { f.calls.Lock() }

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.calls.TryRLock() { // read from a connection that was closed meanwhile
		panic(http.ErrAbortHandler)
	}
	defer f.calls.RUnlock()
	now, cfg := time.Now(), &f.s.live.Load().cfg
	c := &api.Call{ID: api.NewID(now), Started: now, HTTP: r, W: api.NewWriter(w, cfg.Server.Stall), Log: f.log}
	c.Path, c.Query = api.SplitTarget(r.RequestURI)
	if f.plain(c) {
		return
	}
	svc, signer := f.route(c)
	if cfg.Logging.Access {
		defer f.logged(c, svc, cfg.Logging.Prompts)
	}
	defer f.recovered(c, svc)
	var err error
	if f.s.tracer != nil {
		end := f.traced(c, svc, cfg.Tracing.Prompts)
		defer func() { end(err) }()
	}
	err = f.serve(c, cfg, svc, signer)
	if err == nil {
		return
	}
	e := fault.From(err)
	f.tell(c, svc, e)
	if e.Kind != fault.Canceled && !c.W.Started() {
		svc.Fail(c, e)
	}
	f.refused(c, svc, e)
	if e.Kind == fault.Canceled && !c.W.Started() {
		panic(http.ErrAbortHandler) // a client that has only closed its side would be told 200, of an empty answer
	}
}

// recovered answers for a panic: the call fails, the server goes on, the log says where.
func (f *front) recovered(c *api.Call, svc api.Service) {
	p := recover()
	switch p {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(p)
	}
	f.log.Error("a request panicked", "request", c.ID, "service", svc.Name(), "operation", c.Operation, "panic", p, "stack", string(debug.Stack()))
	if c.W.Started() {
		panic(http.ErrAbortHandler) // the client must see that the answer is not whole
	}
	e := fault.New(fault.Internal, "")
	svc.Fail(c, e)
	f.refused(c, svc, e)
}

// tell logs a failure: what is ours as an error, with its cause; the caller's for those who debug.
func (f *front) tell(c *api.Call, svc api.Service, e *fault.Error) {
	level := slog.LevelDebug
	switch e.Kind {
	case fault.Internal:
		level = slog.LevelError
	case fault.Unavailable, fault.StreamFailed, fault.Timeout:
		level = slog.LevelWarn
	}
	f.log.Log(c.Context(), level, "request failed", "request", c.ID, "service", svc.Name(), "operation", c.Operation,
		"model", c.Model, "kind", e.Kind.String(), "error", e.Error())
}

func (f *front) serve(c *api.Call, cfg *config.Config, svc api.Service, signer []string) error {
	if err := plainPath(c.Path); err != nil {
		return err
	}
	verify, body, err := f.receive(c, &cfg.Server, signer)
	if err != nil {
		if c.HTTP.ContentLength != 0 {
			c.W.ReadBy(time.Now().Add(linger))
		}
		return err
	}
	defer body.Release()
	c.Body = body.Bytes
	if cfg.Logging.Prompts || f.s.tracer != nil && cfg.Tracing.Prompts {
		c.Prompt = clip(c.Body)
	}
	c.Sent = func() {
		body.Drop()
		c.Body = nil
	}
	if verify != nil {
		if err := verify(c.Body); err != nil {
			return err
		}
	}
	// A body may be minutes on its way, and its key may have ended meanwhile.
	if !cfg.NoAuth && !f.s.keyring.Load().Live(c.Principal, time.Now()) {
		return fault.New(fault.UnknownKey, "")
	}
	return svc.Serve(c)
}

// linger is how long the rest of a body that nobody wants is read, so that a client which is
// still sending it gets to the answer.
const linger = 2 * time.Second

// receive authenticates the head and reads the body, within the time that a client may take for it.
func (f *front) receive(c *api.Call, cfg *config.Server, signer []string) (verify func([]byte) error, body *api.Body, err error) {
	timed := c.HTTP.ContentLength != 0
	if timed {
		c.W.ReadBy(c.Started.Add(cfg.BodyTimeout))
	}
	if verify, err = f.authenticate(c, signer); err != nil {
		return nil, nil, err
	}
	if body, err = api.ReadBody(c.HTTP, int64(cfg.BodyLimit), f.budget); err != nil {
		return nil, nil, err
	}
	if timed {
		c.W.ReadBy(time.Time{}) // or the end of the patience would look like a client that left
	}
	return verify, body, nil
}

// plainPath refuses paths that mean something else after cleaning or decoding.
func plainPath(path string) error {
	if strings.Contains(path, "//") || strings.Contains(path, "/../") || strings.HasSuffix(path, "/..") || strings.Contains(path, "/./") ||
		strings.Contains(path, "%00") || !strings.HasPrefix(path, "/") {
		return fault.New(fault.UnknownOperation, "").WithReason("the path is not in its plain form")
	}
	return nil
}

// plain answers what needs no caller: probes and metrics.
func (f *front) plain(c *api.Call) bool {
	if c.HTTP.Method != http.MethodGet {
		return false
	}
	switch c.Path {
	case "/livez":
		_ = c.W.Body(http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	case "/readyz":
		if err := f.s.ready(); err != nil {
			_ = c.W.Body(http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte(unready(err)+"\n"))
			break
		}
		_ = c.W.Body(http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	case "/metrics":
		f.s.metrics.handler.ServeHTTP(flatWriter{c}, c.HTTP)
	default:
		return false
	}
	return true
}

// unready is what anybody may know of why no calls are served; a fault's cause may name files.
func unready(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Kind.String() + ": " + e.Reason
	}
	return err.Error()
}

// flatWriter gives a plain handler the connection of a call.
type flatWriter struct{ c *api.Call }

func (w flatWriter) Header() http.Header         { return w.c.W.Header() }
func (w flatWriter) Write(b []byte) (int, error) { return len(b), w.c.W.Raw(b, false) }
func (w flatWriter) WriteHeader(int)             {}

// route finds the service of a request: by target header, by the scope of its signature, by
// its path, by its host. It also returns the signing names that are right for it.
func (f *front) route(c *api.Call) (svc api.Service, signer []string) {
	if target := c.HTTP.Header.Get(awsjson.TargetHeader); target != "" {
		return f.targetRoute(target)
	}
	if scope := scopeOf(c); scope != "" {
		return f.signedRoute(c, scope)
	}
	switch {
	case strings.HasPrefix(c.Path, adminPrefix):
		return f.admin, nil
	case anthropic.Owns(c.HTTP, c.Path):
		return f.anthropic, nil
	case openai.Owns(c.Path):
		return f.openai, nil
	case bedrockruntime.Owns(c.Path):
		return f.runtime, []string{"bedrock"}
	case bedrock.Owns(c.Path):
		return f.bedrock, []string{"bedrock"}
	case sagemakerruntime.Owns(c.Path):
		return f.endpoints, []string{"sagemaker"}
	case c.Path == "/" && strings.HasPrefix(c.HTTP.Header.Get("Content-Type"), formType):
		return f.sts, []string{"sts"}
	default:
		return f.strayRoute(c.HTTP)
	}
}

// targetRoute finds the service of a request whose target header says whose it is.
func (f *front) targetRoute(target string) (svc api.Service, signer []string) {
	if sagemaker.Owns(target) {
		return f.sagemaker, []string{"sagemaker"}
	}
	if autoscaling.Owns(target) {
		return f.scaling, []string{"application-autoscaling"}
	}
	return unknownAWS{}, nil
}

// signedRoute finds the service of a signed request.
func (f *front) signedRoute(c *api.Call, scope string) (svc api.Service, signer []string) {
	switch {
	case scope == "bedrock" && bedrockruntime.Owns(c.Path):
		return f.runtime, []string{"bedrock"}
	case scope == "bedrock" && anthropic.Owns(c.HTTP, c.Path):
		return f.anthropic, []string{"bedrock"}
	case scope == "bedrock" && openai.Owns(c.Path):
		return f.openai, []string{"bedrock"}
	case scope == "bedrock":
		return f.bedrock, []string{"bedrock"}
	case scope == "sts":
		return f.sts, []string{"sts"}
	case scope == "sagemaker":
		return f.endpoints, []string{"sagemaker"}
	case strings.HasPrefix(c.Path, adminPrefix):
		return f.admin, nil
	default:
		return unknownAWS{}, nil
	}
}

// strayRoute finds the service whose error a request gets that nothing else tells apart: host names that
// begin as those of AWS do are of its services, and its clients get its errors under any name.
func (f *front) strayRoute(r *http.Request) (svc api.Service, signer []string) {
	switch name, _, _ := strings.Cut(r.Host, "."); name {
	case "bedrock-runtime":
		return f.runtime, []string{"bedrock"}
	case "bedrock":
		return f.bedrock, []string{"bedrock"}
	case "sts":
		return f.sts, []string{"sts"}
	}
	if fromAWS(r.Header) {
		return unknownAWS{}, nil
	}
	return f.openai, nil
}

// sdkAgents are how AWS's SDKs and its command line name themselves, in small letters.
var sdkAgents = []string{"aws-sdk-", "aws-cli/", "boto3/", "botocore/"}

// fromAWS reports whether a client of AWS sends a request, by the headers that its SDKs set. CloudFront marks whatever
// passes through it with X-Amz-Cf-Id, and load balancers with X-Amzn-Trace-Id: these tell nothing.
func fromAWS(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Amz-Sdk-") || strings.HasPrefix(name, "X-Amz-") && !strings.HasPrefix(name, "X-Amz-Cf-") {
			return true
		}
	}
	agent := strings.ToLower(h.Get("User-Agent"))
	return slices.ContainsFunc(sdkAgents, func(name string) bool { return strings.Contains(agent, name) })
}

const adminPrefix = "/admin/v1/"

// scopeOf is the signing name in the credential of a signed request, "" for others.
func scopeOf(c *api.Call) string {
	cred := ""
	if a := c.HTTP.Header.Get("Authorization"); strings.HasPrefix(a, "AWS4-HMAC-SHA256") {
		_, cred, _ = strings.Cut(a, "Credential=")
		cred, _, _ = strings.Cut(cred, ",")
	} else if _, q, ok := strings.Cut(c.Query, "X-Amz-Credential="); ok {
		cred, _, _ = strings.Cut(q, "&")
		cred = strings.ReplaceAll(strings.ReplaceAll(cred, "%2F", "/"), "%2f", "/")
	}
	parts := strings.Split(strings.TrimSpace(cred), "/")
	if len(parts) < 5 {
		return ""
	}
	return parts[len(parts)-2]
}

// authenticate finds out who calls, from the head alone. For a signed request it returns
// what remains to be checked when the body is there.
func (f *front) authenticate(c *api.Call, signer []string) (func(body []byte) error, error) {
	if f.s.cfg.NoAuth {
		if !local(c.HTTP) {
			return nil, fault.New(fault.Denied, "Without authentication, only programs of this machine are served.").
				WithReason("the request comes from a web page, or for a host name that anybody may give this address; start without --no-auth")
		}
		c.Principal = &identity.Principal{Account: f.s.cfg.Account.ID, KeyID: "anonymous", Name: "anonymous", ARN: "arn:aws:iam::" + f.s.cfg.Account.ID + ":user/anonymous"}
		return nil, nil
	}
	h := c.HTTP.Header
	auth := h.Get("Authorization")
	switch {
	case strings.HasPrefix(auth, "AWS4-"):
		r := signedRequest(c)
		claim, err := identity.ParseAuthorization(r)
		if err != nil {
			return nil, err
		}
		return f.signed(c, r, claim, signer)
	case strings.Contains(c.Query, "X-Amz-Algorithm="):
		r := signedRequest(c)
		claim, err := identity.ParsePresigned(r)
		if err != nil {
			return nil, err
		}
		return f.signed(c, r, claim, signer)
	case len(auth) > 7 && strings.EqualFold(auth[:7], "Bearer "):
		return nil, f.bearer(c, strings.TrimSpace(auth[7:]))
	case h.Get("X-Api-Key") != "":
		return nil, f.bearer(c, h.Get("X-Api-Key"))
	case auth != "":
		return nil, fault.New(fault.IncompleteAuth, "")
	default:
		return nil, fault.New(fault.MissingAuth, "")
	}
}

// local reports whether a request can come from a program of this machine alone. A browser
// sends requests to loopback for any page that it shows: they have the page's origin, or
// after a change in the DNS, the host name of the page.
func local(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !localName(u.Hostname()) {
			return false
		}
	}
	u := url.URL{Host: r.Host}
	return localName(u.Hostname())
}

// localName reports whether a host's name has no meaning outside of this machine and its
// network: an address, a name without a dot, or one of a reserved domain (RFC 6761, RFC 9476).
func localName(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".internal")
}

func signedRequest(c *api.Call) *identity.Request {
	return &identity.Request{Method: c.HTTP.Method, Path: c.Path, Query: c.Query, Host: c.HTTP.Host, Header: c.HTTP.Header}
}

func (f *front) region() string {
	if cfg := &f.s.live.Load().cfg; cfg.Server.Strict {
		return cfg.Server.Region
	}
	return ""
}

func (f *front) signed(c *api.Call, r *identity.Request, claim *identity.Claim, signer []string) (func([]byte) error, error) {
	ring := f.s.keyring.Load()
	c.Claimed = ring.Known(claim.KeyID, "")
	if err := claim.Check(c.Started, f.region(), signer...); err != nil {
		return nil, err
	}
	signers, err := ring.Signers(claim.KeyID, c.Started)
	if err != nil {
		return nil, err
	}
	return func(body []byte) error {
		hash, err := identity.PayloadHash(r, body)
		if err != nil {
			return err
		}
		c.Principal, err = f.s.signing.signer(claim, signers, r, hash)
		return err
	}, nil
}

// bearer authenticates an API key, or a short-term key that carries a signature of its own.
func (f *front) bearer(c *api.Call, token string) error {
	ring := f.s.keyring.Load()
	if !identity.IsShortTerm(token) {
		var err error
		if c.Principal, err = ring.Bearer(token, c.Started); err != nil {
			c.Claimed = ring.Known("", token)
		}
		return err
	}
	claim, r, err := identity.ParseShortTerm(token)
	if err != nil {
		return errors.Join(fault.New(fault.UnknownKey, ""), err)
	}
	c.Claimed = ring.Known(claim.KeyID, "")
	if err := claim.Check(c.Started, f.region(), "bedrock"); err != nil {
		return err
	}
	signers, err := ring.Signers(claim.KeyID, c.Started)
	if err != nil {
		return err
	}
	p, err := f.s.signing.signer(claim, signers, r, identity.ShortTermHash)
	if err != nil {
		return err
	}
	if strings.HasPrefix(c.Path, adminPrefix) { // who finds one must not make a lasting key of it
		return fault.New(fault.Denied, "A short-term API key calls models and administers nothing.")
	}
	c.Principal = p
	return nil
}
