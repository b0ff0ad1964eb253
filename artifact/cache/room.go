package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"forebay/artifact"
	"forebay/fault"
	"forebay/internal/filelock"

	"github.com/go-json-experiment/json"
)

// plan is what a pull will need.
type plan struct {
	Ref   string `json:"ref"`
	Bytes int64  `json:"bytes"`
}

const planFile = "plan.json" // in the folder of a pull

// Entry is something that takes room in the cache.
type Entry struct {
	Snapshot
	Partial bool      `json:"partial,omitzero"` // it is not whole: a pull that is under way, or was cut off
	InUse   bool      `json:"in_use"`           // somebody holds it, or brings it
	Used    time.Time `json:"last_used"`

	name string // of its folder
}

func (e *Entry) folder() string {
	if e.Partial {
		return "pulls"
	}
	return "snapshots"
}

func (e *Entry) lock() string {
	if e.Partial {
		return "pull-" + e.name
	}
	return "snapshot-" + e.name
}

// Entries lists what is kept, the least recently used first. Bytes of a partial one are those that are there.
func (c *Cache) Entries(ctx context.Context) (list []Entry, err error) {
	// Who looks whether something is in use holds its lock for a moment, and must not be taken for who uses it.
	err = c.change(ctx, func() error {
		list, err = c.entries()
		return err
	})
	return list, err
}

func (c *Cache) entries() ([]Entry, error) {
	var out []Entry
	for _, folder := range []string{"snapshots", "pulls"} {
		names, err := os.ReadDir(c.at(folder))
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if e, ok := c.entry(folder, n.Name()); ok {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		if d := a.Used.Compare(b.Used); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	return out, nil
}

func (c *Cache) entry(folder, name string) (Entry, bool) {
	dir := c.at(folder, name)
	e := Entry{Partial: folder == "pulls", name: name}
	file := "manifest.json"
	if e.Partial {
		file = planFile
	}
	st, err := os.Stat(filepath.Join(dir, file))
	if err != nil {
		if st, err = os.Stat(dir); err != nil {
			return e, false // it has gone meanwhile
		}
	}
	e.Used = st.ModTime()
	if s, err := c.manifest(dir); err == nil {
		e.Snapshot = *s
	}
	if e.Partial {
		e.Ref, e.Bytes = c.plan(name).Ref, onDisk(dir)
	}
	lock, err := filelock.Take(c.at("locks", e.lock()+".lock"))
	e.InUse = err != nil || !lock.Effective() // who cannot know takes nothing away
	if err == nil {
		_ = lock.Close()
	}
	return e, true
}

func (c *Cache) plan(key string) plan {
	var p plan
	if b, err := os.ReadFile(c.at("pulls", key, planFile)); err == nil {
		_ = json.Unmarshal(b, &p) // one that is damaged plans nothing
	}
	return p
}

// onDisk is how much of the disk the files of a folder take: files that are partly there have holes.
func onDisk(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == planFile {
			return nil //nolint:nilerr // it has gone meanwhile, or is our own
		}
		if info, err := d.Info(); err == nil {
			n += taken(info)
		}
		return nil
	})
	return n
}

// sums returns a snapshot that has the file of each checksum.
func (c *Cache) sums() (map[string]string, error) {
	names, err := os.ReadDir(c.at("snapshots"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, n := range names {
		s, err := c.manifest(c.at("snapshots", n.Name()))
		if err != nil {
			continue
		}
		for _, f := range s.Files {
			if f.Link == "" && !f.Exec {
				out[f.SHA256] = s.ID
			}
		}
	}
	delete(out, "")
	return out, nil
}

// makeRoom plans a pull: it removes what was used longest ago and is not in use until the plan fits into the limit, and onto the
// disk. It fails when that is not enough; what could be removed is kept then.
func (c *Cache) makeRoom(ctx context.Context, key string, p plan) error {
	if c.o.Limit > 0 && p.Bytes > c.o.Limit {
		return fault.Newf(fault.TooLarge, "%s takes at least %d bytes, and the cache of weights at most %d.", p.Ref, p.Bytes, c.o.Limit)
	}
	return c.change(ctx, func() error {
		for {
			remove, err := c.superfluous(key, p)
			if err != nil {
				return err
			}
			var held bool
			for i := range remove {
				switch err := c.remove(&remove[i]); {
				case errors.Is(err, filelock.ErrHeld):
					held = true
				case err != nil:
					return err
				}
			}
			if !held { // else somebody began to use what was idle, and it is looked for again
				return artifact.DiskError(write(c.at("pulls", key, planFile), p))
			}
		}
	})
}

// superfluous returns what must go for a plan, as things are.
func (c *Cache) superfluous(key string, p plan) ([]Entry, error) {
	entries, err := c.entries()
	if err != nil {
		return nil, err
	}
	free, err := c.o.free(c.o.Dir)
	if err != nil {
		return nil, err
	}
	need := p.Bytes - onDisk(c.at("pulls", key)) // of the disk
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Partial && e.name == key })
	for i := range entries {
		if e := &entries[i]; e.Partial && e.InUse { // others have room that is theirs, and not used yet
			need += max(0, c.plan(e.name).Bytes-e.Bytes)
		}
	}
	return c.choose(entries, p, need, free-c.o.KeepFree)
}

