// Package script is the text form of the scheduler's events and actions, one a line: for people who look at a recording, and
// for scripts that say how the scheduler behaves. What Format writes, Parse reads.
//
//	arrive call=7 account=1 input=100 max-output=50 buckets=1,2 lane(pool=1 model=1)
//	settle call=7 input=98 output=20
//	replica-down replica=3
//
// A word is the name of a field and its value; fields that are zero are left out. Durations are written as Go writes them, and
// instants as durations since the clock's origin. The limits of a lane are by handle; a lane that names none has all of the
// event's list, none is written "none". Objects of a configuration are lines of their own after "configure".
package script

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/capacity"
)

// line is a line in the middle of being written or parsed. One description of fields serves both.
type line struct {
	parsing bool
	out     []string
	words   map[string]string
	err     error
}

func (l *line) fail(name, value, want string) {
	if l.err == nil {
		l.err = fmt.Errorf("%s=%s: want %s", name, value, want)
	}
}

// take returns the value of a word that is being parsed.
func (l *line) take(name string) (string, bool) {
	v, ok := l.words[name]
	delete(l.words, name)
	return v, ok
}

func (l *line) put(name, value string) { l.out = append(l.out, name+"="+value) }

// number is a field that holds an integer.
func number[T ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64](l *line, name string, x *T) {
	if !l.parsing {
		if *x != 0 {
			l.put(name, fmt.Sprintf("%d", *x))
		}
		return
	}
	v, ok := l.take(name)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v, "_", ""), 10, 64)
	if u, uerr := strconv.ParseUint(v, 10, 64); err != nil && uerr == nil {
		n, err = int64(u), nil
	}
	if *x = T(n); err != nil || int64(*x) != n {
		l.fail(name, v, "a number in range")
	}
}

// span is a field that holds a time or duration in nanoseconds.
func span[T ~int64](l *line, name string, x *T) {
	if !l.parsing {
		if *x != 0 {
			l.put(name, time.Duration(*x).String())
		}
		return
	}
	v, ok := l.take(name)
	if !ok {
		return
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		l.fail(name, v, "a duration")
	}
	*x = T(d)
}

// flag is a word without a value.
func (l *line) flag(name string, x *bool) {
	if !l.parsing {
		if *x {
			l.out = append(l.out, name)
		}
		return
	}
	v, ok := l.take(name)
	if *x = ok; v != "" {
		l.fail(name, v, "no value")
	}
}

// named is a field whose values have names.
func named[T interface {
	~uint8
	String() string
}](l *line, name string, x *T) {
	if !l.parsing {
		if *x != 0 {
			l.put(name, (*x).String())
		}
		return
	}
	v, ok := l.take(name)
	if !ok {
		return
	}
	nobody := T(1<<8 - 1).String() // what a value without a name is called
	for n := range 1 << 8 {
		if T(n).String() == v && v != nobody {
			*x = T(n)
			return
		}
	}
	l.fail(name, v, "a name that exists")
}

// handles is a field that lists handles.
func handles[T ~uint32](l *line, name string, into []T, n *uint8) {
	if !l.parsing {
		if *n > 0 {
			l.put(name, join(into[:*n]))
		}
		return
	}
	v, ok := l.take(name)
	if !ok {
		return
	}
	for s := range strings.SplitSeq(v, ",") {
		x, err := strconv.ParseUint(s, 10, 32)
		if err != nil || int(*n) == len(into) {
			l.fail(name, v, fmt.Sprintf("at most %d handles", len(into)))
			return
		}
		into[*n] = T(x)
		*n++
	}
}

func join[T ~uint32](ids []T) string {
	var out []string
	for _, id := range ids {
		out = append(out, strconv.FormatUint(uint64(id), 10))
	}
	return strings.Join(out, ",")
}

// mask is a field that says which of an event's handles apply to a lane.
func mask[T ~uint32](l *line, name string, of []T, x *uint16) {
	if !l.parsing {
		var ids []T
		for i, id := range of {
			if *x>>i&1 != 0 {
				ids = append(ids, id)
			}
		}
		switch {
		case len(ids) == len(of):
		case len(ids) == 0:
			l.put(name, "none")
		default:
			l.put(name, join(ids))
		}
		return
	}
	v, ok := l.take(name)
	switch {
	case !ok:
		*x = capacity.AllLimits
		return
	case v == "none":
		return
	}
	for s := range strings.SplitSeq(v, ",") {
		id, err := strconv.ParseUint(s, 10, 32)
		i := slices.Index(of, T(id))
		if err != nil || i < 0 {
			l.fail(name, v, "handles of the event's own list")
			return
		}
		*x |= 1 << i
	}
}

// group are words in brackets behind a name: lane(pool=1 model=1).
type group struct{ name, in string }

// split parts a line into its verb, its words, and its groups.
func split(s string) (verb string, words map[string]string, groups []group, err error) {
	for {
		before, rest, ok := strings.Cut(s, "(")
		if !ok {
			break
		}
		name := before[strings.LastIndexByte(before, ' ')+1:]
		in, after, ok := strings.Cut(rest, ")")
		if !ok {
			return "", nil, nil, fmt.Errorf("%q: %s( without )", s, name)
		}
		groups = append(groups, group{name, in})
		s = strings.TrimSuffix(before, name) + after
	}
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return "", nil, nil, errors.New("an empty line")
	}
	words, err = wordsOf(fields[1:])
	return fields[0], words, groups, err
}

func wordsOf(fields []string) (map[string]string, error) {
	words := make(map[string]string, len(fields))
	for _, f := range fields {
		k, v, _ := strings.Cut(f, "=")
		if _, twice := words[k]; twice {
			return nil, fmt.Errorf("%s comes twice", k)
		}
		words[k] = v
	}
	return words, nil
}

// done returns what went wrong with a line that was parsed.
func (l *line) done(verb string) error {
	if l.err == nil && len(l.words) > 0 {
		l.err = fmt.Errorf("no such words: %s", strings.Join(slices.Sorted(maps.Keys(l.words)), " "))
	}
	if l.err != nil {
		return fmt.Errorf("%s: %w", verb, l.err)
	}
	return nil
}
