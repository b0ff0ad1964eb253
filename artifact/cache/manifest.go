package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"forebay/artifact/fetch"
	"forebay/artifact/unpack"
	"forebay/fault"

	"github.com/go-json-experiment/json"
)

// File is one of the files of a snapshot.
type File = unpack.File

// Snapshot says what weights are.
type Snapshot struct {
	ID      string        `json:"id,omitzero"` // of the content
	Ref     string        `json:"ref"`         // by which they were asked for first, without what signs a URL
	Pinned  string        `json:"pinned"`      // the same for ever, as far as the source can say it
	Bytes   int64         `json:"bytes"`
	Folder  bool          `json:"folder,omitzero"` // the reference names a folder, or an archive, and not one file
	Files   []File        `json:"files,omitempty"`
	Licence fetch.Licence `json:"licence,omitzero"`
	Pulled  time.Time     `json:"pulled,omitzero"`
}

// identify gives a snapshot the id and the size of its content.
func (s *Snapshot) identify() {
	sum := sha256.New()
	s.Bytes = 0
	for _, f := range s.Files {
		fmt.Fprintf(sum, "%q %d %s %v %q\n", f.Path, f.Size, f.SHA256, f.Exec, f.Link)
		s.Bytes += f.Size
	}
	s.ID = hex.EncodeToString(sum.Sum(nil))
}

// manifest reads that of a folder of the cache. One that is damaged is none.
func (c *Cache) manifest(dir string) (*Snapshot, error) {
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json")) //nolint:gosec // our own folder
	if err != nil {
		return nil, err
	}
	var s Snapshot
	if err := json.Unmarshal(b, &s); err != nil || !s.Folder && len(s.Files) != 1 {
		return nil, fmt.Errorf("%s: %w: damaged", dir, os.ErrNotExist)
	}
	return &s, nil
}

// write puts a value into a file, in full or not at all.
func write(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// found is what refs say.
type found struct {
	ID string `json:"id"`
}

// note says which snapshot was found under a key.
func (c *Cache) note(key, id string) error { return write(c.at("refs", key+".json"), found{id}) }

// find returns a lease of what was found under a key; nil where that is nothing, or is not there any more.
func (c *Cache) find(ctx context.Context, key string) (*Lease, error) {
	b, err := os.ReadFile(c.at("refs", key+".json"))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // it was not found
	}
	var at found
	if err := json.Unmarshal(b, &at); err != nil || len(at.ID) != 2*sha256.Size || !fs.ValidPath(at.ID) || filepath.Base(at.ID) != at.ID {
		return nil, nil //nolint:nilerr,nilnil // a note that is damaged is none
	}
	return c.lease(ctx, at.ID)
}

// Acceptance says who accepted which terms, and when.
type Acceptance struct {
	Licence fetch.Licence `json:"licence"`
	By      string        `json:"by"`
	At      time.Time     `json:"at"`
}

func (c *Cache) acceptance(l fetch.Licence) string {
	return c.at("licences", keyOf(fmt.Sprintf("%q %q %q %q", l.Of, l.ID, l.Name, l.Link))+".json")
}

// Accept records that somebody accepted the terms of a repository. It holds until these are others.
func (c *Cache) Accept(l fetch.Licence, by string) error {
	return write(c.acceptance(l), Acceptance{Licence: l, By: by, At: c.o.now().UTC()})
}

// Accepted returns who accepted terms; false where nobody did.
func (c *Cache) Accepted(l fetch.Licence) (Acceptance, bool) {
	var a Acceptance
	b, err := os.ReadFile(c.acceptance(l))
	if err != nil || json.Unmarshal(b, &a) != nil {
		return Acceptance{}, false
	}
	return a, a.Licence == l
}

// mayUse fails where terms would have to be accepted, and are not.
func (c *Cache) mayUse(l fetch.Licence) error {
	if !l.NeedsAcceptance() {
		return nil
	}
	if _, ok := c.Accepted(l); ok {
		return nil
	}
	e := fault.Newf(fault.Denied, "The licence of %s (%s, see %s) has not been accepted: run forebay models pull with --accept-licence.", l.Of, l, l.Link)
	e.Code = CodeLicence
	return e
}
