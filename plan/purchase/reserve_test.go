package purchase_test

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/plan/purchase"

	"pgregory.net/rapid"
)

// azure reads the tokens of each calendar minute, from the first that has a call to the last, of a trace of 2023.
func azure(t testing.TB, name string) *purchase.Demand {
	t.Helper()
	f, err := os.Open(testenv.Shared(t, "traces/azure-llm-2023/AzureLLMInferenceTrace_"+name+".csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	minutes := map[time.Time]int64{}
	var first, last time.Time
	lines := bufio.NewScanner(f)
	lines.Scan() // the header
	for lines.Scan() {
		col := strings.Split(lines.Text(), ",")
		at, err := time.Parse("2006-01-02 15:04:05", col[0])
		if err != nil {
			t.Fatal(err)
		}
		in, _ := strconv.ParseInt(col[1], 10, 64)
		out, err := strconv.ParseInt(strings.TrimSpace(col[2]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		m := at.Truncate(time.Minute)
		if first.IsZero() {
			first = m
		}
		last = m
		minutes[m] += in + out
	}
	var series []int64
	for m := first; !m.After(last); m = m.Add(time.Minute) {
		series = append(series, minutes[m])
	}
	return demand(t, series...)
}

func demand(t testing.TB, series ...int64) *purchase.Demand {
	t.Helper()
	d, err := purchase.NewDemand(series)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// must returns a value that has no error.
func must[V any](v V, err error) func(t fataler) V {
	return func(t fataler) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// exactly is the question of T1: minutes, units of 10,000 tokens, and prices in the given ratio, in thousandths.
func exactly(ratio int64) purchase.Reserve {
	const p = 2_500_000_000 // 2.50 per million tokens
	return purchase.Reserve{Period: time.Minute, Unit: 10_000, Spill: p, Hour: p * 60 / 100 * ratio / 1000}
}

// Known values, found by brute force outside of this program.
func TestT1NewsVendorOnAzure2023(t *testing.T) {
	for _, c := range []struct {
		name    string
		peak    int64
		units   []int64
		savings []string
	}{
		{"conv", 780_667, []int64{52, 48, 43, 37, 33, 30}, []string{"69.4", "52.5", "37.0", "23.5", "11.5", "4.3"}},
		{"code", 1_257_868, []int64{61, 38, 22, 8, 0, 0}, []string{"47.8", "23.2", "9.1", "1.5", "0.0", "0.0"}},
	} {
		d := azure(t, c.name)
		if d.Peak() != c.peak {
			t.Errorf("%s: the peak minute has %d tokens, want %d", c.name, d.Peak(), c.peak)
		}
		for i, ratio := range []int64{200, 350, 500, 650, 800, 900} {
			r := exactly(ratio)
			got := must(r.Optimum(d))(t)
			saving := fmt.Sprintf("%.1f", 100*got.Saving())
			if got.Units != c.units[i] || saving != c.savings[i] {
				t.Errorf("%s at r/p %d/1000: %d units save %s %%, want %d and %s %%", c.name, ratio, got.Units, saving, c.units[i], c.savings[i])
			}
			q := must(r.Quantile(d))(t)
			if floor := q / r.Unit; got.Units != floor && got.Units != floor+1 {
				t.Errorf("%s at r/p %d/1000: %d units are neither floor nor ceiling of the quantile %d", c.name, ratio, got.Units, q)
			}
			testenv.Record(t, "T1", fmt.Sprintf("%s, r/p %.2f: %d units save %s %%", c.name, float64(ratio)/1000, got.Units, saving),
				fmt.Sprintf("brute force over N, outside of this program: %d units, %s %%", c.units[i], c.savings[i]))
		}
	}
}

// series draws demands of a few periods.
func series(t *rapid.T, label string) []int64 {
	return rapid.SliceOfN(rapid.Int64Range(0, 300), 1, 40).Draw(t, label)
}

func question(t *rapid.T) purchase.Reserve {
	return purchase.Reserve{
		Period: time.Duration(rapid.Int64Range(1, 7200).Draw(t, "seconds")) * time.Second,
		Unit:   rapid.Int64Range(1, 50).Draw(t, "unit"),
		Hour:   rapid.Int64Range(0, 1_000_000).Draw(t, "hour"),
		Spill:  rapid.Int64Range(0, 1_000_000_000).Draw(t, "spill"),
	}
}

func TestOptimumIsThatOfAllNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, s := question(t), series(t, "demand")
		d := must(purchase.NewDemand(s))(t)
		got := must(r.Optimum(d))(t)
		for n := range d.Peak()/r.Unit + 3 {
			var spill int64
			for _, v := range s {
				spill += max(0, v-n*r.Unit)
			}
			if spill != d.Spill(n*r.Unit) {
				t.Fatalf("%d units spill %d, want %d", n, d.Spill(n*r.Unit), spill)
			}
			c := must(r.Cost(d, n))(t)
			if c.Total() < got.Cost.Total()-1 { // each of two rows is rounded by a half at most
				t.Fatalf("%d units cost %d, and the optimum of %d units %d", n, c.Total(), got.Units, got.Cost.Total())
			}
		}
		if q := must(r.Quantile(d))(t); got.Units != q/r.Unit && got.Units != (q+r.Unit-1)/r.Unit {
			t.Fatalf("%d units of %d are neither floor nor ceiling of the quantile %d", got.Units, r.Unit, q)
		}
		if got.Last < r.Hour || got.Next > r.Hour {
			t.Fatalf("the last unit saves %d an hour, one more %d, and their price is %d: it must lie between", got.Last, got.Next, r.Hour)
		}
	})
}

func TestBreakEven(t *testing.T) {
	// 60,000 tokens an hour hold 5.40 at 90 per million; a unit of 4.11 an hour breaks even at 4.11/5.40.
	r := purchase.Reserve{Period: time.Minute, Unit: 1_000, Hour: 4_110_000_000, Spill: 90_000_000_000}
	b := must(r.BreakEven())(t)
	if b.Hour != 45_667 || b.Month != 33_336_667 || b.Capacity != 60_000 || !b.Possible() || b.Utilisation != 4.11/5.40 {
		t.Errorf("break-even %+v", b)
	}
	const want = "break-even volume = price of a unit / price on demand = 4.11 USD/h / 90.00 USD per million = 45667 per hour (33336667 per month of 730 h); " +
		"break-even utilisation = 45667 / 60000 that a unit can serve in an hour = 76.1 %"
	if got := b.Formula("USD"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// 50,000 calls a day of 1,000 and 300 tokens at 0.25 and 1.25 per million are 31.25 a day; nothing that costs more than 1.30 an hour can win.
func TestCeilingNeedsNoUnit(t *testing.T) {
	day := must(purchase.FromPoints([]purchase.Point{{Volume: 125_000 * 9, Periods: 480}, {Volume: 125_000, Periods: 480}, {Volume: 0, Periods: 480}}))(t)
	r := purchase.Reserve{Period: time.Minute, Unit: 1, Spill: 31_250_000_000 * purchase.Million / day.Total()}
	if got := must(r.Ceiling(day))(t); got < 1_302_083_300 || got > 1_302_083_334 { // the mean price per million is rounded
		t.Errorf("%d an hour, want 31.25/24", got)
	}
}

// What is wrong is said before anything is computed.
func TestBadQuestions(t *testing.T) {
	ok := purchase.Reserve{Period: time.Minute, Unit: 10, Hour: 10, Spill: 10}
	d := demand(t, 1, 2, 3)
	for want, r := range map[string]purchase.Reserve{
		"periods are whole seconds":  {Period: time.Millisecond, Unit: 10},
		"how much one unit serves":   {Period: time.Minute},
		"a unit's price of -1":       {Period: time.Minute, Unit: 1, Hour: -1},
		"a price on demand of -1":    {Period: time.Minute, Unit: 1, Spill: -1},
		"beyond nine billion of its": {Period: time.Minute, Unit: 1, Hour: 1 << 62, Spill: 1 << 62},
	} {
		if _, err := r.Cost(d, 1<<40); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
	if _, err := ok.Cost(d, -1); err == nil || !strings.Contains(err.Error(), "-1 units") {
		t.Error(err)
	}
	for want, s := range map[string][]int64{"without any period": {}, "a volume of -3": {1, -3}, "more than 9.2e18": {1 << 62, 1 << 62}} {
		if _, err := purchase.NewDemand(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", s, err, want)
		}
	}
}
