package plan

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/plan/purchase"
	"forebay/plan/replay"
)

// Search says how the mixes of several kinds were searched, and how far.
type Search struct {
	Kinds []string `json:"kinds"` // what was combined, beside on demand
	// Mixes is how many there are, about, and Looked how many were costed.
	Mixes  float64 `json:"mixes"`
	Looked int64   `json:"looked"`
	// Exact says that none of them costs less than the one that was found, to the resolution of the search; if not, none costs less than AtLeast a month.
	Exact   bool  `json:"exact"`
	AtLeast int64 `json:"atLeast,omitzero"` // 0 is not known
	// Found is the mix that costs least, in words, Cost what it does a month, and ID its option; "" where it is one that is listed for its own sake.
	Found string `json:"found"`
	Cost  int64  `json:"cost"`
	ID    string `json:"id,omitempty"`
}

const (
	// mostLooked bounds the mixes that are costed in one search.
	mostLooked = 5_000
	// mostClasses bounds into how many kinds of hours a week is divided for one.
	mostClasses = 4
	// mixWait is how long a call waits for engines of one's own where it can go on demand instead.
	mixWait = 2 * time.Second
)

// holding is what is held together. What it does not take goes on demand.
type holding struct {
	unit   *catalog.Unit // nil for no units
	base   int64         // units all the time, on a term
	term   term
	hours  *[hoursOfWeek]int64 // and units without a commitment by the hour of the week; nil for none
	hourly term
	source string

	instances int64 // of one's own, all the time
	engine    *engine
	machine   *machine
	per       need // instances that carry a minute

	rest bool // what is not taken goes on demand; else there is nothing that is not taken
}

// at is how many units are held in an hour of the week.
func (h *holding) at(slot int) int64 {
	if h.hours == nil {
		return h.base
	}
	return h.base + h.hours[slot]
}

// left is the share of a minute's flow that is not taken.
func (h *holding) left(f *Flow, slot int) float64 {
	share := 1.0
	if h.unit != nil {
		if k := needOf(h.unit)(f); k > 0 {
			share -= float64(h.at(slot)) / k
		}
	}
	if h.instances > 0 {
		if k := h.per(f); k > 0 {
			share -= float64(h.instances) / k
		}
	}
	return max(0, share)
}

// mixes searches what several kinds cost least together: units on a term, units by the hour, instances of one's own, and on demand.
func (p *planner) mixes(m *catalog.Model) error {
	if _, ok := p.rates(m); !ok || m != p.q.Model {
		return nil
	}
	x := &mixture{p: p, model: m, demand: live(p.demand, p.sold(m)), waits: p.sold(m)}
	if !x.kinds() {
		return nil
	}
	for _, t := range x.bases {
		for _, rest := range []bool{true, false} {
			if err := x.search(t, rest); err != nil {
				return err
			}
		}
	}
	return x.baseEndpoint()
}

// mixture is a search under way.
type mixture struct {
	p      *planner
	model  *catalog.Model
	demand *Demand // that somebody waits for
	waits  replay.Waiting

	size    *catalog.Unit // of a unit; nil where it is not known
	bases   []term        // of what is held all the time; one without a price where no unit can be had
	hourly  *term         // of units by the hour; nil for none
	source  string
	engine  *engine // the cheapest instances for what they carry; nil for none
	machine *machine
	per     need
	enough  int64 // instances that carry the busiest minute alone
}

// kinds finds what can be combined, and says whether there is anything beside units on one term.
func (x *mixture) kinds() bool {
	p := x.p
	if prices, size := p.unitPrices(x.model), p.unit(x.model); prices != nil && size != nil {
		x.size, x.source = size, prices.Source+", "+prices.Date
		all := terms(prices)
		for i := range all {
			if all[i].id == "none" {
				x.hourly = &all[i]
			} else {
				x.bases = append(x.bases, all[i])
			}
		}
	}
	least := math.Inf(1)
	engines := p.engines(x.model)
	for i := range engines {
		e := &engines[i]
		if e.profile.Covers(p.mix()) != nil {
			continue
		}
		rate := e.profile.Throughput(p.slots(&e.profile), p.mix())
		for _, k := range p.machines(x.model, e) {
			out := float64(rate.Output * k.engines)
			if price := float64(k.Hour) / out; out > 0 && rate.Input > 0 && price < least {
				least, x.engine, x.machine = price, e, &k
				in := float64(rate.Input * k.engines)
				x.per = func(f *Flow) float64 { return max((f.Input+f.Cached)/in, f.Output/out) }
			}
		}
	}
	if p.asked() != (replay.Waiting{}) {
		x.engine = nil // those that may wait would run on its engines: the endpoint itself is for them
	}
	if x.engine != nil {
		most, _ := x.demand.peak(x.per)
		x.enough = int64(math.Ceil(min(most, maxUnits)))
	}
	if len(x.bases) == 0 {
		x.bases = []term{{id: "none"}}
		if x.hourly != nil {
			x.bases[0] = *x.hourly
		}
	}
	return x.engine != nil || x.hourly != nil && x.bases[0].id != "none"
}

