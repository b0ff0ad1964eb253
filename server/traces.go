package server

import (
	"context"
	"fmt"
	"time"

	"forebay/api"
	"forebay/config"
	"forebay/infer"
	"forebay/internal/version"
	"forebay/meter/tracing"
)

// exportTime bounds the last export of traces at a stop.
const exportTime = 5 * time.Second

// trace begins tracing where the configuration or the standard variables name a collector.
func (s *Server) trace(ctx context.Context) error {
	o := tracing.Options{Endpoint: s.cfg.Tracing.Endpoint, Headers: map[string]string{}, Sample: s.cfg.Tracing.Sample, Version: version.String(), Log: s.log}
	if !o.Enabled() {
		return nil
	}
	for name, ref := range s.cfg.Tracing.Headers {
		v, err := config.Secret(ref)
		if err != nil {
			return fmt.Errorf("tracing.headers.%s: %w", name, err)
		}
		o.Headers[name] = v
	}
	var err error
	s.tracer, err = tracing.New(ctx, o)
	return err
}

// untrace exports what is left. A collector that cannot be reached does not fail a stop.
func (s *Server) untrace() error {
	if s.tracer == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), exportTime)
	defer cancel()
	if err := s.tracer.Shutdown(ctx); err != nil {
		s.log.WarnContext(ctx, "the last traces were not exported", "error", err.Error())
	}
	s.tracer = nil
	return nil
}

// traced begins the trace of a request and returns what ends it.
func (f *front) traced(c *api.Call, svc api.Service, prompts bool) func(error) {
	h := c.HTTP.Header
	t := f.s.tracer.Start(infer.NewTraceContext(h.Get("Traceparent"), h.Get("Tracestate")), c.HTTP.Method, c.Path, c.Started)
	c.Trace = t
	return func(err error) {
		d := tracing.Door{RequestID: c.ID, API: svc.Name(), Operation: c.Operation, ModelServed: c.Model, Status: c.W.Status(), Err: err}
		if c.Intent != nil {
			d.ModelAsked = c.Intent.Model
		}
		if c.Principal != nil {
			d.Account, d.Key = c.Principal.Account, c.Principal.KeyID
		}
		if prompts {
			d.Prompt = c.Prompt
		}
		t.End(&d)
	}
}
