package capacity

// list is a doubly linked list of calls.
type list struct{ head, tail int32 }

func (l *list) push(calls *callSlab, ci int32) {
	c := calls.at(ci)
	c.prev, c.next = l.tail, 0
	if l.tail != 0 {
		calls.at(l.tail).next = ci
	} else {
		l.head = ci
	}
	l.tail = ci
}

func (l *list) remove(calls *callSlab, ci int32) {
	c := calls.at(ci)
	if c.prev != 0 {
		calls.at(c.prev).next = c.next
	} else {
		l.head = c.next
	}
	if c.next != 0 {
		calls.at(c.next).prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next = 0, 0
}
