package accrual

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"forebay/meter"
)

// every is how often a running server looks at what is due; an hour is on the ledger so long after it is over, at most.
const every = time.Minute

// Options configure an Accruer.
type Options struct {
	// Purchases lists the purchases that last and those that ended after an instant.
	Purchases func(ctx context.Context, since time.Time) ([]Purchase, error)
	Book      *Book
	Log       *slog.Logger
	// Now is the wall clock; time.Now when nil.
	Now func() time.Time
}

// Figures are what is reserved of one model, for metrics.
type Figures struct {
	Model string
	Units int64
	// ChargePerHour and CostPerHour are in nano-units by currency; what is not known is left out.
	ChargePerHour, CostPerHour map[string]int64
	Unpriced, Uncosted         int64 // units whose charge, or cost, is not known
	// UnitSeconds and IdleUnitSeconds are those of the last whole hour that is on the ledger.
	UnitSeconds, IdleUnitSeconds int64
}

// Accruer posts what is due while it runs.
type Accruer struct {
	o    Options
	wake chan struct{}

	// Of the goroutine that runs.
	failed   string    // what has been logged
	hour     time.Time // of the last pass
	measured time.Time // the hour that used is of
	used     []Row

	mu      sync.Mutex
	figures []Figures
}

// New returns an Accruer.
func New(o Options) *Accruer {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Accruer{o: o, wake: make(chan struct{}, 1)}
}

// Wake has a running Accruer look at once, after a purchase was made, changed or deleted.
func (a *Accruer) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run posts until ctx ends, and returns nil then. What it cannot post now it posts later.
func (a *Accruer) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		a.Pass(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-a.wake:
		}
	}
}

// Pass posts once what is due now. The end of ctx ends it after a whole transaction. It is called by one goroutine at a time.
func (a *Accruer) Pass(ctx context.Context) {
	now := a.o.Now()
	// Within an hour only what has ended in it is looked at; with each new one, by a clock that went back, too, and after a failure all
	// that ever was.
	var since time.Time
	if hour := now.Truncate(time.Hour); hour.Equal(a.hour) && a.failed == "" {
		since = hour.Add(-time.Second)
	} else {
		a.hour = hour
	}
	list, err := a.o.Purchases(ctx, since)
	for i := range list {
		if ctx.Err() != nil {
			return
		}
		if failed := a.o.Book.Post(ctx, &list[i], now); err == nil {
			err = failed
		}
	}
	if err == nil {
		err = a.measure(ctx, list, now)
	}
	a.tell(ctx, err)
}

// tell logs an error when it is new, and its end.
func (a *Accruer) tell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch text {
	case a.failed:
	case "":
		a.o.Log.InfoContext(ctx, "reserved hours are posted again")
	default:
		a.o.Log.ErrorContext(ctx, "reserved hours are not posted, and will be later", "error", text)
	}
	a.failed = text
}

// Figures are those of the last pass, by model.
func (a *Accruer) Figures() []Figures {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.figures)
}

// measure computes the figures. What was used of an hour is read once, when the hour is over.
func (a *Accruer) measure(ctx context.Context, list []Purchase, now time.Time) error {
	byModel := map[string]*Figures{}
	of := func(model string) *Figures {
		f := byModel[model]
		if f == nil {
			f = &Figures{Model: model, ChargePerHour: map[string]int64{}, CostPerHour: map[string]int64{}}
			byModel[model] = f
		}
		return f
	}
	for i := range list {
		p := &list[i]
		if !p.Ended.IsZero() && !p.Ended.After(now) || p.Began.After(now) {
			continue
		}
		s, err := a.o.Book.standing(ctx, p.ID)
		if err != nil {
			return err
		}
		f := of(p.Model)
		f.Units += p.Units
		f.Unpriced += addRate(f.ChargePerHour, &s.terms.Charge, p.Units)
		f.Uncosted += addRate(f.CostPerHour, &s.terms.Cost, p.Units)
	}
	if hour := now.UTC().Truncate(time.Hour).Add(-time.Hour); !hour.Equal(a.measured) {
		rows, err := a.o.Book.Usage(ctx, &meter.UsageQuery{By: []string{"model"}, Since: hour, Until: hour.Add(time.Hour)})
		if err != nil {
			return err
		}
		a.measured, a.used = hour, rows
	}
	for i := range a.used {
		r := &a.used[i]
		f := of(r.Group[0])
		f.UnitSeconds += r.UnitSeconds - r.Unmeasured
		f.IdleUnitSeconds += r.IdleUnitSeconds
	}
	var figures []Figures
	for _, f := range byModel {
		figures = append(figures, *f)
	}
	slices.SortFunc(figures, func(x, y Figures) int { return cmp.Compare(x.Model, y.Model) })
	a.mu.Lock()
	a.figures = figures
	a.mu.Unlock()
	return nil
}

// addRate adds an hour of units, and returns of how many no price is known.
func addRate(to map[string]int64, r *Rate, units int64) (unknown int64) {
	v := r.amount(units, 3600)
	if !v.Known {
		return units
	}
	to[r.Currency] += v.Nano
	return 0
}
