package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Uptime is a time in which a server ran on the ledger, nanoseconds since 1970. It may have run for up to UptimeEvery longer: it is stopped at any time.
type Uptime struct {
	Since int64 `json:"since"`
	Until int64 `json:"until"`
}

// Uptimes are the times in which servers ran: in others, that nobody called says nothing.
type Uptimes struct {
	// Known is from when on they are noted: calls of programs that noted none lie before.
	Known int64    `json:"known"`
	Times []Uptime `json:"times"` // in order
}

const (
	// UptimeEvery is how often a server notes that it runs.
	UptimeEvery = time.Minute
	// mostUptimes bounds the times of one answer: the latest are told.
	mostUptimes = 10_000
	// uptimeWait bounds the writing of one.
	uptimeWait = 2 * time.Second
)

// attend notes that a server runs, until the ledger is closed.
func (l *Ledger) attend(id int64) {
	tick := time.NewTicker(UptimeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.attends(id, time.Now())
		case <-l.stop:
			l.attends(id, time.Now())
			return
		}
	}
}

// attended begins a time.
func (l *Ledger) attended(ctx context.Context, now time.Time) (id int64, err error) {
	r, err := l.write.ExecContext(ctx, `INSERT INTO uptimes (since, until) VALUES (?1, ?1)`, now.UnixNano())
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// attends makes a time longer. One that cannot be written now is made longer by the next.
func (l *Ledger) attends(id int64, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), uptimeWait)
	defer cancel()
	if _, err := l.write.ExecContext(ctx, `UPDATE uptimes SET until = MAX(until, ?) WHERE id = ?`, now.UnixNano(), id); err != nil {
		l.opts.Log.Debug("that the server runs was not noted in the ledger", "error", err.Error())
	}
}

// uptimes are those between two instants.
func (l *Ledger) uptimes(ctx context.Context, since, until time.Time) (u *Uptimes, err error) {
	u = &Uptimes{Times: []Uptime{}}
	var first, call sql.NullInt64
	if err := l.read.QueryRowContext(ctx, `SELECT (SELECT MIN(since) FROM uptimes), (SELECT MIN(arrived) FROM calls)`).Scan(&first, &call); err != nil {
		return nil, fmt.Errorf("uptimes: %w", err)
	}
	if !first.Valid {
		u.Known = 1<<63 - 1
		return u, nil
	}
	if call.Valid && call.Int64 < first.Int64 {
		u.Known = first.Int64
	}
	from, to := bounds(since, until)
	rows, err := l.read.QueryContext(ctx, `SELECT since, until FROM (SELECT since, until FROM uptimes WHERE until >= ? AND since < ? ORDER BY since DESC, id DESC LIMIT ?) ORDER BY since, until`, from, to, mostUptimes)
	if err != nil {
		return nil, fmt.Errorf("uptimes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t Uptime
		if err := rows.Scan(&t.Since, &t.Until); err != nil {
			return nil, fmt.Errorf("uptimes: %w", err)
		}
		u.Times = append(u.Times, t)
	}
	if len(u.Times) == mostUptimes {
		u.Known = max(u.Known, u.Times[0].Since)
	}
	return u, rows.Err()
}