// classes divides the hours of the week into kinds by how many units each would have by itself at the price of an hour.
func (x *mixture) classes(v need) (class [hoursOfWeek]int, parts []*Demand, merged bool) {
	var hours [hoursOfWeek]Demand
	for i := range x.demand.Minutes {
		h := &hours[x.demand.slot(i)]
		h.Minutes = append(h.Minutes, x.demand.Minutes[i])
		h.Total.add(x.demand.Minutes[i], 1)
	}
	var best [hoursOfWeek]int64
	var numbers []int64
	for i := range hours {
		if len(hours[i].Minutes) == 0 {
			continue
		}
		if x.hourly != nil {
			peak, _ := hours[i].peak(v)
			best[i] = x.p.cheapest(x.model, &hours[i], v, x.hourly.hour, int64(math.Ceil(min(peak, maxUnits))))
		}
		numbers = append(numbers, best[i])
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	merged = len(numbers) > mostClasses
	for len(numbers) > mostClasses { // the two that are nearest to each other become one
		at := 1
		for i := 2; i < len(numbers); i++ {
			if numbers[i]-numbers[i-1] < numbers[at]-numbers[at-1] {
				at = i
			}
		}
		numbers = slices.Delete(numbers, at-1, at)
	}
	parts = make([]*Demand, len(numbers))
	for i := range parts {
		parts[i] = &Demand{}
	}
	for i := range hours {
		if len(hours[i].Minutes) == 0 {
			class[i] = -1
			continue
		}
		k, _ := slices.BinarySearch(numbers, best[i])
		class[i] = min(k, len(numbers)-1)
		part := parts[class[i]]
		part.Minutes = append(part.Minutes, hours[i].Minutes...)
		part.Total.add(hours[i].Total, 1)
	}
	return class, parts, merged
}

// search finds the mix that costs least with one base term: with on demand for the rest, or, of units and instances, without.
func (x *mixture) search(t term, rest bool) error {
	if !rest && (x.engine == nil || x.size == nil) {
		return nil
	}
	of := x.per
	if x.size != nil {
		of = needOf(x.size)
	}
	v := scaleOf(x.demand, of)
	class, parts, merged := x.classes(of)
	q := purchase.Mix{Period: time.Minute, Horizon: time.Duration(x.p.q.Days) * hoursOfDay * time.Hour, Spill: v.price(x.p, x.model, x.demand)}
	if !rest { // at such a price nothing is left
		most, _ := x.demand.peak(of)
		q.Spill = int64(min(math.MaxInt64/1e6, float64(q.Spill)*1e6*max(1, most)))
	}
	for i, part := range parts {
		d, err := v.demand(part)
		if err != nil {
			return err
		}
		q.Segments = append(q.Segments, purchase.Segment{Name: strconv.Itoa(i), Demand: d})
	}
	o, kinds, err := x.options(t, v, parts)
	if err != nil || len(o) < 2 {
		return err
	}
	q.Options = o
	found, err := q.Best(mostLooked)
	if err != nil {
		return err
	}
	if merged { // hours that are best by themselves may cost less
		found.Exact, found.Bound = false, 0
	}
	return x.take(t, rest, kinds, &found, class)
}

// options are what is combined: units on the term first, then those by the hour of each class, then instances.
func (x *mixture) options(t term, v grid, parts []*Demand) (out []purchase.Option, kinds []string, err error) {
	month := x.p.q.Days * hoursOfDay
	add := func(name string, unit, hour int64, covers []int) {
		minutes := int64(len(x.demand.Minutes))
		part := minutes
		if covers != nil {
			part = int64(len(parts[covers[0]].Minutes))
		}
		price, e := product([]int64{hour, month, part}, []int64{minutes})
		err = cmp.Or(err, e)
		out = append(out, purchase.Option{Name: name, Unit: unit, Price: price, Covers: covers})
	}
	if x.size != nil {
		kinds = append(kinds, "units, "+termName(t.id))
		add(kinds[0], v.unit, t.hour, nil)
		if x.hourly != nil && t.id != "none" {
			kinds = append(kinds, "units by the hour")
			for i := range parts {
				add(kinds[1], v.unit, x.hourly.hour, []int{i})
			}
		}
	}
	if x.engine != nil {
		rate := x.engine.profile.Throughput(x.p.slots(&x.engine.profile), x.p.mix())
		f := Flow{Input: float64(rate.Input * x.machine.engines), Output: float64(rate.Output * x.machine.engines)}
		kinds = append(kinds, "instances "+x.machine.Type)
		add(kinds[len(kinds)-1], max(1, int64(v.of(&f)*float64(v.unit))), x.machine.Hour, nil)
	}
	return out, kinds, err
}

// take makes an option of what was found, if it is a mix of several kinds, and notes how it was found.
func (x *mixture) take(t term, rest bool, kinds []string, found *purchase.Choice, class [hoursOfWeek]int) error {
	h := &holding{unit: x.size, term: t, source: x.source, engine: x.engine, machine: x.machine, per: x.per, rest: rest}
	units := found.Units
	if x.size != nil {
		h.base, units = units[0], units[1:]
		if x.hourly != nil && t.id != "none" {
			n := len(units)
			if x.engine != nil {
				n--
			}
			h.hourly, h.hours = *x.hourly, new([hoursOfWeek]int64)
			for slot, c := range class {
				if c >= 0 {
					h.hours[slot] = units[c]
				}
			}
			units = units[n:]
		}
	}
	if x.engine != nil {
		h.instances = units[0]
	}
	if rest {
		x.settle(h)
	}
	s := Search{Kinds: kinds, Mixes: found.Mixes, Looked: found.Looked, Exact: found.Exact, AtLeast: found.Bound, Cost: found.Cost.Total(), Found: h.words()}
	if !rest {
		s.Kinds = append(slices.Clone(kinds), "nothing on demand")
	}
	if h.several() {
		s.ID = h.id()
		if !x.p.has(s.ID) {
			x.p.add(x.offer(h))
		}
	}
	x.p.a.Searches = append(x.p.a.Searches, s)
	return nil
}

// settle gives each hour of the week the number of units that is best for it beside what is held all the time: one at a time, for which the cost is convex.
func (x *mixture) settle(h *holding) {
	if h.hours == nil {
		return
	}
	of := needOf(x.size)
	var slots [hoursOfWeek][]*Flow
	for i := range x.demand.Minutes {
		slot := x.demand.slot(i)
		slots[slot] = append(slots[slot], &x.demand.Minutes[i])
	}
	for slot, list := range slots {
		if len(list) == 0 {
			continue
		}
		most := 0.0
		for _, f := range list {
			most = max(most, of(f))
		}
		h.hours[slot] = lowest(0, int64(math.Ceil(most)), func(n int64) float64 {
			h.hours[slot] = n
			cost := float64(n) * float64(h.hourly.hour) * float64(len(list)) / 60
			for _, f := range list {
				cost += h.left(f, slot) * x.p.value(x.model, f)
			}
			return cost
		})
	}
}

// most is the largest number of units by the hour.
func (h *holding) most() int64 {
	if h.hours == nil {
		return 0
	}
	return slices.Max(h.hours[:])
}

// several says whether it is more than what is listed for its own sake: units of one kind, or instances, with or without on demand.
func (h *holding) several() bool {
	n := 0
	for _, x := range []int64{h.base, h.most(), h.instances} {
		if x > 0 {
			n++
		}
	}
	return n > 1 || n == 1 && h.instances > 0 && h.rest
}

// words name what is held.
func (h *holding) words() string {
	var out []string
	if h.base > 0 {
		out = append(out, unitCount(h.base)+" provisioned, "+termName(h.term.id))
	}
	if n := h.most(); n > 0 {
		more := "up to "
		if h.base > 0 {
			more = "up to another "
		}
		out = append(out, more+Grouped(n)+" for some hours")
	}
	if h.instances > 0 {
		out = append(out, fmt.Sprintf("%s %s of one's own", Grouped(h.instances), h.machine.Type))
	}
	if len(out) == 0 {
		return "all on demand"
	}
	if h.rest {
		out = append(out, "the rest on demand")
	}
	s := strings.Join(out, ", ")
	return strings.ToUpper(s[:1]) + s[1:]
}

func (h *holding) mode() Mode {
	var out []string
	if h.base > 0 || h.most() > 0 {
		out = append(out, string(Provisioned))
	}
	if h.instances > 0 {
		out = append(out, string(Endpoint))
	}
	if h.rest {
		out = append(out, string(OnDemand))
	}
	return Mode(strings.Join(out, "+"))
}

func (h *holding) id() string {
	out := []string{string(h.mode())}
	if h.base > 0 {
		out = append(out, fmt.Sprintf("%s-%d", h.term.id, h.base))
	}
	if h.most() > 0 {
		out = append(out, "hours")
	}
	if h.instances > 0 {
		out = append(out, fmt.Sprintf("%s-%d", h.machine.Type, h.instances))
	}
	return strings.Join(out, "/")
}

// has says whether an option is there already.
func (p *planner) has(id string) bool {
	return slices.ContainsFunc(p.offers, func(o *offer) bool { return o.ID == id })
}
