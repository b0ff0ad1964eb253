package wire

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"forebay/fault"
)

// Bounds of what a message repeats and lists, so that a large request does not become a
// larger answer. The number that is told is the true one.
const (
	maxShown = 1024
	maxTold  = 50
)

// Faults collects the constraints that a value breaks, in the order in which they were
// found. The zero value is ready. The wording is that of the services, on which clients match: "2
// validation errors detected: Value '0' at 'inferenceConfig.maxTokens' failed to satisfy
// constraint: Member must have value greater than or equal to 1; Value null at ...".
type Faults struct {
	told []string
	n    int
}

// Null says that a required member is missing.
func (f *Faults) Null(path string) { f.add("null ", path, "Member must not be null") }

// add says that the value at path breaks a constraint. Value is as it is shown: in
// quotes and with a space after it, or empty.
func (f *Faults) add(value, path, constraint string) {
	if f.n++; f.n > maxTold {
		return
	}
	f.told = append(f.told, "Value "+value+"at '"+path+"' failed to satisfy constraint: "+constraint)
}

// Err returns all that was found as one fault of kind Invalid, nil when there is nothing.
func (f *Faults) Err() error {
	switch f.n {
	case 0:
		return nil
	case 1:
		return fault.New(fault.Invalid, "1 validation error detected: "+f.told[0])
	default:
		return fault.New(fault.Invalid, strconv.Itoa(f.n)+" validation errors detected: "+strings.Join(f.told, "; "))
	}
}

// quoted shows a value within its bound.
func quoted(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return "'" + s + "' "
}

// checkText checks a string. The path, which at renders, is only wanted when it is at fault.
func (f *Faults) checkText(s *Shape, text string, at func() string, hide bool) {
	if !s.constrained() {
		return
	}
	show := func() string {
		if hide || s.Sensitive {
			return ""
		}
		return quoted(text)
	}
	if s.Bounds != nil {
		f.length(s, utf8.RuneCountInString(text), at, show)
	}
	if s.Pattern != "" && !s.matches(text) {
		f.add(show(), at(), s.patternRule())
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		f.add(show(), at(), s.enumRule())
	}
}

// length checks the length of a string, blob, list or map.
func (f *Faults) length(s *Shape, n int, at, show func() string) {
	switch b := s.Bounds; {
	case b == nil:
	case b.HasMax && float64(n) > b.Max:
		f.add(show(), at(), s.maxRule())
	case b.HasMin && float64(n) < b.Min:
		f.add(show(), at(), s.minRule())
	}
}

// Length checks the number of entries of a list or map, or of bytes of a blob.
func (f *Faults) Length(s *Shape, n int, path string) {
	f.length(s, n, func() string { return path }, func() string { return "" })
}

// number checks a number, which text shows.
func (f *Faults) number(s *Shape, v float64, text string, at func() string, hide bool) {
	show := ""
	if !hide && !s.Sensitive {
		show = quoted(shownNumber(s.Type, text))
	}
	if b := s.Bounds; b != nil {
		if b.HasMax && v > b.Max {
			f.add(show, at(), s.maxRule())
		}
		if b.HasMin && v < b.Min {
			f.add(show, at(), s.minRule())
		}
	}
}

// The rules, in the services' words.

func (s *Shape) measure() string {
	switch s.Type {
	case Integer, Long, Float, Double:
		return "value"
	default:
		return "length"
	}
}

func (s *Shape) maxRule() string {
	return "Member must have " + s.measure() + " less than or equal to " + bound(s.Bounds.Max)
}

func (s *Shape) minRule() string {
	return "Member must have " + s.measure() + " greater than or equal to " + bound(s.Bounds.Min)
}

func (s *Shape) patternRule() string {
	return "Member must satisfy regular expression pattern: " + s.Pattern
}

func (s *Shape) enumRule() string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

// rules lists all constraints of the elements of a list, or of the keys or values of a map:
// the services do not say which one is broken.
func (s *Shape) rules() string {
	var out []string
	if b := s.Bounds; b != nil && b.HasMax {
		out = append(out, s.maxRule())
	}
	if b := s.Bounds; b != nil && b.HasMin {
		out = append(out, s.minRule())
	}
	if s.Pattern != "" {
		out = append(out, s.patternRule())
	}
	if len(s.Enum) > 0 {
		out = append(out, s.enumRule())
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func bound(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
