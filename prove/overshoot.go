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
		What: fmt.Sprintf("1 to 512 clients of one account press on its limit of %d tokens a minute at once, each with calls that hold %d tokens.", tokens, s.Input+64),
	}
	k, err := key(l.Dir, bounded)
	if err != nil {
		return nil, err
	}
	for _, n := range []int{1, 8, 64, 512} {
		h := newHolds(tokens)
		press := Stream{Name: "bounded", Key: k, Model: Model, Clients: n, Pause: 20 * time.Millisecond, Input: s.Input, Output: s.Output, MaxTokens: 64}
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
			x.check(most <= h.depth && h.taken > 0, fmt.Sprintf("%d clients: in no interval T are more than depth + rate x T tokens held", n),
				"depth %.0f; at most %.0f + rate x T; %d calls taken, %d refused; charged beyond their holds: %d tokens", h.depth, most, h.taken, h.refused, h.debt)
		})
	}
	return x, nil
}
