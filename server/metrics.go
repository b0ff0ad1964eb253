package server

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"forebay/meter"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the figures of /metrics. Where OpenTelemetry's semantic conventions for generative AI have a
// metric, its name, unit, buckets and labels are theirs (in the form of Prometheus). Labels are bounded: models
// are those of the catalogue, reasons the kinds of faults; keys, teams and what callers invent are none of them.
type metrics struct {
	handler http.Handler
	sums    *sums

	calls    *prometheus.CounterVec
	routed   *prometheus.CounterVec
	tokens   *prometheus.HistogramVec
	cached   *prometheus.CounterVec
	money    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	first    *prometheus.HistogramVec
	perToken *prometheus.HistogramVec
	queue    *prometheus.HistogramVec

	series sync.Map // seriesKey -> *series
}

// seriesKey is what the metrics of a call are told apart by.
type seriesKey struct{ api, operation, model, outcome, reason string }

// series are the metrics of one kind of call, looked up once.
type series struct {
	calls, cacheRead, cacheWrite                    prometheus.Counter
	input, output, duration, first, perToken, queue prometheus.Observer
	charge, cost                                    money
}

// money counts amounts of one kind for one model. The counter of the currency that was counted last is kept.
type money struct {
	of   *prometheus.CounterVec
	kind string
	last atomic.Pointer[moneyCounter]
}

type moneyCounter struct {
	prometheus.Counter
	currency string
}

func (m *money) add(model string, l *meter.Lines) {
	if !l.Known || l.Total() <= 0 {
		return
	}
	c := m.last.Load()
	if c == nil || c.currency != l.Currency() {
		c = &moneyCounter{m.of.WithLabelValues(m.kind, model, l.Currency()), l.Currency()}
		m.last.Store(c)
	}
	c.Add(float64(l.Total()) / 1e9)
}

// Buckets are those that the semantic conventions demand.
var (
	tokenBuckets    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	durationBuckets = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	firstBuckets    = []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	perTokenBuckets = []float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}
	queueBuckets    = []float64{.0001, .001, .01, .1, 1, 10, 60}
)

func newMetrics(s *Server) *metrics {
	reg := prometheus.NewRegistry()
	m := &metrics{sums: newSums()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	const operation, provider, model, kind, failure = "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type", "error_type"
	m.tokens = histogram("gen_ai_client_token_usage", "Tokens of a call, those of caches included.", tokenBuckets, operation, provider, model, kind)
	m.duration = histogram("gen_ai_server_request_duration_seconds", "Time from arrival to the last byte.", durationBuckets, operation, provider, model, failure)
	m.first = histogram("gen_ai_server_time_to_first_token_seconds", "Time from arrival to the first token.", firstBuckets, operation, provider, model)
	m.perToken = histogram("gen_ai_server_time_per_output_token_seconds", "Time per output token after the first.", perTokenBuckets, operation, provider, model)
	m.queue = histogram("forebay_admission_wait_seconds", "Time that a call waited for admission.", queueBuckets, model)
	m.calls = counter("forebay_calls_total", "Calls by API, model, outcome and reason.", "api", model, "outcome", "reason")
	m.routed = counter("forebay_route_calls_total", "Calls of routes by the lane that served or refused them, and whether they had left another one.", "route", "lane", "outcome", "spilled")
	m.cached = counter("forebay_cached_tokens_total", "Input tokens read from (read) or written to (write) a cache.", model, "direction")
	m.money = counter("forebay_money_total", "Charge and cost of calls whose price is known, in units of their currency.", "amount", model, "currency")
	gauge("forebay_calls_in_flight", "Calls that wait or run.", func() float64 { return float64(s.dispatch.InFlight()) })
	gauge("forebay_body_bytes_in_flight", "Bytes of request bodies in memory.", func() float64 { return float64(s.front.budget.Used()) })
	gauge("forebay_connections", "Open connections of clients.", func() float64 { return float64(s.doors.Open()) })
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "forebay_connections_refused_total", Help: "Connections that were turned away."},
		func() float64 { return float64(s.doors.Refused()) }))
	for _, x := range []struct {
		outcome string
		count   func() int64
	}{
		{"written", func() int64 { return s.invocations.Counts().Written }},
		{"dropped", func() int64 { return s.invocations.Counts().Dropped }},
		{"failed", func() int64 { return s.invocations.Counts().Failed }},
	} {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "forebay_invocation_log_records_total", Help: "Records of model invocations: written, dropped for want of memory, failed to be written.",
			ConstLabels: prometheus.Labels{"outcome": x.outcome},
		}, func() float64 { return float64(x.count()) }))
	}
	gauge("forebay_ledger_rows_lost", "Rows that could not be written since the start.", func() float64 { return float64(s.ledger.Lost()) })
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "forebay_reserved_unit_hours_total", Help: "Unit-hours posted to the ledger since the start."},
		func() float64 { return float64(s.hours.UnitSeconds()) / 3600 }))
	reg.MustRegister(newReservedMetrics(s.accruer.Figures), newExcessMetrics(s.dispatch.Excess), newShortageMetrics(s.shortages))
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true})
	return m
}

