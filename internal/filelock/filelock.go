// Package filelock keeps a second program away from files that one writes, by a lock on a file beside them. It is
// advisory, for those who ask for it, and ends with the program in whatever way that ends.
//
// Some file systems, of networks above all, cannot lock. There a lock is granted without being one, because nothing would
// run on them otherwise; its holder learns of it and is to say so.
package filelock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrHeld says that another program, or another part of this one, has the lock.
var ErrHeld = errors.New("it is locked by another program")

// Lock is a lock that was granted.
type Lock struct {
	file      *os.File
	effective bool
}

// Take makes the file if need be, readable by its owner alone, and locks it without waiting. Its error is ErrHeld, or
// what the system says.
func Take(path string) (*Lock, error) { return take(path, syscall.LOCK_EX, syscall.Flock) }

// Share is Take for a lock that any number may hold together, and nobody beside one who has taken it.
func Share(path string) (*Lock, error) { return take(path, syscall.LOCK_SH, syscall.Flock) }

func take(path string, mode int, flock func(fd, how int) error) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // whoever takes the lock names its file
	if err != nil {
		return nil, err
	}
	err = flock(int(f.Fd()), mode|syscall.LOCK_NB)
	switch {
	case err == nil:
		return &Lock{f, true}, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(ErrHeld, f.Close())
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.ENOLCK):
		return &Lock{f, false}, nil
	default:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
}

// Effective reports whether the lock keeps anybody away: it does not on a file system that cannot lock.
func (l *Lock) Effective() bool { return l.effective }

// Close gives the lock back. The file stays: who removed it would take it from under another who waits for it.
func (l *Lock) Close() error { return l.file.Close() }