// choose returns what must go so that a plan fits.
func (c *Cache) choose(entries []Entry, p plan, need, free int64) (remove []Entry, err error) {
	for {
		over := c.o.Limit > 0 && c.size(entries)+p.Bytes > c.o.Limit
		if !over && need <= free {
			return remove, nil
		}
		at := slices.IndexFunc(entries, func(e Entry) bool { return !e.InUse })
		if at < 0 && over {
			return nil, full(CodeFull, fmt.Sprintf("%s takes %d bytes, the cache of weights at most %d, and %d of them are in use.", p.Ref, p.Bytes, c.o.Limit, c.size(entries)))
		}
		if at < 0 {
			return nil, full(fault.CodeStorage, fmt.Sprintf("The disk of the weights has no room: %s needs %d bytes, and %d are free, of which %d stay free for others (weights.keep_free).",
				p.Ref, need, free+c.o.KeepFree, c.o.KeepFree))
		}
		before := c.size(entries)
		remove = append(remove, entries[at])
		entries = slices.Delete(slices.Clone(entries), at, at+1)
		free += before - c.size(entries)
	}
}

func full(code, message string) error {
	e := fault.New(fault.Unavailable, message)
	e.Code = code
	return e
}

// size is what entries take together. Files of one checksum are one on the disk, whichever snapshots have them; those
// of archives are each snapshot's own, and counted as one nevertheless.
func (c *Cache) size(entries []Entry) (n int64) {
	seen := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Partial && e.InUse:
			n += max(e.Bytes, c.plan(e.name).Bytes)
		case e.Partial:
			n += e.Bytes
		}
		for _, f := range e.Files {
			if !e.Partial && (!seen[f.SHA256] || f.SHA256 == "") {
				n += f.Size
				seen[f.SHA256] = true
			}
		}
	}
	return n
}

// remove takes an entry out of the cache. Its error is filelock.ErrHeld for one that is in use.
func (c *Cache) remove(e *Entry) error {
	lock, err := filelock.Take(c.at("locks", e.lock()+".lock"))
	if err != nil {
		return err
	}
	if !lock.Effective() {
		return errors.Join(filelock.ErrHeld, lock.Close())
	}
	return errors.Join(c.trash(c.at(e.folder(), e.name)), lock.Close())
}

// trash removes a folder: at once for all who look, and then for the disk.
func (c *Cache) trash(dir string) error {
	to, err := os.MkdirTemp(c.at("trash"), "")
	if err != nil {
		return artifact.DiskError(err)
	}
	if err := os.Rename(dir, filepath.Join(to, "x")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(to)
}

// emptyTrash removes what programs that were killed have left, and snapshots that are damaged.
func (c *Cache) emptyTrash() error {
	names, err := os.ReadDir(c.at("snapshots"))
	if err != nil {
		return err
	}
	for _, n := range names {
		if _, err := c.manifest(c.at("snapshots", n.Name())); errors.Is(err, os.ErrNotExist) {
			if err := c.remove(&Entry{name: n.Name()}); err != nil && !errors.Is(err, filelock.ErrHeld) {
				return err
			}
		}
	}
	names, err = os.ReadDir(c.at("trash"))
	if err != nil {
		return err
	}
	for _, n := range names {
		// Another program may be at it as well: what has gone is no fault.
		if err := os.RemoveAll(c.at("trash", n.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Prune removes entries that are not in use, of those that are chosen, and returns them.
func (c *Cache) Prune(ctx context.Context, chosen func(*Entry) bool) (removed []Entry, err error) {
	err = c.change(ctx, func() error {
		entries, err := c.entries()
		if err != nil {
			return err
		}
		for i := range entries {
			e := &entries[i]
			if e.InUse || !chosen(e) {
				continue
			}
			switch err := c.remove(e); {
			case errors.Is(err, filelock.ErrHeld): // since it was listed
			case err != nil:
				return err
			default:
				removed = append(removed, *e)
			}
		}
		return c.forget()
	})
	return removed, err
}

// forget removes notes of snapshots that have gone.
func (c *Cache) forget() error {
	names, err := os.ReadDir(c.at("refs"))
	if err != nil {
		return err
	}
	for _, n := range names {
		var at found
		b, err := os.ReadFile(c.at("refs", n.Name()))
		if err == nil && json.Unmarshal(b, &at) == nil && filepath.Base(at.ID) == at.ID {
			if _, err := os.Stat(c.at("snapshots", at.ID)); err == nil {
				continue
			}
		}
		if err := os.Remove(c.at("refs", n.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// taken is how much of the disk a file takes.
func taken(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), st.Blocks*512) // of POSIX: blocks are of 512 bytes
	}
	return info.Size()
}
