package server

import (
	"log/slog"
	"time"

	"forebay/api"
)

// maxPrompt bounds what is logged or traced of a body.
const maxPrompt = 64 << 10

// clip copies the beginning of a body.
func clip(body []byte) string { return string(body[:min(len(body), maxPrompt)]) }

// logged writes the line of one request. It has no query, which may hold a signature, and no
// header; the body only where prompts are asked for.
func (f *front) logged(c *api.Call, svc api.Service, prompts bool) {
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("request", c.ID), slog.String("service", svc.Name()), slog.String("operation", c.Operation), slog.String("method", c.HTTP.Method),
		slog.String("path", c.Path), slog.String("model", c.Model), slog.Int("status", c.W.Status()), slog.Int64("bytes_in", max(c.HTTP.ContentLength, 0)),
		slog.Int64("bytes_out", c.W.Written()), slog.Duration("took", time.Since(c.Started)), slog.String("client", c.HTTP.RemoteAddr),
	)
	if p := c.Principal; p != nil {
		attrs = append(attrs, slog.String("account", p.Account), slog.String("key", p.KeyID))
	}
	if id := c.HTTP.Header.Get("Amz-Sdk-Invocation-Id"); id != "" {
		attrs = append(attrs, slog.String("invocation", id))
	}
	if prompts {
		attrs = append(attrs, slog.String("body", c.Prompt))
	}
	f.log.LogAttrs(c.Context(), slog.LevelInfo, "request", attrs...)
}
