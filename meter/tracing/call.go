package tracing

import (
	"context"
	"time"

	"forebay/fault"
	"forebay/infer"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Call is the trace of one call; its root is the front door's span. It implements infer.Trace, whose
// methods the goroutine of the call uses.
type Call struct {
	t    *Tracer
	ctx  context.Context //nolint:containedctx // holds the span, as OpenTelemetry has it
	root trace.Span
}

// Start begins the trace of a request, below the caller's trace where it has one.
func (t *Tracer) Start(from infer.TraceContext, method, path string, began time.Time) *Call {
	in := carrier(from)
	ctx := t.wire.Extract(context.Background(), &in)
	c := &Call{t: t}
	c.ctx, c.root = t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(began),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("url.path", path)))
	return c
}

// Door is what the front door knows of a request at its end.
type Door struct {
	RequestID, API, Operation, Account, Key string
	ModelAsked, ModelServed                 string
	Status                                  int
	Prompt                                  string // "" unless prompts are asked for
	Err                                     error
}

// End ends the front door's span.
func (c *Call) End(d *Door) {
	if !c.root.IsRecording() {
		c.root.End()
		return
	}
	if d.Operation != "" {
		c.root.SetName(d.API + " " + d.Operation)
	}
	set := func(key, value string) {
		if value != "" {
			c.root.SetAttributes(attribute.String(key, value))
		}
	}
	c.root.SetAttributes(attribute.Int("http.response.status_code", d.Status))
	set("gen_ai.request.model", d.ModelAsked)
	set("forebay.model.served", d.ModelServed)
	set("forebay.request.id", d.RequestID)
	set("forebay.account", d.Account)
	set("forebay.key", d.Key)
	set("forebay.request.body", d.Prompt)
	// A caller's mistake is no error of the server's (HTTP conventions, "Status").
	if d.Err != nil {
		set("error.type", fault.KindOf(d.Err).String())
		if d.Status == 0 || d.Status >= 500 {
			c.root.SetStatus(codes.Error, "")
		}
	}
	c.root.End()
}

// failed marks a span as failed. The kind says why; texts may hold what a caller wrote.
func failed(s trace.Span, err error) {
	if err != nil {
		kind := fault.KindOf(err).String()
		s.SetAttributes(attribute.String("error.type", kind))
		s.SetStatus(codes.Error, kind)
	}
}

// Waited implements infer.Trace.
func (c *Call) Waited(began time.Time, err error) {
	_, s := c.t.tracer.Start(c.ctx, "admission", trace.WithTimestamp(began))
	failed(s, err)
	s.End()
}

// attempt is one try at one engine.
type attempt struct {
	span  trace.Span
	began time.Time
	timed bool
}

// Attempt implements infer.Trace.
func (c *Call) Attempt(engine, provider string, req *infer.Request) (infer.TraceAttempt, infer.TraceContext) {
	operation := req.Operated()
	attrs := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", operation), attribute.String("gen_ai.provider.name", provider),
		attribute.String("gen_ai.request.model", req.UpstreamModel), attribute.String("forebay.engine", engine),
	}
	if req.Stream {
		attrs = append(attrs, attribute.Bool("gen_ai.request.stream", true))
	}
	if n := req.Facts.MaxTokens; n > 0 {
		attrs = append(attrs, attribute.Int64("gen_ai.request.max_tokens", n))
	}
	if n := req.Facts.N; n > 1 {
		attrs = append(attrs, attribute.Int64("gen_ai.request.choice.count", n))
	}
	ctx, s := c.t.tracer.Start(c.ctx, operation+" "+req.UpstreamModel, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	var out carrier
	c.t.wire.Inject(ctx, &out)
	return &attempt{s, time.Now(), req.Stream}, infer.TraceContext(out)
}

// End implements infer.TraceAttempt.
func (a *attempt) End(u infer.Usage, first time.Time, err error) {
	if a.span.IsRecording() {
		a.span.SetAttributes(
			attribute.Int64("gen_ai.usage.input_tokens", u.Input+u.CacheRead+u.CacheWrite), attribute.Int64("gen_ai.usage.output_tokens", u.Output),
			attribute.Int64("gen_ai.usage.cache_read.input_tokens", u.CacheRead), attribute.Int64("gen_ai.usage.cache_creation.input_tokens", u.CacheWrite),
		)
		if a.timed && !first.IsZero() {
			a.span.SetAttributes(attribute.Float64("gen_ai.response.time_to_first_chunk", first.Sub(a.began).Seconds()))
		}
		failed(a.span, err)
	}
	a.span.End()
}
