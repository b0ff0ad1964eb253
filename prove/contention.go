package prove

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// flooder is the one that sends ten times what others do.
const (
	flooder     = 0
	floodFactor = 10
)

// contention is the experiment of a reservation that is nearly used up while everybody else offers far more than the pool can do.
func (l *Lab) contention(ctx context.Context) (*Experiment, error) { return l.among(ctx, "") }

// isolated is the same experiment for a reservation that has whole replicas.
func (l *Lab) isolated(ctx context.Context) (*Experiment, error) {
	return l.among(ctx, isolationReplica)
}

// isolationReplica gives a purchase replicas of its own.
const isolationReplica = "replica"

func (l *Lab) among(ctx context.Context, isolation string) (x *Experiment, err error) {
	s, r := &l.Setting, &l.r
	title, kind, name := "A reservation among others", "on replicas that it shares", "proof"
	if isolation != "" {
		title, kind, name = "A reservation with replicas of its own, among others", "on replicas of its own, which are lent only to calls that can be recalled", "proof-isolated"
	}
	x = &Experiment{
		Name: title,
		What: fmt.Sprintf("A reservation "+kind+" is used at %.0f %% while %d on-demand tenants offer %.0f times what the pool can do, one of them %d times as much as each other. The same reserved calls are made alone on the pool, and then among the others, %d times.",
			100*s.Used, s.Tenants, s.Overload, floodFactor, s.Pairs),
	}
	arn, giveBack, err := l.buy(ctx, name, l.model(), isolation, r.units)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, giveBack()) }()
	var pairs []pair
	var reserved []Sample
	var others []Sample
	var aloneRefused int
	for i := range s.Pairs {
		own := Stream{Name: "reserved", Key: l.Key, Model: arn, Plain: l.foreign(), Rate: r.bought * s.Used, Input: s.Input, Output: s.Output, MaxTokens: 128, Seed: s.Seed + uint64(i)}
		l.say(s.Length, "pair %d of %d: the reserved calls alone", i+1, s.Pairs)
		alone := drive(ctx, l.URL, []Stream{own}, s.Length)
		crowd, err := l.tenants(uint64(i))
		if err != nil {
			return nil, err
		}
		l.say(s.Length, "pair %d of %d: among %d tenants", i+1, s.Pairs, s.Tenants)
		loaded := drive(ctx, l.URL, append(crowd, own), s.Length)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		mine := of(loaded, "reserved")
		pairs = append(pairs, pair{alone: firsts(alone), loaded: firsts(mine)})
		aloneRefused += count(alone, func(x *Sample) bool { return x.Status != 200 })
		reserved = append(reserved, mine...)
		others = append(others, slices.DeleteFunc(loaded, func(x Sample) bool { return x.Stream == "reserved" })...)
	}
	l.judge(x, isolation, pairs, reserved, others, aloneRefused)
	l.judgeRetries(x, others)
	fair := newFairness()
	l.watch = append(l.watch, fair.visit)
	l.finish = append(l.finish, func() {
		x.check(fair.worst <= fair.bound() && fair.worst > 0, "two tenants that both wait are never served further apart than the bound of fairness",
			"%d weighted tokens, bound %d", fair.worst, fair.bound())
	})
	return x, nil
}

