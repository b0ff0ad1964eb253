package provision_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
	"forebay/store"
)

// shop is a book with the ports that it asks, all of which a test may change between calls.
type shop struct {
	*provision.Book
	t       *testing.T
	now     time.Time
	quota   int64 // 0 is none
	room    provision.Room
	hour    int64  // price of a unit-hour, 0 unknown
	unit    int64  // input of a unit
	offers  int    // how often Offer was asked
	removed string // id of a model that was deleted and is in force still
	db      *store.Store
	// declared is what the configuration asks for, and routes are those with a lane of a throughput, by its name or ARN.
	declared []provision.Declaration
	routes   map[string]string
}

const (
	account = "000000000000"
	baseARN = "arn:aws:bedrock:us-east-1::foundation-model/"
)

type database struct{ *store.Store }

func (d database) View(ctx context.Context, f func(*store.Tx) error) error { return d.Update(ctx, f) }

func newShop(t *testing.T) *shop {
	t.Helper()
	return newShopIn(t, t.TempDir())
}

func newShopIn(t *testing.T, dir string) *shop {
	t.Helper()
	s := &shop{t: t, now: time.Date(2026, 1, 31, 10, 30, 0, 0, time.UTC), room: provision.Room{Units: 100}, hour: 5, unit: 100}
	s.open(dir)
	return s
}

