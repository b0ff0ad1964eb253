package prove

import (
	"context"
	"fmt"
	"time"
)

// overshoot is the experiment of a token limit and many clients that press on it at once.
func (l *Lab) overshoot(ctx context.Context) (*Experiment, error) {
	s := &l.Setting
	length := min(s.Length, 20*time.Second)
	x := &Experiment{
		Name: "A token limit under parallel clients",
		What: fmt.Sprintf("1 to 512 clients of one account press on its limit of %d tokens a minute at once, each with calls that hold %d tokens; then 64 of them with calls of %s, whose output counts %d times when a call is settled, and so passes what it held.", tokens, s.Input+64, burning, burndown),
	}
	k, err := key(l.Dir, bounded)
	if err != nil {
		return nil, err
	}
	for _, run := range []struct {
		n     int
		model string
	}{{1, Model}, {8, Model}, {64, Model}, {512, Model}, {64, burning}} {
		n, h := run.n, newHolds(tokens)
		press := Stream{Name: "bounded", Key: k, Model: run.model, Clients: n, Pause: 20 * time.Millisecond, Input: s.Input, Output: s.Output, MaxTokens: 64}
		l.say(length, "%d clients on one token limit", n)
		h.from = time.Now()
		drive(ctx, l.URL, []Stream{press}, length)
		h.to = time.Now()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l.watch = append(l.watch, h.visit)
		l.finish = append(l.finish, func() {
			most := h.most()
			if run.model == burning {
				x.check(most <= h.depth+float64(h.debt) && h.taken > 0 && h.debt > 0, fmt.Sprintf("%d clients, output counts %d times: the charges pass that by what the calls were charged beyond their holds, and by no more", n, burndown),
					"depth %.0f; at most %.0f + rate x T; %d calls taken, %d refused; charged beyond their holds: %d tokens, of which burndown makes up to %d a call", h.depth, most, h.taken, h.refused, h.debt, max(0, burndown*s.Output-64))
				return
			}
			x.check(most <= h.depth && h.taken > 0, fmt.Sprintf("%d clients: in no interval T are more than depth + rate x T tokens held", n),
				"depth %.0f; at most %.0f + rate x T; %d calls taken, %d refused; charged beyond their holds: %d tokens", h.depth, most, h.taken, h.refused, h.debt)
		})
	}
	return x, nil
}
