package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"forebay/artifact"
	"forebay/artifact/fetch"
	"forebay/artifact/unpack"
	"forebay/fault"
	"forebay/internal/filelock"

	"golang.org/x/sync/errgroup"
)

// pull brings what is not in the cache into a folder of its own, and makes a snapshot of it when it is whole. What a pull that
// was killed has left is taken up by the next of the same content.
type pull struct {
	*flight
	l      *fetch.Listing
	known  string // key of what the source said; "" where that says nothing of the content
	key    string // of the folder; another each time where nothing says whether the content is the same
	dir    string
	pinned artifact.Ref

	mu      sync.Mutex
	planned int64 // bytes that room was made for
	got     int64 // bytes that are there
}

var pulls atomic.Int64

func newPull(f *flight, l *fetch.Listing) *pull {
	p := &pull{flight: f, l: l, pinned: l.Pinned}
	identity := l.Identity
	if l.Local != "" {
		if st, err := os.Stat(l.Local); err == nil {
			identity = fmt.Sprintf("file: %s %d %d %s", l.Local, st.Size(), st.ModTime().UnixNano(), f.ref.SHA256)
		}
	}
	p.known = keyOf("source " + identity)
	p.key = p.known
	if identity == "" {
		p.known = ""
		p.key = keyOf(fmt.Sprintf("%d %d %d", os.Getpid(), pulls.Add(1), f.c.o.now().UnixNano()))
	}
	p.dir = f.c.at("pulls", p.key)
	return p
}

// archive reports whether the reference is one file that is unpacked.
func (p *pull) archive() bool {
	return p.l.Local != "" || !p.l.Folder && len(p.l.Files) == 1 && artifact.IsArchive(p.l.Files[0].Path)
}

// run brings the files and makes a snapshot of them.
func (p *pull) run(ctx context.Context) (lease *Lease, err error) {
	lock, err := p.c.wait(ctx, filelock.Take, "pull-"+p.key, p.watchOther)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if lease, err := p.c.find(ctx, p.known); lease != nil || err != nil { // another was faster
		return lease, err
	}
	if err := os.MkdirAll(filepath.Join(p.dir, "files"), 0o700); err != nil {
		return nil, artifact.DiskError(err)
	}
	files, err := p.bringAll(ctx)
	if err != nil {
		return nil, errors.Join(err, p.afterFailure(err))
	}
	return p.publish(ctx, files)
}

// watchOther tells how far another program has come with the same.
func (p *pull) watchOther() {
	total, _ := p.l.Bytes()
	p.tell(func(now *Progress) { *now = Progress{Phase: Waiting, Done: onDisk(p.dir), Total: total} })
}

// afterFailure leaves what can be used later: parts of what is certain to be the same content. What is wrong is not kept, nor what
// nobody could tell from another.
func (p *pull) afterFailure(err error) error {
	e := fault.From(err)
	if p.known != "" && onDisk(p.dir) > 0 && e.Kind != fault.Invalid && e.Kind != fault.TooLarge && e.Code != fetch.CodeChanged {
		return nil
	}
	return p.c.trash(p.dir)
}

func (p *pull) bringAll(ctx context.Context) ([]File, error) {
	if p.archive() {
		return p.bringArchive(ctx)
	}
	have, err := p.c.sums()
	if err != nil {
		return nil, err
	}
	total, _ := p.l.Bytes()
	var planned int64
	for i := range p.l.Files {
		if f := &p.l.Files[i]; have[f.SHA256()] == "" {
			planned += max(f.Size, 0)
		}
	}
	if err := p.reserve(ctx, planned); err != nil {
		return nil, err
	}
	p.tell(func(now *Progress) { *now = Progress{Phase: Downloading, Total: total, Files: len(p.l.Files)} })
	files := make([]File, len(p.l.Files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.c.o.Files)
	for i := range p.l.Files {
		f := &p.l.Files[i]
		g.Go(func() (err error) {
			path := filepath.Join(p.dir, "files", filepath.FromSlash(f.Path))
			files[i] = File{Path: f.Path}
			files[i].Size, files[i].SHA256, err = p.obtain(gctx, f, path, have[f.SHA256()])
			return err
		})
	}
	err = g.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil && !p.l.Folder {
		p.pin(files[0].SHA256)
	}
	return files, err
}

// obtain has a file at a path: from the snapshot that has it already, from an earlier pull, or from its source.
func (p *pull) obtain(ctx context.Context, f *fetch.File, path, other string) (size int64, sum string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, "", artifact.DiskError(err)
	}
	if _, err := os.Lstat(path); err == nil {
		if sum, err = f.Check(ctx, path); err != nil {
			if ctx.Err() != nil {
				return 0, "", context.Cause(ctx)
			}
			if err := os.Remove(path); err != nil {
				return 0, "", err
			}
		}
	} else if other != "" {
		if p.link(ctx, f, path, other) {
			sum = f.SHA256()
		} else if err := p.replan(ctx, f.Size); err != nil { // it has been removed meanwhile
			return 0, "", err
		}
	}
	if sum == "" {
		sum, err = p.c.o.Source.Download(ctx, f, path, func(n int64) error { return p.grow(ctx, n) })
		if err != nil {
			return 0, "", err
		}
	} else {
		p.show(max(f.Size, 0))
	}
	st, err := os.Stat(path)
	if err != nil {
		return 0, "", err
	}
	return st.Size(), sum, nil
}

