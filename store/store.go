// Package store keeps what is created at run time (keys, objects of the configuration, and resources with their tags)
// in a SQLite file of the data directory. A stolen file discloses no key: bearer keys are kept as hashes, secret
// access keys are sealed with a key file outside the database.
package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"forebay/fault"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Names of the store's files in the data directory.
const (
	databaseFile = "state.db"
	sealingFile  = "sealing.key"
	sealingSize  = 32 // bytes: AES-256
)

// Store is the database. It is safe for concurrent use.
type Store struct {
	db   *sql.DB
	seal cipher.AEAD
}

// schemas bring a database from each version to the next; they are only added to.
var schemas = []string{`
CREATE TABLE keys (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, account TEXT NOT NULL, team TEXT NOT NULL,
  policy TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER, revoked INTEGER, managed_by TEXT NOT NULL,
  hash TEXT UNIQUE, sealed BLOB
) STRICT;
CREATE UNIQUE INDEX keys_name ON keys (account, name) WHERE revoked IS NULL AND name <> '';
CREATE TABLE idempotence (
  account TEXT NOT NULL, operation TEXT NOT NULL, token TEXT NOT NULL, body_hash TEXT NOT NULL, result TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY (account, operation, token)
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE objects (
  kind TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY (kind, account, name)
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE resources (
  arn TEXT PRIMARY KEY, kind TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE, body TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX resources_name ON resources (kind, account, name) WHERE name <> '';
CREATE TABLE tags (arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE keys ADD COLUMN rotated INTEGER;
CREATE TABLE retired (
  key TEXT NOT NULL REFERENCES keys (id), hash TEXT UNIQUE, sealed BLOB, until INTEGER NOT NULL
) STRICT;
CREATE INDEX retired_key ON retired (key);
-- Policies get the names that forebay.yaml has.
UPDATE keys SET policy = json_object(
  'actions', coalesce(policy -> '$.Actions', json('[]')), 'models', coalesce(policy -> '$.Models', json('[]')), 'max_tier', coalesce(policy ->> '$.Tier', ''),
  'limits', json_object(
    'requests_per_minute', coalesce(policy ->> '$.Limits.RequestsPerMinute', 0), 'tokens_per_minute', coalesce(policy ->> '$.Limits.TokensPerMinute', 0),
    'tokens_per_day', coalesce(policy ->> '$.Limits.TokensPerDay', 0), 'spend_per_day', coalesce(policy ->> '$.Limits.SpendPerDay', 0),
    'spend_per_month', coalesce(policy ->> '$.Limits.SpendPerMonth', 0), 'currency', coalesce(policy ->> '$.Limits.Currency', '')));
DELETE FROM idempotence WHERE operation IN ('CreateKey', 'RotateKey'); -- their results have the old names
`, `
CREATE TABLE purchases (
  arn TEXT PRIMARY KEY, account TEXT NOT NULL, body TEXT NOT NULL, began INTEGER NOT NULL, ended INTEGER
) STRICT, WITHOUT ROWID;
`}

// Open opens or creates the store in a data directory. Close must be called.
func Open(ctx context.Context, dir string) (*Store, error) {
	path := filepath.Join(dir, databaseFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own directory
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &Store{db: db}
	err = s.migrate(ctx)
	if err == nil {
		err = s.unlock(ctx, filepath.Join(dir, sealingFile))
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// dsn is the driver's name of a database file. Transactions take the lock for writing when they
// begin: one that has read first could not wait for it.
func dsn(path string) string {
	q := url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	return u.String()
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// unlock takes the sealing key from its file. The file is made while nothing is sealed, and only
// then: in place of a lost one it would seal what the restored one cannot unseal. The
// transaction keeps others out that open the same directory.
func (s *Store) unlock(ctx context.Context, path string) error {
	return s.update(ctx, func(tx *sql.Tx) error {
		var sealed bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM keys WHERE sealed IS NOT NULL)`).Scan(&sealed); err != nil {
			return err
		}
		key, err := os.ReadFile(path) //nolint:gosec // the operator's own directory
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		switch {
		case len(key) == sealingSize:
		case sealed:
			return fmt.Errorf("%s has no %d bytes, and secrets are sealed with it: restore it from a backup, or remove %s to start anew", path, sealingSize, databaseFile)
		default:
			if key, err = newSealingKey(path); err != nil {
				return err
			}
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		s.seal, err = cipher.NewGCM(block)
		return err
	})
}

// newSealingKey makes the file, and returns when it is on the disk.
func newSealingKey(path string) ([]byte, error) {
	key := make([]byte, sealingSize)
	_, _ = rand.Read(key)                                                  // never fails, see crypto/rand
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the operator's own directory
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // not every file system can
		_ = dir.Close()
	}
	return key, nil
}

func (s *Store) migrate(ctx context.Context) error {
	return s.update(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
			return err
		}
		if version > len(schemas) {
			return fmt.Errorf("written by a newer forebay (schema %d, this one knows %d): upgrade forebay", version, len(schemas))
		}
		for v := version; v < len(schemas); v++ {
			if _, err := tx.ExecContext(ctx, schemas[v]); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, v+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Tx is a transaction. It is used by one goroutine, and not after Update has returned. While it
// lasts the Store's own methods wait.
type Tx struct {
	tx *sql.Tx
	s  *Store
}

// Update runs f in a transaction: all of it is stored, or nothing.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	return s.update(ctx, func(tx *sql.Tx) error { return f(&Tx{tx, s}) })
}

func (s *Store) update(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return classified(err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // err says more; a connection that cannot roll back is closed
		return classified(err)
	}
	return classified(tx.Commit())
}

// classified makes a fault of what the database says of its disk, and of other programs that have it.
func classified(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if _, done := errors.AsType[*fault.Error](err); done || !ok {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fault.Storage(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.Wrap(fault.Unavailable, err, "Another program has the server's database; nothing was changed.")
	default:
		return err
	}
}
