package prove

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"forebay/capacity"
	"forebay/capacity/eventlog"
)

// visitor sees one event of the scheduler, the moment at which it was taken, and what was decided.
type visitor func(at time.Time, ev *capacity.Event, actions []capacity.Action)

// replayed counts the events of a recording, and those that are decided otherwise when they are decided again.
type replayed struct {
	Events int `json:"events"`
	Differ int `json:"decided_otherwise"`
}

// replay decides a recording again, event by event, and shows it to visitors.
func replay(dir string, visit ...visitor) (replayed, error) {
	var total replayed
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return total, err
	}
	slices.Sort(files)
	for _, name := range files {
		if err := total.segment(name, visit); err != nil {
			return total, err
		}
	}
	if total.Events == 0 {
		return total, errors.New("there is no recording in " + dir)
	}
	return total, nil
}

func (r *replayed) segment(name string, visit []visitor) error {
	f, err := os.Open(name) //nolint:gosec // of the directory that the server recorded to
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	log, err := eventlog.NewReader(bufio.NewReader(f))
	if err != nil {
		return err
	}
	first := capacity.Instant(-1)
	return eventlog.Replay(log, func(rec *eventlog.Record, actions []capacity.Action, same bool) error {
		if rec.Name != "" {
			return nil
		}
		if first < 0 {
			first = rec.Now
		}
		r.Events++
		if !same {
			r.Differ++
		}
		at := log.Started().Add(time.Duration(rec.Now - first))
		for _, v := range visit {
			v(at, &rec.Event, actions)
		}
		return nil
	})
}

// slots follows how many slots are busy.
type slots struct {
	busy    map[capacity.CallID]bool
	changes []change
}

// change is the number of busy slots from a moment on.
type change struct {
	at   time.Time
	busy int
}

func newSlots() *slots { return &slots{busy: map[capacity.CallID]bool{}} }

func (s *slots) visit(at time.Time, ev *capacity.Event, actions []capacity.Action) {
	before := len(s.busy)
	switch ev.Kind {
	case capacity.EventSettle:
		if !ev.SlotHeld {
			delete(s.busy, ev.Call)
		}
	case capacity.EventFreed, capacity.EventRetry:
		delete(s.busy, ev.Call)
	}
	for i := range actions {
		if actions[i].Kind == capacity.ActionAdmit {
			s.busy[actions[i].Call] = true
		}
	}
	if len(s.busy) != before {
		s.changes = append(s.changes, change{at, len(s.busy)})
	}
}

// mean is the mean number of busy slots between two moments.
func (s *slots) mean(from, to time.Time) float64 {
	var sum float64
	for i, c := range s.changes {
		end := to
		if i+1 < len(s.changes) && s.changes[i+1].at.Before(to) {
			end = s.changes[i+1].at
		}
		begin := c.at
		if begin.Before(from) {
			begin = from
		}
		if end.After(begin) {
			sum += float64(c.busy) * end.Sub(begin).Seconds()
		}
	}
	return sum / to.Sub(from).Seconds()
}

// holds follows what the calls of one client, alone in a window of time, take of a bucket.
type holds struct {
	from, to       time.Time
	rate, depth    float64 // tokens a second, tokens
	calls          []hold  // in the order in which they were taken
	at             map[capacity.CallID]int
	taken, refused int
	debt           int64 // charged beyond the holds
}

// hold is one call: what it held from when it was taken, and what it was charged when it was settled.
type hold struct {
	taken, settled time.Time
	held, charged  float64
}

func newHolds(perMinute int64) *holds {
	return &holds{rate: float64(perMinute) / 60, depth: float64(perMinute), at: map[capacity.CallID]int{}}
}

// visit notes a hold when the scheduler takes a call, which is at its arrival: what is refused at once holds nothing.
func (h *holds) visit(at time.Time, ev *capacity.Event, actions []capacity.Action) {
	for i := range actions {
		a := &actions[i]
		if k, ok := h.at[a.Call]; ok && a.Kind == capacity.ActionSettled {
			h.debt += a.Debt
			h.calls[k].settled, h.calls[k].charged = at, float64(a.Charged)
		}
	}
	if ev.Kind != capacity.EventArrive || at.Before(h.from) || at.After(h.to) {
		return
	}
	for i := range actions {
		if a := &actions[i]; a.Call == ev.Call && a.Kind == capacity.ActionReject {
			h.refused++
			return
		}
	}
	h.taken++
	h.at[ev.Call] = len(h.calls)
	h.calls = append(h.calls, hold{taken: at, held: float64(ev.Input + ev.CacheWrite + ev.MaxOutput)})
}

// most returns the most tokens, beyond rate x T, that the calls taken in any interval T hold at its end: a call that is settled by then
// what it was charged, another all that it asked for.
func (h *holds) most() float64 {
	var most float64
	for last := range h.calls {
		end := h.calls[last].taken
		sum := 0.0
		for k := last; k >= 0; k-- {
			c := &h.calls[k]
			if !c.settled.IsZero() && !c.settled.After(end) {
				sum += c.charged
			} else {
				sum += c.held
			}
			most = max(most, sum-h.rate*end.Sub(c.taken).Seconds())
		}
	}
	return most
}

