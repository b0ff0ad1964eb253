package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/dialect"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

// Models finds the model that an id stands for, and what serves it.
type Models interface {
	// Resolve returns the model behind an id as the caller wrote it.
	Resolve(account, id string) (catalog.Resolution, error)
	// Speaks reports whether every engine of the model, or of the pool of a lane, takes bodies of the dialect as they are.
	Speaks(pool string, d infer.Dialect) bool
	// List returns the models an account can call, ordered by id.
	List(account string) []*catalog.Model
	// Aliases returns the operator's own names of models, ordered.
	Aliases(account string) []catalog.Alias
}

// Gateway is the road that the inference APIs share: from a body and a model id to an
// authorised request, and through the scheduler to an answer.
type Gateway struct {
	Models Models
	Infer  infer.Handler
	// Count returns the input tokens of a request by the served model's own tokenizer, or a
	// fault of kind Unsupported when no engine of the model can count.
	Count func(ctx context.Context, req *infer.Request) (int64, error)
	// KeepAlive is the silence after which a server-sent event stream gets a comment.
	KeepAlive time.Duration
	Region    string
	// Witness returns who wants to know what a call asks and answers, nil for nobody. It may be nil itself.
	Witness func(c *Call) Witness
	// FailureName is the name by which a witness is told of a failure, whatever API was called.
	FailureName func(e *fault.Error) string
}

// Actions that policies allow or deny.
const (
	ActionInvoke       = "bedrock:InvokeModel"
	ActionInvokeStream = "bedrock:InvokeModelWithResponseStream"
	ActionCountTokens  = "bedrock:CountTokens"
	ActionListModels   = "bedrock:ListFoundationModels"
	ActionGetModel     = "bedrock:GetFoundationModel"
)

// Intent is what an operation wants of the gateway.
type Intent struct {
	API       string
	Operation string
	Dialect   infer.Dialect
	Task      infer.Task
	Model     string // as the caller wrote it
	Stream    bool
	Tier      string // from a header; the body's, if any, otherwise
	Action    string // the action to authorise; the invoke actions by Stream when empty
	Counting  bool   // the body is only counted: a bound on output is not demanded
	Tags      map[string]string
	// Given are the caller's own of the tags, once those of a profile are among them.
	Given     map[string]string
	Guardrail *infer.Guardrail // that the caller names
	Latency   string           // the performance configuration that the caller asks for
	// Chat gives the body in no particular dialect where the operation has decoded it already.
	Chat func() (*infer.Chat, error)
}

// Resolve finds the model of the intent and checks that the caller may use it.
func (g *Gateway) Resolve(c *Call, in *Intent) (catalog.Resolution, error) {
	c.Intent = in
	res, err := g.Models.Resolve(c.Principal.Account, in.Model)
	if err != nil {
		return res, err
	}
	c.Model = res.Model.ID
	in.Given = in.Tags
	if in.Tags, err = profileTags(in.Tags, &res); err != nil {
		return res, err
	}
	return res, g.allowed(c, in, &res)
}

// allowed checks that the caller may do what is known of the intent with what was found.
func (g *Gateway) allowed(c *Call, in *Intent, res *catalog.Resolution) error {
	if res.Route != nil {
		return g.authorizeRoute(c, in, res.Route)
	}
	if res.Endpoint != "" { // which its caller knows, and not the variant
		return g.authorize(c, in, res.Endpoint)
	}
	if res.Reservation != "" && g.authorize(c, in, res.Reservation) == nil {
		return nil // by the ARN of what was bought; else by its model
	}
	return g.authorize(c, in, res.Model.ID)
}

// action is what a policy must allow.
func (in *Intent) action() string {
	switch {
	case in.Action != "":
		return in.Action
	case in.Stream:
		return ActionInvokeStream
	default:
		return ActionInvoke
	}
}

// TagProfile is the tag that calls by an application inference profile have on the ledger: its id.
const TagProfile = ownTags + "inference-profile"

// ownTags begin the names of tags that callers cannot give.
const ownTags = "forebay:"

