package plan

import (
	"iter"
	"strings"
	"testing"

	"forebay/catalog"
	"forebay/perf"
	"forebay/workload"
)

// uneven is a traffic some of whose prompts are long, one of every so many.
type uneven struct {
	*day
	every int
	long  int64
}

func (s *uneven) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		n := 0
		for q, err := range s.day.All() {
			if n++; n%s.every == 0 {
				q.Input = s.long
			}
			if !yield(q, err) {
				return
			}
		}
	}
}

// Nothing is planned outside of where an engine's coefficients were measured: mean prompts beyond it make the option unknown, an engine gets no more
// calls at once than were measured, and latencies are not told where too many prompts are longer, or too few calls run at once.
func TestNothingIsExtrapolated(t *testing.T) {
	measured := perf.Range{Least: 1, Most: 40, Prompt: 512, Context: 10_000}
	about := func(calls float64, traffic func(*day) workload.Source, in int64, r perf.Range) *Option {
		t.Helper()
		e, err := perf.Named("llama-2-7b/a10g")
		if err != nil {
			t.Fatal(err)
		}
		e.Measured = r
		d := &day{calls, in, 100, 2}
		q := &Question{
			Traffic: d, Model: model(t, llama), Engine: &e, Calls: 4_000,
			Instance: &catalog.Instance{Type: "ml.g5.xlarge", Accelerator: "a10g", Accelerators: 1, Currency: "USD", Hour: 1_000_000_000, Date: "2026-01-01", Source: "test"},
		}
		if traffic != nil {
			q.Traffic = traffic(d)
		}
		for _, o := range ask(t, q).Options {
			if o.Mode == Endpoint && (o.Units > 0 || o.State == Unknown) {
				return o
			}
		}
		t.Fatal("no endpoint")
		return nil
	}
	inside := about(200_000, nil, 300, measured)
	if inside.State != Possible || inside.First == nil || inside.First.Slower == nil || !strings.Contains(strings.Join(inside.Assumptions, "|"), "1 to 40 calls at once, prompts of up to 512 tokens, and 10,000 tokens of context") {
		t.Errorf("inside: %+v", inside)
	}
	if o := about(200_000, nil, 600, measured); o.State != Unknown || o.Cost != nil || o.AtLeast != 720e9 || !strings.Contains(o.Why, "prompts of up to 512 tokens, and the mean one here has 600") {
		t.Errorf("longer prompts: %+v", o)
	}
	if o := about(200_000, nil, 300, perf.Range{Least: 1, Most: 4}); o.Units <= inside.Units {
		t.Errorf("%d instances with 4 calls at once, %d with 40", o.Units, inside.Units)
	}
	if o := about(200_000, nil, 300, perf.Range{}); o.First == nil || !strings.Contains(strings.Join(o.Assumptions, "|"), "is not known") {
		t.Errorf("a range that is not known: %+v", o)
	}
	few := about(200_000, func(d *day) workload.Source { return &uneven{d, 200, 2000} }, 300, measured)
	many := about(200_000, func(d *day) workload.Source { return &uneven{d, 50, 2000} }, 300, measured)
	if few.First == nil || many.First != nil || many.Cost == nil || !strings.Contains(many.Speed, "prompts longer than the 512 tokens") {
		t.Errorf("few long prompts: %+v\nmany: %+v", few, many)
	}
	if o := about(5_000, nil, 300, perf.Range{Least: 20, Most: 40}); o.First != nil || !strings.Contains(o.Speed, "with at least 20") {
		t.Errorf("an engine that is nearly empty: %+v", o)
	}
}
