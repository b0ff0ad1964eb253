package server

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"forebay/api/admin"
	"forebay/config"
	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
)

// terms are the commitments of purchases, as the configuration names them.
var terms = map[string]provision.Term{
	"": provision.NoTerm, config.CommitmentNone: provision.NoTerm, config.CommitmentOneMonth: provision.OneMonth,
	config.CommitmentThreeMonths: provision.ThreeMonths, config.CommitmentSixMonths: provision.SixMonths,
}

// declarations are the purchases of a configuration, as the book takes them.
func declarations(cfg *config.Config) []provision.Declaration {
	out := make([]provision.Declaration, len(cfg.Provisioned))
	for i := range cfg.Provisioned {
		p := &cfg.Provisioned[i]
		d := &out[i]
		d.At = cmp.Or(cfg.Where(config.PurchasePath(i)), "the command line and defaults")
		d.Order = provision.Order{
			Account: cmp.Or(p.Account, cfg.Account.ID), Name: p.Name, Model: p.Model, Units: p.Units, Input: p.Input, Output: p.Output,
			Term: terms[p.Commitment], Isolation: provision.Isolation(p.Isolation),
		}
		for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
			d.Tags = append(d.Tags, resource.Tag{Key: key, Value: p.Tags[key]})
		}
		for _, team := range slices.Sorted(maps.Keys(p.Teams)) {
			s := p.Teams[team]
			d.Parts = append(d.Parts, provision.Part{Team: team, Units: s.Units, Input: s.Input, Output: s.Output})
		}
	}
	return out
}

// exportedPurchases declares what callers bought and is to go on: not what failed, nor what ends with its term.
func (s *Server) exportedPurchases(ctx context.Context) (out []config.Purchase, err error) {
	all, err := s.book.All(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		t := &all[i]
		if t.Status == provision.Failed || t.Cancelled || s.book.ManagedBy(t) != "" {
			continue
		}
		tags, err := resource.Tagger{Store: resourceStore{s}}.Tags(ctx, t.Account, t.ARN)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			continue // it has ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		delete(tags, provision.IsolationTag)
		p := exportedPurchase(t, tags)
		if t.Account == s.cfg.Account.ID {
			p.Account = ""
		}
		out = append(out, p)
	}
	return out, nil
}

// exportedPurchase declares a throughput.
func exportedPurchase(t *provision.Throughput, tags map[string]string) config.Purchase {
	p := config.Purchase{Name: t.Name, Account: t.Account, Model: t.Desired.ID, Units: t.Units, Isolation: string(t.Isolation), Tags: tags}
	if a, ok := resource.Parse(t.Desired.ARN); ok && !t.Tier && a.Kind == resource.FoundationModel {
		p.Model = a.ID // with the size of the context, if it was bought so
	}
	if t.Tier {
		p.Units, p.Input, p.Output = 0, t.Unit.Input, t.Unit.Output
	}
	for name, term := range terms {
		if term == t.Term && term != provision.NoTerm {
			p.Commitment = name
		}
	}
	for i := range t.Parts {
		x := &t.Parts[i]
		if p.Teams == nil {
			p.Teams = map[string]config.Share{}
		}
		p.Teams[x.Team] = config.Share{Units: x.Units, Input: x.Input, Output: x.Output}
	}
	return p
}

// declaredPurchases are those that the configuration in force declares.
func (s *Server) declaredPurchases() []provision.Declaration {
	if p := s.live.Load(); p != nil { // not before the start, nor after the stop
		return p.purchases
	}
	return nil
}

// sayUnmet logs what of the declared purchases is not as it is declared, once, and what is again. s.keys is held.
func (s *Server) sayUnmet(ctx context.Context) {
	now := map[[2]string]string{}
	for _, u := range s.book.Unmet() {
		key := [2]string{u.Account, u.Name}
		if now[key] = u.Why; s.unmet[key] != u.Why {
			s.log.WarnContext(ctx, "a purchase is not as the configuration has it", "account", u.Account, "name", u.Name, "declared_in", u.At, "why", u.Why)
		}
	}
	for key := range s.unmet {
		if _, still := now[key]; !still {
			s.log.InfoContext(ctx, "a purchase is as the configuration has it", "account", key[0], "name", key[1])
		}
	}
	s.unmet = now
}

// unmetOf tells why a purchase is not as the configuration has it, and what its account is told of that; "" where it is.
func (s *Server) unmetOf(t *provision.Throughput) (why, told string) {
	for _, u := range s.book.Unmet() {
		if u.Account == t.Account && nameKey(u.Account, u.Name) == nameKey(t.Account, t.Name) {
			return u.Why, u.Told
		}
	}
	return "", ""
}

// notBought are the purchases of an account that are declared and could not be made.
func (p provisionAdmin) notBought(account string, all []provision.Throughput) (out []admin.Provisioned) {
	for _, u := range p.s.book.Unmet() {
		there := func(t provision.Throughput) bool { return nameKey(t.Account, t.Name) == nameKey(account, u.Name) }
		if u.Account != account || slices.ContainsFunc(all, there) {
			continue
		}
		for _, d := range p.s.declaredPurchases() {
			if nameKey(d.Account, d.Name) == nameKey(account, u.Name) {
				out = append(out, *notBought(&d, &u))
			}
		}
	}
	return out
}

// notBought is a declaration that could not be met, as a throughput that failed.
func notBought(d *provision.Declaration, u *provision.Unmet) *admin.Provisioned {
	model := provision.Model{ID: d.Model}
	return &admin.Provisioned{ManagedBy: d.At, Pending: u.Why, PendingTold: u.Told, Throughput: provision.Throughput{
		Account: d.Account, Name: d.Name, Units: d.Units, Model: model, Desired: model, Term: d.Term, Isolation: d.Isolation, Parts: d.Parts, Declared: true,
		Status: provision.Failed, Failure: u.Why, Told: u.Told, Tier: d.Input > 0,
	}}
}

// managed says what the configuration decides over a resource: over a purchase that it declares, and over a variant of a model.
func (s *Server) managed(ctx context.Context, account, arn string) (resource.Managed, error) {
	a, ok := resource.Parse(arn)
	if ok && a.Kind == resource.CustomModel {
		return s.live.Load().managedVariant(account, arn), nil
	}
	if !ok || a.Kind != resource.ProvisionedModel {
		return resource.Managed{}, nil
	}
	t, err := s.book.Get(ctx, account, arn)
	switch {
	case err == nil:
		return resource.Managed{At: s.book.ManagedBy(t)}, nil
	case fault.KindOf(err) == fault.NotFound: // for who looks it up to tell
		return resource.Managed{}, nil
	default:
		return resource.Managed{}, err
	}
}

// managedVariant is a variant that is declared, or was made by the admin API: the operator's.
func (p *serving) managedVariant(account, arn string) resource.Managed {
	m := p.variants[arn]
	if m == nil || m.ID == arn || account != p.cfg.Account.ID {
		return resource.Managed{}
	}
	return resource.Managed{At: cmp.Or(m.ManagedBy, madeByModels), Declared: true, Tags: p.cfg.Models[m.ID].Tags}
}