// recalls follows how long lent slots take to come back, and how long reserved calls wait.
type recalls struct {
	from, to time.Time
	stopped  map[capacity.CallID]time.Time
	arrived  map[capacity.CallID]time.Time
	returns  []time.Duration // from Preempt to Freed
	waits    []time.Duration // of reserved calls, from arrival to admission
}

func newRecalls() *recalls {
	return &recalls{stopped: map[capacity.CallID]time.Time{}, arrived: map[capacity.CallID]time.Time{}}
}

func (r *recalls) visit(at time.Time, ev *capacity.Event, actions []capacity.Action) {
	if at.Before(r.from) || at.After(r.to) {
		return
	}
	if ev.Kind == capacity.EventArrive && ev.NumLanes > 0 && ev.Lanes[0].Reservation != 0 {
		r.arrived[ev.Call] = at
	}
	if since, ok := r.stopped[ev.Call]; ok && (ev.Kind == capacity.EventFreed || ev.Kind == capacity.EventSettle) {
		r.returns = append(r.returns, at.Sub(since))
		delete(r.stopped, ev.Call)
	}
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case capacity.ActionPreempt:
			if a.Reason == capacity.ReasonRecall {
				r.stopped[a.Call] = at
			}
		case capacity.ActionAdmit:
			if since, ok := r.arrived[a.Call]; ok {
				r.waits = append(r.waits, at.Sub(since))
				delete(r.arrived, a.Call)
			}
		}
	}
}

// fairness follows, for every two accounts that wait in the default tier at once, by how much their service differs since both do.
type fairness struct {
	weight  [2]int64 // of a token in, and out
	of      map[capacity.CallID]*served
	service map[capacity.AccountID]int64
	waiting map[capacity.AccountID]int
	pairs   map[[2]capacity.AccountID]*spread
	worst   int64
	most    int64 // tokens in flight
	flight  int64
	longest int64 // input
}

type served struct {
	account  capacity.AccountID
	in, out  int64
	size     int64
	admitted bool
}

type spread struct{ low, high int64 }

func newFairness() *fairness {
	return &fairness{
		weight: [2]int64{1, 1}, of: map[capacity.CallID]*served{}, service: map[capacity.AccountID]int64{},
		waiting: map[capacity.AccountID]int{}, pairs: map[[2]capacity.AccountID]*spread{},
	}
}

func (f *fairness) visit(_ time.Time, ev *capacity.Event, actions []capacity.Action) {
	if ev.Kind == capacity.EventConfigure && ev.Config != nil {
		for _, m := range ev.Config.Models {
			f.weight = [2]int64{max(f.weight[0], int64(m.WeightInput)), max(f.weight[1], int64(m.WeightOutput))}
		}
	}
	if ev.Kind == capacity.EventArrive && (ev.Tier == 0 || ev.Tier == capacity.TierDefault) {
		f.of[ev.Call] = &served{account: ev.Account, in: ev.Input, size: ev.Input + ev.MaxOutput}
		f.wait(ev.Account, 1)
	}
	if c := f.of[ev.Call]; c != nil && c.admitted && (ev.Kind == capacity.EventProgress || ev.Kind == capacity.EventSettle) && ev.Output > c.out {
		f.serve(c.account, (ev.Output-c.out)*f.weight[1])
		c.out = ev.Output
	}
	for i := range actions {
		f.act(&actions[i])
	}
}

func (f *fairness) act(a *capacity.Action) {
	c := f.of[a.Call]
	switch {
	case c == nil:
	case a.Kind == capacity.ActionAdmit && !c.admitted:
		c.admitted = true
		f.flight += c.size
		f.most, f.longest = max(f.most, f.flight), max(f.longest, c.in)
		f.wait(c.account, -1)
		f.serve(c.account, c.in*f.weight[0])
	case a.Kind.Terminal():
		if c.admitted {
			f.flight -= c.size
		} else {
			f.wait(c.account, -1)
		}
		delete(f.of, a.Call)
	}
}

func (f *fairness) wait(a capacity.AccountID, n int) {
	before := f.waiting[a]
	f.waiting[a] += n
	switch {
	case before == 0:
		for b := range f.waiting {
			if b != a {
				k, d := f.between(a, b)
				f.pairs[k] = &spread{d, d}
			}
		}
	case f.waiting[a] == 0:
		delete(f.waiting, a)
		for b := range f.waiting {
			k, _ := f.between(a, b)
			delete(f.pairs, k)
		}
	}
}

// between returns the key of two accounts, and by how much the first of it was served more.
func (f *fairness) between(a, b capacity.AccountID) (key [2]capacity.AccountID, d int64) {
	if a > b {
		a, b = b, a
	}
	return [2]capacity.AccountID{a, b}, f.service[a] - f.service[b]
}

func (f *fairness) serve(a capacity.AccountID, service int64) {
	f.service[a] += service
	if f.waiting[a] == 0 {
		return
	}
	for b := range f.waiting {
		if b == a {
			continue
		}
		k, d := f.between(a, b)
		p := f.pairs[k]
		p.low, p.high = min(p.low, d), max(p.high, d)
		f.worst = max(f.worst, p.high-p.low)
	}
}

// bound is that of Theorem 4.4 of Sheng et al., with output counted as it is told.
func (f *fairness) bound() int64 {
	return 2 * max(f.weight[0]*f.longest, f.weight[1]*f.most)
}
