package meter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/infer"

	"pgregory.net/rapid"
)

// Amount against exact rational arithmetic.
func TestAmountIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(0, 1<<62).Draw(t, "rate")
		tokens := rapid.Int64Range(0, 1<<40).Draw(t, "tokens")
		got, err := Amount(rate, tokens)
		num := new(big.Int).Mul(big.NewInt(rate), big.NewInt(tokens))
		q, r := new(big.Int).QuoRem(num, big.NewInt(perMillion), new(big.Int))
		twice := new(big.Int).Lsh(r, 1)
		if c := twice.Cmp(big.NewInt(perMillion)); c > 0 || c == 0 && q.Bit(0) == 1 {
			q.Add(q, big.NewInt(1))
		}
		if !q.IsInt64() {
			if err == nil {
				t.Fatalf("%d x %d did not overflow", rate, tokens)
			}
			return
		}
		if err != nil || got != q.Int64() {
			t.Fatalf("%d x %d = %d %v, want %s", rate, tokens, got, err, q)
		}
	})
}

// The worked example of 1,000 input and 300 output tokens on Claude 3 Haiku: 0.000625 USD.
func TestWorkedExample(t *testing.T) {
	r, err := catalog.NewNames(catalog.Builtin(), nil, "").Resolve("anthropic.claude-3-haiku-20240307-v1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewTariff(r.Model.ID, r.Model.Price, infer.TierDefault).Price(infer.Usage{Input: 1000, Output: 300})
	if err != nil || !l.Known || FormatMoney(l.Total(), l.Currency()) != "0.000625 USD" {
		t.Errorf("%+v %v %s", l, err, FormatMoney(l.Total(), l.Currency()))
	}
}

func TestUnknownPriceIsNotZero(t *testing.T) {
	in := int64(5000)
	tariff := NewTariff("m", &catalog.Price{Currency: "USD", Input: &in}, infer.TierDefault)
	if l, err := tariff.Price(infer.Usage{Input: 10, Output: 1}); err != nil || l.Known || l.Currency() != "USD" {
		t.Errorf("%+v %v", l, err)
	}
	if l, err := tariff.Price(infer.Usage{Input: 1_000_000}); err != nil || !l.Known || l.Total() != 5000 {
		t.Errorf("%+v %v", l, err)
	}
	for _, unknown := range []*Tariff{NewTariff("m", nil, infer.TierDefault), NewTariff("m", &catalog.Price{Currency: "USD", Input: &in}, infer.TierFlex)} {
		if l, err := unknown.Price(infer.Usage{Input: 1}); unknown != nil || err != nil || l.Known || l.Currency() != "" {
			t.Errorf("%+v %v", l, err)
		}
	}
}

// Lines that fit one by one may make a total that does not.
func TestTotalOutOfRange(t *testing.T) {
	rate := int64(5e18)
	tariff := &Tariff{Currency: "USD", Input: rate, Output: rate}
	if l, err := tariff.Price(infer.Usage{Input: perMillion, Output: perMillion}); err == nil || l.Known {
		t.Errorf("%+v %v", l, err)
	}
	if l, err := tariff.Price(infer.Usage{Input: perMillion}); err != nil || l.Total() != rate {
		t.Errorf("%+v %v", l, err)
	}
}

func TestMoneyText(t *testing.T) {
	for v, want := range map[int64]string{0: "0.00", 1: "0.000000001", 1_500_000_000: "1.50", -625_000: "-0.000625", 1 << 62: "4611686018.427387904"} {
		if got := FormatMoney(v, ""); got != want {
			t.Errorf("%d: %s, want %s", v, got, want)
		}
		if back, err := ParseMoney(want); err != nil || back != v {
			t.Errorf("%s: %d %v", want, back, err)
		}
	}
	for _, bad := range []string{"", "x", "1.0000000001", "1e3", "1.-5"} {
		if _, err := ParseMoney(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func open(t *testing.T, change func(*LedgerOptions)) *Ledger {
	t.Helper()
	o := LedgerOptions{Path: filepath.Join(t.TempDir(), "ledger.db"), Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	l, err := OpenLedger(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

var dollars = &Tariff{Model: "m", Tier: "default", Currency: "USD", Input: perMillion}

func row(i int) *Record {
	return &Record{
		RequestID: fmt.Sprintf("r%d", i), Account: "a", Key: fmt.Sprintf("k%d", i%3), API: "openai", Operation: "ChatCompletions", Mode: "on-demand",
		Model: "m", Arrived: time.Date(2026, 1, 2, 3, 4, 5, i, time.UTC), Input: int64(i), Output: 2, Outcome: OutcomeOK, Status: 200,
		Charge: Lines{Tariff: dollars, Known: true, Input: int64(i)}, Tags: map[string]string{"team": strconv.Itoa(i % 2)},
	}
}

func TestAppendAndUsage(t *testing.T) {
	l := open(t, nil)
	const n = 500
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := l.Append(context.Background(), row(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	rows, err := l.Usage(t.Context(), UsageQuery{By: []string{"key"}})
	if err != nil || len(rows) != 3 {
		t.Fatalf("%+v %v", rows, err)
	}
	var req, in, charge int64
	for _, r := range rows {
		req, in, charge = req+r.Requests, in+r.Input, charge+r.Charge
	}
	if want := int64(n * (n - 1) / 2); req != n || in != want || charge != want {
		t.Errorf("%d requests, %d tokens, %d nano, want %d and %d", req, in, charge, n, want)
	}
	for _, by := range append(Dimensions(), "tag:team", `tag:x"y`) {
		if _, err := l.Usage(t.Context(), UsageQuery{By: []string{by, "day"}, Account: "a", Since: time.Unix(0, 0), Until: time.Now().AddDate(1, 0, 0)}); err != nil {
			t.Errorf("%s: %v", by, err)
		}
	}
	if _, err := l.Usage(t.Context(), UsageQuery{By: []string{"1; DROP TABLE calls"}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("%v", err)
	}
	e, err := l.Explain(t.Context(), "r7")
	if err != nil || e.Input != 7 || e.Charge.Total != 7 || e.Cost != nil {
		t.Errorf("%+v %v", e, err)
	}
	if _, err := l.Explain(t.Context(), "none"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
}

func TestRefusalsAreAggregated(t *testing.T) {
	l := open(t, nil)
	const n = refusalsPerMinute + 500
	for i := range n {
		r := row(i)
		r.Key, r.Outcome, r.Reason = "k", OutcomeRefused, "throttled"
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := l.Usage(t.Context(), UsageQuery{})
	if err != nil || rows[0].Refused != n || l.Rows() != refusalsPerMinute+1 {
		t.Errorf("%+v %v in %d rows", rows, err, l.Rows())
	}
}

// A caller without an account has no rows of its own, whatever it invents.
func TestUnauthenticatedCallersAreOnlyCounted(t *testing.T) {
	l := open(t, nil)
	for i := range 500 {
		r := &Record{
			RequestID: fmt.Sprint("u", i), API: "openai", Reason: "unknown_key", Outcome: OutcomeRefused, Count: 1, ModelAsked: fmt.Sprint("m", i),
			InvocationID: fmt.Sprint("i", i), Arrived: time.Now(), Tags: map[string]string{"a": strconv.Itoa(i)},
		}
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := l.Usage(t.Context(), UsageQuery{By: []string{"asked", "tag:a"}, Account: "somebody", Unauthenticated: true})
	if err != nil || len(rows) != 1 || rows[0].Refused != 500 || rows[0].Group[0]+rows[0].Group[1] != "" || l.Rows() > 2 {
		t.Errorf("%+v %v in %d rows", rows, err, l.Rows())
	}
}

// Kinds of refusals beyond a bound are counted together.
func TestKindsOfRefusalsAreBounded(t *testing.T) {
	l := open(t, nil)
	const n = maxRefusals + 1000
	at := time.Now()
	for i := range n {
		r := row(i)
		r.Key, r.Outcome, r.Arrived, r.Count = fmt.Sprint("k", i), OutcomeRefused, at, 1
		l.broken.Store(&errFull) // so that nothing is written on the way
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(l.refused); got > maxRefusals+1 {
		t.Errorf("%d kinds are remembered", got)
	}
	rows, err := l.Usage(t.Context(), UsageQuery{})
	if err != nil || rows[0].Refused != n || l.Lost() != 0 {
		t.Errorf("%+v %v, %d lost", rows, err, l.Lost())
	}
}

var errFull = errors.New("full")

// What was refused while rows could not be written is written when they can.
func TestRefusalsOutliveAFullDisk(t *testing.T) {
	l := open(t, nil)
	l.journal.bound = 20_000
	var acknowledged int64
	for i := 0; l.Healthy() == nil; i++ {
		r := row(i)
		r.Tags = map[string]string{"pad": fmt.Sprintf("%0200d", i)}
		if l.Append(t.Context(), r) == nil {
			acknowledged++
		}
	}
	const refused = 2 * refusalsPerMinute
	for i := range refused {
		r := row(i)
		r.RequestID, r.Key, r.Outcome, r.Arrived = fmt.Sprint("late", i), "k", OutcomeRefused, time.Now()
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Usage(t.Context(), UsageQuery{}); err != nil || l.Healthy() == nil {
		t.Errorf("%v, %v", err, l.Healthy())
	}
	l.journal.bound = journalBound
	l.heal()
	rows, err := l.Usage(t.Context(), UsageQuery{})
	if err != nil || rows[0].Refused != refused || rows[0].Requests != acknowledged+refused || l.Healthy() != nil {
		t.Errorf("%+v %v, %v", rows, err, l.Healthy())
	}
}

// A full disk refuses, or serves and counts, as the operator chose.
func TestFullDisk(t *testing.T) {
	for _, serve := range []bool{false, true} {
		l := open(t, func(o *LedgerOptions) { o.Serve = serve })
		l.journal.bound = 20_000
		acknowledged, failed := int64(0), int64(0)
		for i := range 3000 {
			if err := l.Append(t.Context(), row(i)); err != nil {
				if fault.KindOf(err) != fault.Unavailable {
					t.Fatal(err)
				}
				failed++
				break
			}
			acknowledged++
		}
		if serve {
			if failed != 0 || l.Lost() == 0 || l.Healthy() != nil {
				t.Errorf("serve: %d failed, %d lost, %v", failed, l.Lost(), l.Healthy())
			}
			continue
		}
		if failed != 1 || acknowledged == 0 || l.Healthy() == nil {
			t.Errorf("refuse: %d failed, %d not, %v", failed, acknowledged, l.Healthy())
		}
		rows, err := l.Usage(t.Context(), UsageQuery{})
		if err != nil || rows[0].Requests != acknowledged {
			t.Errorf("%d rows, %d acknowledged: %v", rows[0].Requests, acknowledged, err)
		}
		l.journal.bound = journalBound
		l.heal()
		if err := l.Append(t.Context(), row(9999)); err != nil || l.Healthy() != nil {
			t.Errorf("with room again: %v, %v", err, l.Healthy())
		}
	}
}

// What the database cannot take stays in the journal: calls are refused meanwhile, queries
// say so rather than leave rows out, and nothing that was acknowledged is lost.
func TestFullDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := OpenLedger(t.Context(), LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler), MaxPages: 40})
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for l.Healthy() == nil && n < 100_000 {
		if err := l.Append(t.Context(), row(int(n))); err != nil {
			t.Fatal(err)
		}
		if n++; n%100 == 0 {
			l.move()
		}
	}
	if _, err := l.Usage(t.Context(), UsageQuery{}); err == nil || l.Healthy() == nil {
		t.Errorf("%d rows in 40 pages: %v", n, l.Healthy())
	}
	if err := l.Close(); err == nil {
		t.Error("closed without a word, with rows in the journal")
	}
	if l, err = OpenLedger(t.Context(), LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if rows, err := l.Usage(t.Context(), UsageQuery{}); err != nil || rows[0].Requests != n {
		t.Errorf("%+v %v, want %d rows", rows, err, n)
	}
}

func TestReopenKeepsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	for i := range 3 {
		l, err := OpenLedger(t.Context(), LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler), Sync: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), row(i)); err != nil {
			t.Fatal(err)
		}
		var n int64
		if err := l.Charges(t.Context(), time.Unix(0, 0), time.Unix(0, 0), func(c Charge) { n += c.Requests }); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if n != int64(i)+1 {
			t.Errorf("%d rows after %d", n, i+1)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	l, err := OpenLedger(b.Context(), LedgerOptions{Path: filepath.Join(b.TempDir(), "ledger.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var n int
	var mu sync.Mutex
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mu.Lock()
			n++
			i := n
			mu.Unlock()
			if err := l.Append(context.Background(), row(i)); err != nil {
				b.Error(err)
			}
		}
	})
}

// Charges summed over quarters of an hour are those of the calls, and recent calls come one by one.
func TestChargesAreSummed(t *testing.T) {
	l := open(t, nil)
	begin := time.Date(2026, 1, 1, 23, 50, 0, 0, time.UTC)
	const n = 40
	for i := range n {
		r := row(i)
		r.Arrived = begin.Add(time.Duration(i) * time.Minute)
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	exact := begin.Add(35 * time.Minute)
	days := map[int]int64{}
	var last time.Time
	alone := 0
	err := l.Charges(t.Context(), begin, exact, func(c Charge) {
		if c.At.Before(last) {
			t.Error("out of order")
		}
		last = c.At
		days[c.At.UTC().Day()] += c.Money
		if !c.At.Before(exact) {
			alone++
			if c.Requests != 1 || c.At.Sub(begin)%time.Minute != 0 {
				t.Errorf("%+v", c)
			}
		}
	})
	if err != nil || alone != 5 || days[1] != 9*10/2 || days[1]+days[2] != n*(n-1)/2 {
		t.Errorf("%v, %d alone, %v", err, alone, days)
	}
}
