package meter

import (
	"time"
)

// refusalKey is what refusals are aggregated by.
type refusalKey struct {
	account, key, model, reason string
}

// refusal counts the refusals of one key for one reason in one minute.
type refusal struct {
	minute int64
	seen   int64
	more   *Record // stands for those beyond the rate; nil while there are none
}

// aggregate counts a refused call and reports whether it is covered by a row for many, so
// that a client that ignores its limits cannot fill the ledger.
func (l *Ledger) aggregate(rec *Record) bool {
	k := refusalKey{rec.Account, rec.Key, rec.Model, rec.Reason}
	minute := rec.Arrived.Unix() / 60
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.refused[k]
	if r == nil || r.minute != minute && r.more == nil {
		r = &refusal{minute: minute}
		l.refused[k] = r
	}
	r.seen++
	if r.seen <= refusalsPerMinute {
		return false
	}
	if r.more == nil {
		r.more = rec
	} else {
		r.more.Count++
	}
	return true
}

// flushRefusals writes the rows of minutes that are over, or of all.
func (l *Ledger) flushRefusals(now time.Time, all bool) {
	minute := now.Unix() / 60
	var recs []*Record
	l.mu.Lock()
	for k, r := range l.refused {
		if r.minute >= minute && !all {
			continue
		}
		delete(l.refused, k)
		if r.more != nil {
			recs = append(recs, r.more)
		}
	}
	l.mu.Unlock()
	if len(recs) > 0 {
		l.state(l.insert(recs), len(recs))
	}
}
