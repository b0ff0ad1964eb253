package weights

import (
	"errors"
	"io/fs"
)

// maxRead is how much of an artifact is read at most, all files together. The heads and descriptions of the largest models have some
// megabytes; a file that was made to be read for long has as much as it likes, be it of holes.
const maxRead = 256 << 20

// perFile is what a file counts at least, so that very many empty ones are bounded as well.
const perFile = 64 << 10

var errTooMuch = errors.New("there is more to read than is sensible")

// bounded are the files of an artifact, of which no more can be read than is left.
type bounded struct {
	fs.FS
	left int64
}

func (b *bounded) take(n int) error {
	if b.left -= int64(n); b.left < 0 {
		return errTooMuch
	}
	return nil
}

// Open implements fs.FS.
func (b *bounded) Open(name string) (fs.File, error) {
	if err := b.take(perFile); err != nil {
		return nil, err
	}
	f, err := b.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &boundedFile{f, b}, nil
}

// ReadDir implements fs.ReadDirFS.
func (b *bounded) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(b.FS, name) }

// Stat implements fs.StatFS.
func (b *bounded) Stat(name string) (fs.FileInfo, error) { return fs.Stat(b.FS, name) }

type boundedFile struct {
	fs.File
	of *bounded
}

// Read implements io.Reader.
func (f *boundedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if e := f.of.take(n); e != nil {
		return 0, e
	}
	return n, err
}