// profileTags adds the tags of a profile to those that the caller gives to the call. The profile's hold: whoever pays by
// them must not be told something else.
func profileTags(given map[string]string, res *catalog.Resolution) (map[string]string, error) {
	for key := range given {
		if strings.HasPrefix(key, ownTags) {
			return nil, fault.Newf(fault.Invalid, "The request metadata key %s begins with %s, which is reserved.", HeaderValue(key), ownTags)
		}
	}
	if res.Profile == "" {
		return given, nil
	}
	out := make(map[string]string, len(given)+len(res.Tags)+1)
	maps.Copy(out, given)
	maps.Copy(out, res.Tags)
	out[TagProfile] = res.Profile
	return out, nil
}

// authorize checks that the caller may do what is known of the intent.
func (g *Gateway) authorize(c *Call, in *Intent, model string) error {
	return identity.Authorize(c.Principal, in.action(), model, identity.ModelARN(g.Region, model), in.capped())
}

// Prepare turns a body in a dialect into an authorised request, taking the model's name
// from the body where the intent has none. The body is looked at once; it is decoded
// only when some engine of the model does not speak the dialect.
func (g *Gateway) Prepare(c *Call, in *Intent) (*infer.Request, error) {
	return g.prepare(c, in, nil)
}

// PrepareResolved is Prepare for a model that has been found.
func (g *Gateway) PrepareResolved(c *Call, in *Intent, res *catalog.Resolution) (*infer.Request, error) {
	return g.prepare(c, in, res)
}

func (g *Gateway) prepare(c *Call, in *Intent, res *catalog.Resolution) (*infer.Request, error) {
	req, err := g.request(c, in, res)
	if err != nil && req != nil {
		refusedWith(c, req)
	}
	return req, err
}

// request is prepare. With an error it returns the request as far as it has got.
func (g *Gateway) request(c *Call, in *Intent, res *catalog.Resolution) (*infer.Request, error) {
	codec, ok := dialect.Get(in.Dialect)
	if !ok {
		return nil, fault.New(fault.Unsupported, "This operation is not supported for this model.")
	}
	c.Intent = in
	req := g.blank(c, in)
	req.Body = c.Body
	if err := codec.Inspect(c.Body, &req.Facts); err != nil {
		return nil, err
	}
	if in.Model == "" {
		if in.Model = req.Facts.Model; in.Model == "" {
			e := fault.New(fault.Invalid, "you must provide a model parameter")
			e.Param = "model"
			return nil, e
		}
	}
	if in.Tier == "" {
		in.Tier = req.Facts.Tier
	}
	if err := in.tier(req); err != nil { // before it is held against a ceiling
		return nil, err
	}
	in.Stream = in.Stream || req.Facts.Stream
	req.Stream = in.Stream
	if res == nil {
		found, err := g.Resolve(c, in)
		if err != nil {
			return nil, err
		}
		res = &found
	} else if err := g.allowed(c, in, res); err != nil { // the body may ask for more than was known
		return nil, err
	}
	g.bind(c, in, req, res)
	if res.Route != nil {
		return req, g.lanes(c, in, req, res.Route, codec)
	}
	if err := makes(res.Model, req.Task); err != nil {
		return nil, err
	}
	out, err := rules(in, req, res.Model)
	if err != nil {
		return nil, err
	}
	return req, g.enter(in, req, res.Model.ID, codec, out)
}

// enter makes a request what the engines of a pool take. Where all of them speak its dialect the body stays as it is, and is
// decoded only for an engine that does not.
func (g *Gateway) enter(in *Intent, req *infer.Request, pool string, codec *dialect.Codec, out drops) error {
	out.keep(in, req)
	if g.Models.Speaks(pool, in.Dialect) && !in.Counting && (!out.ruled || out.uses == 0) {
		req.Decode = func() error {
			if err := decode(codec, in, req); err != nil {
				return err
			}
			return leaveOut(req, out)
		}
		return nil
	}
	if err := decode(codec, in, req); err != nil {
		return err
	}
	return leaveOut(req, out)
}

// decode turns the body into what is in no particular dialect.
func decode(codec *dialect.Codec, in *Intent, req *infer.Request) (err error) {
	switch {
	case in.Chat != nil:
		req.Chat, err = in.Chat()
	case req.Task == infer.TaskEmbed && codec.DecodeEmbed != nil:
		req.Embed, err = codec.DecodeEmbed(req.Body)
	case req.Task == infer.TaskChat && codec.DecodeChat != nil:
		req.Chat, err = codec.DecodeChat(req.Body)
		if err == nil {
			codec.Defaults(req.Chat)
		}
		if err == nil && req.Facts.MaxTokens == 0 && req.Chat.MaxTokens != nil {
			req.Facts.MaxTokens = *req.Chat.MaxTokens // a family's own default
		}
	default:
		err = fault.Newf(fault.Unsupported, "This operation is not supported for this model.")
	}
	return err
}

