package accrual

import (
	"context"
	"database/sql"
	"time"
)

// refund is what is given back of an hour that was posted beyond the end of its purchase.
type refund struct {
	at           time.Time // from here to the end of the hour
	charge, cost Amount
}

// givenBack returns what is given back of an hour of a purchase that ended before the hour did: what was posted, less what the seconds
// until then make.
func (h *Posting) givenBack(ended time.Time) refund {
	r := refund{at: h.At}
	if ended.After(h.At) {
		r.at = ended
	}
	kept := r.at.Unix() - h.At.Unix()
	less := func(posted Amount, rate *Rate) Amount {
		if a := rate.amount(h.Units, kept); a.Known && posted.Known {
			return Amount{Known: true, Nano: posted.Nano - a.Nano}
		}
		return Amount{}
	}
	r.charge, r.cost = less(h.Charge, &h.ChargeRate), less(h.Cost, &h.CostRate)
	return r
}

// giveBackSQL has the hours that were posted beyond an instant.
const giveBackSQL = `SELECT h.purchase, h.at, h.until, h.charge, h.cost, h.posted, c.name, c.account, c.team, c.model, c.units, c.term, c.expires, c.tags,
 c.currency, c.charge, c.cost_currency, c.cost, c.date, c.source, c.unit_input, c.unit_output, c.size
 FROM hours h JOIN contracts c ON c.id = h.contract WHERE h.purchase = ? AND h.until > ? ORDER BY h.at`

// giveBack posts what is given back of the hours that were posted beyond the end of a purchase.
func giveBack(ctx context.Context, tx *sql.Tx, purchase string, ended, posted time.Time) error {
	hours, err := beyond(ctx, tx, purchase, ended)
	if err != nil {
		return err
	}
	for i := range hours {
		h := &hours[i]
		r := h.givenBack(ended)
		_, err := tx.ExecContext(ctx, `INSERT INTO refunds (purchase, hour, at, charge, cost, posted) VALUES (?,?,?,?,?,?)`,
			purchase, h.At.UnixNano(), r.at.UnixNano(), r.charge.sql(), r.cost.sql(), posted.UnixNano())
		if err != nil {
			return err
		}
	}
	return nil
}

// beyond returns the hours of a purchase that were posted beyond an instant.
func beyond(ctx context.Context, tx *sql.Tx, purchase string, ended time.Time) (hours []Posting, err error) {
	rows, err := tx.QueryContext(ctx, giveBackSQL, purchase, ended.UnixNano())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var h Posting
		s := postingScan{p: &h}
		if err := rows.Scan(s.into()...); err != nil {
			return nil, err
		}
		s.done()
		hours = append(hours, h)
	}
	return hours, rows.Err()
}
