package capacity

import (
	"fmt"
	"strings"
)

// Wait says what a waiting call waits for.
type Wait uint8

// What calls wait for.
const (
	WaitNothing Wait = iota
	// WaitOwnSlot is a slot that the call's reservation has for itself, on a shared replica or an isolated one: one is on its way
	// back, or all are used by its own calls.
	WaitOwnSlot
	// WaitCommonSlot is a slot that no purchase has.
	WaitCommonSlot
	// WaitCommonMemory is memory that no purchase has.
	WaitCommonMemory
	// WaitSlot is any slot at all.
	WaitSlot
	// WaitMemory is room in the memory of a replica with a free slot.
	WaitMemory
	// WaitTurn is calls before it.
	WaitTurn
	// WaitReplica is a replica that is up and has not failed the call.
	WaitReplica

	numWaits = int(iota)
)

var waitNames = [numWaits]string{"nothing", "own-slot", "common-slot", "common-memory", "slot", "memory", "turn", "replica"}

// String returns the stable lower-case name.
func (w Wait) String() string { return nameOf(waitNames[:], int(w)) }

// UnitState is where a unit bucket of a call's reservation stands, or of the purchase that it is a part of.
type UnitState struct {
	Reservation ReservationID
	Bucket      BucketID
	Measure     Measure // input, output or tokens
	Fill        int64   // rounded up, so that what passes Depth is refused
	Depth       int64
	Rate        int64 // units per minute
	Charged     int64 // to the call so far; of one that was refused, what it would have been charged at the start
}

// SlotState is where the slots stand that a call could have.
type SlotState struct {
	Own, Used           int32 // its reservation has, if a purchase without what it has divided, and firm calls of the reservation use
	Common, CommonSlots int32 // in common use, and of how many
	Free                int32 // of all that it may use
	Recalled            int32 // coming back
}

// waitOf says what a waiting call waits for.
func (s *State) waitOf(p *pool, c *call) Wait {
	own := s.ownRack(c)
	if !s.served(p, c) {
		return WaitReplica
	}
	if own != nil && !c.preemptible && !s.mayStart(p, c) {
		return WaitOwnSlot
	}
	if !s.mayStart(p, c) {
		limit, _ := p.commonRoom()
		if p.sold == (room{}) {
			return WaitSlot
		}
		if x := s.growth(c, p.occupies(c)); x.slots > 0 && p.common.slots+x.slots > limit.slots {
			return WaitCommonSlot
		}
		return WaitCommonMemory
	}
	if ri, _ := s.find(p, c); ri != 0 {
		return WaitTurn
	}
	switch {
	case s.lacksMemory(p, c):
		return WaitMemory
	case own != nil || c.seated() && s.growth(c, p.occupies(c)).slots == 0:
		return WaitOwnSlot
	default:
		return WaitSlot
	}
}

// slotsOf says where the slots stand that a call could have.
func (s *State) slotsOf(p *pool, c *call) SlotState {
	limit, _ := p.commonRoom()
	k := p.base()
	x := SlotState{Common: p.common.slots, CommonSlots: limit.slots, Free: k.free, Recalled: k.recalling}
	if c.preemptible {
		x.Free += p.owned.free
	}
	if c.reservation == 0 {
		return x
	}
	r := &s.reservations.items[c.reservation]
	x.Own, x.Used = r.backing().minus(r.divided).slots, r.use.slots
	if own := s.ownRack(c); own != nil {
		x.Own, x.Used, x.Free, x.Recalled = own.slots, own.busy-own.borrowed, own.free, own.recalling
		switch f := &s.reservations.items[s.ownerOf(c.reservation)]; {
		case f.apart.given == 0:
		case r.parent != 0:
			x.Own, x.Used = s.slotsApart(r), r.apart.use
		default:
			x.Own, x.Used = f.undividedApart(), f.apart.shared
		}
	}
	return x
}

// unitsOf fills in where the unit buckets of the call's reservation stand.
func (e *Explanation) unitsOf(s *State, c *call) {
	if c.reservation == 0 {
		return
	}
	input, output := c.holdOf(MeasureInput), int64(0)
	if c.unitsOpen {
		input, output = c.unitInput, c.unitOutput
	}
	r := &s.reservations.items[c.reservation]
	for k, bi := range s.unitBuckets(c.reservation) {
		if bi == 0 {
			continue
		}
		b := &s.buckets.items[bi]
		u := UnitState{
			Reservation: r.ID, Bucket: b.ID, Measure: [numUnitBuckets]Measure{MeasureInput, MeasureOutput, MeasureTokens}[k%numUnitBuckets],
			Fill: b.level(s.now).divUp(minute), Depth: whole(b.depth()), Rate: b.Rate, Charged: unitsOf(k, input, output),
		}
		if k >= numUnitBuckets {
			u.Reservation = r.Parent
		}
		e.Units[e.NumUnits] = u
		e.NumUnits++
	}
}

// Text says in words why the call was refused, left a lane, or waits; "" if it did neither. Handles are numbers.
func (e *Explanation) Text() string {
	var parts []string
	if e.Left != ReasonNone {
		parts = append(parts, "left a lane: "+e.why(e.Left, e.LeftBucket))
	}
	switch {
	case e.Reason != ReasonNone:
		text := "refused: " + e.why(e.Reason, e.Bucket)
		if e.RetryAfter > 0 {
			text += fmt.Sprintf("; again in %s", e.RetryAfter)
		}
		if e.RetryAfter > 0 && e.Estimated {
			text += ", estimated"
		}
		parts = append(parts, text)
	case e.Waits != WaitNothing:
		parts = append(parts, "waits for "+e.waits())
	}
	return strings.Join(parts, "; ")
}

func (e *Explanation) why(r Reason, bucket BucketID) string {
	for _, u := range e.Units[:e.NumUnits] {
		if u.Bucket == bucket && r == ReasonReservation {
			return fmt.Sprintf("reservation %d has used its rate: %s %d of %d, %d a minute", u.Reservation, u.Measure, u.Fill, u.Depth, u.Rate)
		}
	}
	if bucket != 0 && r != ReasonBucket {
		return fmt.Sprintf("%s, of bucket %d", r, bucket)
	}
	if bucket != 0 {
		return fmt.Sprintf("bucket %d", bucket)
	}
	return r.String()
}

func (e *Explanation) waits() string {
	x := &e.Slots
	own := ""
	if e.Reservation != 0 {
		own = fmt.Sprintf("; reservation %d uses %d, and has %d", e.Reservation, x.Used, x.Own)
	}
	switch e.Waits {
	case WaitOwnSlot:
		return fmt.Sprintf("a slot of its own, %d of which come back%s", x.Recalled, own)
	case WaitCommonSlot:
		return fmt.Sprintf("a common slot: %d of %d in use%s", x.Common, x.CommonSlots, own)
	case WaitCommonMemory:
		return "common memory" + own
	case WaitSlot:
		return "a slot"
	case WaitMemory:
		return "memory on a replica with a free slot"
	case WaitTurn:
		return "its turn"
	default:
		return "a replica that is up and has not failed it"
	}
}