// blank is a request before its body was looked at.
func (g *Gateway) blank(c *Call, in *Intent) *infer.Request {
	h := c.HTTP.Header
	return &infer.Request{
		ID: c.ID, API: in.API, Operation: in.Operation, Task: in.Task, Dialect: in.Dialect,
		Sent: c.Sent, Arrived: c.Started, Betas: betas(h.Values("Anthropic-Beta")),
		Caller: Caller(c), Trace: c.Trace, Propagate: infer.NewTraceContext(h.Get("Traceparent"), h.Get("Tracestate")),
	}
}

// bind fills in what the resolution says of the call.
func (g *Gateway) bind(c *Call, in *Intent, req *infer.Request, res *catalog.Resolution) {
	req.ModelAsked, req.Model, req.RegionPrefix, req.ModelCharged = in.Model, res.Model.ID, res.RegionPrefix, res.Charged
	req.Reservation = res.Reservation
	req.Caller.Tags, req.Deadline = in.Tags, deadline(c.HTTP.Header, c.Started, req.Stream)
	if res.Route == nil && res.Model.ID != in.Model {
		c.W.Header().Set(HeaderModelServed, HeaderValue(res.Model.ID))
	}
}

// makes refuses a task that a model is not for.
func makes(m *catalog.Model, task infer.Task) error {
	if m.Embeds() == (task == infer.TaskEmbed) {
		return nil
	}
	return fault.New(fault.Unsupported, "This operation is not supported for this model.").
		WithReason("%s makes %s", m.ID, strings.ToLower(strings.Join(m.Output, ", ")))
}

// betas splits the values of the anthropic-beta header.
func betas(values []string) []string {
	var out []string
	for _, v := range values {
		for b := range strings.SplitSeq(v, ",") {
			if b = strings.TrimSpace(b); b != "" {
				out = append(out, b)
			}
		}
	}
	return out
}

// Answer sets the headers that tell the truth about a response.
func Answer(h http.Header, head *infer.Head) {
	for _, what := range head.Dropped {
		AddDropped(h, what)
	}
	if head.Simulated {
		h.Set("X-Forebay-Simulated", "true")
	}
	if head.Lane != "" {
		h.Set(HeaderLane, HeaderValue(head.Lane))
		h.Set(HeaderModelServed, HeaderValue(head.Served))
	}
	if head.Spill != "" {
		h.Set(HeaderSpill, HeaderValue(head.Spill))
	}
}

// refusedWith names what the rules left out of a request that was refused all the same.
func refusedWith(c *Call, req *infer.Request) {
	if len(req.Dropped) > 0 {
		c.W.Prepare(func(h http.Header) {
			for _, what := range req.Dropped {
				AddDropped(h, what)
			}
		})
	}
}

// AddDropped names a part of the request that was not honoured.
func AddDropped(h http.Header, what string) {
	what = HeaderValue(what)
	switch have := h.Get(HeaderDropped); {
	case have == "":
		h.Set(HeaderDropped, what)
	case !slices.Contains(strings.Split(have, ", "), what):
		h.Set(HeaderDropped, have+", "+what)
	}
}

// Allow checks that the caller may perform an action that names no model.
func (g *Gateway) Allow(c *Call, action string) error {
	return identity.Authorize(c.Principal, action, "", "*", "")
}

// AllowOf checks that the caller may perform an action that is about a model.
func (g *Gateway) AllowOf(c *Call, action, model string) error {
	return identity.Authorize(c.Principal, action, model, identity.ModelARN(g.Region, model), "")
}

// AllowBought checks that the caller may perform an action on what was bought of a model: by its ARN, or else by that model, as for calls.
func AllowBought(c *Call, action, arn, model string) error {
	if identity.Authorize(c.Principal, action, arn, arn, identity.NoTier) == nil {
		return nil
	}
	return identity.Authorize(c.Principal, action, model, arn, identity.NoTier)
}
