package rows

import (
	"fmt"
	"time"

	"forebay/workload"
)

// Gaps are times of which nothing is known, in order.
type Gaps []workload.Span

// maxGaps bounds them.
const maxGaps = 1 << 16

// Miss takes a time in, nanoseconds from the traffic's start.
func (g *Gaps) Miss(from, to int64) {
	if len(*g) < maxGaps {
		*g = append(*g, workload.Span{From: time.Duration(from), To: time.Duration(to)})
	}
}

// Settle says what becomes of them, "" for nothing. If they are said to be idle, they are none.
func (g *Gaps) Settle(idle bool) string {
	var all time.Duration
	for _, s := range *g {
		all += s.To - s.From
	}
	switch {
	case all == 0:
		return ""
	case idle:
		*g = nil
		return fmt.Sprintf("%v have no window: they count as idle, as was said", all)
	default:
		return fmt.Sprintf("%v have no window: that is missing data and no idleness; --missing idle says otherwise, as of exports that leave out windows without a call (CloudWatch's do)", all)
	}
}
