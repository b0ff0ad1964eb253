package upstream

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
)

func TestLentMemory(t *testing.T) {
	parts := [][]byte{[]byte("one"), nil, []byte(" two "), []byte("three")}
	l := lend(&Request{Body: parts})
	if err := iotest.TestReader(l.reader(), []byte("one two three")); err != nil {
		t.Error(err)
	}
	whole, half := l.reader(), l.reader()
	if _, err := io.Copy(io.Discard, whole); err != nil {
		t.Fatal(err)
	}
	var p [4]byte
	if n, err := half.Read(p[:]); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	l.back()
	copy(parts[3], "HERS!")
	if n, err := half.Read(p[:]); n != 0 || !errors.Is(err, errTakenBack) {
		t.Errorf("%q was read after the memory was taken back: %v", p[:n], err)
	}
	if n, err := whole.Read(p[:]); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("what was read in full has no end any more: %d, %v", n, err)
	}
}

// The caller has its memory back when the response was closed.
func TestMemoryIsTakenBack(t *testing.T) {
	both(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, func(t *testing.T, c Client) {
		std, ok := c.(*netHTTP)
		if !ok {
			return // the direct client has written all when Do returns
		}
		res, err := c.Do(t.Context(), &Request{Method: "POST", Path: "/", Body: [][]byte{[]byte("mine")}})
		if err != nil {
			t.Fatal(err)
		}
		var sent *lent
		std.mu.Lock()
		for call := range std.calls {
			sent = call.sent
		}
		std.mu.Unlock()
		_ = res.Close()
		sent.mu.Lock()
		defer sent.mu.Unlock()
		if sent.parts != nil {
			t.Error("the memory is still lent")
		}
	})
}
