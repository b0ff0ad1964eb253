package dispatch

import (
	"cmp"
	"slices"
)

// objectName is what people call an object that the scheduler knows by a handle.
type objectName struct {
	kind   string
	handle uint32
	name   string
}

// names lists the name of everything that has a handle. The mutex must be held.
func (i *ids) names() []objectName {
	same := func(s string) string { return s }
	var out []objectName
	out = appendNames(out, "model", i.models, same)
	out = appendNames(out, "replica", i.replicas, func(k [2]string) string { return k[1] + " for " + k[0] })
	out = appendNames(out, "reservation", i.reservations, func(k [2]string) string { return k[0] + " of " + k[1] })
	out = appendNames(out, "account", i.accounts, same)
	out = appendNames(out, "principal", i.keys, same)
	limit := func(k limitKey) string { return k.scope.String() + " " + k.name }
	out = appendNames(out, "bucket", i.buckets, limit)
	out = appendNames(out, "counter", i.counters, limit)
	return appendNames(out, "calendar", i.calendars, func(k calendarKey) string { return k.period + "s in " + k.zone })
}

func appendNames[K comparable, H ~uint32](out []objectName, kind string, of map[K]H, name func(K) string) []objectName {
	from := len(out)
	for k, h := range of {
		out = append(out, objectName{kind, uint32(h), name(k)})
	}
	slices.SortFunc(out[from:], func(a, b objectName) int { return cmp.Compare(a.handle, b.handle) })
	return out
}
