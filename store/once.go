package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"forebay/fault"
)

// Token names one attempt of a caller to change something, so that a repetition has no
// second effect.
type Token struct {
	Account   string
	Operation string
	Token     string // the caller's; "" is none, and nothing is remembered
	Body      []byte // what was asked for
}

// remembered is how long the outcome of a token is kept.
const remembered = 24 * time.Hour

func (k *Token) hash() string {
	sum := sha256.Sum256(k.Body)
	return hex.EncodeToString(sum[:])
}

// seal is the name under which the result is sealed: it may hold a new key's secret.
func (k *Token) seal() string { return k.Account + "\x00" + k.Operation + "\x00" + k.Token }

// Once runs f and remembers its result in the same transaction, unless the token has been seen: then
// it returns the result of that time and f does not run. Faults: Conflict when the token was used for something else; f's.
func (t *Tx) Once(ctx context.Context, k *Token, now time.Time, f func() ([]byte, error)) (result []byte, again bool, err error) {
	if k.Token == "" {
		result, err = f()
		return result, false, err
	}
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM idempotence WHERE created < ?`, now.Add(-remembered).UnixNano()); err != nil {
		return nil, false, err
	}
	var hash, kept string
	err = t.tx.QueryRowContext(ctx, `SELECT body_hash, result FROM idempotence WHERE account = ? AND operation = ? AND token = ?`, k.Account, k.Operation, k.Token).
		Scan(&hash, &kept)
	switch {
	case err == nil && hash != k.hash():
		return nil, false, fault.New(fault.Conflict, "the idempotency token was used for another request")
	case err == nil:
		sealed, err := base64.StdEncoding.DecodeString(kept)
		if err != nil {
			return nil, false, err
		}
		plain, err := t.s.unseal(k.seal(), sealed)
		return []byte(plain), true, err
	case !errors.Is(err, sql.ErrNoRows):
		return nil, false, err
	}
	if result, err = f(); err != nil {
		return nil, false, err
	}
	sealed := base64.StdEncoding.EncodeToString(t.s.sealed(k.seal(), result))
	_, err = t.tx.ExecContext(ctx, `INSERT INTO idempotence VALUES (?,?,?,?,?,?)`, k.Account, k.Operation, k.Token, k.hash(), sealed, now.UnixNano())
	return result, false, err
}