func (s *shop) open(dir string) {
	db, err := store.Open(s.t.Context(), dir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	s.db = db
	s.Book = provision.New(provision.Options{
		Store: database{db}, Models: s, Pools: s, Region: "us-east-1", Now: func() time.Time { return s.now },
		Declared: func() []provision.Declaration { return s.declared },
	})
}

// Offer implements provision.Models: "base", and "NAME/base" customised from it.
func (s *shop) Offer(_, id string) (provision.Offer, error) {
	s.offers++
	id = strings.TrimPrefix(id, baseARN)
	name, base, custom := strings.Cut(id, "/")
	if !custom {
		base = name
	}
	if !strings.HasPrefix(base, "base") {
		return provision.Offer{}, fault.New(fault.UnknownModel, "")
	}
	o := provision.Offer{Model: provision.Model{ID: id, ARN: baseARN + id, Base: base, Custom: custom}, Unit: catalog.Unit{Input: s.unit, Output: 10, Basis: catalog.BasisGiven}}
	if s.hour > 0 {
		hour := s.hour
		o.Prices = &catalog.UnitPrices{Currency: "USD", None: &hour, OneMonth: &hour, Source: "test", Date: "2026-01-01"}
	}
	return o, nil
}

// OfferTier implements provision.Models: of "base" at 3 and 7 nano-units for an hour of a thousand, and of "embed", which makes no tokens.
func (s *shop) OfferTier(_, id string) (provision.Offer, error) {
	if id != "base" && id != "embed" {
		return provision.Offer{}, fault.New(fault.UnknownModel, "")
	}
	o := provision.Offer{Model: provision.Model{ID: id, ARN: baseARN + id, Base: id}, Embeds: id == "embed"}
	if in, out := int64(3), int64(7); s.hour > 0 {
		of := func(v *int64) catalog.TermPrices { return catalog.TermPrices{None: v, ThreeMonths: v} }
		o.Tier = &catalog.TierPrices{Currency: "USD", Input: of(&in), Output: of(&out), Source: "test", Date: "2026-01-01"}
	}
	return o, nil
}

func (s *shop) Taken(_ context.Context, _ *store.Tx, _, name string) (bool, error) {
	return name == "alias", nil
}

// Gone implements provision.Models.
func (s *shop) Gone(_ context.Context, _ *store.Tx, m *provision.Model) (bool, error) {
	return m.ID == s.removed, nil
}

// Route implements provision.Models.
func (s *shop) Route(_ context.Context, _ *store.Tx, _, id string) (string, error) {
	return s.routes[id], nil
}

func (s *shop) Quota(string) (int64, bool) { return s.quota, s.quota > 0 }

func (s *shop) order(name string) *provision.Order {
	return &provision.Order{Account: account, Name: name, Model: "base", Units: 2}
}

// Room implements provision.Pools.
func (s *shop) Room(_ *provision.Ask, sold []provision.Throughput) provision.Room {
	r := s.room
	for i := range sold {
		r.Units -= sold[i].Units
	}
	return r
}

func (s *shop) create(o *provision.Order) string {
	s.t.Helper()
	s.now = s.now.Add(time.Nanosecond) // orders are served in their order
	arn, err := s.Create(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	return arn
}

func (s *shop) tend() time.Time {
	s.t.Helper()
	_, next, err := s.Tend(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return next
}

func (s *shop) get(id string) *provision.Throughput {
	s.t.Helper()
	x, err := s.Get(s.t.Context(), account, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return x
}

func (s *shop) wants(err error, kind fault.Kind, text string) {
	s.t.Helper()
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		s.t.Errorf("%v, want %s with %q", err, kind, text)
	}
}

func TestOrderComesIntoService(t *testing.T) {
	s := newShop(t)
	arn := s.create(s.order("a"))
	if a, ok := resource.Parse(arn); !ok || a.Kind != resource.ProvisionedModel || a.Account != account || a.Region != "us-east-1" || !resource.IsID(a.ID) {
		t.Error(arn)
	}
	if x := s.get(arn); x.Status != provision.Creating || !x.Began.IsZero() {
		t.Errorf("%+v", x)
	}
	if list, err := s.Purchases(t.Context(), time.Time{}); err != nil || len(list) != 0 {
		t.Errorf("an order is paid for: %+v %v", list, err)
	}
	s.wants(s.Delete(t.Context(), account, "a"), fault.Conflict, "Creating")
	s.wants(s.Update(t.Context(), account, "a", &provision.Change{Name: "b"}), fault.Invalid, "Creating")
	s.now = s.now.Add(time.Minute)
	s.tend()
	x := s.get("a")
	if x.Status != provision.InService || !x.Began.Equal(s.now) || x.InputRate() != 200 || x.OutputRate() != 20 {
		t.Errorf("%+v", x)
	}
	if len(x.Rates) != 1 || x.Rates[0].Nano != 5 || !x.Rates[0].From.Equal(s.now) {
		t.Errorf("%+v", x.Rates)
	}
	if _, err := s.Get(t.Context(), "111111111111", arn); fault.KindOf(err) != fault.NotFound {
		t.Errorf("another account sees it: %v", err)
	}
}

// Of a hundred orders of one name at once one is taken, and of a hundred with one token all get the same ARN.
func TestConcurrentOrders(t *testing.T) {
	s := newShop(t)
	var made, refused atomic.Int64
	arns := sync.Map{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			switch _, err := s.Create(context.Background(), s.order("same")); {
			case err == nil:
				made.Add(1)
			case fault.KindOf(err) == fault.Invalid:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
		wg.Go(func() {
			o := s.order("token")
			o.Token = "once"
			arn, err := s.Create(context.Background(), o)
			if err != nil {
				t.Error(err)
			}
			arns.Store(arn, true)
		})
	}
	wg.Wait()
	n := 0
	arns.Range(func(any, any) bool { n++; return true })
	if made.Load() != 1 || refused.Load() != 99 || n != 1 {
		t.Errorf("%d made, %d refused, %d ARNs of one token", made.Load(), refused.Load(), n)
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	s := newShop(t)
	o := s.order("a")
	o.Token = "t"
	s.create(o)
	for _, c := range []struct {
		name   string
		change func(*provision.Order)
		kind   fault.Kind
		text   string
	}{
		{"another body", func(o *provision.Order) { o.Token, o.Units = "t", 3 }, fault.Invalid, "token"},
		{"other tags", func(o *provision.Order) { o.Token, o.Tags = "t", []resource.Tag{{Key: "x"}} }, fault.Invalid, "token"},
		{"a taken name in another case", func(o *provision.Order) { o.Name = "A" }, fault.Invalid, "already in use"},
		{"the name of an alias", func(o *provision.Order) { o.Name = "alias" }, fault.Invalid, "already in use"},
		{"no name", func(o *provision.Order) { o.Name = "" }, fault.Invalid, "name"},
		{"a name that is none", func(o *provision.Order) { o.Name = "a--b" }, fault.Invalid, "name"},
		{"a name that is no text", func(o *provision.Order) { o.Name = "\xff\xfe" }, fault.Invalid, "name"},
		{"a term that is none", func(o *provision.Order) { o.Term = "OneYear" }, fault.Invalid, "OneYear"},
		{"too many units", func(o *provision.Order) { o.Units = 1 << 31 }, fault.Invalid, "at most"},
		{"no units", func(o *provision.Order) { o.Units = 0 }, fault.Invalid, "at least 1"},
		{"no model", func(o *provision.Order) { o.Model = "none" }, fault.UnknownModel, ""},
		{"beyond the quota", func(o *provision.Order) { o.Units = 1<<31 - 1; s.quota = 3 }, fault.QuotaExceeded, "1 left of 3"},
	} {
		o := s.order("b")
		c.change(o)
		_, err := s.Create(t.Context(), o)
		s.wants(err, c.kind, c.text)
		s.quota = 0
	}
	if all, err := s.All(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d are stored, %v", len(all), err)
	}
}

// Isolation is asked for by a member or a tag, and anything else by them is refused; the replicas of the pool's answer are kept.
func TestIsolationOfOrders(t *testing.T) {
	tag := func(v string) []resource.Tag { return []resource.Tag{{Key: provision.IsolationTag, Value: v}} }
	for i, c := range []struct {
		member provision.Isolation
		tags   []resource.Tag
		want   provision.Isolation
		refuse string
	}{
		{"", nil, provision.Shared, ""},
		{"replica", nil, provision.Replica, ""},
		{"", tag("replica"), provision.Replica, ""},
		{"replica", tag("replica"), provision.Replica, ""},
		{"", tag(""), "", "not one of replica"},
		{"", tag("host"), "", "not one of replica"},
		{"host", nil, "", "not one of replica"},
		{"replica", tag("host"), "", "not one of replica"},
		{"host", tag("replica"), "", "contradicts"},
	} {
		s := newShop(t)
		s.room.Replicas = []provision.Whole{{Engine: "e", Replicas: 2}}
		o := s.order(fmt.Sprint("n", i))
		o.Isolation, o.Tags = c.member, c.tags
		arn, err := s.Create(t.Context(), o)
		if c.refuse != "" {
			s.wants(err, fault.Invalid, c.refuse)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.tend()
		if x := s.get(arn); x.Isolation != c.want || len(x.Replicas) != 1 {
			t.Errorf("%d: %+v", i, x)
		}
	}
}

// A throughput that is in service is divided in whole units among teams, of which each has one part; what is wrong changes nothing. The
// purchase as it is paid for says the parts.
func TestDivide(t *testing.T) {
	s := newShop(t)
	o := s.order("a")
	o.Units = 5
	arn := s.create(o)
	type parts = []provision.Part
	_, err := s.Divide(t.Context(), account, arn, parts{{Team: "search", Units: 1}})
	s.wants(err, fault.Conflict, "Creating")
	s.tend()
	if x, err := s.Divide(t.Context(), account, "a", parts{{Team: "search", Units: 3}, {Team: "lab", Units: 2}}); err != nil || len(x.Parts) != 2 {
		t.Fatalf("%+v %v", x, err)
	}
	for text, bad := range map[string]parts{
		"more than the 5 model units": {{Team: "search", Units: 3}, {Team: "lab", Units: 3}},
		"at least 1":                  {{Team: "search", Units: 0}},
		"given twice":                 {{Team: "search", Units: 1}, {Team: "search", Units: 1}},
		"empty":                       {{Team: "", Units: 1}},
		"more than":                   {{Team: "search", Units: math.MaxInt64}, {Team: "lab", Units: math.MaxInt64}},
	} {
		_, err := s.Divide(t.Context(), account, arn, bad)
		s.wants(err, fault.Invalid, text)
	}
	_, err = s.Divide(t.Context(), "111111111111", arn, nil)
	s.wants(err, fault.NotFound, "")
	if bought, err := s.Purchases(t.Context(), time.Time{}); err != nil || len(bought) != 1 || fmt.Sprint(bought[0].Parts) != "[{search 3 0 0} {lab 2 0 0}]" {
		t.Errorf("%+v %v", bought, err)
	}
	if x, err := s.Divide(t.Context(), account, arn, nil); err != nil || len(x.Parts) != 0 || len(s.get(arn).Parts) != 0 {
		t.Errorf("%+v %v", x, err)
	}
}

// What cannot be backed fails and says what could be had, at once or when the pool has had time to grow.
func TestOrdersThatCannotBeBacked(t *testing.T) {
	s := newShop(t)
	s.room = provision.Room{Units: 3, Why: "it is small"}
	s.create(s.order("a"))
	s.create(s.order("b"))
	s.tend()
	if a, b := s.get("a"), s.get("b"); a.Status != provision.InService || b.Status != provision.Failed || b.Failure != "1 of 2 model units could be had: it is small." {
		t.Errorf("%+v %+v", a, b)
	}
	if err := s.Delete(t.Context(), account, "b"); err != nil {
		t.Error(err)
	}
	s.room.Grows = true
	s.create(s.order("c"))
	s.create(s.order("d"))
	if next := s.tend(); !next.After(s.now) || next.After(s.now.Add(time.Minute)) {
		t.Errorf("the next look is at %s", next)
	}
	if c := s.get("c"); c.Status != provision.Creating {
		t.Errorf("%+v", c)
	}
	s.room.Units = 4 // a replica has come
	s.tend()
	if c, d := s.get("c"), s.get("d"); c.Status != provision.InService || d.Status != provision.Creating {
		t.Errorf("%+v %+v", c, d)
	}
	s.now = s.now.Add(time.Hour)
	s.tend()
	if d := s.get("d"); d.Status != provision.Failed {
		t.Errorf("%+v", d)
	}
}

func TestSwap(t *testing.T) {
	s := newShop(t)
	o := s.order("a")
	o.Model = "mine/base"
	s.create(o)
	s.tend()
	s.wants(s.Update(t.Context(), account, "a", &provision.Change{Model: "theirs/base2"}), fault.Invalid, "customized from it")
	s.wants(s.Update(t.Context(), account, "a", &provision.Change{}), fault.Invalid, "Specify")
	s.wants(s.Update(t.Context(), account, "nobody", &provision.Change{Name: "x"}), fault.NotFound, "nobody")
	if err := s.Update(t.Context(), account, "a", &provision.Change{Model: "other/base", Name: "b"}); err != nil {
		t.Fatal(err)
	}
	x := s.get("b")
	if x.Status != provision.Updating || x.Model.ID != "mine/base" || x.Desired.ID != "other/base" {
		t.Errorf("%+v", x)
	}
	s.wants(s.Delete(t.Context(), account, "b"), fault.Conflict, "Updating")
	s.wants(s.Update(t.Context(), account, "b", &provision.Change{Name: "c"}), fault.Invalid, "Updating")
	s.tend()
	if x = s.get("b"); x.Status != provision.InService || x.Model.ID != "other/base" || x.Model != x.Desired {
		t.Errorf("%+v", x)
	}
	s.room.Units = 1 // of the base's pool
	if err := s.Update(t.Context(), account, "b", &provision.Change{Model: "base"}); err != nil {
		t.Fatal(err)
	}
	s.tend()
	if x = s.get("b"); x.Status != provision.InService || x.Model.ID != "other/base" || x.Model != x.Desired || !strings.Contains(x.Failure, "1 of 2 model units") {
		t.Errorf("%+v", x)
	}
	s.room.Units = 2
	if err := s.Update(t.Context(), account, "b", &provision.Change{Model: "base"}); err != nil {
		t.Fatal(err)
	}
	s.tend()
	if x = s.get("b"); x.Model.ID != "base" || x.Failure != "" {
		t.Errorf("%+v", x)
	}
	s.wants(s.Update(t.Context(), account, "b", &provision.Change{Model: "mine/base"}), fault.Invalid, "base model")
}

// Terms end on the day of the month on which the first began, or the last of a shorter one, and renew for as long as nobody cancels.
func TestCommitment(t *testing.T) {
	s := newShop(t) // 31 January
	o := s.order("a")
	o.Term = provision.OneMonth
	s.create(o)
	if next := s.tend(); !next.Equal(time.Date(2026, 2, 28, 10, 30, 0, 1, time.UTC)) {
		t.Errorf("the term ends %s", next)
	}
	s.wants(s.Delete(t.Context(), account, "a"), fault.Conflict, "2026-02-28T10:30:00Z")
	s.hour = 7
	s.tend() // a new price does not count before the renewal
	s.now = time.Date(2026, 4, 5, 0, 0, 0, 0, time.UTC)
	if next := s.tend(); !next.Equal(time.Date(2026, 4, 30, 10, 30, 0, 1, time.UTC)) {
		t.Errorf("the third term ends %s", next)
	}
	x := s.get("a")
	if x.Terms != 3 || len(x.Rates) != 2 || x.Rates[1].Nano != 7 || !x.Rates[1].From.Equal(time.Date(2026, 2, 28, 10, 30, 0, 1, time.UTC)) {
		t.Errorf("%+v", x)
	}
	s.now = s.now.AddDate(0, -1, 0) // the clock goes back
	s.tend()
	if y := s.get("a"); y.Terms != 3 || !y.Expires.Equal(x.Expires) {
		t.Errorf("%+v", y)
	}
	if _, err := s.Cancel(t.Context(), account, "a"); err != nil {
		t.Fatal(err)
	}
	s.now = time.Date(2026, 5, 20, 0, 0, 0, 0, time.UTC)
	s.tend()
	if _, err := s.Get(t.Context(), account, "a"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a cancelled commitment is still there: %v", err)
	}
	list, err := s.Purchases(t.Context(), time.Time{})
	if err != nil || len(list) != 1 || !list[0].Ended.Equal(time.Date(2026, 4, 30, 10, 30, 0, 1, time.UTC)) || list[0].Units != 2 {
		t.Errorf("%+v %v", list, err)
	}
	if list, err = s.Purchases(t.Context(), s.now); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

func TestTermsEnd(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		term        provision.Term
		began, end1 string
		end2        string
	}{
		{provision.OneMonth, "2028-01-31T23:59:59Z", "2028-02-29T23:59:59Z", "2028-03-31T23:59:59Z"},
		{provision.SixMonths, "2026-08-31T00:00:00Z", "2027-02-28T00:00:00Z", "2027-08-31T00:00:00Z"},
		{provision.OneMonth, "2026-12-15T08:00:00+02:00", "2027-01-15T06:00:00Z", "2027-02-15T06:00:00Z"},
	} {
		began := at(c.began)
		if e1, e2 := c.term.End(began, 1), c.term.End(began, 2); !e1.Equal(at(c.end1)) || !e2.Equal(at(c.end2)) {
			t.Errorf("%+v: %s, %s", c, e1, e2)
		}
	}
}

// A price that changes counts from when it is seen for what has no commitment; what is not known any more is noted, too.
func TestPricesOfNoCommitment(t *testing.T) {
	s := newShop(t)
	s.create(s.order("a"))
	s.tend()
	for _, hour := range []int64{5, 6, 0, 6} {
		s.now = s.now.Add(time.Hour)
		s.hour = hour
		s.tend()
	}
	var got []string
	for _, r := range s.get("a").Rates {
		got = append(got, fmt.Sprint(r.Known, r.Nano))
	}
	if want := "true 5,true 6,false 0,true 6"; strings.Join(got, ",") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// A change that is cut off leaves nothing behind: neither an order without its token nor a purchase without its throughput.
func TestNothingIsHalfCreated(t *testing.T) {
	s := newShop(t)
	s.create(s.order("a"))
	broken := errors.New("cut off")
	cut := provision.New(provision.Options{Store: failing{database{s.db}, broken}, Models: s, Pools: s, Region: "us-east-1"})
	o := s.order("b")
	o.Token = "t"
	if _, err := cut.Create(t.Context(), o); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, _, err := cut.Tend(t.Context()); !errors.Is(err, broken) {
		t.Error(err)
	}
	if x := s.get("a"); x.Status != provision.Creating {
		t.Errorf("%+v", x)
	}
	if list, err := s.Purchases(t.Context(), time.Time{}); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	o.Units = 9 // the token is free
	s.create(o)
	s.tend()
	if x := s.get("a"); x.Status != provision.InService {
		t.Errorf("%+v", x)
	}
}

// failing cuts every change off just before it is stored.
type failing struct {
	database
	err error
}

func (f failing) Update(ctx context.Context, do func(*store.Tx) error) error {
	return f.database.Update(ctx, func(tx *store.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return f.err
	})
}

// Who owns what was bought is known for as long as it is owed for, and no longer changes when it is gone.
func TestTagsOutliveTheThroughput(t *testing.T) {
	s := newShop(t)
	o := s.order("a")
	o.Tags = []resource.Tag{{Key: "team", Value: "search"}}
	arn := s.create(o)
	s.tend()
	if err := (resource.Tagger{Store: database{s.db}}).Tag(t.Context(), account, arn, []resource.Tag{{Key: "team", Value: "chat"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), account, "a"); err != nil {
		t.Fatal(err)
	}
	list, err := s.Purchases(t.Context(), time.Time{})
	if err != nil || len(list) != 1 || list[0].Tags["team"] != "chat" {
		t.Errorf("%+v %v", list, err)
	}
}
