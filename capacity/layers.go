package capacity

// layers is the fill of one bucket, kept as layers in the order in which calls were admitted: layer i is what
// remains of the i-th hold. Draining takes from the newest layer first. A refund to the call at layer k takes from
// layer k and, when that is used up, from older ones: what is given back can only be what lies at or below k.
//
// This makes "the lowest fill since the call was admitted" a sum: below(k), all that remains in the
// layers 0..k. It falls with the fill (draining from the top leaves min(below, fill)), does not rise with later holds, and falls
// with refunds to it or to older calls. A refund of min(hold-charge, below(k)) is then exactly the
// change that the fill would show had the call held its charge from the start (the reflection map of a leaky
// bucket: lowering one input by d lowers the level at t by min(d, lowest level since)). Reading the lowest fill alone, without
// subtracting what others got back meanwhile, would give drained tokens back twice.
//
// The sums are a binary tree over the layers, so each operation costs O(log n) in the holds in flight. A node
// whose sum is 0 stands for a subtree of zeros; the numbers below it are stale until something is added.
//
// A call knows its layer by a number that stays while the layers are put together, which touches no call: those lie far apart in memory.
type layers struct {
	used  int32   // layers in use
	live  int32   // of these, owned by a call in flight
	sums  []wide  // 2*size nodes: the root at 1, layer i at size+i
	owner []int32 // per layer, the number that its call knows it by, or knew; 0 is none
	at    []int32 // by that number, which layer it is; released if the call has finished
	free  []int32 // numbers that are not in use
}

func (l *layers) size() int32 { return int32(len(l.owner)) }

// released is no layer.
const released = -1

// owned says whether a layer is one of a call in flight. What is noted of the layer itself stays when the call ends, because it lies far from all that is
// looked at then.
func (l *layers) owned(at int32) bool { return l.owner[at] != 0 && l.at[l.owner[at]] == at }

// number returns a number for layer at.
func (l *layers) number(at int32) int32 {
	var k int32
	if n := len(l.free); n > 0 {
		k = l.free[n-1]
		l.free = l.free[:n-1]
		l.at[k] = at
	} else {
		if len(l.at) == 0 {
			l.at = append(l.at, 0) // which is nobody's
		}
		k = int32(len(l.at))
		l.at = append(l.at, at)
	}
	l.owner[at] = k
	l.live++
	return k
}

func (l *layers) total() wide {
	if len(l.sums) == 0 {
		return wide{}
	}
	return l.sums[1]
}

// truncate lowers the total to t, newest layers first.
func (l *layers) truncate(t wide) {
	if t.less(l.total()) {
		l.truncateNode(1, t)
	}
}

// truncateNode lowers the sum of node i, which exceeds t, to t.
func (l *layers) truncateNode(i int32, t wide) {
	for size := l.size(); ; {
		l.sums[i] = t
		if i >= size || t.zero() {
			return
		}
		left := l.sums[2*i]
		if t.less(left) {
			l.sums[2*i+1] = wide{}
			i = 2 * i
			continue
		}
		t = t.sub(left)
		i = 2*i + 1
		if !t.less(l.sums[i]) {
			return
		}
	}
}

// push adds a layer on top and returns its number, if a call is to own it. What nobody owns joins what nobody owns below it.
func (l *layers) push(owned bool, x wide) (number int32) {
	at := l.used - 1
	if at < 0 || owned || l.owned(at) {
		if l.used == l.size() {
			l.compact()
		}
		at = l.used
		l.used++
		if l.owner[at] = 0; owned {
			number = l.number(at)
		}
	}
	i, half, rest := int32(1), l.size()/2, at
	for ; half > 0; half /= 2 {
		if l.sums[i].zero() {
			l.sums[2*i], l.sums[2*i+1] = wide{}, wide{}
		}
		l.sums[i] = l.sums[i].add(x)
		i *= 2
		if rest >= half {
			rest -= half
			i++
		}
	}
	l.sums[i] = l.sums[i].add(x)
	return number
}

// below returns what remains in layer at and in the older ones.
func (l *layers) below(at int32) wide {
	var sum wide
	i := int32(1)
	for half := l.size() / 2; half > 0; half /= 2 {
		if l.sums[i].zero() {
			return sum
		}
		i *= 2
		if at >= half {
			sum = sum.add(l.sums[i])
			at -= half
			i++
		}
	}
	return sum.add(l.sums[i])
}

