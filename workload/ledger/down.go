package ledger

import (
	"fmt"
	"time"

	"forebay/meter"
	"forebay/workload"
)

// seen is how long a time must be for it to be told from the start of another server.
const seen = time.Minute

// down are the times of a traffic in which no server ran, and what is said of them and of times without a call.
func (t *Traffic) down(length time.Duration) (out []workload.Span, notes []string) {
	const idle = "times without a call count as idle while a server ran"
	if t.up == nil || t.up.Known >= t.base+int64(length) {
		return nil, []string{"times without a call count as idle: when a server ran was not noted then"}
	}
	if t.up.Known > t.base {
		notes = append(notes, fmt.Sprintf("before %s it was not noted when a server ran: times without a call count as idle there", t.clock(t.up.Known-t.base)))
	}
	var all, most time.Duration
	longest := workload.Span{}
	miss := func(from, to int64) {
		from, to = max(from, t.up.Known, t.base)-t.base, min(to-t.base, int64(length))
		if d := time.Duration(to - from); d >= seen {
			out = append(out, workload.Span{From: time.Duration(from), To: time.Duration(to)})
			if all += d; d > most {
				most, longest = d, out[len(out)-1]
			}
		}
	}
	last := t.base
	for _, u := range t.up.Times {
		miss(last, u.Since)
		last = max(last, u.Until+int64(meter.UptimeEvery)) // until when it may have run
	}
	miss(last, t.base+int64(length))
	if len(out) == 0 {
		return nil, append(notes, idle)
	}
	says := fmt.Sprintf("no server ran for %v, the longest time from %s on for %v: ", all.Round(time.Second), t.clock(int64(longest.From)), most.Round(time.Second))
	if t.opt.Idle {
		return nil, append(notes, says+"that counts as idle, as was said", idle)
	}
	return out, append(notes, says+"that is missing data and no idleness; --missing idle says otherwise", idle)
}

// clock is the wall clock at an instant of the traffic.
func (t *Traffic) clock(at int64) string {
	return time.Unix(0, t.base+at).In(t.opt.Location).Format("2006-01-02 15:04")
}
