package rows

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"forebay/fault"

	"github.com/go-json-experiment/json/jsontext"
)

// Blocked is rows that have the hashes of prompts' blocks, too.
type Blocked interface {
	Reader
	// WantBlocks says that they are wanted.
	WantBlocks()
	// Blocks are those of the last row. The slice is used again.
	Blocks() []uint64
}

// Reader is the rows of a file, one after the other. The slice that Next returns is used again.
type Reader interface {
	Next() (row []string, line int64, err error)
}

const (
	// ahead is how much of a file is looked at for its form: more than most records that Bedrock logs, which hold whole prompts.
	ahead = 1 << 20
	// maxRow bounds the bytes of a row, and so the memory that a file without ends of lines takes.
	maxRow = 16 << 20
)

var errRow = errors.New("a row is longer than 16 MiB")

// bounded reads no more than so many bytes for a row. What was too long stays so.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRow
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// Input is a file's bytes, unpacked.
type Input struct {
	*bufio.Reader

	bound *bounded
}

func newInput(r io.Reader) *Input {
	b := &bounded{r, maxRow}
	return &Input{bufio.NewReaderSize(b, ahead), b}
}

// Row says that the next row begins.
func (i *Input) Row() {
	if i.bound.left > 0 {
		i.bound.left = maxRow
	}
}

// packed are files that are known and not read, by how they begin.
var packed = []struct{ magic, what, instead string }{
	{"PK\x03\x04", "a ZIP archive", "unpack it, and name the file in it"},
	{"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it, or compress it by gzip"},
	{"BZh", "compressed by bzip2", "unpack it, or compress it by gzip"},
	{"SQLi", "a SQLite database", "a ledger is planned for with --ledger DIR"},
}

// Open returns a file's bytes, and what closes it. Faults: Invalid for what is no file, and for what is known and not read.
func Open(path string) (*Input, io.Closer, error) {
	if err := regular(path); err != nil {
		return nil, nil, err
	}
	f, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return nil, nil, err
	}
	r := newInput(f)
	head, _ := r.Peek(4)
	for _, m := range packed {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			_ = f.Close()
			return nil, nil, fault.Newf(fault.Invalid, "%s is %s, which is not read here: %s", path, m.what, m.instead)
		}
	}
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			_ = f.Close()
			return nil, nil, fault.Newf(fault.Invalid, "%s: not a gzip file, though it begins like one: %v", path, err)
		}
		r = newInput(z)
	}
	return r, f, nil
}

// regular refuses what is no file, before it is opened: a pipe would block.
func regular(path string) error {
	i, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case i.IsDir():
		return fault.Newf(fault.Invalid, "%s is a folder: name a file", path)
	case !i.Mode().IsRegular():
		return fault.Newf(fault.Invalid, "%s is a pipe or a device, and traffic is read more than once: write it into a file, and name that", path)
	}
	return nil
}

// Begin finds the form of a file: JSON if it begins with a brace or a bracket, else CSV.
func Begin(path string, r *Input) (isJSON bool, err error) {
	for {
		b, err := r.Peek(1)
		switch {
		case err != nil:
			return false, fault.Newf(fault.Invalid, "%s has no rows: nothing can be planned for it", path)
		case b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t':
			_, _ = r.Discard(1)
			continue
		case b[0] == 0xef: // a byte-order mark
			_, _ = r.Discard(3)
			continue
		}
		return b[0] == '{' || b[0] == '[', nil
	}
}

// CSV is the rows of a CSV file.
type CSV struct {
	r     *csv.Reader
	in    *Input
	first []string // a row that was read ahead
}

// NewCSV reads the header. A file whose first row is all numbers and times has none: its columns are called by their numbers.
func NewCSV(path string, r *Input) (*CSV, []string, error) {
	x := &CSV{r: csv.NewReader(r.Reader), in: r}
	x.r.FieldsPerRecord, x.r.ReuseRecord, x.r.LazyQuotes = -1, true, true
	if head, _ := r.Peek(4096); bytes.Count(head, []byte{';'}) > bytes.Count(head, []byte{','}) {
		x.r.Comma = ';'
	} else if bytes.Count(head, []byte{'\t'}) > bytes.Count(head, []byte{','}) {
		x.r.Comma = '\t'
	}
	header, err := x.r.Read()
	if err != nil {
		return nil, nil, fault.Newf(fault.Invalid, "%s cannot be read as CSV: %v", path, err)
	}
	header = slices.Clone(header)
	if slices.ContainsFunc(header, func(s string) bool { return s != "" && !isValue(s) }) {
		return x, header, nil
	}
	x.first = header
	names := make([]string, len(header))
	for i := range names {
		names[i] = strconv.Itoa(i + 1)
	}
	return x, names, nil
}

