package meter

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
)

// A row in the journal is its values as the table has them: their number, then each with a byte
// for its kind; then the number of attempts and the values of each. Numbers are varints
// (encoding/binary), integers zigzag, texts their length and their bytes.
const (
	valueNull byte = iota
	valueInteger
	valueText
	// valueName is a text that many rows share.
	valueName
)

var errRow = errors.New("a row in the journal cannot be read")

// places are where the tariffs of a record are in the file, 0 for none.
type places struct {
	charge, cost int64
	lost         []int64 // of each attempt; nil for none of them
}

// appendRow appends the values of a record, in the order of columns.
func appendRow(dst []byte, r *Record, at *places) []byte {
	b := rowWriter(binary.AppendUvarint(dst, numColumns))
	b.text(r.RequestID)
	b.optional(r.InvocationID)
	b.integer(int64(r.Attempt))
	b.name(r.Account)
	b.label(r.Team)
	b.label(r.Key)
	b.tags(r.Tags)
	b.name(r.API)
	b.name(r.Operation)
	b.optional(r.ModelAsked)
	b.label(r.Model)
	b.label(r.Region)
	b.name(r.Mode)
	b.integer(int64(r.Lane))
	b.label(r.TierAsked)
	b.label(r.Tier)
	b.boolean(r.Stream)
	b.label(r.Engine)
	b.boolean(r.Simulated)
	b.integer(r.Arrived.UnixNano())
	b.instant(r.Deadline)
	for _, v := range [...]int64{
		int64(r.Queue), int64(r.FirstToken), int64(r.Total), r.MaxTokens, r.Estimate, r.Held, r.HeldMoney, r.Input, r.Output, r.CacheRead, r.CacheWrite,
	} {
		b.integer(v)
	}
	b.boolean(r.UsageGuess)
	b.integer(r.Media)
	b.integer(int64(r.Status))
	b.name(r.Outcome)
	b.label(r.Reason)
	b.label(r.Charge.Currency())
	b.known(r.Charge.Total(), &r.Charge)
	b.known(r.Cost.Total(), &r.Cost)
	b.lines(&r.Charge)
	b.optional(string(r.Explanation))
	b.integer(r.Count)
	b.reference(at.charge)
	b.reference(at.cost)
	b.label(r.Cost.Currency())
	b.lines(&r.Cost)
	if r.Charge.Known || r.Spent == 0 {
		b.null()
	} else {
		b.integer(r.Spent)
	}
	b.label(r.Reservation)
	b.label(r.Route)
	b.label(r.LaneName)
	b.label(r.Spill)
	return b.attempts(r.Attempts, at.lost)
}

// rowWriter appends values.
type rowWriter []byte

func (b *rowWriter) null() { *b = append(*b, valueNull) }

func (b *rowWriter) integer(v int64) { *b = binary.AppendVarint(append(*b, valueInteger), v) }

func (b *rowWriter) boolean(v bool) {
	n := int64(0)
	if v {
		n = 1
	}
	b.integer(n)
}

func (b *rowWriter) str(kind byte, s string) {
	*b = append(binary.AppendUvarint(append(*b, kind), uint64(len(s))), s...)
}

func (b *rowWriter) text(s string) { b.str(valueText, s) }
func (b *rowWriter) name(s string) { b.str(valueName, s) }

// optional is a text that is NULL when empty, which takes no room; label is such a name.
func (b *rowWriter) optional(s string) {
	if s == "" {
		b.null()
		return
	}
	b.text(s)
}

func (b *rowWriter) label(s string) {
	if s == "" {
		b.null()
		return
	}
	b.name(s)
}

func (b *rowWriter) instant(t time.Time) {
	if t.IsZero() {
		b.null()
		return
	}
	b.integer(t.UnixNano())
}

// reference is an id, NULL for none.
func (b *rowWriter) reference(id int64) {
	if id == 0 {
		b.null()
		return
	}
	b.integer(id)
}

// known is an amount, NULL when it is not known.
func (b *rowWriter) known(v int64, of *Lines) {
	if !of.Known {
		b.null()
		return
	}
	b.integer(v)
}

func (b *rowWriter) lines(l *Lines) {
	b.known(l.Input, l)
	b.known(l.Output, l)
	b.known(l.CacheRead, l)
	b.known(l.CacheWrite, l)
}

func (b *rowWriter) tags(m map[string]string) {
	if len(m) == 0 {
		b.null()
		return
	}
	t, err := json.Marshal(m)
	if err != nil { // a map of strings always encodes
		b.null()
		return
	}
	b.str(valueText, string(t))
}

// attempts adds those of a call that had more than one, or whose only one failed.
func (b *rowWriter) attempts(list []Attempt, lost []int64) []byte {
	if len(list) == 1 && list[0].Err == nil {
		list = nil
	}
	*b = binary.AppendUvarint(*b, uint64(len(list)))
	for i := range list {
		a := &list[i]
		b.label(a.Engine)
		b.integer(int64(a.Began))
		b.integer(int64(a.Took))
		b.name(a.Outcome)
		b.boolean(a.Recalled)
		b.label(a.Lane)
		b.integer(a.Input)
		b.integer(a.Output)
		b.known(a.Lost.Total(), &a.Lost)
		tariff := int64(0)
		if lost != nil {
			tariff = lost[i]
		}
		b.reference(tariff)
	}
	return *b
}

// attemptValues is the number of values of an attempt. Rows of so many columns or less, which an older program has left in the
// journal, have the first of them only.
const (
	attemptValues    = 10
	oldAttemptValues = 5
	oldColumns       = 55
)

// value is one value of a row.
type value struct {
	kind byte // valueNull, valueInteger or valueText
	n    int64
	text []byte // in the payload
}

// rowReader reads rows into the arguments of statements. What it has read is valid as long as the payload.
type rowReader struct {
	b     []byte
	args  [numColumns]value
	tries []value // attemptValues of each attempt
}

// read reads one payload.
func (r *rowReader) read(payload []byte) error {
	r.b = payload
	columns, err := r.number()
	if err != nil || columns > numColumns {
		return errRow
	}
	for i := range r.args[:columns] {
		if err = r.value(&r.args[i]); err != nil {
			return err
		}
	}
	clear(r.args[columns:])
	n, err := r.number()
	if err != nil || n > uint64(len(r.b)) {
		return errRow
	}
	r.tries = r.tries[:0]
	for i := range n * attemptValues {
		var v value
		if columns > oldColumns || i%attemptValues < oldAttemptValues {
			if err := r.value(&v); err != nil {
				return err
			}
		}
		r.tries = append(r.tries, v)
	}
	if len(r.b) > 0 {
		return errRow
	}
	return nil
}

func (r *rowReader) number() (uint64, error) {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		return 0, errRow
	}
	r.b = r.b[n:]
	return v, nil
}

func (r *rowReader) value(v *value) error {
	if len(r.b) == 0 {
		return errRow
	}
	kind := r.b[0]
	r.b = r.b[1:]
	switch kind {
	case valueNull:
		*v = value{}
	case valueInteger:
		i, n := binary.Varint(r.b)
		if n <= 0 {
			return errRow
		}
		r.b = r.b[n:]
		*v = value{kind: valueInteger, n: i}
	case valueText, valueName:
		n, err := r.number()
		if err != nil || n > uint64(len(r.b)) {
			return errRow
		}
		*v = value{kind: valueText, text: r.b[:n:n]}
		r.b = r.b[n:]
	default:
		return errRow
	}
	return nil
}
