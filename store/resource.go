package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"forebay/fault"
)

// Resource is something that a caller of an API has made and names by an ARN. Who owns the kind says
// what its body is.
type Resource struct {
	ARN     string
	Kind    string // as in the ARN: "application-inference-profile", "custom-model", ...
	Account string
	Name    string // unique among the account's resources of the kind, whatever its case; "" is none
	Body    []byte
	Created time.Time
	Updated time.Time
}

const resourceColumns = `arn, kind, account, name, body, created, updated`

// CreateResource stores a new resource. Faults: Conflict when the name is taken.
func (t *Tx) CreateResource(ctx context.Context, r *Resource) error {
	res, err := t.tx.ExecContext(ctx, `INSERT INTO resources (`+resourceColumns+`) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		r.ARN, r.Kind, r.Account, r.Name, string(r.Body), r.Created.UnixNano(), r.Updated.UnixNano())
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.Newf(fault.Conflict, "The %s name %s is already in use.", r.Kind, r.Name))
	}
	return nil
}

// UpdateResource stores the name, the body and the time of a change. Faults: NotFound; Conflict when the name is taken.
func (t *Tx) UpdateResource(ctx context.Context, r *Resource) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE OR IGNORE resources SET name = ?, body = ?, updated = ? WHERE arn = ?`, r.Name, string(r.Body), r.Updated.UnixNano(), r.ARN)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil || n > 0 {
		return err
	}
	if _, err := t.Resource(ctx, r.ARN); err != nil {
		return err
	}
	return fault.Newf(fault.Conflict, "The %s name %s is already in use.", r.Kind, r.Name)
}

// DeleteResource removes a resource with its tags. Faults: NotFound.
func (t *Tx) DeleteResource(ctx context.Context, arn string) error {
	res, err := t.tx.ExecContext(ctx, `DELETE FROM resources WHERE arn = ?`, arn)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, noResource(arn))
	}
	_, err = t.tx.ExecContext(ctx, `DELETE FROM tags WHERE arn = ?`, arn)
	return err
}

// Resource returns the resource of an ARN. Faults: NotFound.
func (t *Tx) Resource(ctx context.Context, arn string) (*Resource, error) {
	return t.resource(ctx, arn, `arn = ?`, arn)
}

// NamedResource returns the resource of a name. Faults: NotFound.
func (t *Tx) NamedResource(ctx context.Context, kind, account, name string) (*Resource, error) {
	return t.resource(ctx, name, `kind = ? AND account = ? AND name = ? COLLATE NOCASE AND name <> ''`, kind, account, name)
}

func (t *Tx) resource(ctx context.Context, asked, where string, args ...any) (*Resource, error) {
	r, err := scanResource(t.tx.QueryRowContext(ctx, `SELECT `+resourceColumns+` FROM resources WHERE `+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noResource(asked)
	}
	return r, err
}

func noResource(asked string) error {
	return fault.Newf(fault.NotFound, "Could not find the resource %s.", asked)
}

// Resources lists those of a kind, of an account or with "" of all, in the order in which they were made.
func (t *Tx) Resources(ctx context.Context, kind, account string) ([]Resource, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+resourceColumns+` FROM resources WHERE kind = ? AND (? = '' OR account = ?) ORDER BY created, arn`, kind, account, account)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []Resource
	for rows.Next() {
		r, err := scanResource(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	return out, rows.Err()
}

func scanResource(row interface{ Scan(dest ...any) error }) (*Resource, error) {
	var r Resource
	var body string
	var created, updated int64
	if err := row.Scan(&r.ARN, &r.Kind, &r.Account, &r.Name, &body, &created, &updated); err != nil {
		return nil, err
	}
	r.Body, r.Created, r.Updated = []byte(body), time.Unix(0, created).UTC(), time.Unix(0, updated).UTC()
	return &r, nil
}

// Tags returns what a resource is tagged with, nil for nothing.
func (t *Tx) Tags(ctx context.Context, arn string) (map[string]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT key, value FROM tags WHERE arn = ?`, arn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out map[string]string
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, err
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	return out, rows.Err()
}

// SetTags sets tags of a resource; its others stay.
func (t *Tx) SetTags(ctx context.Context, arn string, tags map[string]string) error {
	for key, value := range tags {
		if _, err := t.tx.ExecContext(ctx, `INSERT INTO tags VALUES (?,?,?) ON CONFLICT DO UPDATE SET value = excluded.value`, arn, key, value); err != nil {
			return err
		}
	}
	return nil
}

// RemoveTags takes tags off a resource; those that it has not are passed over.
func (t *Tx) RemoveTags(ctx context.Context, arn string, keys []string) error {
	for _, key := range keys {
		if _, err := t.tx.ExecContext(ctx, `DELETE FROM tags WHERE arn = ? AND key = ?`, arn, key); err != nil {
			return err
		}
	}
	return nil
}