// providerOf is gen_ai.provider.name: the flavour of the API that the call came through.
func providerOf(api string) string {
	switch api {
	case "bedrock-runtime":
		return "aws.bedrock"
	case "openai":
		return "openai"
	case "anthropic":
		return "anthropic"
	default:
		return "forebay"
	}
}

// of returns the series of a kind of call, made when the first one comes.
func (m *metrics) of(r *meter.Record) *series {
	k := seriesKey{r.API, r.Task, r.Model, r.Outcome, r.Reason}
	if s, ok := m.series.Load(k); ok {
		return s.(*series)
	}
	s := &series{calls: m.calls.WithLabelValues(k.api, k.model, k.outcome, k.reason)}
	if k.outcome != meter.OutcomeRefused {
		provider := providerOf(k.api)
		s.input = m.tokens.WithLabelValues(k.operation, provider, k.model, "input")
		s.output = m.tokens.WithLabelValues(k.operation, provider, k.model, "output")
		s.duration = m.duration.WithLabelValues(k.operation, provider, k.model, k.reason)
		s.first = m.first.WithLabelValues(k.operation, provider, k.model)
		s.perToken = m.perToken.WithLabelValues(k.operation, provider, k.model)
		s.queue = m.queue.WithLabelValues(k.model)
		s.charge.of, s.charge.kind, s.cost.of, s.cost.kind = m.money, "charge", m.money, "cost"
		s.cacheRead, s.cacheWrite = m.cached.WithLabelValues(k.model, "read"), m.cached.WithLabelValues(k.model, "write")
	}
	kept, _ := m.series.LoadOrStore(k, s)
	return kept.(*series)
}

// Called implements dispatch.Metrics.
func (m *metrics) Called(r *meter.Record) {
	s := m.of(r)
	s.calls.Inc()
	if r.Route != "" {
		m.routed.WithLabelValues(r.Route, r.LaneName, r.Outcome, strconv.FormatBool(r.Spill != "")).Inc()
	}
	if r.Outcome == meter.OutcomeRefused {
		return
	}
	if in := r.Input + r.CacheRead + r.CacheWrite; in > 0 {
		s.input.Observe(float64(in))
	}
	if r.Output > 0 {
		s.output.Observe(float64(r.Output))
	}
	if r.CacheRead > 0 {
		s.cacheRead.Add(float64(r.CacheRead))
	}
	if r.CacheWrite > 0 {
		s.cacheWrite.Add(float64(r.CacheWrite))
	}
	m.sums.add(r)
	s.charge.add(r.Model, &r.Charge)
	s.cost.add(r.Model, &r.Cost)
	s.duration.Observe(r.Total.Seconds())
	s.queue.Observe(r.Queue.Seconds())
	if r.FirstToken > 0 {
		s.first.Observe(r.FirstToken.Seconds())
		if r.Stream && r.Output > 1 {
			s.perToken.Observe((r.Total - r.FirstToken).Seconds() / float64(r.Output-1))
		}
	}
}
