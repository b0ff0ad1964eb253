// Package cache keeps weights on the disk of this machine, by their content, for all who need them: replicas that start
// together share one download, also those of other programs with the same folder; what is in use stays, and of the rest the
// least recently used goes when room is needed.
//
// The folder (docs/adr/0019-cache-of-weights.md):
//
//	snapshots/ID/files/…        what a reference stands for, read-only; ID is the SHA-256 of the list of files with theirs
//	snapshots/ID/manifest.json  that list; its time of modification is when the snapshot was last used
//	pulls/KEY/…                 what is not whole yet, and becomes a snapshot by one rename
//	refs/KEY.json               which snapshot a reference, or what its source said of it, was found to be
//	licences/KEY.json           which terms were accepted, by whom and when
//	local/KEY/NAME              links to files of this machine, each in a folder of its own
//	locks/…                     locks of the operating system, which end with their program
//	trash/…                     what is being removed
package cache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"forebay/artifact"
	"forebay/artifact/fetch"
	"forebay/artifact/unpack"
	"forebay/fault"
	"forebay/internal/filelock"
)

// Codes of faults, beside those of fetch and fault.CodeStorage.
const (
	CodeFull    = "weights_cache_full" // Unavailable: there would be room, if less were in use
	CodeLicence = "weights_licence"    // Denied: the terms have not been accepted
)

// Source is where weights come from; a *fetch.Fetcher.
type Source interface {
	List(ctx context.Context, ref artifact.Ref) (*fetch.Listing, error)
	Download(ctx context.Context, file *fetch.File, path string, grown fetch.Grown) (sum string, err error)
}

// Options of a cache.
type Options struct {
	Dir      string
	Source   Source
	Limit    int64         // bytes of all that is kept; 0 is as much as the disk has
	KeepFree int64         // bytes of the disk that stay free; 1 GiB when 0
	Unpack   unpack.Limits // of archives
	Files    int           // of one reference under way at once; 4 when 0

	free func(dir string) (int64, error) // of the disk, for tests
	poll time.Duration                   // between looks at a lock of another program
	now  func() time.Time
}

// Cache is a folder of weights. It is safe for concurrent use, by several programs too.
type Cache struct {
	o Options

	mu       sync.Mutex
	flights  map[string]*flight  // by the reference
	verified map[string]struct{} // files of this machine whose checksum was right

	changing sync.Mutex // one at a time asks for the lock of changes
}

// New opens a cache, and makes its folder if need be.
func New(o Options) (*Cache, error) {
	o.KeepFree, o.Files = cmp.Or(o.KeepFree, 1<<30), cmp.Or(o.Files, 4)
	o.poll = cmp.Or(o.poll, 100*time.Millisecond)
	if o.free == nil {
		o.free = freeBytes
	}
	if o.now == nil {
		o.now = time.Now
	}
	c := &Cache{o: o, flights: map[string]*flight{}, verified: map[string]struct{}{}}
	for _, dir := range []string{"snapshots", "pulls", "refs", "licences", "local", "locks", "trash"} {
		if err := os.MkdirAll(c.at(dir), 0o700); err != nil {
			return nil, artifact.DiskError(err)
		}
	}
	return c, c.emptyTrash()
}

func (c *Cache) at(parts ...string) string {
	return filepath.Join(append([]string{c.o.Dir}, parts...)...)
}

// freeBytes is how much of the disk of a folder is free for who is not root.
func freeBytes(dir string) (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

// keyOf is the name of a file for what may not be one, or is a secret.
func keyOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// Phase is what is being done for a reference.
type Phase string

// The phases, in their order; not each occurs.
const (
	Resolving   Phase = "resolving"   // the source is asked what the reference is
	Waiting     Phase = "waiting"     // another program downloads it
	Downloading Phase = "downloading" //
	Verifying   Phase = "verifying"   // all is here, and read once more for its checksum
	Unpacking   Phase = "unpacking"   //
	Ready       Phase = "ready"       //
)

// Progress is how far it has come. Values are told in their order, at most ten a second.
type Progress struct {
	Phase Phase `json:"phase"`
	Done  int64 `json:"done_bytes"`
	Total int64 `json:"total_bytes,omitzero"` // 0 is not known
	Files int   `json:"files,omitzero"`
}

// Open returns the weights of a reference, from the cache, or else from their source. The lease keeps them until it is
// released. Who asks for what is already under way shares it, and its progress, which is called from other goroutines, never
// by two at a time, and not after Open has returned; nil wants none. When ctx ends, Open returns; the download ends with the last who waits
// for it, and goes on from there the next time.
//
// A reference that is pinned is not asked for at its source when it is here. Of one that is not, what was found the last time is
// returned, and the lease says so, when the source cannot be reached.
//
// Faults: those of fetch, and of unpack for archives; Denied of CodeLicence; TooLarge for what is larger than the limit; Unavailable of
// CodeFull or of fault.CodeStorage.
func (c *Cache) Open(ctx context.Context, ref artifact.Ref, progress func(Progress)) (*Lease, error) {
	if ref.Pinned() {
		if l, err := c.find(ctx, refKey(ref)); l != nil || err != nil {
			return l, err
		}
	}
	f, leave := c.board(ctx, ref, progress)
	defer leave()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.lease.again(ctx)
}

// Describe asks the source what a reference stands for: its size, its files and its terms. Faults: those of fetch.
func (c *Cache) Describe(ctx context.Context, ref artifact.Ref) (*fetch.Listing, error) {
	return c.o.Source.List(ctx, ref)
}

// refKey is where it is noted what a reference was found to be. One with a checksum is the same wherever it comes from.
func refKey(ref artifact.Ref) string {
	if ref.SHA256 != "" {
		return keyOf("sha256 " + ref.SHA256 + " " + ref.Base())
	}
	return keyOf("ref " + ref.String())
}

// Lease keeps weights where they are until it is released, or the program ends. An engine that lives longer than the program
// has its files as long as it holds them open; who adopts it opens them again.
type Lease struct {
	c     *Cache
	snap  Snapshot
	dir   string
	path  string // of the one file
	stale bool

	mu   sync.Mutex
	lock *filelock.Lock // nil for what is not in the cache, and when it is released
}

// Dir is the folder of the weights, in which there is nothing else: what the reference names if that is a folder, else one that has its file.
func (l *Lease) Dir() string { return l.dir }

// Path is the file of the weights if the reference names one, else their folder.
func (l *Lease) Path() string { return cmp.Or(l.path, l.dir) }

// Snapshot says what the weights are. That of files of this machine that are used in place has no id.
func (l *Lease) Snapshot() Snapshot { return l.snap }

// Stale reports that the source could not be reached, so that these are the weights of the last time.
func (l *Lease) Stale() bool { return l.stale }

// Release gives the weights back. Calls after the first do nothing.
func (l *Lease) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return nil
	}
	err := errors.Join(l.c.touch(l.snap.ID), l.lock.Close())
	l.lock = nil
	return err
}

