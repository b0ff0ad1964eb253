package prove

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// phase is a stretch of the experiment of faults.
type phase struct {
	name string
	of   condition
}

// phases: what happens to the first replica, with time to recover between.
var phases = []phase{
	{"healthy", healthy}, {"dies", dead}, {"is back", healthy}, {"hangs", hanging}, {"is back", healthy}, {"is slow", slow}, {"is back", healthy},
}

// faults is the experiment of a replica that dies, hangs and slows down while a reservation is used and others press on the pool.
func (l *Lab) faults(ctx context.Context) (x *Experiment, err error) {
	s, r := &l.Setting, &l.r
	x = &Experiment{
		Name: "A replica fails",
		What: fmt.Sprintf("A reservation of %.0f %% of the pool is used at %.0f %% while tenants offer twice what the pool can do, on engines that are reached over the network. One of the %d replicas dies, hangs, and becomes %d times slower, %v each time, and is well again as long between.",
			100*s.Sold, 100*s.Used, s.Replicas, slowness, l.phase()),
	}
	base, err := url.Parse(l.URL)
	if err != nil {
		return nil, err
	}
	for _, p := range l.Proxies {
		p.Forward(base.Host)
	}
	if err := l.probed(ctx); err != nil {
		return nil, err
	}
	arn, giveBack, err := l.buy(ctx, "proof-faults", faulty, "", r.units)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, giveBack()) }()
	length := l.phase() * time.Duration(len(phases))
	streams := []Stream{{Name: "reserved", Key: l.Key, Model: arn, Rate: r.bought * s.Used, Input: s.Input, Output: s.Output, MaxTokens: 128, Seed: s.Seed}}
	tenants := min(8, s.Tenants)
	for i := range tenants {
		k, err := key(l.Dir, i)
		if err != nil {
			return nil, err
		}
		streams = append(streams, Stream{
			Name: "others", Key: k, Model: faulty, Rate: 2 * r.pool / float64(tenants), Input: s.Input, Output: s.Output, MaxTokens: 64, Seed: s.Seed + uint64(i) + 1,
		})
	}
	l.say(length, "one replica of %d dies, hangs and slows down", s.Replicas)
	stop := l.unfold(ctx)
	samples := drive(ctx, l.URL, streams, length)
	stop()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	l.judgeFaults(x, samples)
	return x, nil
}

// phase is how long one lasts.
func (l *Lab) phase() time.Duration { return min(15*time.Second, l.Setting.Length/4) }

// probed waits until the server has seen the engines that it could not reach before it was there itself.
func (l *Lab) probed(ctx context.Context) error {
	k, err := key(l.Dir, 0)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		ok := count(drive(ctx, l.URL, []Stream{{Name: "probe", Key: k, Model: faulty, Clients: 4 * l.Setting.Replicas, Input: 8, Output: 1}}, time.Second),
			func(x *Sample) bool { return x.Status == http.StatusOK })
		if ok > 4*l.Setting.Replicas {
			return nil
		}
	}
	return ctx.Err()
}

// unfold puts the first replica through the phases, and returns what ends that.
func (l *Lab) unfold(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, p := range phases {
			l.Proxies[0].set(p.of)
			select {
			case <-time.After(l.phase()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		l.Proxies[0].set(healthy)
	}
}

func (l *Lab) judgeFaults(x *Experiment, samples []Sample) {
	length := l.phase()
	var refused, cut, late int
	line := Line{Name: "reserved, 99th percentile"}
	for i, p := range phases {
		from, to := time.Duration(i)*length, time.Duration(i+1)*length
		var mine []Sample
		for _, c := range of(samples, "reserved") {
			if c.At >= from && c.At < to {
				mine = append(mine, c)
			}
		}
		no := count(mine, func(x *Sample) bool { return x.Status != http.StatusOK })
		broken := count(mine, func(x *Sample) bool { return x.Status == http.StatusOK && x.Err != "" })
		refused, cut = refused+no, cut+broken
		if k := slices.IndexFunc(mine, func(c Sample) bool { return c.Status != http.StatusOK }); k >= 0 {
			x.fact("the first that was not served", "status %d after %.0f ms: %s", mine[k].Status, ms(mine[k].End-mine[k].At), mine[k].Reason)
		}
		values := firsts(mine)
		q := Quantile(sorted(values), 0.99)
		if p.of == healthy && i > 0 && q > time.Second {
			late++
		}
		line.X, line.Y = append(line.X, from.Seconds(), to.Seconds()), append(line.Y, ms(q), ms(q))
		x.fact("replica "+p.name, "%d reserved calls: %d not served, %d broken off after their first token; time to first token %s", len(mine), no, broken, quantiles(values))
	}
	others := of(samples, "others")
	x.fact("others", "%d served, %d refused, %d broken off", count(others, func(x *Sample) bool { return x.Status == http.StatusOK && x.Err == "" }),
		count(others, func(x *Sample) bool { return x.Status != http.StatusOK }), count(others, func(x *Sample) bool { return x.Status == http.StatusOK && x.Err != "" }))
	x.check(refused == 0, "no reserved call is refused, or fails before its first token, while a replica is down: what it had is tried again elsewhere", "%d", refused)
	x.check(cut <= 3*l.Setting.Slots, "at most the calls that the replica had at work are broken off, each time", "%d of at most %d", cut, 3*l.Setting.Slots)
	x.check(late == 0, "once the replica is back, reserved calls are as quick again as a second allows", "%d of 3 recoveries too slow", late)
	x.Plots = append(x.Plots, Plot{Name: "faults", Title: "Reserved calls while a replica dies, hangs and slows down", X: "s", Y: "ms to first token", Lines: []Line{line}})
}
