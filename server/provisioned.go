package server

import (
	"context"
	"slices"
	"strings"
	"time"

	"forebay/api/admin"
	"forebay/catalog"
	"forebay/config"
	"forebay/dispatch"
	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
	"forebay/store"
)

// provisioned is what calls find of the throughputs that were bought. It is immutable once it is in force.
type provisioned struct {
	byARN  map[string]*provision.Throughput
	byName map[[2]string]*provision.Throughput
}

func newProvisioned(all []provision.Throughput) *provisioned {
	p := &provisioned{byARN: map[string]*provision.Throughput{}, byName: map[[2]string]*provision.Throughput{}}
	for i := range all {
		t := &all[i]
		p.byARN[t.ARN] = t
		p.byName[nameKey(t.Account, t.Name)] = t
	}
	return p
}

// nameKey is where an account's throughput of a name is found: whatever the name's case, as in the store.
func nameKey(account, name string) [2]string { return [2]string{account, strings.ToLower(name)} }

// find returns an account's throughput by ARN or name, as calls name it; nil for none. Of the reserved tier there is none: calls ask for the tier, and
// name the model.
func (p *provisioned) find(account, id string) *provision.Throughput {
	t := p.byARN[id]
	if t == nil {
		t = p.byName[nameKey(account, id)]
	}
	if t == nil || t.Account != account || t.Tier {
		return nil
	}
	return t
}

// lookup returns what was bought by the ARN of any, or by its name in an account, as lanes of routes name it; nil for none.
func (p *provisioned) lookup(account, id string) *provision.Throughput {
	if t := p.byARN[id]; t != nil {
		return t
	}
	return p.byName[nameKey(account, id)]
}

// openBook opens what was bought. Nothing is served of it before the first apply.
func (s *Server) openBook() {
	s.provisioned.Store(newProvisioned(nil))
	s.wakeBook = make(chan struct{}, 1)
	s.book = provision.New(provision.Options{
		Store: resourceStore{s}, Models: unitOffers{s}, Pools: pools{s}, Region: s.cfg.Server.Region,
		Changed: func() {
			s.keys.Lock()
			defer s.keys.Unlock()
			s.tendBook(context.Background(), true) // what is stored comes into force although the caller may have left
		},
		Declared: s.declaredPurchases,
	})
}

// tendBook takes what steps of throughputs are due, and puts them in force when calls are served differently. s.keys is held.
func (s *Server) tendBook(ctx context.Context, changed bool) {
	live := s.live.Load()
	if live == nil || s.store == nil {
		return
	}
	stepped, next, err := s.book.Tend(ctx)
	s.untold = s.untold || changed || stepped
	if err == nil && s.untold {
		err = s.apply(ctx, live)
	}
	if err == nil {
		s.untold = false
	} else {
		s.log.ErrorContext(ctx, "provisioned throughput could not be brought up to date; it is tried again", "error", err)
		next = time.Now().Add(tendAgain)
	}
	s.nextTend = next
	s.sayShortages(ctx)
	s.sayUnmet(ctx)
	s.accruer.Wake()
	select {
	case s.wakeBook <- struct{}{}:
	default:
	}
}

// replicasChanged puts the addresses of engines in force, and sees whether orders that wait for room have it now.
func (s *Server) replicasChanged(ctx context.Context) error {
	s.keys.Lock()
	defer s.keys.Unlock()
	err := s.loadKeys(context.WithoutCancel(ctx))
	s.tendBook(ctx, false)
	return err
}

// Times of the loop that tends the book.
const (
	tendAgain = 5 * time.Second
	// tendEvery bounds how long a step may be overdue when the wall clock was set.
	tendEvery = time.Minute
)

// tendProvisioned renews and ends commitments, and looks again at orders that wait, until ctx ends.
func (s *Server) tendProvisioned(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			s.keys.Lock()
			s.tendBook(ctx, false)
			s.keys.Unlock()
		case <-s.wakeBook:
		}
		s.keys.Lock()
		wait := tendEvery
		if !s.nextTend.IsZero() {
			wait = min(wait, max(time.Until(s.nextTend), 0))
		}
		s.keys.Unlock()
		timer.Reset(wait)
	}
}

// unitOffers implements provision.Models.
type unitOffers struct{ s *Server }

