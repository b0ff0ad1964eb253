package server

import (
	"net/http"

	"forebay/meter"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the figures of /metrics. Labels are bounded: models are those of the
// catalogue, keys and callers are none of them. Names follow the OpenTelemetry semantic
// conventions for generative AI where they have one.
type metrics struct {
	handler  http.Handler
	calls    *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	first    *prometheus.HistogramVec
	queue    *prometheus.HistogramVec
}

func newMetrics(s *Server) *metrics {
	reg := prometheus.NewRegistry()
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "forebay_calls_total", Help: "Calls by API, model, outcome and reason.",
		}, []string{"api", "gen_ai_request_model", "outcome", "reason"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gen_ai_client_token_usage_total", Help: "Tokens by model and type.",
		}, []string{"gen_ai_request_model", "gen_ai_token_type"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gen_ai_server_request_duration_seconds", Help: "Time from arrival to the last byte.",
			Buckets: []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92},
		}, []string{"gen_ai_request_model"}),
		first: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gen_ai_server_time_to_first_token_seconds", Help: "Time from arrival to the first token.",
			Buckets: []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10},
		}, []string{"gen_ai_request_model"}),
		queue: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "forebay_admission_wait_seconds", Help: "Time from arrival to admission.",
			Buckets: []float64{.0001, .001, .01, .1, 1, 10, 60},
		}, []string{"gen_ai_request_model"}),
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	reg.MustRegister(
		m.calls, m.tokens, m.duration, m.first, m.queue, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("forebay_calls_in_flight", "Calls that wait or run.", func() float64 { return float64(s.dispatch.InFlight()) }),
		gauge("forebay_body_bytes_in_flight", "Bytes of request bodies in memory.", func() float64 { return float64(s.front.budget.Used()) }),
		gauge("forebay_ledger_rows_lost", "Rows that could not be written since the start.", func() float64 { return float64(s.ledger.Lost()) }),
	)
	m.handler = promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true})
	return m
}

// Called implements dispatch.Metrics.
func (m *metrics) Called(r *meter.Record) {
	model := r.Model
	m.calls.WithLabelValues(r.API, model, r.Outcome, r.Reason).Inc()
	if r.Outcome == meter.OutcomeRefused {
		return
	}
	for kind, n := range map[string]int64{"input": r.Input, "output": r.Output, "cache_read": r.CacheRead, "cache_write": r.CacheWrite} {
		if n > 0 {
			m.tokens.WithLabelValues(model, kind).Add(float64(n))
		}
	}
	m.duration.WithLabelValues(model).Observe(r.Total.Seconds())
	m.queue.WithLabelValues(model).Observe(r.Queue.Seconds())
	if r.FirstToken > 0 {
		m.first.WithLabelValues(model).Observe(r.FirstToken.Seconds())
	}
}