// take removes as much as r from a layer and then from older ones, and returns how much there was.
func (l *layers) take(number int32, r wide) (taken wide) {
	at := l.at[number]
	t := l.below(at)
	r = r.min(t)
	taken, t = r, t.sub(r) // what is to remain at or below
	i := int32(1)
	for half := l.size() / 2; !r.zero(); half /= 2 {
		l.sums[i] = l.sums[i].sub(r)
		if half == 0 || l.sums[i].zero() {
			break
		}
		i *= 2
		if at < half {
			continue
		}
		if left := l.sums[i]; t.less(left) {
			l.truncateNode(i, t)
			r = r.sub(left.sub(t))
			t = wide{}
		} else {
			t = t.sub(left)
		}
		at -= half
		i++
	}
	return taken
}

// release leaves what remains of a layer to nobody.
func (l *layers) release(number int32) {
	l.at[number] = released
	l.free = append(l.free, number)
	l.live--
	if l.live == 0 && l.total().zero() {
		l.used = 0
	}
}

// compact merges what finished calls left behind into the next newer layer of a call in flight, which keeps every
// below(), and doubles the room if more than half of it is still in use.
func (l *layers) compact() {
	size := l.size()
	for i := int32(1); i < size; i++ {
		if l.sums[i].zero() {
			l.sums[2*i], l.sums[2*i+1] = wide{}, wide{}
		}
	}
	n, carry := int32(0), wide{}
	for i := range l.used {
		carry = carry.add(l.sums[size+i])
		if !l.owned(i) {
			continue
		}
		k := l.owner[i]
		l.sums[size+n], l.owner[n], l.at[k] = carry, k, n
		carry = wide{}
		n++
	}
	if !carry.zero() {
		l.sums[size+n], l.owner[n] = carry, 0
		n++
	}
	if n > size/2 || size == 0 {
		l.grow(n)
	}
	l.used = n
	l.sumUp()
}

// sumUp computes the sums above the layers in use. Beside them a node whose sum is 0 stands for those that are not.
func (l *layers) sumUp() {
	first := l.size()
	for end := first + l.used; ; first, end = first/2, (end+1)/2 {
		if end < 2*first {
			l.sums[end] = wide{}
		}
		if first == 1 {
			return
		}
		for i := first / 2; i < (end+1)/2; i++ {
			l.sums[i] = l.sums[2*i].add(l.sums[2*i+1])
		}
	}
}

// grow doubles the room and keeps the first n layers. The sums above them are not yet right.
func (l *layers) grow(n int32) {
	old := l.size()
	size := max(4, 2*old)
	sums := make([]wide, 2*size)
	owner := make([]int32, size)
	if old > 0 {
		copy(sums[size:], l.sums[old:old+n])
		copy(owner, l.owner[:n])
	}
	l.sums, l.owner = sums, owner
}

// unowned marks a layer of a restored bucket whose call has not been restored yet.
const unowned = -1

// held returns, of layers that have just been compacted, those of calls in flight from the oldest on, and what
// finished calls left on top.
func (l *layers) held() (held []wide, rest wide) {
	size := l.size()
	if l.used > l.live {
		rest = l.sums[size+l.live]
	}
	return l.sums[size : size+l.live], rest
}

// restore fills empty layers with what held returned. Their owners claim them.
func (l *layers) restore(held []wide, rest wide) {
	n := int32(len(held))
	if n == 0 && rest.zero() {
		return
	}
	size := int32(4)
	for size < n+1 {
		size *= 2
	}
	l.sums, l.owner = make([]wide, 2*size), make([]int32, size)
	copy(l.sums[size:], held)
	for i := range n {
		l.owner[i] = unowned
	}
	l.used = n
	if !rest.zero() {
		l.sums[size+n] = rest
		l.used++
	}
	l.sumUp()
}

// claim gives the k-th of restored layers to a call, and says whether it was there to be had.
func (l *layers) claim(k int32) (number int32, ok bool) {
	if k < 0 || k >= l.used || l.owner[k] != unowned {
		return 0, false
	}
	return l.number(k), true
}
