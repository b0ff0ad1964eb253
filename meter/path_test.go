package meter

import (
	"os"
	"path/filepath"
	"testing"
)

// A directory's name is no part of the database's options.
func TestLedgerOfAnOddDirectoryIsOnTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "what?mode=memory#1 50%25", "ledger.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLedger(t.Context(), LedgerOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() == 0 {
		t.Errorf("%v %v", st, err)
	}
}
