package prove

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// idle is the experiment of a reservation that nobody uses for seconds at a time, whose slots are lent meanwhile.
func (l *Lab) idle(ctx context.Context) (x *Experiment, err error) {
	s := &l.Setting
	length := min(s.Length, time.Minute)
	const warm = 5 * time.Second
	x = &Experiment{
		Name: "An idle reservation is lent",
		What: "Nobody uses the reservation. Flex calls that are answered in one piece, and may thus be stopped and run again, fill the pool, its reserved slots included. Now and then one reserved call comes.",
	}
	arn, giveBack, err := l.buy(ctx, "proof-idle", Model, "", l.r.units)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, giveBack()) }()
	single := Stream{Name: "reserved", Key: l.Key, Model: arn, Rate: 0.5, Input: s.Input, Output: s.Output, Seed: s.Seed}
	l.say(length, "single reserved calls on an empty pool")
	alone := drive(ctx, l.URL, []Stream{single}, length)
	streams := []Stream{single}
	for i := range min(8, s.Tenants) {
		k, err := key(l.Dir, i)
		if err != nil {
			return nil, err
		}
		streams = append(streams, Stream{
			Name: "flex", Key: k, Model: Model, Tier: "flex", Whole: true, Clients: s.Replicas * s.Slots / 4, Pause: 50 * time.Millisecond,
			Input: s.Input, Output: 2 * s.Output,
		})
	}
	busy, back := newSlots(), newRecalls()
	l.say(length, "flex calls, and single reserved ones")
	began := time.Now()
	loaded := drive(ctx, l.URL, streams, length)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	back.from, back.to = began.Add(warm), began.Add(length)
	flex, mine := of(loaded, "flex"), of(loaded, "reserved")
	x.fact("flex calls", "%d served of %d", count(flex, func(x *Sample) bool { return x.Status == http.StatusOK }), len(flex))
	x.fact("reserved time to first token on an empty pool", "%s", quantiles(firsts(alone)))
	x.fact("reserved time to first token, slots lent", "%s", quantiles(firsts(mine)))
	refused := count(mine, func(x *Sample) bool { return x.Status != http.StatusOK || x.Err != "" })
	x.check(refused == 0 && len(mine) > 0, "no reserved call is refused or fails", "%d of %d", refused, len(mine))
	failed := count(flex, func(x *Sample) bool {
		return x.Status == 0 || x.Status == http.StatusInternalServerError || x.Err != ""
	})
	x.check(failed == 0, "no flex call is lost for having been stopped", "%d failed", failed)
	l.watch = append(l.watch, busy.visit, back.visit)
	l.finish = append(l.finish, func() { l.judgeLending(x, busy, back) })
	return x, nil
}

// judgeLending adds what the scheduler's record says of slots that were lent.
func (l *Lab) judgeLending(x *Experiment, busy *slots, back *recalls) {
	all := float64(l.Setting.Replicas * l.Setting.Slots)
	share := busy.mean(back.from, back.to) / all
	x.check(share > 0.9, "flex calls use over 90 % of the pool while the reservation is idle", "%.1f %% of %g slots", 100*share, all)
	p := &l.r.profile
	n := int64(l.Setting.Slots)
	step := time.Duration(p.Step+p.PrefillToken*min(p.Chunk, n*int64(l.Setting.Input))+p.Sequence*n+p.ContextToken*n*int64(l.Setting.Input+2*l.Setting.Output)) / 1000
	slices.Sort(back.returns)
	slices.Sort(back.waits)
	if len(back.waits) == 0 || len(back.returns) == 0 {
		x.check(false, "reserved calls take lent slots back", "%d reserved calls, %d slots came back", len(back.waits), len(back.returns))
		return
	}
	wait, cancel := back.waits[len(back.waits)-1], back.returns[len(back.returns)-1]
	x.check(wait <= cancel+step, "a reserved call waits for a slot at most as long as a cancellation takes and one step of the engine",
		"%.1f ms at most; a cancellation took up to %.1f ms, a step takes up to %.1f ms; %d slots came back", ms(wait), ms(cancel), ms(step), len(back.returns))
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
