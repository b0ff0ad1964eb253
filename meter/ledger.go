package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"forebay/fault"

	_ "modernc.org/sqlite" // the driver
)

// LedgerOptions configure a ledger.
type LedgerOptions struct {
	Path string
	// Sync makes each group reach the disk: it survives a power cut, and costs an fsync a group.
	Sync bool
	// Serve keeps answering calls when rows cannot be written, and counts the lost rows.
	Serve bool
	Log   *slog.Logger
	// MaxPages bounds the file, for tests of a full disk; 0 is no bound.
	MaxPages int
}

// Bounds of the writer.
const (
	queueRows = 4096
	groupRows = 512
	// maxYields bounds how often a group waits for others while more keep coming.
	maxYields = 16
	// refusalsPerMinute is how many refusals of one key for one reason get rows of their own.
	refusalsPerMinute = 120
)

// Ledger appends rows and answers queries. It is safe for concurrent use.
type Ledger struct {
	opts  LedgerOptions
	write *sql.DB
	read  *sql.DB
	// insertCall is prepared on write's only connection.
	insertCall *sql.Stmt
	tariffs    map[*Tariff]int64 // places in the file; the writer's own
	queue      chan *pending
	refusals   chan chan struct{} // asks the writer for the counted refusals
	stop       chan struct{}
	ended      sync.WaitGroup
	once       sync.Once

	broken atomic.Pointer[error]
	lost   atomic.Int64
	rows   atomic.Int64

	mu      sync.Mutex
	refused map[refusalKey]*refusal
}

type pending struct {
	rec  *Record
	done chan error
}

// OpenLedger opens or creates the ledger. Close must be called.
func OpenLedger(ctx context.Context, o LedgerOptions) (*Ledger, error) {
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l := &Ledger{opts: o, queue: make(chan *pending, queueRows), stop: make(chan struct{}), refused: make(map[refusalKey]*refusal), tariffs: make(map[*Tariff]int64), refusals: make(chan chan struct{})}
	sync := "NORMAL"
	if o.Sync {
		sync = "FULL"
	}
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(" + sync + ")", "busy_timeout(5000)", "foreign_keys(1)"}}
	if o.MaxPages > 0 {
		pragmas.Add("_pragma", fmt.Sprintf("max_page_count(%d)", o.MaxPages))
	}
	file := url.URL{Scheme: "file", OmitHost: true, Path: o.Path, RawQuery: pragmas.Encode()} // escapes what a path may hold
	dsn := file.String()
	if l.write, err = sql.Open("sqlite", dsn); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l.write.SetMaxOpenConns(1)
	if l.read, err = sql.Open("sqlite", dsn+"&mode=ro"); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l.read.SetMaxOpenConns(4)
	if err := migrate(ctx, l.write); err != nil {
		_ = l.write.Close()
		return nil, fmt.Errorf("ledger %s: %w", o.Path, err)
	}
	if l.insertCall, err = l.write.PrepareContext(ctx, insertCallSQL); err != nil {
		return nil, fmt.Errorf("ledger: %w", errors.Join(err, l.write.Close()))
	}
	l.ended.Go(l.run)
	return l, nil
}

// Close writes what is queued and closes the file.
func (l *Ledger) Close() error {
	l.once.Do(func() { close(l.stop) })
	l.ended.Wait()
	err := l.write.Close()
	if rerr := l.read.Close(); err == nil {
		err = rerr
	}
	return err
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
func (l *Ledger) Append(ctx context.Context, rec *Record) error {
	if rec.Count == 0 {
		rec.Count = 1
	}
	if (rec.Outcome == OutcomeRefused || rec.Account == "") && l.aggregate(rec) {
		return nil
	}
	p := &pending{rec: rec, done: make(chan error, 1)}
	select {
	case l.queue <- p:
	case <-l.stop:
		return unwritable(os.ErrClosed)
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(), "")
	}
	select {
	case err := <-p.done:
		if err != nil && !l.opts.Serve {
			return unwritable(err)
		}
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(), "")
	}
}

// run writes groups until the ledger is closed.
func (l *Ledger) run() {
	heal := time.NewTicker(time.Second)
	defer heal.Stop()
	group := make([]*pending, 0, groupRows)
	for {
		select {
		case p := <-l.queue:
			group = l.fill(append(group[:0], p))
			l.flush(group)
		case done := <-l.refusals:
			l.flushRefusals(time.Now(), true)
			close(done)
		case <-heal.C:
			l.flushRefusals(time.Now(), false)
			l.heal()
		case <-l.stop:
			for {
				select {
				case p := <-l.queue:
					group = l.fill(append(group[:0], p))
					l.flush(group)
					continue
				default:
				}
				l.flushRefusals(time.Now(), true)
				return
			}
		}
	}
}

// fill takes what else is queued into the group, after everything that is ready to run had
// its turn: calls that are about to end join this group rather than pay for one of their
// own, and an idle machine waits for nobody.
func (l *Ledger) fill(group []*pending) []*pending {
	for range maxYields {
		n := len(l.queue)
		runtime.Gosched()
		if len(l.queue) == n {
			break
		}
	}
	for len(group) < groupRows {
		select {
		case p := <-l.queue:
			group = append(group, p)
		default:
			return group
		}
	}
	return group
}

func (l *Ledger) flush(group []*pending) {
	recs := make([]*Record, len(group))
	for i, p := range group {
		recs[i] = p.rec
	}
	err := l.insert(recs)
	l.state(err, len(recs))
	for _, p := range group {
		p.done <- err
	}
}

// state remembers whether rows can be written.
func (l *Ledger) state(err error, n int) {
	was := l.broken.Load()
	if err == nil {
		l.rows.Add(int64(n))
		if was != nil {
			l.broken.Store(nil)
			l.opts.Log.Info("the ledger can be written again")
		}
		return
	}
	l.lost.Add(int64(n))
	if was == nil {
		l.opts.Log.Error("the ledger cannot be written", "error", err.Error())
	}
	l.broken.Store(&err)
}

// heal tries to write while the ledger is broken.
func (l *Ledger) heal() {
	if l.broken.Load() == nil {
		return
	}
	_, err := l.write.ExecContext(context.Background(), `INSERT INTO probes (at) VALUES (?)`, time.Now().UnixNano())
	if err == nil {
		_, err = l.write.ExecContext(context.Background(), `DELETE FROM probes`)
	}
	l.state(err, 0)
}
