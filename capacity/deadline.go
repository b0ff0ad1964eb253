package capacity

// deadlines is a heap of the waiting calls that have a limit to their wait, the earliest first. What it is ordered by lies in it, so
// that a long queue is not read to keep its order.
type deadlines []deadline

type deadline struct {
	at   Instant
	id   CallID
	call int32
}

func (d *deadline) before(e *deadline) bool { return d.at < e.at || d.at == e.at && d.id < e.id }

// push adds a call, which keeps its place.
func (h deadlines) push(calls *callSlab, ci int32) deadlines {
	h = append(h, deadline{calls.at(ci).waitEnds, calls.at(ci).id, ci})
	h.up(calls, len(h)-1)
	return h
}

// remove takes a call out.
func (h deadlines) remove(calls *callSlab, ci int32) deadlines {
	k := int(calls.at(ci).timer) - 1
	calls.at(ci).timer = 0
	last := len(h) - 1
	moved := h[last]
	h = h[:last]
	if k < last {
		h.set(calls, k, moved)
		h.up(calls, k)
		h.down(calls, int(calls.at(moved.call).timer)-1)
	}
	return h
}

func (h deadlines) set(calls *callSlab, k int, d deadline) {
	h[k] = d
	calls.at(d.call).timer = int32(k + 1)
}

func (h deadlines) up(calls *callSlab, k int) {
	d := h[k]
	for k > 0 && d.before(&h[(k-1)/2]) {
		h.set(calls, k, h[(k-1)/2])
		k = (k - 1) / 2
	}
	h.set(calls, k, d)
}

func (h deadlines) down(calls *callSlab, k int) {
	d := h[k]
	for {
		child := 2*k + 1
		if child+1 < len(h) && h[child+1].before(&h[child]) {
			child++
		}
		if child >= len(h) || !h[child].before(&d) {
			break
		}
		h.set(calls, k, h[child])
		k = child
	}
	h.set(calls, k, d)
}
