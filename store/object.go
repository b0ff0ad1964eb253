package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"forebay/fault"
)

// Object is something of the configuration that was made at run time. Its body is JSON in
// the form that the configuration file has.
type Object struct {
	Kind    string // "account", "team", "engine", "model", "route", "calibration"
	Account string // of a team; "" for what belongs to no account
	Name    string
	Body    []byte
	Created time.Time
	Updated time.Time
}

// Objects lists all objects, ordered by kind, account and name.
func (s *Store) Objects(ctx context.Context) ([]Object, error) { return objects(ctx, s.db) }

// Objects lists all objects as the transaction sees them.
func (t *Tx) Objects(ctx context.Context) ([]Object, error) { return objects(ctx, t.tx) }

func objects(ctx context.Context, q queryer) ([]Object, error) {
	rows, err := q.QueryContext(ctx, `SELECT kind, account, name, body, created, updated FROM objects ORDER BY kind, account, name`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []Object
	for rows.Next() {
		var o Object
		var body string
		var created, updated int64
		if err := rows.Scan(&o.Kind, &o.Account, &o.Name, &body, &created, &updated); err != nil {
			return nil, err
		}
		o.Body, o.Created, o.Updated = []byte(body), time.Unix(0, created).UTC(), time.Unix(0, updated).UTC()
		out = append(out, o)
	}
	return out, rows.Err()
}

// CreateObject stores a new object. Faults: Conflict when it exists.
func (t *Tx) CreateObject(ctx context.Context, o *Object) error {
	r, err := t.tx.ExecContext(ctx, `INSERT INTO objects VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		o.Kind, o.Account, o.Name, string(o.Body), o.Created.UnixNano(), o.Created.UnixNano())
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.Newf(fault.Conflict, "%s %q exists already", o.Kind, o.Name))
	}
	return nil
}

// PutObject stores an object in place of one of the same name, if there is one.
func (t *Tx) PutObject(ctx context.Context, o *Object) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO objects VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET body = excluded.body, updated = excluded.updated`,
		o.Kind, o.Account, o.Name, string(o.Body), o.Created.UnixNano(), o.Updated.UnixNano())
	return err
}

// Object returns one object. Faults: NotFound.
func (t *Tx) Object(ctx context.Context, kind, account, name string) (*Object, error) {
	o := Object{Kind: kind, Account: account, Name: name}
	var body string
	var created, updated int64
	err := t.tx.QueryRowContext(ctx, `SELECT body, created, updated FROM objects WHERE kind = ? AND account = ? AND name = ?`, kind, account, name).
		Scan(&body, &created, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Newf(fault.NotFound, "no %s %q was made at run time", kind, name)
	}
	o.Body, o.Created, o.Updated = []byte(body), time.Unix(0, created).UTC(), time.Unix(0, updated).UTC()
	return &o, err
}

// DeleteObject removes an object. Faults: NotFound.
func (t *Tx) DeleteObject(ctx context.Context, kind, account, name string) error {
	r, err := t.tx.ExecContext(ctx, `DELETE FROM objects WHERE kind = ? AND account = ? AND name = ?`, kind, account, name)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.Newf(fault.NotFound, "no %s %q was made at run time", kind, name))
	}
	return nil
}

// LiveKeys counts the keys of an account, or of one of its teams, that are not revoked.
func (t *Tx) LiveKeys(ctx context.Context, account, team string) (n int, err error) {
	err = t.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM keys WHERE account = ? AND (? = '' OR team = ?) AND revoked IS NULL`, account, team, team).Scan(&n)
	return n, err
}
