package server

import (
	"context"
	"fmt"
	"maps"

	"forebay/provision"

	"github.com/prometheus/client_golang/prometheus"
)

// unbacked lists the models of which more is sold than their engines can back as they are configured, with the addresses that are known
// now. What has replicas of its own is not among what is looked at.
func (p *serving) unbacked(all []provision.Throughput) map[string]bool {
	out := map[string]bool{}
	var sold []provision.Throughput
	for i := range all {
		if all[i].Status.Serves() {
			sold = append(sold, all[i])
		}
	}
	isolated := wholes(sold)
	for i := range sold {
		model := sold[i].Model.ID
		if _, done := out[model]; !done {
			out[model] = !p.fits(model, sold, isolated)
		}
	}
	maps.DeleteFunc(out, func(_ string, short bool) bool { return !short })
	return out
}

// shortages says of which models the pools have shrunk below what is sold of them, and how, for people.
func (s *Server) shortages() map[string]string {
	out := map[string]string{}
	if short := s.unbacked.Load(); short != nil {
		for model := range *short {
			out[model] = "the engines of the model back less than is sold of it"
		}
	}
	live := s.dispatch.Live()
	for i := range live.Reservations {
		if r := &live.Reservations[i]; r.Pool.Sold > r.Pool.Slots {
			out[r.Model] = fmt.Sprintf("%d slots of the model's engines are up, and %d are sold", r.Pool.Slots, r.Pool.Sold)
		}
	}
	return out
}

// sayShortages logs pools that have shrunk below what is sold of them, once, and those that have enough again. s.keys is held.
func (s *Server) sayShortages(ctx context.Context) {
	now := s.shortages()
	for model, why := range now {
		if _, said := s.short[model]; !said {
			s.log.WarnContext(ctx, "a pool has shrunk below what is sold of it: purchases may wait", "model", model, "why", why)
		}
	}
	for model := range s.short {
		if _, still := now[model]; !still {
			s.log.InfoContext(ctx, "a pool backs what is sold of it again", "model", model)
		}
	}
	s.short = now
}

// shortageMetrics implements prometheus.Collector: the models whose pools have shrunk below what is sold of them.
type shortageMetrics struct {
	of   func() map[string]string
	desc *prometheus.Desc
}

func newShortageMetrics(of func() map[string]string) *shortageMetrics {
	return &shortageMetrics{of, prometheus.NewDesc("forebay_reserved_short", "1 for a model whose pool has shrunk below what is sold of it.", []string{"gen_ai_request_model"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *shortageMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.desc }

// Collect implements prometheus.Collector.
func (m *shortageMetrics) Collect(out chan<- prometheus.Metric) {
	for model := range m.of() {
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, 1, model)
	}
}
