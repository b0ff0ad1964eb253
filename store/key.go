package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"

	"forebay/fault"
	"forebay/identity"

	"github.com/go-json-experiment/json"
)

// StoredKey is a key with what is kept of its secret.
type StoredKey struct {
	identity.Key
	Hash   string // of a bearer token
	Secret string // the secret access key of a pair, unsealed
	// Retired are the secrets that rotations have replaced, also such as have ended.
	Retired []identity.Retired
}

// CreateKey stores a new key with its secret. Faults: Conflict for an id or name that is taken.
func (s *Store) CreateKey(ctx context.Context, k *identity.Key, secret string) error {
	return s.Update(ctx, func(t *Tx) error { return t.CreateKey(ctx, k, secret) })
}

// CreateKey stores a new key with its secret. Faults: Conflict for an id or name that is taken.
func (t *Tx) CreateKey(ctx context.Context, k *identity.Key, secret string) error {
	policy, err := json.Marshal(k.Policy)
	if err != nil {
		return err
	}
	hash, sealed := t.s.kept(k, secret)
	var n int
	err = t.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM keys WHERE id = ? OR (account = ? AND name = ? AND name <> '' AND revoked IS NULL)`,
		k.ID, k.Account, k.Name).Scan(&n)
	if err != nil {
		return err
	}
	if n > 0 {
		return fault.Newf(fault.Conflict, "a key named %q exists already", k.Name)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO keys (id, kind, name, account, team, policy, created, expires, revoked, managed_by, hash, sealed)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`, k.ID, string(k.Kind), k.Name, k.Account, k.Team,
		string(policy), k.Created.UnixNano(), nullTime(k.Expires), nullTime(k.Revoked), k.ManagedBy, hash, sealed)
	return err
}

// kept is what is stored of a key's secret: a hash of a token, the sealed secret of a pair.
func (s *Store) kept(k *identity.Key, secret string) (hash any, sealed []byte) {
	if k.Kind == identity.KeyBearer {
		return identity.HashToken(secret), nil
	}
	return nil, s.sealed(k.ID, []byte(secret))
}

// sealed seals a secret so that only the same name opens it.
func (s *Store) sealed(name string, secret []byte) []byte {
	nonce := make([]byte, s.seal.NonceSize())
	_, _ = rand.Read(nonce) // never fails, see crypto/rand
	return s.seal.Seal(nonce, nonce, secret, []byte(name))
}

func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixNano()
}

// RevokeKey ends a key. Faults: NotFound; Conflict for a key that the configuration manages.
func (s *Store) RevokeKey(ctx context.Context, account, id string, at time.Time) error {
	return s.Update(ctx, func(t *Tx) error { return t.RevokeKey(ctx, account, id, at) })
}

// RevokeKey ends a key. Faults: NotFound; Conflict for a key that the configuration manages.
func (t *Tx) RevokeKey(ctx context.Context, account, id string, at time.Time) error {
	if _, err := t.LiveKey(ctx, account, id); err != nil {
		return err
	}
	_, err := t.tx.ExecContext(ctx, `UPDATE keys SET revoked = ? WHERE id = ?`, at.UnixNano(), id)
	return err
}

// LiveKey returns a key that is not revoked, to be changed. Faults: NotFound; Conflict for a key that the configuration manages.
func (t *Tx) LiveKey(ctx context.Context, account, id string) (*StoredKey, error) {
	keys, err := t.s.keys(ctx, t.tx, `id = ? AND account = ? AND revoked IS NULL`, id, account)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fault.Newf(fault.NotFound, "no live key %q", id)
	}
	if k := keys[0]; k.ManagedBy != "" {
		return nil, fault.Newf(fault.Conflict, "the key is managed by %s; change it there", k.ManagedBy)
	}
	return &keys[0], nil
}

// maxRetired bounds the secrets that are good beside a key's newest one.
const maxRetired = 8

