package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path)
	if err != nil || !first.Effective() {
		t.Fatalf("%+v %v", first, err)
	}
	if _, err := Take(path); !errors.Is(err, ErrHeld) {
		t.Errorf("a second holder: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	if _, err := Take(filepath.Join(t.TempDir(), "none", "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestSharedLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Share(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Share(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if _, err := Take(path); !errors.Is(err, ErrHeld) {
		t.Errorf("taken from one who shares it: %v", err)
	}
	_ = second.Close()
	alone, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Share(path); !errors.Is(err, ErrHeld) {
		t.Errorf("shared with one who has taken it: %v", err)
	}
	_ = alone.Close()
}

// A file system that cannot lock grants a lock that is none; any other failure is one.
func TestFileSystemsThatCannotLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for _, errno := range []syscall.Errno{syscall.ENOLCK, syscall.EOPNOTSUPP, syscall.ENOSYS} {
		l, err := take(path, syscall.LOCK_EX, func(int, int) error { return errno })
		if err != nil || l.Effective() {
			t.Fatalf("%v: %+v %v", errno, l, err)
		}
		_ = l.Close()
	}
	if _, err := take(path, syscall.LOCK_EX, func(int, int) error { return syscall.EIO }); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrHeld) {
		t.Errorf("%v", err)
	}
}
