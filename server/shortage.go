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

// shortage is why there is less than was sold.
type shortage struct{ model, why string }

// shortages says what has shrunk below what is sold of it, and how, for people: pools by the ids of their models, and the replicas of isolated purchases by
// the purchases' ARNs.
func (s *Server) shortages() map[string]shortage {
	out := map[string]shortage{}
	if short := s.unbacked.Load(); short != nil {
		for model := range *short {
			out[model] = shortage{model, "the engines of the model back less than is sold of it"}
		}
	}
	now, p, bought := s.dispatch.Live(), s.live.Load(), s.provisioned.Load()
	for i := range now.Reservations {
		r := &now.Reservations[i]
		if r.Pool.Sold > r.Pool.Slots {
			out[r.Model] = shortage{r.Model, fmt.Sprintf("%d slots of the model's engines are up, and %d are sold", r.Pool.Slots, r.Pool.Sold)}
		}
		if t := bought.byARN[r.ID]; t != nil && p != nil && int64(r.Own) < p.slotsApart(t) {
			out[r.ID] = shortage{r.Model, fmt.Sprintf("%d slots of the replicas that are isolated for it are up, of %d", r.Own, p.slotsApart(t))}
		}
	}
	return out
}

// shortOf says why there is less of a throughput than was sold, "" where there is enough.
func shortOf(t *provision.Throughput, short map[string]shortage) string {
	if t.Isolation == provision.Replica {
		return short[t.ARN].why
	}
	return short[t.Model.ID].why
}

// sayShortages logs pools that have shrunk below what is sold of them, once, and those that have enough again. s.keys is held.
func (s *Server) sayShortages(ctx context.Context) {
	now := s.shortages()
	for of, x := range now {
		if _, said := s.short[of]; !said {
			s.log.WarnContext(ctx, "a pool has shrunk below what is sold of it: purchases may wait", "model", x.model, "of", of, "why", x.why)
		}
	}
	for of, x := range s.short {
		if _, still := now[of]; !still {
			s.log.InfoContext(ctx, "a pool backs what is sold of it again", "model", x.model, "of", of)
		}
	}
	s.short = now
}

// shortageMetrics implements prometheus.Collector: the models whose pools have shrunk below what is sold of them.
type shortageMetrics struct {
	of   func() map[string]shortage
	desc *prometheus.Desc
}

func newShortageMetrics(of func() map[string]shortage) *shortageMetrics {
	return &shortageMetrics{of, prometheus.NewDesc("forebay_reserved_short", "1 for a model whose pool, or isolated replicas, have shrunk below what is sold of them.", []string{"gen_ai_request_model"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *shortageMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.desc }

// Collect implements prometheus.Collector.
func (m *shortageMetrics) Collect(out chan<- prometheus.Metric) {
	models := map[string]bool{}
	for _, x := range m.of() {
		models[x.model] = true
	}
	for model := range models {
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, 1, model)
	}
}