// Offer implements provision.Models.
func (o unitOffers) Offer(account, id string) (provision.Offer, error) {
	p := o.s.live.Load()
	if arn, ok := resource.Parse(id); ok && arn.Kind == resource.CustomModel && arn.Account == account && p.variants[arn.String()] != nil {
		return customOffer(p.variants[arn.String()], arn.String())
	}
	res, err := p.names.Resolve(id)
	if err != nil {
		return provision.Offer{}, err
	}
	if res.Route != nil {
		return provision.Offer{}, fault.Newf(fault.Invalid, "The provided model identifier %s is not supported for Provisioned Throughput.", res.Asked).
			WithReason("it is a route; name the model of one of its lanes")
	}
	m := res.Model
	if m.Base != "" {
		return customOffer(m, p.declaredARN(m))
	}
	unit, sold := m.UnitSize()
	switch {
	case res.RegionPrefix != "":
		return provision.Offer{}, fault.Newf(fault.Invalid, "Provisioned Throughput can't be purchased for the inference profile %s.", res.Asked)
	case !sold, res.Context != "" && !slices.Contains(m.ProvisionedContexts, res.Context):
		return provision.Offer{}, fault.Newf(fault.Invalid, "The provided model identifier %s is not supported for Provisioned Throughput.", res.Asked).
			WithReason("say what a unit of it delivers: models.%s.unit in the configuration", m.ID)
	}
	name := m.ID
	if res.Context != "" {
		name += ":" + res.Context
	}
	arn := resource.ARN{Region: o.s.cfg.Server.Region, Kind: resource.FoundationModel, ID: name}
	return provision.Offer{Model: provision.Model{ID: m.ID, ARN: arn.String(), Base: m.ID}, Unit: unit, Prices: m.UnitPrices}, nil
}

// OfferTier implements provision.Models.
func (o unitOffers) OfferTier(_, id string) (provision.Offer, error) {
	res, err := o.s.live.Load().names.Resolve(id)
	if err != nil {
		return provision.Offer{}, err
	}
	m := res.Model
	if res.Route != nil || res.RegionPrefix != "" || res.Context != "" {
		return provision.Offer{}, fault.Newf(fault.Invalid, "The reserved tier is sold of models by their ids; %s is none.", res.Asked)
	}
	out := provision.Offer{Model: provision.Model{ID: m.ID, Base: m.ID}, Tier: m.Tier, Embeds: m.Embeds()}
	if m.Base != "" {
		out.Model = provision.Model{ID: m.ID, ARN: o.s.live.Load().declaredARN(m), Base: m.Base, Custom: true}
	} else {
		out.Model.ARN = resource.ARN{Region: o.s.cfg.Server.Region, Kind: resource.FoundationModel, ID: m.ID}.String()
	}
	return out, nil
}

// Taken implements provision.Models.
func (o unitOffers) Taken(ctx context.Context, tx *store.Tx, account, name string) (bool, error) {
	if _, err := o.s.live.Load().names.Resolve(name); err == nil {
		return true, nil
	}
	for _, kind := range []string{config.KindModel, config.KindRoute} {
		if _, err := tx.Object(ctx, kind, "", name); err == nil || fault.KindOf(err) != fault.NotFound {
			return err == nil, err
		}
	}
	_, err := tx.NamedResource(ctx, resource.Endpoint, account, name)
	free, err := absent(err)
	return !free && err == nil, err
}

// Gone implements provision.Models.
func (o unitOffers) Gone(ctx context.Context, tx *store.Tx, m *provision.Model) (bool, error) {
	var err error
	switch {
	case m.ID == m.ARN:
		_, err = tx.Resource(ctx, m.ARN)
	case o.s.live.Load().lasting(m.ID):
		return false, nil
	default:
		_, err = tx.Object(ctx, config.KindModel, "", m.ID)
	}
	return absent(err)
}

// lasting reports whether a model is there whatever is made and deleted at run time.
func (p *serving) lasting(id string) bool {
	_, declared := p.declared.Models[id]
	return declared || slices.ContainsFunc(catalog.Builtin(), func(m *catalog.Model) bool { return m.ID == id })
}

// Route implements provision.Models.
func (o unitOffers) Route(ctx context.Context, tx *store.Tx, account, id string) (string, error) {
	operator := o.s.cfg.Account.ID
	return o.s.routeWith(ctx, tx, func(l *config.Lane) bool {
		return l.Bought == id && strings.HasPrefix(id, "arn:") || account == operator && strings.EqualFold(l.Bought, id)
	})
}

// Quota implements provision.Models.
func (o unitOffers) Quota(account string) (int64, bool) {
	cfg := &o.s.live.Load().cfg
	if n := cfg.Tenants()[account].ModelUnits; n != nil {
		return *n, true
	}
	return 0, cfg.Quotas == config.QuotasAWS
}

// pools implements provision.Pools with what is in force.
type pools struct{ s *Server }

// Room implements provision.Pools.
func (p pools) Room(ask *provision.Ask, sold []provision.Throughput) provision.Room {
	return p.s.live.Load().Room(ask, sold)
}