func isValue(s string) bool {
	s = strings.TrimSpace(s)
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return true
	}
	return len(s) >= 10 && s[0] >= '0' && s[0] <= '9' && strings.ContainsAny(s, "-/") && strings.Trim(s, "0123456789-/:.TZ+ ") == ""
}

// Next implements Reader.
func (x *CSV) Next() ([]string, int64, error) {
	if x.first != nil {
		row := x.first
		x.first = nil
		return row, 1, nil
	}
	x.in.Row()
	row, err := x.r.Read()
	if err != nil && errors.Is(err, csv.ErrFieldCount) {
		err = nil
	}
	if len(row) == 0 { // no field has a place
		if malformed, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, int64(malformed.Line), err
		}
		return nil, 0, err
	}
	line, _ := x.r.FieldPos(0)
	return row, int64(line), err
}

// JSON is objects, one after the other or in one array. Members of members are called a.b; what an array begins with stands for it.
type JSON struct {
	d     *jsontext.Decoder
	in    *Input
	array bool
	wants bool     // the blocks of prompts
	block []uint64 // of the last row
	index map[string]int
	row   []string
	count int64
}

// Probed are the objects that are looked at for names of members.
const Probed = 50

// NewJSON reads the first objects, for the names of their members, and leaves the decoder at the start again.
func NewJSON(path string, r *Input) (*JSON, []string, error) {
	head, _ := r.Peek(r.Size())
	x := &JSON{in: r, index: map[string]int{}}
	x.d = jsontext.NewDecoder(bytes.NewReader(head), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var names []string
	for range Probed {
		v, err := x.object()
		if err != nil {
			if len(names) == 0 {
				return nil, nil, fault.Newf(fault.Invalid, "%s cannot be read as JSON: %v: it must be objects, one a line or in one array", path, err)
			}
			break
		}
		x.visit("", v, func(name, _ string) {
			if _, ok := x.index[name]; !ok {
				x.index[name] = len(names)
				names = append(names, name)
			}
		})
	}
	x.d = jsontext.NewDecoder(r.Reader, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	x.array, x.count, x.row = false, 0, make([]string, len(names))
	return x, names, nil
}

// WantBlocks implements Blocked.
func (x *JSON) WantBlocks() { x.wants = true }

// Blocks implements Blocked.
func (x *JSON) Blocks() []uint64 { return x.block }

// object returns the next object.
func (x *JSON) object() (jsontext.Value, error) {
	if k := x.d.PeekKind(); k == '[' && x.d.StackDepth() == 0 || k == ']' {
		if _, err := x.d.ReadToken(); err != nil {
			return nil, err
		}
	}
	x.count++
	return x.d.ReadValue()
}

// Next implements Reader.
func (x *JSON) Next() ([]string, int64, error) {
	x.in.Row()
	v, err := x.object()
	if err != nil {
		return nil, x.count, err
	}
	clear(x.row)
	x.block = x.block[:0]
	x.visit("", v, func(name, value string) {
		if i, ok := x.index[name]; ok {
			x.row[i] = value
		}
	})
	return x.row, x.count, nil
}

// visit calls f with each scalar member of an object.
func (x *JSON) visit(prefix string, v jsontext.Value, f func(name, value string)) {
	d := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return
		}
		name := prefix + t.String()
		value, err := d.ReadValue()
		if err != nil {
			return
		}
		switch value.Kind() {
		case '{':
			x.visit(name+".", value, f)
		case '[':
			f(name, beginning(value))
			if x.wants && name == BlocksMember {
				x.block = AppendBlocks(x.block, value)
			}
		case '"':
			s, err := jsontext.AppendUnquote(nil, value)
			if err == nil {
				f(name, string(s))
			}
		case 'n':
		default:
			f(name, string(value))
		}
	}
}

// beginning is the first two elements of an array. Of hashes of a prompt's blocks, the first may be what all prompts of a service begin with.
func beginning(v jsontext.Value) string {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := d.ReadToken(); err != nil {
		return ""
	}
	var parts []string
	for len(parts) < 2 && d.PeekKind() != ']' {
		e, err := d.ReadValue()
		if err != nil {
			break
		}
		parts = append(parts, string(e))
	}
	return strings.Join(parts, ",")
}