// RotateKey gives a live key a new secret. The one before it is good until an instant, and so at most
// are those before that; none of them is where the instant has come. Faults: Conflict when too many old secrets would be good.
func (t *Tx) RotateKey(ctx context.Context, k *identity.Key, secret string, at, until time.Time) error {
	for _, q := range []struct {
		text string
		args []any
	}{
		{`UPDATE retired SET until = min(until, ?) WHERE key = ?`, []any{until.UnixNano(), k.ID}},
		{`INSERT INTO retired SELECT id, hash, sealed, ? FROM keys WHERE id = ?`, []any{until.UnixNano(), k.ID}},
		{`DELETE FROM retired WHERE key = ? AND until <= ?`, []any{k.ID, at.UnixNano()}},
	} {
		if _, err := t.tx.ExecContext(ctx, q.text, q.args...); err != nil {
			return err
		}
	}
	var n int
	if err := t.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM retired WHERE key = ?`, k.ID).Scan(&n); err != nil {
		return err
	}
	if n > maxRetired {
		return fault.Newf(fault.Conflict, "%d old secrets of the key are good still; a rotation without grace ends them", n-1)
	}
	hash, sealed := t.s.kept(k, secret)
	_, err := t.tx.ExecContext(ctx, `UPDATE keys SET hash = ?, sealed = ?, rotated = ? WHERE id = ?`, hash, sealed, at.UnixNano(), k.ID)
	return err
}

// Keys lists all keys, with their secrets unsealed, in the order in which they were made.
func (s *Store) Keys(ctx context.Context) ([]StoredKey, error) { return s.keys(ctx, s.db, `TRUE`) }

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// keys lists the keys for which a condition, one of this package's, holds.
func (s *Store) keys(ctx context.Context, q queryer, where string, args ...any) ([]StoredKey, error) {
	var out []StoredKey
	err := each(ctx, q, func(rows *sql.Rows) error {
		k, err := s.scanKey(rows)
		out = append(out, k)
		return err
	}, `SELECT id, kind, name, account, team, policy, created, rotated, expires, revoked, managed_by, hash, sealed FROM keys WHERE `+where+` ORDER BY created, id`, args...)
	if err != nil {
		return nil, err
	}
	at := make(map[string]int, len(out))
	for i := range out {
		at[out[i].ID] = i
	}
	return out, each(ctx, q, func(rows *sql.Rows) error {
		var id string
		var hash sql.NullString
		var sealed []byte
		var until int64
		if err := rows.Scan(&id, &hash, &sealed, &until); err != nil {
			return err
		}
		i, listed := at[id]
		if !listed {
			return nil
		}
		old := identity.Retired{Proof: hash.String, Until: time.Unix(0, until).UTC()}
		if !hash.Valid {
			var err error
			if old.Proof, err = s.unseal(id, sealed); err != nil {
				return err
			}
		}
		k := &out[i]
		k.Retired = append(k.Retired, old)
		if old.Until.After(k.OldUntil) {
			k.OldUntil = old.Until
		}
		return nil
	}, `SELECT key, hash, sealed, until FROM retired ORDER BY until DESC, key`)
}

// each runs f on every row of a query.
func each(ctx context.Context, q queryer, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Store) scanKey(rows *sql.Rows) (StoredKey, error) {
	var k StoredKey
	var kind, policy string
	var created int64
	var rotated, expires, revoked sql.NullInt64
	var hash sql.NullString
	var sealed []byte
	err := rows.Scan(&k.ID, &kind, &k.Name, &k.Account, &k.Team, &policy, &created, &rotated, &expires, &revoked, &k.ManagedBy, &hash, &sealed)
	if err != nil {
		return k, err
	}
	k.Kind, k.Created, k.Hash = identity.KeyKind(kind), time.Unix(0, created).UTC(), hash.String
	k.Rotated, k.Expires, k.Revoked = timeOf(rotated), timeOf(expires), timeOf(revoked)
	if err := json.Unmarshal([]byte(policy), &k.Policy); err != nil {
		return k, fmt.Errorf("policy of key %s: %w", k.ID, err)
	}
	k.Secret, err = s.unseal(k.ID, sealed)
	return k, err
}

// timeOf reads what nullTime wrote.
func timeOf(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}

func (s *Store) unseal(id string, sealed []byte) (string, error) {
	if sealed == nil {
		return "", nil
	}
	n := s.seal.NonceSize()
	if len(sealed) < n {
		return "", fmt.Errorf("the secret of key %s is damaged", id)
	}
	plain, err := s.seal.Open(nil, sealed[:n], sealed[n:], []byte(id))
	if err != nil {
		return "", fmt.Errorf("the secret of key %s cannot be unsealed: %s is not the file it was sealed with", id, sealingFile)
	}
	return string(plain), nil
}
