package meter

import "time"

// maxRefusals bounds what refusals are counted apart; when there are more kinds, callers and
// models are left out.
const maxRefusals = 4096

// How often counts of refusals go into the journal: a killed program loses no more than that of them.
const (
	tallyEvery = time.Second
	maxTallies = 512 // kinds at a time; the others wait for the next
)

// refusalKey is what refusals are counted by. All of it is bounded by the configuration, for
// what a caller may invent (a key, a model, a path) is not in it.
type refusalKey struct {
	account, key, model, api, operation, reason, outcome string
}

// refusal counts the refusals of one kind in one minute.
type refusal struct {
	minute int64
	seen   int64
	row    *Record // stands for those beyond the rate, with what of them the journal does not have yet; nil while there are none
	begun  bool    // the journal has some of them
}

// aggregate counts a call that was not admitted and reports whether it is covered by a row for many,
// so that a client that ignores its limits cannot fill the ledger. A caller that was not
// authenticated has no row of its own, and nobody has while rows cannot be written.
func (l *Ledger) aggregate(rec *Record) bool {
	k := refusalKey{rec.Account, rec.Key, rec.Model, rec.API, rec.Operation, rec.Reason, rec.Outcome}
	minute := rec.Arrived.Unix() / 60
	own := int64(refusalsPerMinute)
	if rec.Account == "" || l.broken.Load() != nil {
		own = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.refused[k]
	if r == nil && len(l.refused) >= maxRefusals {
		k = refusalKey{api: rec.API, reason: rec.Reason, outcome: rec.Outcome}
		r, own = l.refused[k], 0
	}
	if r == nil || r.minute != minute && !r.due() {
		r = &refusal{minute: minute}
		l.refused[k] = r
	}
	r.seen++
	if r.seen <= own {
		return false
	}
	if r.row == nil {
		r.row = &Record{
			RequestID: rec.RequestID, Account: k.account, Key: k.key, Model: k.model, API: k.api, Operation: k.operation, Reason: k.reason,
			Outcome: k.outcome, Mode: rec.Mode, Status: rec.Status, Arrived: rec.Arrived,
		}
		if k.account != "" {
			r.row.Team = rec.Team
		}
	}
	r.row.addCounts(rec)
	return true
}

// addCounts adds what a row for many has sums of.
func (r *Record) addCounts(other *Record) {
	r.Count += other.Count
	r.Estimate += other.Estimate
	r.MaxTokens += other.MaxTokens
}

// due reports whether the journal lacks something of the refusals.
func (r *refusal) due() bool { return r.row != nil && r.row.Count > 0 }

// tally writes what has been counted until the ledger is closed.
func (l *Ledger) tally() {
	tick := time.NewTicker(tallyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flushRefusals(time.Now(), false)
		case <-l.stop:
			l.flushRefusals(time.Now(), true)
			return
		}
	}
}

// flushRefusals writes what has been counted since it did so last, of maxTallies kinds or of all, and forgets
// minutes that are over. The counts of one kind and minute end in one row. Those that cannot be written are kept.
func (l *Ledger) flushRefusals(now time.Time, all bool) {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	minute := now.Unix() / 60
	var recs []Record
	var from []refusalKey
	l.mu.Lock()
	for k, r := range l.refused {
		if r.due() {
			if !all && len(recs) == maxTallies {
				continue
			}
			recs, from = append(recs, *r.row), append(from, k)
			r.row.Count, r.row.Estimate, r.row.MaxTokens = 0, 0, 0
			if !r.begun {
				r.begun = true
				l.rows.Add(1)
			}
		}
		if r.minute < minute {
			delete(l.refused, k)
		}
	}
	l.mu.Unlock()
	for i := range recs {
		if err := l.journal.append(func(dst []byte) []byte { return appendCount(dst, &recs[i]) }); err != nil {
			l.fail(err)
			l.keepRefusal(from[i], &recs[i])
		}
	}
}

// keepRefusal takes back the counts of refusals that could not be written.
func (l *Ledger) keepRefusal(k refusalKey, rec *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.refused[k]
	if r == nil {
		r = &refusal{minute: rec.Arrived.Unix() / 60, begun: true}
		l.refused[k] = r
	}
	if r.row != nil {
		r.row.addCounts(rec)
	} else {
		r.row = rec
	}
}
