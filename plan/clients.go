package plan

import (
	"context"
	"slices"

	"forebay/plan/replay"
)

// clients replays the traffic on demand once for each kind of clients, where the quota refuses some of it: whether to try again, to wait for longer, or to ask
// for more quota is what is decided by it.
func (p *planner) clients(ctx context.Context) error {
	var on *offer
	for _, o := range p.offers {
		if o.ID == string(OnDemand) && o.serving != nil && o.serving.result != nil {
			on = o
		}
	}
	if on == nil || len(on.serving.result.Reasons) == 0 {
		return nil
	}
	w := p.window()
	var tasks []task
	all := slices.CompactFunc(replay.Clients(), func(a, b replay.Client) bool { return a.Retry == b.Retry }) // two that do the same stand beside each other
	results := make([]*replay.Result, len(all))
	for i := range all {
		how := p.tasks([]*offer{on}, w)[0]
		how.how.Retry = all[i].Retry
		how.how.Retry.Seed = p.q.Seed
		how.put = func(r *replay.Result) { results[i] = r }
		tasks = append(tasks, how)
	}
	if err := p.replay(ctx, w, tasks); err != nil {
		return err
	}
	for i, r := range results {
		p.a.Clients = append(p.a.Clients, Client{
			ID: all[i].ID, Words: all[i].Words, Asked: all[i].Retry == p.q.Retry.Retry, Refused: r.Refused * million / r.Calls, Late: r.Late * million / r.Calls,
			Delay: int64(r.Delay.Quantile(990)), Attempts: 1000 * (r.Calls + r.Retries) / r.Calls,
		})
	}
	return nil
}
