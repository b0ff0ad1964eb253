package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"forebay/fault"
	"forebay/internal/filelock"
	"forebay/meter/bulk"

	_ "modernc.org/sqlite" // the driver
)

// LedgerOptions configure a ledger.
type LedgerOptions struct {
	Path string
	// Sync makes each group reach the disk: it survives a power cut, and costs an fsync a group of rows.
	Sync bool
	// Serve keeps answering calls when rows cannot be written, and counts the lost rows.
	Serve bool
	// Uptimes notes while the ledger is open that a server runs on it.
	Uptimes bool
	Log     *slog.Logger
	// MaxPages bounds the database, for tests of a full disk; 0 is no bound.
	MaxPages int
	// fast keeps the database from waiting for the disk, and long for others, in tests that open many.
	fast bool
}

// busyWait is how long a transaction waits for another program that has the database.
const busyWait = 5 * time.Second

// refusalsPerMinute is how many refusals of one key for one reason get rows of their own.
const refusalsPerMinute = 120

// Ledger appends rows and answers queries. It is safe for concurrent use.
type Ledger struct {
	opts    LedgerOptions
	lock    *filelock.Lock
	journal *journal
	mover   *mover
	write   *sql.DB // for what is not a row: the schema and reserved hours
	read    reader
	stop    chan struct{}
	much    chan struct{} // takes one value when much waits to be moved
	ended   sync.WaitGroup
	once    sync.Once

	broken atomic.Pointer[error]
	lost   atomic.Int64
	rows   atomic.Int64

	flushing sync.Mutex // held while counted refusals are written

	mu      sync.Mutex
	refused map[refusalKey]*refusal
	tariffs map[*Tariff]int64 // ids of those that were used last

	pricing    sync.Mutex // held while a tariff is written
	prices     map[Tariff]placed
	lastTariff int64

	waits atomic.Bool // rows stay in the journal because another program has the database
}

// OpenLedger opens or creates the ledger, and moves into its tables what an earlier run left in the journal. Close
// must be called. A ledger has one owner: it cannot be opened twice.
func OpenLedger(ctx context.Context, o LedgerOptions) (*Ledger, error) {
	l := newLedger(o)
	if err := l.open(ctx); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", o.Path, errors.Join(err, l.release()))
	}
	l.ended.Go(l.run)
	l.ended.Go(l.tally)
	if o.Uptimes {
		id, err := l.attended(ctx, time.Now())
		if err != nil {
			return nil, fmt.Errorf("ledger %s: %w", o.Path, errors.Join(err, l.Close()))
		}
		l.ended.Go(func() { l.attend(id) })
	}
	return l, nil
}

func newLedger(o LedgerOptions) *Ledger {
	return &Ledger{
		opts: o, stop: make(chan struct{}), much: make(chan struct{}, 1),
		refused: make(map[refusalKey]*refusal), tariffs: make(map[*Tariff]int64), prices: make(map[Tariff]placed),
	}
}

func (l *Ledger) open(ctx context.Context) error {
	err := l.own(ctx)
	if err != nil {
		return err
	}
	dsn := l.dsn()
	// Transactions take the lock for writing when they begin: one that has read first could not wait for it.
	if l.write, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return err
	}
	l.write.SetMaxOpenConns(1)
	if err := migrate(ctx, l.write); err != nil {
		return err
	}
	var at position
	if err := l.write.QueryRowContext(ctx, placeSQL).Scan(&at.segment, &at.offset); err != nil {
		return err
	}
	if l.journal, err = openJournal(l.opts.Path+".rows", l.opts.Sync, at.segment); err != nil {
		return err
	}
	for _, name := range l.journal.damage() {
		l.opts.Log.ErrorContext(ctx, "a file of the ledger's journal is damaged: the rows before the damage are taken, and it is kept for you to look at",
			"file", name, "kept", name+damagedSuffix)
	}
	l.mover = &mover{journal: l.journal, open: l.bulk, at: at, lose: l.unfit}
	if l.read.DB, err = sql.Open("sqlite", dsn+"&mode=ro"); err != nil {
		return err
	}
	l.read.SetMaxOpenConns(4)
	l.read.mover = l.mover
	l.journal.added.Store(l.journal.waiting(at))
	if err := l.mover.all(ctx); err != nil {
		return err
	}
	return l.loadTariffs(ctx)
}

// own makes the database file and takes the lock that keeps a second program from moving
// and removing rows that this one still writes.
func (l *Ledger) own(ctx context.Context) error {
	f, err := os.OpenFile(l.opts.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if l.lock, err = filelock.Take(l.opts.Path + ".lock"); err != nil {
		return err
	}
	if !l.lock.Effective() {
		l.opts.Log.WarnContext(ctx, "the file system cannot lock: nothing keeps a second program away from the ledger", "file", l.opts.Path)
	}
	return nil
}

// pragmas are those of every connection.
func (l *Ledger) pragmas() []string {
	sync := "NORMAL"
	if l.opts.Sync {
		sync = "FULL"
	}
	wait := busyWait
	if l.opts.fast {
		sync, wait = "OFF", busyWait/100
	}
	p := []string{
		fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds()), "journal_mode(WAL)", "synchronous(" + sync + ")", "foreign_keys(1)",
	}
	if l.opts.MaxPages > 0 {
		p = append(p, fmt.Sprintf("max_page_count(%d)", l.opts.MaxPages))
	}
	return p
}

