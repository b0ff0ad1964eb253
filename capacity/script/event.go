package script

import (
	"fmt"
	"strings"

	"forebay/capacity"
)

// FormatEvent returns an event as a line, a configuration as several.
func FormatEvent(ev *capacity.Event) string {
	l := &line{out: []string{ev.Kind.String()}}
	l.event(ev)
	for i := range ev.Lanes[:ev.NumLanes] {
		in := &line{}
		in.lane(ev, &ev.Lanes[i])
		l.out = append(l.out, "lane("+strings.Join(in.out, " ")+")")
	}
	lines := []string{strings.Join(l.out, " ")}
	if ev.Config != nil {
		lines = append(lines, formatConfig(ev.Config)...)
	}
	return strings.Join(lines, "\n  ")
}

// FormatAction returns an action as a line.
func FormatAction(a *capacity.Action) string {
	l := &line{out: []string{a.Kind.String()}}
	number(l, "call", &a.Call)
	named(l, "reason", &a.Reason)
	number(l, "bucket", &a.Bucket)
	number(l, "counter", &a.Counter)
	span(l, "retry-after", &a.RetryAfter)
	l.flag("estimated", &a.Estimated)
	number(l, "replica", &a.Replica)
	named(l, "placed", &a.Placed)
	number(l, "pool", &a.Pool)
	number(l, "model", &a.Model)
	number(l, "lane", &a.Lane)
	named(l, "tier", &a.Tier)
	number(l, "reservation", &a.Reservation)
	number(l, "n", &a.N)
	number(l, "amount", &a.Amount)
	number(l, "held", &a.Held)
	number(l, "charged", &a.Charged)
	number(l, "refunded", &a.Refunded)
	number(l, "debt", &a.Debt)
	return strings.Join(l.out, " ")
}

// ParseEvent reads an event from its line. The objects of a configuration follow through ParseObject.
func ParseEvent(s string) (capacity.Event, error) {
	var ev capacity.Event
	verb, words, groups, err := split(s)
	if err != nil {
		return ev, err
	}
	ev.Kind = capacity.EventConfigure
	for ev.Kind.String() != verb {
		if ev.Kind++; ev.Kind > capacity.EventTick {
			return ev, fmt.Errorf("there is no event %q", verb)
		}
	}
	l := &line{parsing: true, words: words}
	l.event(&ev)
	for i, g := range groups {
		if g.name != "lane" {
			return ev, fmt.Errorf("an event has no %s( )", g.name)
		}
		if i == capacity.MaxLanes {
			return ev, fmt.Errorf("more than %d lanes", i)
		}
		w, err := wordsOf(strings.Fields(g.in))
		if err != nil {
			return ev, err
		}
		one := &line{parsing: true, words: w}
		one.lane(&ev, &ev.Lanes[i])
		ev.NumLanes++
		if err := one.done("lane"); err != nil {
			return ev, err
		}
	}
	if ev.Kind == capacity.EventConfigure {
		ev.Config = new(capacity.Config)
	}
	return ev, l.done(verb)
}

// event describes the fields of all events; those that an event does not have are zero.
func (l *line) event(ev *capacity.Event) {
	number(l, "call", &ev.Call)
	named(l, "tier", &ev.Tier)
	number(l, "account", &ev.Account)
	number(l, "principal", &ev.Principal)
	number(l, "replica", &ev.Replica)
	number(l, "slots", &ev.Slots)
	number(l, "kv", &ev.KV)
	number(l, "bucket", &ev.Bucket)
	number(l, "rate", &ev.Rate)
	number(l, "depth", &ev.Depth)
	span(l, "until", &ev.Until)
	number(l, "counter", &ev.Counter)
	number(l, "calendar", &ev.Calendar)
	number(l, "period", &ev.Period)
	number(l, "amount", &ev.Amount)
	span(l, "at", &ev.At)
	number(l, "input", &ev.Input)
	number(l, "cache-read", &ev.CacheRead)
	number(l, "cache-write", &ev.CacheWrite)
	number(l, "output", &ev.Output)
	number(l, "max-output", &ev.MaxOutput)
	number(l, "n", &ev.N)
	number(l, "money", &ev.Money)
	number(l, "prefix", &ev.Prefix)
	span(l, "deadline", &ev.Deadline)
	l.flag("preemptible", &ev.Preemptible)
	l.flag("delivered", &ev.Delivered)
	l.flag("slot-held", &ev.SlotHeld)
	l.flag("unread", &ev.Unread)
	handles(l, "buckets", ev.Buckets[:], &ev.NumBuckets)
	handles(l, "counters", ev.Counters[:], &ev.NumCounters)
}

func (l *line) lane(ev *capacity.Event, x *capacity.Lane) {
	number(l, "pool", &x.Pool)
	number(l, "model", &x.Model)
	number(l, "reservation", &x.Reservation)
	for _, s := range []struct {
		name string
		bit  capacity.Spill
	}{{"over-rate", capacity.SpillOverRate}, {"over-latency", capacity.SpillOverLatency}, {"fail-over", capacity.FailOver}} {
		on := x.Spill&s.bit != 0
		if l.flag(s.name, &on); on {
			x.Spill |= s.bit
		}
	}
	span(l, "max-wait", &x.MaxWait)
	number(l, "money", &x.Money)
	mask(l, "buckets", ev.Buckets[:ev.NumBuckets], &x.Buckets)
	mask(l, "counters", ev.Counters[:ev.NumCounters], &x.Counters)
}
