package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"forebay/fault"
)

// Purchase is capacity that was bought, as it must be paid for. It stays when the resource that it was bought with is gone: what is
// owed does not go with it.
type Purchase struct {
	ARN     string
	Account string
	Body    []byte // JSON, as its owner writes it
	Began   time.Time
	Ended   time.Time // zero while it lasts
}

// PutPurchase stores a purchase in place of what was known of it.
func (t *Tx) PutPurchase(ctx context.Context, p *Purchase) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO purchases VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET body = excluded.body, ended = excluded.ended`,
		p.ARN, p.Account, string(p.Body), p.Began.UnixNano(), nullTime(p.Ended))
	return err
}

// Purchase returns the purchase of an ARN. Faults: NotFound.
func (t *Tx) Purchase(ctx context.Context, arn string) (*Purchase, error) {
	p, err := scanPurchase(t.tx.QueryRowContext(ctx, `SELECT arn, account, body, began, ended FROM purchases WHERE arn = ?`, arn))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Newf(fault.NotFound, "nothing was bought as %s", arn)
	}
	return p, err
}

// Purchases lists the purchases that lasted after an instant, in the order in which they began.
func (t *Tx) Purchases(ctx context.Context, since time.Time) ([]Purchase, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT arn, account, body, began, ended FROM purchases WHERE ended IS NULL OR ended > ? ORDER BY began, arn`, since.UnixNano())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []Purchase
	for rows.Next() {
		p, err := scanPurchase(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *p)
	}
	return out, rows.Err()
}

func scanPurchase(row interface{ Scan(dest ...any) error }) (*Purchase, error) {
	var p Purchase
	var body string
	var began int64
	var ended sql.NullInt64
	if err := row.Scan(&p.ARN, &p.Account, &body, &began, &ended); err != nil {
		return nil, err
	}
	p.Body, p.Began = []byte(body), time.Unix(0, began).UTC()
	if ended.Valid {
		p.Ended = time.Unix(0, ended.Int64).UTC()
	}
	return &p, nil
}