// bulk opens the mover's connection.
func (l *Ledger) bulk() (*bulk.Conn, error) { return bulk.Open(l.opts.Path, l.pragmas()...) }

func (l *Ledger) dsn() string {
	pragmas := url.Values{"_pragma": l.pragmas()}
	file := url.URL{Scheme: "file", OmitHost: true, Path: l.opts.Path, RawQuery: pragmas.Encode()} // escapes what a path may hold
	return file.String()
}

// Close moves every row into the tables and closes the files.
func (l *Ledger) Close() error {
	l.once.Do(func() { close(l.stop) })
	l.ended.Wait()
	return l.release()
}

// release closes what is open.
func (l *Ledger) release() error {
	var errs []error
	drained := false
	if l.journal != nil {
		l.journal.seal() // a row that is acknowledged from here on would be removed with the journal
	}
	if l.mover != nil {
		err := l.mover.close(context.Background())
		drained = err == nil
		errs = append(errs, err)
	}
	if l.journal != nil {
		errs = append(errs, l.journal.close(drained))
	}
	for _, db := range []*sql.DB{l.write, l.read.DB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}

// Healthy returns nil while rows can be written or are allowed to be lost; else
// Unavailable, with which calls are refused before they cost anything.
func (l *Ledger) Healthy() error {
	if l.opts.Serve {
		return nil
	}
	if e := l.broken.Load(); e != nil {
		return unwritable(*e)
	}
	return nil
}

func unwritable(cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "").
		WithReason("the ledger cannot be written, and on_ledger_failure is refuse; see `forebay doctor`")
}

// Lost returns the rows that could not be written.
func (l *Ledger) Lost() int64 { return l.lost.Load() }

// Rows returns the rows written since the ledger was opened.
func (l *Ledger) Rows() int64 { return l.rows.Load() }

// Append writes a row and returns when it is durable. Where rows may be lost (Serve) it
// never fails; else it fails with Unavailable. Refused calls beyond a rate, and those of callers that were not
// authenticated (without an account), are counted and written by the minute.
func (l *Ledger) Append(_ context.Context, rec *Record) error {
	if rec.Count == 0 {
		rec.Count = 1
	}
	if (rec.Outcome == OutcomeRefused || rec.Account == "") && l.aggregate(rec) {
		return nil
	}
	if err := l.insert(rec); err != nil && !l.opts.Serve {
		return unwritable(err)
	}
	return nil
}

// insert writes one row, and counts one that cannot be written as lost.
func (l *Ledger) insert(rec *Record) error {
	err := l.put(rec)
	if err != nil {
		l.lost.Add(1)
		l.fail(err)
	}
	return err
}

// put writes one row to the journal.
func (l *Ledger) put(rec *Record) error {
	at, err := l.places(rec)
	if err != nil {
		return err
	}
	if err := l.journal.append(func(dst []byte) []byte { return appendRow(dst, rec, &at) }); err != nil {
		return err
	}
	l.rows.Add(1)
	if l.journal.added.Load()-l.mover.done.Load() >= moveAt {
		select {
		case l.much <- struct{}{}:
		default:
		}
	}
	return nil
}

// run moves rows into the tables until the ledger is closed, and keeps trying while it is broken.
func (l *Ledger) run() {
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.much:
			l.move()
		case <-tick.C:
			l.move()
			l.heal()
		case <-l.stop:
			return
		}
	}
}

// move moves what waits. While another program has the database the rows stay in the journal, which holds a
// good many; that alone keeps no call from being answered.
func (l *Ledger) move() {
	err := l.mover.all(context.Background())
	switch was := l.waits.Swap(locked(err)); {
	case locked(err):
		if !was {
			l.opts.Log.Warn("another program has the ledger's database; rows wait in the journal", "error", err.Error())
		}
	case err != nil:
		l.fail(err)
	case was:
		l.opts.Log.Info("the ledger's database is free again")
	}
}

// unfit takes note of a row that the tables do not take.
func (l *Ledger) unfit(err error) {
	l.lost.Add(1)
	l.opts.Log.Error("a row does not fit into the ledger and is lost", "error", err.Error())
}

// fail remembers that rows cannot be written. Only heal takes that back.
func (l *Ledger) fail(err error) {
	if l.broken.Swap(&err) == nil {
		l.opts.Log.Error("the ledger cannot be written", "error", err.Error())
	}
}

// heal tries to write while the ledger is broken.
func (l *Ledger) heal() {
	if l.broken.Load() == nil {
		return
	}
	err := l.journal.append(func(dst []byte) []byte { return dst })
	if err == nil {
		err = l.mover.all(context.Background())
	}
	if (err == nil || locked(err)) && l.broken.Swap(nil) != nil {
		l.opts.Log.Info("the ledger can be written again")
	}
}

// Update runs f in a transaction beside the rows: all of it is on the ledger, or nothing. It is for what is posted now and
// then; rows go through Append.
func (l *Ledger) Update(ctx context.Context, f func(*sql.Tx) error) error {
	return transact(ctx, l.write, nil, f)
}

// View runs f on one consistent state, in which every row is that was acknowledged before.
func (l *Ledger) View(ctx context.Context, f func(*sql.Tx) error) error {
	return transact(ctx, l.read, &sql.TxOptions{ReadOnly: true}, f)
}

func transact(ctx context.Context, db interface {
	BeginTx(ctx context.Context, o *sql.TxOptions) (*sql.Tx, error)
}, o *sql.TxOptions, f func(*sql.Tx) error,
) error {
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // err says more
		return err
	}
	return tx.Commit()
}