// again returns another lease of the same weights.
func (l *Lease) again(ctx context.Context) (*Lease, error) {
	if l.snap.ID == "" {
		return &Lease{c: l.c, snap: l.snap, dir: l.dir, path: l.path}, nil
	}
	next, err := l.c.lease(ctx, l.snap.ID)
	if err == nil && next == nil {
		err = fmt.Errorf("the snapshot %s has gone while it was in use", l.snap.ID)
	}
	if err != nil {
		return nil, err
	}
	next.stale = l.stale
	return next, nil
}

// lease takes a lease of a snapshot; nil where that is not there.
func (c *Cache) lease(ctx context.Context, id string) (*Lease, error) {
	lock, err := c.wait(ctx, filelock.Share, "snapshot-"+id, nil)
	if err != nil {
		return nil, err
	}
	snap, err := c.manifest(c.at("snapshots", id))
	if err == nil {
		err = c.touch(id)
	}
	if err != nil {
		_ = lock.Close()
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil //nolint:nilnil // it is not there
		}
		return nil, err
	}
	l := &Lease{c: c, snap: *snap, dir: c.at("snapshots", id, "files"), lock: lock}
	if !snap.Folder {
		l.path = filepath.Join(l.dir, filepath.FromSlash(snap.Files[0].Path))
	}
	return l, nil
}

// touch notes that a snapshot is used.
func (c *Cache) touch(id string) error {
	now := c.o.now()
	return os.Chtimes(c.at("snapshots", id, "manifest.json"), now, now)
}

// wait asks for a lock until it is granted. Those of other programs tell nobody when they end, so it looks again and again; waiting, if
// not nil, is called before each look but the first.
func (c *Cache) wait(ctx context.Context, take func(string) (*filelock.Lock, error), name string, waiting func()) (*filelock.Lock, error) {
	for {
		lock, err := take(c.at("locks", name+".lock"))
		if !errors.Is(err, filelock.ErrHeld) {
			return lock, artifact.DiskError(err)
		}
		if waiting != nil {
			waiting()
		}
		timer := time.NewTimer(c.o.poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// change runs what adds to, or takes from, the cache as a whole, alone among all programs.
func (c *Cache) change(ctx context.Context, f func() error) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	lock, err := c.wait(ctx, filelock.Take, "changes", nil)
	if err != nil {
		return err
	}
	return errors.Join(f(), lock.Close())
}

// local is the lease of what is used where it lies. A checksum is held once for each state of a file.
func (c *Cache) local(ctx context.Context, ref artifact.Ref, l *fetch.Listing) (*Lease, error) {
	snap := Snapshot{Ref: ref.Redacted(), Pinned: l.Pinned.Redacted(), Folder: l.Folder, Licence: l.Licence}
	if l.Folder {
		return &Lease{c: c, snap: snap, dir: l.Local}, nil
	}
	st, err := os.Stat(l.Local)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, ref.Redacted()+" cannot be read.")
	}
	snap.Bytes = st.Size()
	snap.Files = []File{{Path: filepath.Base(l.Local), Size: st.Size(), SHA256: ref.SHA256}}
	state := fmt.Sprintf("%s %d %d %s", l.Local, st.Size(), st.ModTime().UnixNano(), ref.SHA256)
	c.mu.Lock()
	_, known := c.verified[state]
	c.mu.Unlock()
	if ref.SHA256 != "" && !known {
		if _, err := fetch.Verify(ctx, l.Local, ref.SHA256); err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.verified[state] = struct{}{}
		c.mu.Unlock()
	}
	dir, err := c.alone(l.Local)
	return &Lease{c: c, snap: snap, dir: dir, path: l.Local}, err
}

// alone is a folder with nothing in it but a link to a file: an engine that is given a folder must not find another model beside its own.
func (c *Cache) alone(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir := c.at("local", keyOf(path))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", artifact.DiskError(err)
	}
	if err := os.Symlink(path, filepath.Join(dir, filepath.Base(path))); err != nil && !errors.Is(err, os.ErrExist) {
		return "", artifact.DiskError(err)
	}
	return dir, nil
}
