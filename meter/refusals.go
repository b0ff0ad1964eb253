package meter

import (
	"context"
	"time"
)

// maxRefusals bounds what refusals are counted apart; when there are more kinds, callers and
// models are left out.
const maxRefusals = 4096

// refusalKey is what refusals are counted by. All of it is bounded by the configuration, for
// what a caller may invent (a key, a model, a path) is not in it.
type refusalKey struct {
	account, key, model, api, operation, reason, outcome string
}

// refusal counts the refusals of one kind in one minute.
type refusal struct {
	minute int64
	seen   int64
	more   *Record // stands for those beyond the rate; nil while there are none
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
	if r == nil || r.minute != minute && r.more == nil {
		r = &refusal{minute: minute}
		l.refused[k] = r
	}
	r.seen++
	if r.seen <= own {
		return false
	}
	if r.more == nil {
		r.more = &Record{
			RequestID: rec.RequestID, Account: k.account, Key: k.key, Model: k.model, API: k.api, Operation: k.operation, Reason: k.reason,
			Outcome: k.outcome, Mode: rec.Mode, Status: rec.Status, Arrived: rec.Arrived,
		}
		if k.account != "" {
			r.more.Team = rec.Team
		}
	}
	r.more.Count += rec.Count
	r.more.Estimate += rec.Estimate
	r.more.MaxTokens += rec.MaxTokens
	return true
}

// flushRefusals writes the rows of minutes that are over, or of all. Those that cannot be
// written are kept.
func (l *Ledger) flushRefusals(now time.Time, all bool) {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	minute := now.Unix() / 60
	var recs []*Record
	var from []refusalKey
	l.mu.Lock()
	for k, r := range l.refused {
		over := r.minute < minute
		if over {
			delete(l.refused, k)
		}
		if r.more != nil && (over || all) {
			recs, from = append(recs, r.more), append(from, k)
			r.more = nil
		}
	}
	l.mu.Unlock()
	for i, r := range recs {
		if err := l.put(context.Background(), r); err != nil {
			l.fail(err)
			l.keepRefusal(from[i], r)
		}
	}
}

// keepRefusal takes back the row of refusals that could not be written.
func (l *Ledger) keepRefusal(k refusalKey, rec *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.refused[k]
	if r == nil {
		r = &refusal{minute: rec.Arrived.Unix() / 60}
		l.refused[k] = r
	}
	if r.more != nil {
		rec.Count += r.more.Count
		rec.Estimate += r.more.Estimate
		rec.MaxTokens += r.more.MaxTokens
	}
	r.more = rec
}
