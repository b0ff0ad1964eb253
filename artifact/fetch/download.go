package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"forebay/artifact"
	"forebay/fault"

	"golang.org/x/sync/errgroup"
)

// Grown is told of bytes that are on the disk, or, below zero, of such that were there and are not any more. An error of it
// ends the download, and comes out of it. It is called from several goroutines.
type Grown func(n int64) error

// Names of what a download keeps beside its destination until it is whole.
const (
	partSuffix    = ".part"
	journalSuffix = ".journal"
)

var (
	errIgnored = errors.New("the source ignores ranges")
	errChanged = errors.New("the source has another file now")
)

// Download brings a file to a path, where it is in full or not at all, and returns its SHA-256. What an earlier
// call has brought of it, in whatever way that ended, is not brought again: it lies beside the path, in a file ending in .part,
// with a journal of what is in it. That is kept when the download is canceled, the source fails or the disk is full, and removed
// when the source has another file now or the checksum is wrong. One call at a time may be under way for a path.
// Faults: Unavailable of CodeUnreachable, CodeCorrupt, CodeChanged or fault.CodeStorage; Denied, NotFound; errors of grown as they are.
func (f *Fetcher) Download(ctx context.Context, file *File, path string, grown Grown) (sum string, err error) {
	err = f.bring(ctx, file, path, grown)
	if errors.Is(err, errChanged) {
		err = errors.Join(discard(path), coded(fault.Unavailable, CodeChanged, err, "The source of "+file.Path+" has another file now than when it was asked."))
	}
	if err != nil {
		return "", artifact.DiskError(err)
	}
	size := file.Size
	if size < 0 { // it was as long as it came
		st, err := os.Stat(path + partSuffix)
		if err != nil {
			return "", err
		}
		size = st.Size()
	}
	sum, err = verify(ctx, path+partSuffix, file.Path, size, file.Sums)
	if e := fault.From(err); err != nil && e.Code == CodeCorrupt {
		return "", errors.Join(err, discard(path))
	}
	if err != nil {
		return "", err
	}
	return sum, artifact.DiskError(keep(path))
}

// keep gives what is whole its name.
func keep(path string) error {
	if err := os.Chmod(path+partSuffix, 0o400); err != nil {
		return err
	}
	if err := os.Rename(path+partSuffix, path); err != nil {
		return err
	}
	return gone(os.Remove(path + journalSuffix))
}

func discard(path string) error {
	return errors.Join(gone(os.Remove(path+partSuffix)), gone(os.Remove(path+journalSuffix)))
}

// gone is the error of removing what need not be there.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// bring fills the part file, by ranges where that is safe: where the size is known, and something tells whether two ranges are of one
// file, its checksum at the end at the latest.
func (f *Fetcher) bring(ctx context.Context, file *File, path string, grown Grown) error {
	if file.Size > 0 && !file.oneGo && (file.Validator != "" || file.Sums[SumSHA256] != "" || file.fixture) {
		err := f.ranges(ctx, file, path, grown)
		if !errors.Is(err, errIgnored) {
			return err
		}
	}
	return f.whole(ctx, file, path, grown)
}

// ranges brings the chunks that are missing, several at once.
func (f *Fetcher) ranges(ctx context.Context, file *File, path string, grown Grown) (err error) {
	j, err := openJournal(path, file, f.o.Chunk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := grown(j.done()); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(f.o.Parallel)
	for i := range j.chunks() {
		if j.has(i) {
			continue
		}
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			c := &chunk{from: int64(i) * f.o.Chunk, to: min(int64(i+1)*f.o.Chunk, file.Size)}
			if err := f.attempts(gctx, file.source, func(ctx context.Context) error { return f.chunk(ctx, file, j.part, c, grown) }); err != nil {
				return errors.Join(err, grown(-c.got))
			}
			return j.record(i)
		})
	}
	err = g.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errIgnored):
		return errors.Join(err, grown(-j.done()))
	}
	return err
}

// chunk is a range of a file: its bytes from ≤ b < to, of which got are on the disk.
type chunk struct{ from, to, got int64 }

// chunk makes one attempt at what is missing of a range.
func (f *Fetcher) chunk(ctx context.Context, file *File, part *os.File, c *chunk, grown Grown) error {
	first := c.from + c.got
	h := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", first, c.to-1)}}
	if file.Validator != "" && !file.fixture {
		h.Set("If-Range", file.Validator)
	}
	res, err := f.do(ctx, file.source, http.MethodGet, file.url, h)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if v := validator(res.Header); file.Validator != "" && !file.fixture && v != "" && v != file.Validator {
		return errChanged
	}
	if res.StatusCode != http.StatusPartialContent {
		return errIgnored
	}
	a, b, size, err := contentRange(res.Header)
	if err != nil {
		return err
	}
	if a != first || b != c.to-1 || size != file.Size || res.ContentLength >= 0 && res.ContentLength != b-a+1 {
		return corrupt("%s was asked for the bytes %d to %d of the %d of %s, and sends %d to %d of %d.", file.source.name, first, c.to-1, file.Size, file.Path, a, b, size)
	}
	return store(bodyOf(ctx, res), part, first, c.to-first, func(n int64) error {
		c.got += n
		return grown(n)
	})
}

// store writes what comes at an offset. Exactly want bytes must come; below zero, any number.
func store(r io.Reader, part *os.File, at, want int64, grown Grown) error {
	buffer := make([]byte, 256<<10)
	var n int64
	for {
		k, err := r.Read(buffer)
		if want >= 0 && n+int64(k) > want {
			return corrupt("The source sends more than the %d bytes that it was asked for.", want)
		}
		if k > 0 {
			if _, err := part.WriteAt(buffer[:k], at+n); err != nil {
				return err
			}
			n += int64(k)
			if err := grown(int64(k)); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && want >= 0 && n < want:
			return &attemptError{err: fmt.Errorf("the source ended after %d of %d bytes", n, want)}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// whole brings a file in one go. What fails begins anew: nothing says that what would follow is of the same file.
func (f *Fetcher) whole(ctx context.Context, file *File, path string, grown Grown) (err error) {
	if err := discard(path); err != nil {
		return err
	}
	part, err := os.OpenFile(path+partSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the caller's own folder
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	var got int64
	err = f.attempts(ctx, file.source, func(ctx context.Context) error {
		if err := errors.Join(grown(-got), part.Truncate(0)); err != nil {
			return err
		}
		got = 0
		res, err := f.do(ctx, file.source, http.MethodGet, file.url, nil)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if file.Validator != "" && validator(res.Header) != file.Validator {
			return errChanged
		}
		want := file.Size
		if want < 0 {
			want = res.ContentLength
		}
		if res.ContentLength >= 0 && res.ContentLength != want {
			return corrupt("%s announces %d bytes of %s, and then %d.", file.source.name, want, file.Path, res.ContentLength)
		}
		return store(bodyOf(ctx, res), part, 0, want, func(n int64) error {
			got += n
			return grown(n)
		})
	})
	if err != nil {
		return errors.Join(err, grown(-got))
	}
	return part.Sync()
}
