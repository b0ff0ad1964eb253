package server

import (
	"context"
	"time"

	"forebay/accrual"
	"forebay/api/admin"
	"forebay/meter"
	"forebay/provision"

	"github.com/prometheus/client_golang/prometheus"
)

// openHours makes what posts the hours of what was bought. The ledger is open, and openBook was called.
func (s *Server) openHours() {
	s.hours = accrual.NewBook(s.ledger)
	s.accruer = accrual.New(accrual.Options{Purchases: s.purchases, Book: s.hours, Log: s.log})
}

// purchases lists what is to be paid for.
func (s *Server) purchases(ctx context.Context, since time.Time) ([]accrual.Purchase, error) {
	list, err := s.book.Purchases(ctx, since)
	p := s.live.Load()
	if err != nil || p == nil {
		return nil, err
	}
	zones := map[string]*time.Location{}
	out := make([]accrual.Purchase, 0, len(list))
	for i := range list {
		x := &list[i]
		if zones[x.Account] == nil {
			zones[x.Account] = p.zone(x.Account)
		}
		out = append(out, accrual.Provisioned(x, p.hourCost(&x.Throughput), zones[x.Account]))
	}
	return out, nil
}

// zone is the billing zone of an account; UTC of one that is not configured any more.
func (p *serving) zone(account string) *time.Location {
	if z, err := time.LoadLocation(p.cfg.Tenants()[account].Zone); err == nil {
		return z
	}
	return time.UTC
}

// hourCost is what an hour of a unit of a throughput costs us.
func (p *serving) hourCost(t *provision.Throughput) accrual.Rate {
	if !t.Tier {
		return p.unitCost(&t.Model)
	}
	if x := p.names.Get(t.Model.ID); x != nil && x.TierCost != nil {
		return accrual.Rate{Known: true, Nano: x.TierCost.Of(t.Unit.Input, t.Unit.Output), Currency: x.TierCost.Currency}
	}
	return accrual.Rate{}
}

// unitCost is what an hour of a unit of a model costs us, or of the base that it was fine-tuned from.
func (p *serving) unitCost(m *provision.Model) accrual.Rate {
	for _, id := range []string{m.ID, m.Base} {
		if x := p.names.Get(id); x != nil && x.UnitCost != nil {
			return accrual.Rate{Known: true, Nano: x.UnitCost.Nano, Currency: x.UnitCost.Currency}
		}
	}
	return accrual.Rate{}
}

// ledgerView implements admin.LedgerView.
type ledgerView struct {
	*meter.Ledger

	s *Server
}

// Usage implements admin.LedgerView.
func (v ledgerView) Usage(ctx context.Context, q meter.UsageQuery) ([]meter.UsageRow, error) {
	q.Zone = v.s.live.Load().zone(q.Account)
	return v.Ledger.Usage(ctx, q)
}

// Hours implements admin.LedgerView.
func (v ledgerView) Hours() admin.HoursView { return hoursView{v.s.hours, v.s} }

// hoursView implements admin.HoursView.
type hoursView struct {
	*accrual.Book

	s *Server
}

// Usage implements admin.HoursView.
func (v hoursView) Usage(ctx context.Context, q *meter.UsageQuery) ([]accrual.Row, error) {
	in := *q
	in.Zone = v.s.live.Load().zone(q.Account)
	return v.Book.Usage(ctx, &in)
}

// reservedMetrics implements prometheus.Collector: what is reserved now, by model.
type reservedMetrics struct {
	of func() []accrual.Figures

	units, rate, idle *prometheus.Desc
}

func newReservedMetrics(of func() []accrual.Figures) *reservedMetrics {
	const model = "gen_ai_request_model"
	return &reservedMetrics{
		of:    of,
		units: prometheus.NewDesc("forebay_reserved_units", "Model units that are reserved.", []string{model}, nil),
		rate: prometheus.NewDesc("forebay_reserved_money_per_hour", "Charge and cost of an hour of what is reserved, where known, in units of their currency.",
			[]string{"amount", model, "currency"}, nil),
		idle: prometheus.NewDesc("forebay_reserved_idle_ratio", "Share of the reserved hours that was not used, in the last whole hour.", []string{model}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *reservedMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.units
	out <- m.rate
	out <- m.idle
}

// Collect implements prometheus.Collector.
func (m *reservedMetrics) Collect(out chan<- prometheus.Metric) {
	figures := m.of()
	for i := range figures {
		f := &figures[i]
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
		gauge(m.units, float64(f.Units), f.Model)
		for currency, nano := range f.ChargePerHour {
			gauge(m.rate, float64(nano)/1e9, "charge", f.Model, currency)
		}
		for currency, nano := range f.CostPerHour {
			gauge(m.rate, float64(nano)/1e9, "cost", f.Model, currency)
		}
		if f.UnitSeconds > 0 {
			gauge(m.idle, float64(f.IdleUnitSeconds)/float64(f.UnitSeconds), f.Model)
		}
	}
}