// link gives a file of another snapshot a second name.
func (p *pull) link(ctx context.Context, f *fetch.File, path, other string) bool {
	lease, err := p.c.lease(ctx, other)
	if lease == nil || err != nil {
		return false
	}
	defer func() { _ = lease.Release() }()
	for _, have := range lease.snap.Files {
		if have.SHA256 == f.SHA256() && have.Link == "" && !have.Exec {
			return os.Link(filepath.Join(lease.dir, filepath.FromSlash(have.Path)), path) == nil
		}
	}
	return false
}

// pin notes the checksum of the one file that the reference is, where nothing else says which content that was.
func (p *pull) pin(sum string) {
	if !p.pinned.Pinned() {
		p.pinned.SHA256 = sum
	}
}

func (p *pull) show(n int64) {
	p.tell(func(now *Progress) {
		now.Done += n
		switch {
		case now.Phase == Downloading && now.Total > 0 && now.Done >= now.Total:
			now.Phase = Verifying
		case now.Phase == Verifying && now.Done < now.Total: // some of it was nothing
			now.Phase = Downloading
		}
	})
}

// grow counts bytes that have come, and makes room for those that were not announced.
func (p *pull) grow(ctx context.Context, n int64) error {
	p.show(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got += n
	if p.got <= p.planned {
		return nil
	}
	step := int64(64 << 20)
	if p.c.o.Limit > 0 {
		step = min(step, p.c.o.Limit/64)
	}
	return p.reserveLocked(ctx, p.got+step)
}

func (p *pull) reserve(ctx context.Context, n int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reserveLocked(ctx, n)
}

func (p *pull) replan(ctx context.Context, more int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reserveLocked(ctx, p.planned+more)
}

func (p *pull) reserveLocked(ctx context.Context, n int64) error {
	if err := p.c.makeRoom(ctx, p.key, plan{Ref: p.ref.Redacted(), Bytes: n}); err != nil {
		return err
	}
	p.planned = n
	return nil
}

// bringArchive brings one file and unpacks it.
func (p *pull) bringArchive(ctx context.Context) ([]File, error) {
	path, size := p.l.Local, int64(0)
	if path == "" {
		f := &p.l.Files[0]
		path, size = filepath.Join(p.dir, "archive"), max(f.Size, 0)
		if err := p.reserve(ctx, size); err != nil {
			return nil, err
		}
		p.tell(func(now *Progress) { *now = Progress{Phase: Downloading, Total: size, Files: 1} })
		_, sum, err := p.obtain(ctx, f, path, "")
		if err != nil {
			return nil, err
		}
		p.pin(sum)
	} else if p.ref.SHA256 != "" {
		if _, err := fetch.Verify(ctx, path, p.ref.SHA256); err != nil {
			return nil, err
		}
	}
	files, err := p.unpack(ctx, path)
	if err == nil && p.l.Local == "" {
		err = os.Remove(path)
	}
	return files, err
}

func (p *pull) unpack(ctx context.Context, path string) ([]File, error) {
	into := filepath.Join(p.dir, "files")
	if err := errors.Join(os.RemoveAll(into), os.Mkdir(into, 0o700)); err != nil {
		return nil, artifact.DiskError(err)
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := os.Open(path) //nolint:gosec // our own, or the operator's
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	p.phase(Unpacking)
	files, err := unpack.Tar(ctx, f, root, p.c.o.Unpack, func(n int64) error { return p.grow(ctx, n) })
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(into))
	}
	for i := range files {
		if err := seal(root, &files[i]); err != nil {
			return nil, artifact.DiskError(err)
		}
	}
	return files, nil
}

// seal has a file on the disk, and takes away the right to change it.
func seal(root *os.Root, file *File) error {
	if file.Link != "" {
		return nil
	}
	f, err := root.Open(filepath.FromSlash(file.Path))
	if err != nil {
		return err
	}
	mode := os.FileMode(0o400)
	if file.Exec {
		mode = 0o500
	}
	return errors.Join(f.Sync(), f.Chmod(mode), f.Close())
}

// publish makes a snapshot of the folder.
func (p *pull) publish(ctx context.Context, files []File) (*Lease, error) {
	s := Snapshot{
		Ref: p.ref.Redacted(), Pinned: p.pinned.Redacted(), Folder: p.l.Folder || p.archive(), Files: files, Licence: p.l.Licence, Pulled: p.c.o.now().UTC(),
	}
	s.identify()
	if err := write(filepath.Join(p.dir, "manifest.json"), &s); err != nil {
		return nil, artifact.DiskError(err)
	}
	var lease *Lease
	err := p.c.change(ctx, func() (err error) {
		if lease, err = p.c.lease(ctx, s.ID); lease != nil || err != nil { // the same content, by another reference
			return errors.Join(err, p.c.trash(p.dir))
		}
		to := p.c.at("snapshots", s.ID) // what is there has a damaged manifest
		if err := errors.Join(p.c.trash(to), os.Rename(p.dir, to), syncFolder(p.c.at("snapshots"))); err != nil {
			return err
		}
		lease, err = p.c.lease(ctx, s.ID)
		return err
	})
	if err == nil && lease == nil {
		err = fmt.Errorf("the snapshot %s was removed as soon as it was there", s.ID)
	}
	return lease, err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
