package calibrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/engine/simulated"
	"forebay/infer"
	"forebay/perf"
)

// asker asks a simulated engine, one of whose tokens has four bytes.
func asker(e *simulated.Engine) Ask {
	return func(ctx context.Context, q Question) (*Answer, error) {
		prompt := fmt.Sprintf("[[tokens:%d]]%d", q.Output, q.Number)
		prompt += strings.Repeat("word", max(0, int(q.Prompt)-len(prompt)/4-4))
		a := &Answer{Sent: time.Now()}
		res, err := e.Infer(ctx, &infer.Request{ID: "x", Stream: true, UpstreamModel: "m", Chat: &infer.Chat{
			Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Kind: infer.BlockText, Text: prompt}}}},
		}})
		if err != nil {
			return nil, err
		}
		defer res.Close() //nolint:errcheck // always nil
		for {
			ev, err := res.Next()
			if errors.Is(err, io.EOF) {
				u, _ := res.Usage()
				a.Input, a.Output = u.Input, u.Output
				return a, nil
			}
			if err != nil {
				return nil, err
			}
			if ev.Kind == infer.EventDelta {
				a.Pieces = append(a.Pieces, time.Now())
			}
		}
	}
}

// On every published engine, simulated in virtual time, the coefficients that it was given come back, and what it runs at once.
func TestMeasureRecoversPublishedEngines(t *testing.T) {
	for _, p := range perf.Profiles {
		if p.Name == "instant" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { recovers(t, p) }) })
	}
}

func recovers(t *testing.T, p perf.Profile) {
	e, err := simulated.New(simulated.Options{Profile: p, Directives: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close() //nolint:errcheck // always nil
	d := Usual
	d.Chunk, d.Repeat = p.Chunk, 1
	cells := 0
	d.Told = func(_ Cell, done, total int) {
		if done >= total {
			t.Errorf("cell %d of %d", done, total)
		}
		cells++
	}
	m, err := Measure(t.Context(), d, asker(e))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Fit(m.Samples, Span{Batch: m.Slots})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cells, %d slots (limited %v), %d tokens held (full %v), %+v", cells, m.Slots, m.Limited, m.Held, m.Full, *c)
	for _, x := range []struct {
		name string
		got  Estimate
		want int64
	}{{"step", c.Step, p.Step}, {"prefill token", c.PrefillToken, p.PrefillToken}, {"context token", c.ContextToken, p.ContextToken}, {"sequence", c.Sequence, p.Sequence}} {
		if want := float64(x.want) / 1e12; math.Abs(x.got.Value-want) > 0.05*want+1e-12 {
			t.Errorf("%s: %.4g s, given %.4g", x.name, x.got.Value, want)
		}
	}
	if p.MaxBatch < d.Most && (m.Slots != p.MaxBatch || !m.Limited) {
		t.Errorf("%d slots, given %d", m.Slots, p.MaxBatch)
	}
	if m.Held > p.KV || m.Full && m.Held < p.KV*7/10 {
		t.Errorf("%d tokens held of %d, full %v", m.Held, p.KV, m.Full)
	}
}

// The recipe of two points gives the line of an engine whose context costs nothing.
func TestTwoPointOfAnEngine(t *testing.T) {
	p, err := perf.Named("llama-3.1-8b/a100-80")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		e, err := simulated.New(simulated.Options{Profile: p, Directives: true})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close() //nolint:errcheck // always nil
		m, err := Measure(t.Context(), Usual, asker(e))
		if err != nil {
			t.Fatal(err)
		}
		l, err := TwoPoint(m.Alone, m.Filled)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(l.A/0.0164-1) > 0.01 || math.Abs(l.B/18e-6-1) > 0.01 || l.D < 47.8e-6 || l.D > 62e-6 { // and a step for every 2048 tokens
			t.Errorf("%+v", l)
		}
	})
}

// An engine that fails, or says nothing, ends the measurement.
func TestMeasureEndsWithTheEngine(t *testing.T) {
	fails := errors.New("down")
	for _, ask := range []Ask{
		func(context.Context, Question) (*Answer, error) { return nil, fails },
		func(context.Context, Question) (*Answer, error) { return &Answer{}, nil },
		func(_ context.Context, q Question) (*Answer, error) {
			if q.Number > 20 {
				return nil, fails
			}
			return &Answer{Pieces: []time.Time{time.Now()}, Output: 2}, nil
		},
	} {
		if m, err := Measure(t.Context(), Usual, ask); err == nil {
			t.Errorf("%+v", m)
		}
	}
	if _, err := Measure(t.Context(), Design{}, nil); err == nil {
		t.Error("an empty design was asked")
	}
}
