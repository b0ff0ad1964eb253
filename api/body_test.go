package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"forebay/fault"
)

// sized makes a request whose head states a length, -1 for none.
func sized(body io.Reader, stated int64) *http.Request {
	return &http.Request{Body: io.NopCloser(body), ContentLength: stated}
}

func TestBodies(t *testing.T) {
	const limit = 1 << 20
	for name, c := range map[string]struct {
		body   io.Reader
		stated int64
		budget int64
		kind   fault.Kind // 0 for none
		want   int        // bytes
	}{
		"empty":                    {strings.NewReader(""), 0, 0, 0, 0},
		"short":                    {strings.NewReader("abc"), 3, 0, 0, 3},
		"of the first buffer":      {bytes.NewReader(make([]byte, unknownLength)), unknownLength, 0, 0, unknownLength},
		"of the limit":             {bytes.NewReader(make([]byte, limit)), limit, 0, 0, limit},
		"chunked, of the limit":    {iotest.HalfReader(bytes.NewReader(make([]byte, limit))), -1, 0, 0, limit},
		"chunked, over the limit":  {bytes.NewReader(make([]byte, limit+1)), -1, 0, fault.TooLarge, 0},
		"stated over the limit":    {strings.NewReader(""), limit + 1, 0, fault.TooLarge, 0},
		"broken off":               {io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(io.ErrUnexpectedEOF)), 10, 0, fault.Malformed, 0},
		"over the budget":          {bytes.NewReader(make([]byte, 100<<10)), 100 << 10, 64 << 10, fault.Overloaded, 0},
		"chunked, over the budget": {bytes.NewReader(make([]byte, 100<<10)), -1, 64 << 10, fault.Overloaded, 0},
		"budget of nearly nothing": {strings.NewReader("abc"), 3, 1, fault.Overloaded, 0},
	} {
		budget := NewBudget(c.budget)
		b, err := ReadBody(sized(c.body, c.stated), limit, budget)
		if c.kind != 0 {
			if fault.KindOf(err) != c.kind || b != nil || budget.Used() != 0 {
				t.Errorf("%s: %v, %d bytes are held", name, err, budget.Used())
			}
			continue
		}
		if err != nil || len(b.Bytes) != c.want || budget.Used() < int64(c.want) || budget.Used() > max(2*int64(c.want), believedLength) {
			t.Fatalf("%s: %v, %d bytes are held", name, err, budget.Used())
		}
		b.Release()
		b.Release()
		b.Drop()
		if budget.Used() != 0 {
			t.Errorf("%s: %d bytes are held after the release", name, budget.Used())
		}
	}
}

// What somebody may still read is not given to the next request.
func TestDroppedBodiesAreNotReused(t *testing.T) {
	budget := NewBudget(0)
	first, err := ReadBody(sized(strings.NewReader("mine"), 4), 100, budget)
	if err != nil {
		t.Fatal(err)
	}
	mine := first.Bytes
	first.Drop()
	first.Release()
	for range 100 {
		b, err := ReadBody(sized(strings.NewReader("HERS"), 4), 100, budget)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Release()
	}
	if string(mine) != "mine" {
		t.Errorf("%q", mine)
	}
}

// A stated length claims no more memory than a small body needs before bytes come.
func TestAStatedLengthClaimsLittle(t *testing.T) {
	budget := NewBudget(0)
	held := int64(0)
	body := readerFunc(func([]byte) (int, error) {
		held = budget.Used()
		return 0, errors.New("gone")
	})
	if _, err := ReadBody(sized(body, 20<<20), 25<<20, budget); fault.KindOf(err) != fault.Malformed {
		t.Error(err)
	}
	if held > believedLength {
		t.Errorf("%d bytes were held for a body that never came", held)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// inHalves is a request whose body comes a little at a time, with its length told or not.
func inHalves(body []byte, told bool) *http.Request {
	r := &http.Request{ContentLength: -1, Body: io.NopCloser(iotest.HalfReader(bytes.NewReader(body)))}
	if told {
		r.ContentLength = int64(len(body))
	}
	return r
}

func TestBodiesOfEverySize(t *testing.T) {
	budget := NewBudget(64 << 20)
	for _, size := range []int{0, 1, 1023, 1024, 1025, 8191, 8192, 8193, 65535, 65536, 70_000, 300_000, 3 << 20} {
		want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		for _, told := range []bool{true, false} {
			for range 2 { // the second time perhaps with the buffer of the first
				b, err := ReadBody(inHalves(want, told), 4<<20, budget)
				if err != nil || !bytes.Equal(b.Bytes, want) {
					t.Fatalf("%d bytes, told %v: %v", size, told, err)
				}
				if used := budget.Used(); used < int64(size) || told && size < believedLength && used > max(2048, 2*int64(size)) {
					t.Errorf("%d bytes took %d of the budget", size, used)
				}
				b.Release()
				b.Release()
				if budget.Used() != 0 {
					t.Fatalf("%d bytes of the budget are gone", budget.Used())
				}
			}
		}
	}
}

// What a body is counted with does not depend on the bodies before it: the buffer of one that is longer than the pools' is not the next one's.
func TestRoomOfABodyIsItsOwn(t *testing.T) {
	const length = 60_000
	var first int64
	for i, before := range []int{0, 74_000, 100_000, 131_000} {
		budget := NewBudget(1 << 20)
		for range 8 { // a pool may drop what it is given, under the race detector at random
			long, err := ReadBody(sized(bytes.NewReader(make([]byte, before)), int64(before)), 1<<20, budget)
			if err != nil {
				t.Fatal(err)
			}
			long.Release()
		}
		b, err := ReadBody(sized(bytes.NewReader(make([]byte, length)), length), 1<<20, budget)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = budget.Used()
		}
		if used := budget.Used(); used != first || used < length || used > 2*length {
			t.Errorf("after bodies of %d bytes one of %d is counted with %d, %d without them", before, length, used, first)
		}
		b.Release()
	}
}
