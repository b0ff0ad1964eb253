package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"forebay/internal/filelock"
)

// lockFile is what a server locks in its data directory while it runs.
const lockFile = "forebay.lock"

// own makes the data directory this process's own until the lock is closed: two servers on one directory would each
// count the same quotas and budgets alone.
func (s *Server) own(ctx context.Context) error {
	l, err := filelock.Take(filepath.Join(s.cfg.DataDir, lockFile))
	switch {
	case errors.Is(err, filelock.ErrHeld):
		return errors.New("another forebay runs on it; stop that one or choose another with --data-dir")
	case err != nil:
		return err
	}
	if s.lock = l; !l.Effective() {
		s.log.WarnContext(ctx, "the file system cannot lock: nothing keeps a second server away from the data directory", "directory", s.cfg.DataDir)
	}
	return nil
}

// replaceFile writes a file that only its owner can read. Whenever it is interrupted, the
// file has its old content or the new one.
func replaceFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
