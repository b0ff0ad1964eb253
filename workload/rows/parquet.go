package rows

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/fault"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// Parquet is the rows of a Parquet file (the Apache format's version 2, with the types that others write), as texts like those of CSV: times as clocks, with a
// Z where they are told as of UTC, numbers as they are. Members of members are called a.b; a list is its first two elements.
type Parquet struct {
	path   string
	file   *os.File
	groups []parquet.RowGroup
	rows   parquet.Rows // of the group that is read; nil for none yet
	cells  []cell       // by the column of the file
	names  []string
	row    []string
	batch  []parquet.Row
	ready  []parquet.Row // of batch, not handed on yet
	count  int64
	block  []uint64
}

// cell is how the values of a column of the file are written.
type cell struct {
	at    int // in the row
	list  bool
	text  func(v parquet.Value) string
	block bool // hashes of the blocks of prompts
}

// batched is how many rows are decoded at once.
const batched = 256

func openParquet(path string) (x *Parquet, err error) {
	f, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return nil, err
	}
	x = &Parquet{path: path, file: f}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	defer x.guard(&err)
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p, err := parquet.OpenFile(f, i.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "%s begins like a Parquet file and cannot be read as one: it may not be whole; write it again (%v)", path, err)
	}
	if p.NumRows() == 0 {
		return nil, fault.Newf(fault.Invalid, "%s has no rows: nothing can be planned for it", path)
	}
	x.groups = p.RowGroups()
	x.columns(p.Schema())
	x.row, x.batch = make([]string, len(x.names)), make([]parquet.Row, batched)
	return x, nil
}

// columns names the columns and finds how their values are written.
func (x *Parquet) columns(s *parquet.Schema) {
	for _, path := range s.Columns() {
		leaf, _ := s.Lookup(path...)
		c := cell{list: leaf.MaxRepetitionLevel > 0, text: texts(leaf.Node.Type())}
		name := strings.Join(path, ".")
		if c.list { // of a list, name.list.element or name.bag.array_element
			name = path[0]
		}
		c.block = name == BlocksMember
		if c.at = slices.Index(x.names, name); c.at < 0 {
			c.at = len(x.names)
			x.names = append(x.names, name)
		} else {
			c.text = nil // values of a map, behind their keys
		}
		x.cells = append(x.cells, c)
	}
}

// guard makes a fault of a panic: the decoder meets files that are damaged with some.
func (x *Parquet) guard(err *error) {
	if p := recover(); p != nil {
		*err = fault.Newf(fault.Invalid, "%s is damaged behind row %d: %v: write it again", x.path, x.count, p)
	}
}

// Blocks implements Blocked.
func (x *Parquet) Blocks() []uint64 { return x.block }

// WantBlocks implements Blocked.
func (x *Parquet) WantBlocks() {}

// Close implements io.Closer.
func (x *Parquet) Close() error {
	var err error
	if x.rows != nil {
		err = x.rows.Close()
	}
	return errors.Join(err, x.file.Close())
}

// Next implements Reader.
func (x *Parquet) Next() (row []string, line int64, err error) {
	defer x.guard(&err)
	for len(x.ready) == 0 {
		if err := x.fill(); err != nil {
			return nil, x.count + 1, err
		}
	}
	r := x.ready[0]
	x.ready = x.ready[1:]
	x.count++
	clear(x.row)
	x.block = x.block[:0]
	for _, v := range r {
		c := &x.cells[v.Column()]
		if v.IsNull() || c.text == nil {
			continue
		}
		text := c.text(v)
		switch {
		case c.block:
			x.block = append(x.block, hashOf([]byte(text)))
			fallthrough
		case c.list:
			if x.row[c.at] = joined(x.row[c.at], text); v.RepetitionLevel() == 0 {
				x.row[c.at] = text
			}
		default:
			x.row[c.at] = text
		}
	}
	return x.row, x.count, nil
}

// joined is the beginning of a list with one more element: no more than two are kept.
func joined(list, element string) string {
	if strings.Contains(list, ",") {
		return list
	}
	return list + "," + element
}

// fill decodes the next rows.
func (x *Parquet) fill() error {
	if x.rows == nil {
		if len(x.groups) == 0 {
			return io.EOF
		}
		x.rows, x.groups = x.groups[0].Rows(), x.groups[1:]
	}
	n, err := x.rows.ReadRows(x.batch)
	x.ready = x.batch[:n]
	switch {
	case n > 0:
		return nil
	case errors.Is(err, io.EOF):
		err = x.rows.Close()
		x.rows = nil
		return err
	default:
		return err
	}
}

// texts returns how values of a type are written.
func texts(t parquet.Type) func(v parquet.Value) string {
	if l := t.LogicalType(); l != nil {
		switch of := l.Value.(type) {
		case *format.TimestampType:
			return timestamps(of.Unit, of.IsAdjustedToUTC)
		case *format.DateType:
			return func(v parquet.Value) string { return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly) }
		case *format.DecimalType:
			return func(v parquet.Value) string { return decimal(v, of.Scale) }
		default:
		}
	}
	switch t.Kind() {
	case parquet.Int96:
		return func(v parquet.Value) string { return impala(v).Format(clockForm) }
	case parquet.Float:
		return func(v parquet.Value) string { return strconv.FormatFloat(float64(v.Float()), 'g', -1, 32) }
	case parquet.Double:
		return func(v parquet.Value) string { return strconv.FormatFloat(v.Double(), 'g', -1, 64) }
	default:
		return func(v parquet.Value) string { return v.String() }
	}
}

// clockForm is how times are written; those of UTC have a Z behind it.
const clockForm = "2006-01-02T15:04:05.999999999"

func timestamps(u format.TimeUnit, utc bool) func(v parquet.Value) string {
	unit := time.Millisecond
	switch u.Value.(type) {
	case *format.MicroSeconds:
		unit = time.Microsecond
	case *format.NanoSeconds:
		unit = time.Nanosecond
	default:
	}
	layout := clockForm
	if utc {
		layout += "Z"
	}
	perSecond := int64(time.Second / unit)
	return func(v parquet.Value) string {
		n := v.Int64()
		return time.Unix(n/perSecond, n%perSecond*int64(unit)).UTC().Format(layout)
	}
}

// impala is a time as Impala, Hive and Spark write it: nanoseconds of the day, and the Julian day, whose day 2,440,588 is the first of 1970. It has no zone.
func impala(v parquet.Value) time.Time {
	i := v.Int96()
	nanos := int64(uint64(i[1])<<32 | uint64(i[0]))
	return time.Unix((int64(i[2])-2_440_588)*86400, nanos).UTC()
}

// decimal writes a number of so many places behind the point.
func decimal(v parquet.Value, scale int32) string {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32, parquet.Int64:
		n.SetInt64(v.Int64())
		if v.Kind() == parquet.Int32 {
			n.SetInt64(int64(v.Int32()))
		}
	default: // big-endian two's complement
		b := v.ByteArray()
		n.SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
		n.Neg(n)
	}
	digits := n.String()
	if scale <= 0 {
		return sign + digits
	}
	if pad := int(scale) + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	at := len(digits) - int(scale)
	return fmt.Sprintf("%s%s.%s", sign, digits[:at], digits[at:])
}