// bought is what a throughput stands for in calls.
func (v *modelsView) bought(id string, t *provision.Throughput) (catalog.Resolution, error) {
	switch {
	case t.Status == provision.Creating:
		return catalog.Resolution{}, fault.New(fault.NotReady, "").WithReason("%s waits for room: forebay provision show %s", t.ARN, t.Name)
	case !t.Status.Serves():
		return catalog.Resolution{}, fault.Newf(fault.NotFound, "Could not find the resource %s.", t.ARN).WithReason("its status is %s: %s", t.Status, v.told(t).Failure)
	}
	m := v.live.Load().model(t.Model.ID)
	if m == nil {
		return catalog.Resolution{}, fault.New(fault.Unavailable, "").WithReason("the model %s of %s is not served any more", t.Model.ID, t.ARN)
	}
	return catalog.Resolution{Model: m, Asked: id, Charged: m.ID, Reservation: t.ARN}, nil
}

// told is a throughput as its account is shown it: the operator with engines, others without.
func (v *modelsView) told(t *provision.Throughput) provision.Throughput {
	if t.Account == v.cfg.Account.ID {
		return *t
	}
	return t.Hidden()
}

// provisionAdmin implements admin.ProvisionAdmin.
type provisionAdmin struct{ s *Server }

// used adds what is used of a throughput now.
func (p provisionAdmin) used(t *provision.Throughput) *admin.Provisioned {
	return p.usedOf(t, p.s.shortages())
}

// usedOf is used, with the shortages of now, which all that are listed share: finding them looks at every reservation.
func (p provisionAdmin) usedOf(t *provision.Throughput, short map[string]shortage) *admin.Provisioned {
	out := &admin.Provisioned{Throughput: *t, ManagedBy: p.s.book.ManagedBy(t)}
	out.Pending, out.PendingTold = p.s.unmetOf(t)
	if st, ok := p.s.dispatch.Reserved(t.ARN); ok {
		out.Use = new(use(&st))
		out.Shortage = shortOf(t, short)
	}
	return out
}

// use is where a reservation stands, as it is shown.
func use(st *dispatch.ReservationStatus) admin.Use {
	out := admin.Use{
		Input: admin.Level(st.Input), Output: admin.Level(st.Output), Slots: st.Slots, Own: st.Own, Running: st.Running, Waiting: st.Waiting, Pool: admin.PoolSlots(st.Pool),
	}
	for i := range st.Parts {
		x := &st.Parts[i]
		out.Parts = append(out.Parts, admin.PartUse{
			Team: x.Team, Input: admin.Level(x.Input), Output: admin.Level(x.Output), Slots: x.Slots, Running: x.Running, Waiting: x.Waiting,
		})
	}
	return out
}

// List implements admin.ProvisionAdmin.
func (p provisionAdmin) List(ctx context.Context, account string) ([]admin.Provisioned, error) {
	all, err := p.s.book.All(ctx)
	var out []admin.Provisioned
	short := p.s.shortages()
	for i := range all {
		if all[i].Account == account {
			out = append(out, *p.usedOf(&all[i], short))
		}
	}
	return append(out, p.notBought(account, all)...), err
}

// Get implements admin.ProvisionAdmin.
func (p provisionAdmin) Get(ctx context.Context, account, id string) (*admin.Provisioned, error) {
	t, err := p.s.book.Get(ctx, account, id)
	if err != nil {
		for _, x := range p.notBought(account, nil) {
			if nameKey(account, x.Name) == nameKey(account, id) && fault.KindOf(err) == fault.NotFound {
				return &x, nil
			}
		}
		return nil, err
	}
	return p.used(t), nil
}

// Create implements admin.ProvisionAdmin.
func (p provisionAdmin) Create(ctx context.Context, o *provision.Order) (*admin.Provisioned, error) {
	if _, ok := p.s.live.Load().cfg.Tenants()[o.Account]; !ok {
		return nil, fault.Newf(fault.Invalid, "there is no account %s; make it with `forebay accounts create %s`", o.Account, o.Account)
	}
	arn, err := p.s.book.Create(ctx, o)
	if err != nil {
		return nil, err
	}
	return p.Get(ctx, o.Account, arn)
}

// End implements admin.ProvisionAdmin.
func (p provisionAdmin) End(ctx context.Context, account, id string, atTermEnd bool) (*admin.Provisioned, error) {
	if atTermEnd {
		t, err := p.s.book.Cancel(ctx, account, id)
		if err != nil {
			return nil, err
		}
		return p.used(t), nil
	}
	t, err := p.s.book.Get(ctx, account, id)
	if err != nil {
		return nil, err
	}
	return &admin.Provisioned{Throughput: *t}, p.s.book.Delete(ctx, account, id)
}
