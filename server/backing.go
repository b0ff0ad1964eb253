package server

import (
	"cmp"
	"fmt"
	"strings"

	"forebay/catalog"
	"forebay/config"
	"forebay/dispatch"
	"forebay/perf"
	"forebay/provision"
)

// A unit says how many tokens a minute, not how long the prompts are. What it takes of an engine is computed
// for prompts of this length, with answers in the proportion of the unit's output to its input.
const unitPrompt = 1000 // tokens

// maxUnits stands for more units than can be ordered.
const maxUnits = 1 << 31

// minute is in nanoseconds, as times of package perf are.
const minute = 60_000_000_000

// engineRoom is what one engine gives to a model: slots that are all busy with calls like those that a unit is
// sold for, each for as long as perf says.
type engineRoom struct {
	name     string
	replicas int64
	slots    int64 // of all replicas
	// wait is how long a call takes with all slots busy; 0 for an engine whose units were given.
	wait perf.Instant
	// given is how many units the configuration says that a replica backs.
	given int64
}

// answerTokens is how long the answers are to the prompts that units of a size are computed for.
func answerTokens(u *catalog.Unit) int64 {
	return max(1, (unitPrompt*u.Output+u.Input/2)/u.Input)
}

// rooms lists the engines of a model that can back units of a size. why tells what keeps the others from it.
func (p *serving) rooms(model string, u *catalog.Unit) (rooms []engineRoom, grows bool, why string) {
	for _, b := range p.bindings(model) {
		e := p.engine(b.Engine)
		r := engineRoom{name: b.Engine, replicas: 1, given: b.Units}
		if o := p.opened[b.Engine]; o != nil && o.name != nil {
			r.replicas, grows = int64(len(o.name.live())), true
		}
		switch {
		case b.Standby:
			why = "engine " + b.Engine + " is a standby"
			continue
		case b.Units > 0:
			r.slots = r.replicas * int64(cmp.Or(e.Slots, dispatch.DefaultSlots))
		case e.Type == simulatedEngine:
			r.measure(&e, u)
		default:
			why = fmt.Sprintf("nobody has measured what engine %s can do, or said how many units it backs (models.%s.engines.units)", b.Engine, model)
			continue
		}
		rooms = append(rooms, r)
	}
	return rooms, grows, why
}

// bindings are the engines of a model, the simulated one where none is declared.
func (p *serving) bindings(model string) []config.Binding {
	if list := p.cfg.Models[model].Engines; len(list) > 0 {
		return list
	}
	return []config.Binding{{Engine: simulatedEngine}}
}

// batchOf is how many calls a simulated engine runs at once.
func batchOf(e *config.Engine) int32 {
	profile, err := perf.Named(cmp.Or(e.Profile, demoProfile))
	if err != nil {
		return 0 // the configuration has been checked
	}
	return int32(min(profile.MaxBatch, 1<<20))
}

// measure asks the engine's published model for the time of a call with as many others beside it as fit.
func (r *engineRoom) measure(e *config.Engine, u *catalog.Unit) {
	profile, err := perf.Named(cmp.Or(e.Profile, demoProfile))
	if err != nil {
		return
	}
	out := answerTokens(u)
	n := profile.MaxBatch
	if e.Slots > 0 {
		n = min(n, int(e.Slots))
	}
	n = int(min(int64(n), profile.KV/(unitPrompt+out)))
	for ; n > 0; n-- {
		if w, ok := profile.W(n, unitPrompt, out); ok {
			r.slots, r.wait = r.replicas*int64(n), w
			return
		}
	}
}

// slotsFor is how many slots a rate of so many units takes, by Little's law at the times of a full engine: never less than one.
func (r *engineRoom) slotsFor(units int64, u *catalog.Unit) int64 {
	if r.given > 0 {
		return max(1, divUp(mulDiv(units, r.slots, 1), max(1, r.given*r.replicas)))
	}
	calls := mulDiv(units, u.Input, unitPrompt) + 1 // a minute
	return max(1, mulDiv(calls, int64(r.wait), minute)+1)
}

// unitsOf is how many units so many slots can back.
func (r *engineRoom) unitsOf(slots int64, u *catalog.Unit) int64 {
	switch {
	case slots <= 0:
		return 0
	case r.given > 0 && r.slots > 0:
		return mulDiv(r.given*r.replicas, slots, r.slots)
	case r.given > 0:
		return r.given * r.replicas
	case r.wait == 0:
		return maxUnits
	}
	return min(maxUnits, mulDiv(mulDiv(slots, minute, int64(r.wait)), unitPrompt, u.Input))
}

// mulDiv is a*b/c, and the largest number where that is none.
func mulDiv(a, b, c int64) int64 {
	const most = 1 << 62
	if a > 0 && b > most/a {
		if c >= a || c >= b { // divide first, as exactly as it goes
			big, small := max(a, b), min(a, b)
			return min(most, big/c*small+big%c*small/c)
		}
		return most
	}
	return a * b / c
}

func divUp(a, b int64) int64 { return a/b + min(a%b, 1) }

// Room implements provision.Pools. What is sold of other models counts where it runs on the same engines.
func (p *serving) Room(model string, u catalog.Unit, sold []provision.Throughput) provision.Room {
	rooms, grows, why := p.rooms(model, &u)
	out := provision.Room{Grows: grows, Why: why}
	used := p.sold(sold)
	for i := range rooms {
		r := &rooms[i]
		out.Units = min(maxUnits, out.Units+r.unitsOf(r.slots-used[r.name], &u))
	}
	if len(rooms) == 0 {
		return out
	}
	names := make([]string, len(rooms))
	for i := range rooms {
		names[i] = rooms[i].name
	}
	out.Why = fmt.Sprintf("the engines of %s (%s) back no more of %d input and %d output tokens a minute beside what is sold of them", model, strings.Join(names, ", "), u.Input, u.Output)
	return out
}

// sold is how many slots of each engine are sold.
func (p *serving) sold(list []provision.Throughput) map[string]int64 {
	used := map[string]int64{}
	for i := range list {
		t := &list[i]
		rooms, _, _ := p.rooms(t.Model.ID, &t.Unit)
		var all int64
		for k := range rooms {
			all += max(1, rooms[k].slots)
		}
		for k := range rooms {
			r := &rooms[k]
			part := divUp(mulDiv(t.Units, max(1, r.slots), 1), max(1, all)) // units, in proportion to the slots
			used[r.name] += r.slotsFor(part, &t.Unit)
		}
	}
	return used
}

// headroom is the slots that back a throughput.
func (p *serving) headroom(t *provision.Throughput) int32 {
	rooms, _, _ := p.rooms(t.Model.ID, &t.Unit)
	var n int64
	for i := range rooms {
		r := &rooms[i]
		n += min(r.slotsFor(divUp(t.Units, int64(len(rooms))), &t.Unit), r.slots)
	}
	return int32(min(n, 1<<20))
}

// reservations are the throughputs that calls run on, as the scheduler takes them.
func (p *serving) reservations(all []provision.Throughput) []dispatch.Reservation {
	var out []dispatch.Reservation
	for i := range all {
		t := &all[i]
		if t.Status.Serves() {
			out = append(out, dispatch.Reservation{
				ID: t.ARN, Name: t.Name, Model: t.Model.ID, Input: t.InputRate(), Output: t.OutputRate(), Slots: p.headroom(t),
			})
		}
	}
	return out
}