// judge says what the runs show.
func (l *Lab) judge(x *Experiment, isolation string, pairs []pair, reserved, others []Sample, aloneRefused int) {
	s, r := &l.Setting, &l.r
	served := count(others, func(x *Sample) bool { return x.Status == 200 })
	throttled := count(others, func(x *Sample) bool { return x.Status == 429 || x.Status == 503 })
	failed := count(others, func(x *Sample) bool { return x.Status == 0 || x.Err != "" })
	if l.foreign() {
		x.fact("pool", "an operator's own, of which %d units are bought", r.units)
	} else {
		x.fact("engines", "%d of profile %q, %d slots each (the batch ceiling), %d tokens a step at most", s.Replicas, s.Profile, s.Slots, r.profile.Chunk)
	}
	x.fact("calls", "%d input and %d output tokens; the pool completes %.1f a second with all slots busy", s.Input, s.Output, r.pool)
	x.fact("sold", "%.0f %% of that, %.1f calls a second, of which %.0f %% are made, at Poisson arrivals", 100*s.Sold, r.bought, 100*s.Used)
	x.fact("others", "%.0f calls a second offered; %d were served, %d refused, %d failed", s.Overload*r.pool, served, throttled, failed)
	var all pair
	for _, p := range pairs {
		all.alone, all.loaded = append(all.alone, p.alone...), append(all.loaded, p.loaded...)
	}
	x.fact("time to first token alone", "%s", quantiles(all.alone))
	x.fact("time to first token among others", "%s", quantiles(all.loaded))
	refused := count(reserved, func(x *Sample) bool { return x.Status != 200 || x.Err != "" })
	x.check(len(reserved) >= 10_000, "at least 10,000 reserved calls among others, for a 99th percentile", "%d", len(reserved))
	x.check(refused == 0, "no reserved call is refused or fails", "%d of %d (alone: %d of %d)", refused, len(reserved), aloneRefused, len(all.alone)+aloneRefused)
	limit := 1.6
	if isolation != "" {
		limit = 1.15
	}
	point, upper := ratio(pairs, 0.99)
	x.check(upper <= limit, fmt.Sprintf("the 99th percentile of the reserved time to first token is at most %.2f times what it is alone (upper 95 %% limit)", limit), "%.2f, upper limit %.2f", point, upper)
	x.check(served > 0 && failed == 0, "the others are served or refused in form, and none fails", "%d failed", failed)
	x.Plots = append(x.Plots, Plot{
		Name: l.plotName(isolation), Title: "Time to first token of reserved calls", X: "ms", Y: "share of calls",
		Lines: []Line{distribution("alone", all.alone), distribution("among others", all.loaded)},
	})
}

// tenants are the streams of everybody but the reservation.
func (l *Lab) tenants(seed uint64) ([]Stream, error) {
	s := &l.Setting
	each := s.Overload * l.r.pool / float64(s.Tenants-1+floodFactor)
	var out []Stream
	for i := range s.Tenants {
		k, err := l.tenant(i)
		if err != nil {
			return nil, err
		}
		rate := each
		if i == flooder {
			rate *= floodFactor
		}
		out = append(out, Stream{
			Name: fmt.Sprintf("tenant-%02d", i), Key: k, Model: l.model(), Plain: l.foreign(), Rate: rate, Input: s.Input, Output: s.Output, MaxTokens: 64,
			Seed: s.Seed + 1000*seed + uint64(i) + 100,
		})
	}
	if l.foreign() {
		return out, nil
	}
	k, err := key(l.Dir, metered)
	if err != nil {
		return nil, err
	}
	return append(out, Stream{
		Name: "metered", Key: k, Model: Model, Clients: 1, Obey: true, Input: s.Input, Output: 1, Seed: s.Seed,
	}), nil
}

func (l *Lab) plotName(isolation string) string {
	if isolation != "" {
		return "isolated"
	}
	return "contention"
}

// judgeRetries says what a client finds that waits for as long as its refusals tell it.
func (l *Lab) judgeRetries(x *Experiment, others []Sample) {
	hits := func(kind string) (hit, all int) {
		for _, c := range of(others, "metered") {
			if c.Told == kind {
				all++
				if c.Status == 200 || c.Retry != kind { // another refusal than the one that it waited for
					hit++
				}
			}
		}
		return hit, all
	}
	if l.foreign() {
		return
	}
	hit, all := hits("exact")
	x.check(hit == all && all > 0, "after the Retry-After of its own quota a client finds room in that quota", "%d of %d", hit, all)
	hit, all = hits("estimate")
	x.fact("Retry-After of contention, an estimate", "%d of %d clients that waited were served then", hit, all)
}

// firsts are the times to the first token of the calls that had one.
func firsts(samples []Sample) []timed {
	var out []timed
	for i := range samples {
		if x := &samples[i]; x.First > 0 {
			out = append(out, timed{x.At, x.First - x.At})
		}
	}
	return out
}

func of(samples []Sample, stream string) []Sample {
	var out []Sample
	for i := range samples {
		if samples[i].Stream == stream {
			out = append(out, samples[i])
		}
	}
	return out
}

func count(samples []Sample, is func(*Sample) bool) int {
	n := 0
	for i := range samples {
		if is(&samples[i]) {
			n++
		}
	}
	return n
}

func quantiles(values []timed) string {
	all := sorted(values)
	limit := "too few for a limit"
	if upper, ok := UpperQuantile(all, 0.99); ok {
		limit = fmt.Sprintf("upper 95 %% limit %.1f ms", ms(upper))
	}
	return fmt.Sprintf("p50 %.1f ms, p95 %.1f ms, p99 %.1f ms (%s) of %d calls", ms(Quantile(all, 0.5)), ms(Quantile(all, 0.95)), ms(Quantile(all, 0.99)), limit, len(all))
}
