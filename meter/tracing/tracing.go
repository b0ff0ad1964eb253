// Package tracing follows calls through the server as OpenTelemetry traces: a span for the front
// door, one for each wait for admission and one for each attempt at an engine, with the attributes
// of the semantic conventions for generative AI. They are exported by OTLP over HTTP.
//
// Nothing of a prompt is recorded unless it is asked for. The conventions are those of
// open-telemetry/semantic-conventions-genai, schema gen-ai/1.42.0.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"forebay/infer"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options say where traces go.
type Options struct {
	// Endpoint is the base address of OTLP over HTTP; "" leaves it to the standard variables.
	Endpoint string
	Headers  map[string]string
	// Sample is the share of calls that are traced whose caller has not decided, 0 to 1. The
	// standard variable OTEL_TRACES_SAMPLER goes before it.
	Sample  float64
	Version string
	Log     *slog.Logger
}

// The standard variables that switch tracing on and off.
var (
	endpointVariables = []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}
	disabledVariable  = "OTEL_SDK_DISABLED"
	samplerVariable   = "OTEL_TRACES_SAMPLER"
)

// Enabled reports whether there is anywhere to send traces to.
func (o *Options) Enabled() bool {
	if strings.EqualFold(os.Getenv(disabledVariable), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	on := o.Endpoint != ""
	for _, v := range endpointVariables {
		on = on || os.Getenv(v) != ""
	}
	return on
}

// Tracer makes traces of calls. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	wire     propagation.TraceContext
}

// New returns a tracer that exports in the background. Shutdown must be called.
func New(ctx context.Context, o Options) (*Tracer, error) {
	var opts []otlptracehttp.Option
	if o.Endpoint != "" {
		opts = append(opts, otlptracehttp.WithEndpointURL(strings.TrimRight(o.Endpoint, "/")+"/v1/traces"))
	}
	if len(o.Headers) > 0 {
		opts = append(opts, otlptracehttp.WithHeaders(o.Headers))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "forebay"), attribute.String("service.version", o.Version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost())
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	provider := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(res)}
	if os.Getenv(samplerVariable) == "" {
		provider = append(provider, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Sample))))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Warn("traces are not exported", "error", err.Error()) })) //nolint:sloglint // the export is of no call
	t := &Tracer{provider: sdk.NewTracerProvider(provider...)}
	t.tracer = t.provider.Tracer("forebay")
	return t, nil
}

// Shutdown exports what is left, until ctx ends.
func (t *Tracer) Shutdown(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// carrier is a trace context as the propagator reads and writes it.
type carrier infer.TraceContext

// Get implements propagation.TextMapCarrier.
func (c *carrier) Get(key string) string {
	switch key {
	case "traceparent":
		return c.Parent
	case "tracestate":
		return c.State
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c *carrier) Set(key, value string) {
	switch key {
	case "traceparent":
		c.Parent = value
	case "tracestate":
		c.State = value
	}
}

// Keys implements propagation.TextMapCarrier.
func (c *carrier) Keys() []string { return []string{"traceparent", "tracestate"} }
