package accrual

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Ledger is where postings are kept: its tables are contracts and hours.
type Ledger interface {
	// Update runs f in a transaction that nobody else writes in.
	Update(ctx context.Context, f func(*sql.Tx) error) error
	// View runs f on one consistent state.
	View(ctx context.Context, f func(*sql.Tx) error) error
}

// Book posts to a ledger and reads what was posted. It is safe for concurrent use, and several, of several processes, may
// post to one ledger.
type Book struct {
	ledger Ledger

	posted atomic.Int64

	mu    sync.Mutex
	known map[string]standing // by purchase, as of the last look; another Book may have got further since
}

// NewBook returns the book of a ledger.
func NewBook(l Ledger) *Book { return &Book{ledger: l, known: make(map[string]standing)} }

// batch is about how many postings one transaction takes: the lock is held for some milliseconds.
const batch = 500

// Post posts what is due of a purchase at an instant of the wall clock. It may be called again at any time,
// with any instant, also after an error: what has been posted is not posted again. The end of ctx ends it between
// transactions.
func (b *Book) Post(ctx context.Context, p *Purchase, now time.Time) error {
	s, err := b.standing(ctx, p.ID)
	if err != nil {
		return err
	}
	for {
		if try := s; len(try.due(p, now, 1)) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx := context.WithoutCancel(ctx)
		var due []posting
		err := b.ledger.Update(ctx, func(tx *sql.Tx) error {
			id, err := read(ctx, tx, p.ID, &s)
			if err != nil {
				return err
			}
			due = s.due(p, now, batch)
			return write(ctx, tx, p.ID, id, due, time.Now())
		})
		b.mu.Lock()
		if err == nil {
			b.known[p.ID] = s
		} else {
			delete(b.known, p.ID) // whether it was committed is for the file to say
		}
		b.mu.Unlock()
		if err != nil {
			return fmt.Errorf("post the hours of %s: %w", p.ID, err)
		}
		for i := range due {
			b.posted.Add(due[i].unitSeconds())
		}
	}
}

// UnitSeconds returns how many units x seconds this Book has posted.
func (b *Book) UnitSeconds() int64 { return b.posted.Load() }

// unitSeconds are those of an hour; 0 of a contract.
func (p *posting) unitSeconds() int64 {
	if p.kind != KindHour {
		return 0
	}
	return times(p.terms.Units, p.until.Unix()-p.at.Unix())
}

// standing returns how far a purchase was posted when it was last looked at.
func (b *Book) standing(ctx context.Context, purchase string) (standing, error) {
	b.mu.Lock()
	s, ok := b.known[purchase]
	b.mu.Unlock()
	if ok {
		return s, nil
	}
	err := b.ledger.View(ctx, func(tx *sql.Tx) error {
		_, err := read(ctx, tx, purchase, &s)
		return err
	})
	if err != nil {
		return s, fmt.Errorf("read the hours of %s: %w", purchase, err)
	}
	b.mu.Lock()
	b.known[purchase] = s
	b.mu.Unlock()
	return s, nil
}

const contractColumns = `at, kind, name, account, team, model, units, term, expires, tags, currency, charge, cost_currency, cost, date, source,
 unit_input, unit_output, size`

// read reads how far a purchase has been posted, and the id of its last contract.
func read(ctx context.Context, tx *sql.Tx, purchase string, s *standing) (contract int64, err error) {
	*s = standing{}
	var c contractRow
	row := tx.QueryRowContext(ctx, `SELECT id, `+contractColumns+` FROM contracts WHERE purchase = ?1 ORDER BY kind = '`+KindEnd+`' DESC, at DESC, id DESC LIMIT 1`, purchase)
	err = row.Scan(append([]any{&contract}, c.into()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	last := c.posting() // the end, though contracts that a clock ahead has posted lie behind it
	s.begun, s.ended, s.terms, s.until = true, last.kind == KindEnd, last.terms, last.at
	if s.ended {
		return contract, nil
	}
	var until int64
	err = tx.QueryRowContext(ctx, `SELECT until FROM hours WHERE purchase = ? ORDER BY at DESC LIMIT 1`, purchase).Scan(&until)
	if errors.Is(err, sql.ErrNoRows) {
		return contract, nil
	}
	s.until = instant(until)
	return contract, err
}

// write adds postings. The contract of the hours that come first is given by its id.
func write(ctx context.Context, tx *sql.Tx, purchase string, contract int64, list []posting, posted time.Time) error {
	hour, err := tx.PrepareContext(ctx, `INSERT INTO hours (purchase, at, until, contract, charge, cost, posted) VALUES (?,?,?,?,?,?,?)`)
	if err != nil {
		return err
	}
	defer func() { _ = hour.Close() }()
	for i := range list {
		p := &list[i]
		if p.kind == KindHour {
			if _, err := hour.ExecContext(ctx, purchase, p.at.UnixNano(), p.until.UnixNano(), contract, p.charge.sql(), p.cost.sql(), posted.UnixNano()); err != nil {
				return err
			}
			continue
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO contracts (purchase, posted, `+contractColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			append([]any{purchase, posted.UnixNano()}, contractValues(p)...)...)
		if err != nil {
			return err
		}
		if contract, err = res.LastInsertId(); err != nil {
			return err
		}
		if p.kind == KindEnd {
			if err := giveBack(ctx, tx, purchase, p.at, posted); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a Amount) sql() sql.NullInt64 { return sql.NullInt64{Int64: a.Nano, Valid: a.Known} }

func (r *Rate) sql() (currency sql.NullString, nano sql.NullInt64) {
	return sql.NullString{String: r.Currency, Valid: r.Known}, sql.NullInt64{Int64: r.Nano, Valid: r.Known}
}

func rate(currency sql.NullString, nano sql.NullInt64) Rate {
	if !nano.Valid {
		return Rate{}
	}
	return Rate{Known: true, Nano: nano.Int64, Currency: currency.String}
}

func instant(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// contractValues are the values of contractColumns.
func contractValues(p *posting) []any {
	t := &p.terms
	var expires sql.NullInt64
	if !t.Expires.IsZero() {
		expires = sql.NullInt64{Int64: t.Expires.UnixNano(), Valid: true}
	}
	currency, charge := t.Charge.sql()
	costCurrency, cost := t.Cost.sql()
	return []any{
		p.at.UnixNano(), p.kind, t.Name, t.Account, t.Team, t.Model, t.Units, t.Term, expires,
		sql.NullString{String: t.Tags, Valid: t.Tags != ""},
		currency, charge, costCurrency, cost,
		t.Date, t.Source, t.Size.Input, t.Size.Output, t.Size.Basis,
	}
}

// contractRow is a contract as it comes from the file.
type contractRow struct {
	at                     int64
	expires, charge, cost  sql.NullInt64
	currency, costCurrency sql.NullString
	tags                   sql.NullString
	p                      posting
}

func (c *contractRow) into() []any {
	t := &c.p.terms
	return []any{
		&c.at, &c.p.kind, &t.Name, &t.Account, &t.Team, &t.Model, &t.Units, &t.Term, &c.expires, &c.tags, &c.currency, &c.charge, &c.costCurrency, &c.cost,
		&t.Date, &t.Source, &t.Size.Input, &t.Size.Output, &t.Size.Basis,
	}
}

func (c *contractRow) posting() posting {
	p := c.p
	p.at, p.terms.Tags = instant(c.at), c.tags.String
	if c.expires.Valid {
		p.terms.Expires = instant(c.expires.Int64)
	}
	p.terms.Charge, p.terms.Cost = rate(c.currency, c.charge), rate(c.costCurrency, c.cost)
	return p
}
