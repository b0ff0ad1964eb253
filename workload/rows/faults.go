package rows

import (
	"cmp"
	"encoding/csv"
	"errors"
	"slices"
	"strconv"
	"strings"

	"forebay/workload"
)

// Faults are rows that are left out, by the reason.
type Faults map[string]*workload.Fault

// LeaveOut counts a row, and keeps the first of each reason.
func (f Faults) LeaveOut(why string, line int64, row []string) {
	x := f[why]
	if x == nil {
		text := strings.Join(row, ",")
		x = &workload.Fault{Reason: why, Line: line, Text: strconv.QuoteToGraphic(text[:min(len(text), 100)])}
		f[why] = x
	}
	x.Count++
}

// Count is how many were left out.
func (f Faults) Count() (n int64) {
	for _, x := range f {
		n += x.Count
	}
	return n
}

// List returns them in order of the first line.
func (f Faults) List() []workload.Fault {
	var out []workload.Fault
	for _, x := range f {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b workload.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// IsMalformed says whether a row alone is wrong, and not the file.
func IsMalformed(err error) bool {
	_, is := errors.AsType[*csv.ParseError](err)
	return is
}
