package rows

import (
	"bytes"
	"io"
	"os"
)

// Table is a file of rows, open, with the names of their columns.
type Table struct {
	Reader
	io.Closer

	Names []string
	// Objects says that a row is an object of JSON or what is like it, so that an empty cell is a member that is not there.
	Objects bool
}

// OpenTable opens a file of rows: Parquet, JSON or CSV, by how it begins.
func OpenTable(path string) (*Table, error) {
	parquet, err := IsParquet(path)
	if err != nil {
		return nil, err
	}
	if parquet {
		r, err := openParquet(path)
		if err != nil {
			return nil, err
		}
		return &Table{Reader: r, Closer: r, Names: r.names}, nil
	}
	in, closer, err := Open(path)
	if err != nil {
		return nil, err
	}
	t := &Table{Closer: closer}
	if t.Objects, err = Begin(path, in); err == nil {
		if t.Objects {
			t.Reader, t.Names, err = NewJSON(path, in)
		} else {
			t.Reader, t.Names, err = NewCSV(path, in)
		}
	}
	if err != nil {
		_ = closer.Close()
		return nil, err
	}
	return t, nil
}

// parquetMagic is what Parquet files begin and end with.
const parquetMagic = "PAR1"

// IsParquet says whether a file is one of Parquet.
func IsParquet(path string) (bool, error) {
	if err := regular(path); err != nil {
		return false, err
	}
	f, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, len(parquetMagic))
	n, err := io.ReadFull(f, head)
	return err == nil && bytes.Equal(head[:n], []byte(parquetMagic)), nil
}
