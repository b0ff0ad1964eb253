package plan

import (
	"cmp"
	"context"
	"slices"
)

// Point is one option of what was replayed, or one of another size, on the frontiers of cost against latency and against refusals.
type Point struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Cost    int64  `json:"cost"`
	P99     int64  `json:"p99FirstTokenNanos,omitzero"` // 0 is not known
	Refused int64  `json:"refusedPerMillion"`
	// Listed says that it is an option of the answer; others are sizes that were replayed for the frontier alone.
	Listed bool `json:"listed"`
	// Best says that none is cheaper, quicker and refuses less; Quick that none is cheaper and quicker, and Sure that none is cheaper and refuses less.
	Best  bool `json:"frontier"`
	Quick bool `json:"frontierOfLatency"`
	Sure  bool `json:"frontierOfRefusals"`
}

// sizesOf are the sizes, in per mille of the one that was chosen, that are replayed for the frontier.
var sizesOf = []int64{650, 1350}

// explore replays other sizes of the best ways that have a number: they are no answers of their own, for they refuse or are late, or cost more than they must.
func (p *planner) explore(ctx context.Context) error {
	seen := map[Mode]bool{}
	var extra []*offer
	for _, o := range p.offers {
		if o.sized == nil || o.Decided != Replayed || o.model != p.q.Model || o.Rules != "" || seen[o.Mode] {
			continue
		}
		seen[o.Mode] = true
		numbers := []int64{o.Units}
		for _, k := range sizesOf {
			n := max(1, (o.Units*k+500)/1000)
			if slices.Contains(numbers, n) {
				continue
			}
			numbers = append(numbers, n)
			x := o.sized(n)
			x.extra = true
			extra = append(extra, x)
		}
	}
	if len(extra) == 0 {
		return nil
	}
	lines := slices.Clone(p.a.Lines)
	for _, x := range extra {
		if err := p.price(x); err != nil {
			return err
		}
	}
	w := p.window()
	if err := p.replay(ctx, w, p.tasks(extra, w)); err != nil {
		return err
	}
	for _, x := range extra {
		if err := p.learn(x, w); err != nil {
			return err
		}
	}
	p.a.Lines = lines // those of what is no option
	p.extra = extra
	return nil
}

// frontier marks the options that no other one beats in cost, latency and refusals.
func (p *planner) frontier() {
	p.a.Frontier = nil
	for _, list := range [][]*offer{p.offers, p.extra} {
		for _, o := range list {
			if o.State != Possible || o.Cost == nil || o.Decided != Replayed {
				continue
			}
			x := Point{Name: o.Name, ID: o.ID, Cost: o.Cost.Mid, Listed: !o.extra}
			if o.First != nil {
				x.P99 = o.First.P99
			}
			if o.Refused != nil {
				x.Refused = o.Refused.Share
			}
			p.a.Frontier = append(p.a.Frontier, x)
		}
	}
	slices.SortStableFunc(p.a.Frontier, func(a, b Point) int { return cmp.Compare(a.Cost, b.Cost) })
	for i := range p.a.Frontier {
		x := &p.a.Frontier[i]
		x.Sure = !p.beaten(x, func(y *Point) (bool, int) {
			return y.Cost > x.Cost || y.Refused > x.Refused, cmp.Or(cmp.Compare(y.Cost, x.Cost), cmp.Compare(y.Refused, x.Refused))
		})
		// A latency that is not known compares with none.
		x.Quick = x.P99 > 0 && !p.beaten(x, func(y *Point) (bool, int) {
			return y.P99 == 0 || y.Cost > x.Cost || y.P99 > x.P99, cmp.Or(cmp.Compare(y.Cost, x.Cost), cmp.Compare(y.P99, x.P99))
		})
		x.Best = !p.beaten(x, func(y *Point) (bool, int) {
			no := (x.P99 == 0) != (y.P99 == 0) || y.Cost > x.Cost || y.P99 > x.P99 || y.Refused > x.Refused
			return no, cmp.Or(cmp.Compare(y.Cost, x.Cost), cmp.Compare(y.P99, x.P99), cmp.Compare(y.Refused, x.Refused))
		})
	}
}

// beaten says whether another point is no worse in anything that counts, and better in something.
func (p *planner) beaten(x *Point, against func(y *Point) (worse bool, order int)) bool {
	for i := range p.a.Frontier {
		y := &p.a.Frontier[i]
		if y == x {
			continue
		}
		if worse, order := against(y); !worse && order < 0 {
			return true
		}
	}
	return false
}
