package server

import (
	"forebay/dispatch"

	"github.com/prometheus/client_golang/prometheus"
)

// excessMetrics implements prometheus.Collector: what quotas were charged beyond the holds, which is what they let
// through beyond their rate.
type excessMetrics struct {
	of   func() []dispatch.Excess
	desc *prometheus.Desc
}

func newExcessMetrics(of func() []dispatch.Excess) *excessMetrics {
	return &excessMetrics{of, prometheus.NewDesc("forebay_quota_excess_tokens_total",
		"Tokens that quotas of tokens a minute were charged beyond what calls held, by level (key, team, account, model) and cause (burndown, estimate).",
		[]string{"level", "cause"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *excessMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.desc }

// Collect implements prometheus.Collector.
func (m *excessMetrics) Collect(out chan<- prometheus.Metric) {
	for _, x := range m.of() {
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(x.Burndown), x.Level, "burndown")
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(x.Estimate), x.Level, "estimate")
	}
}
