package wire

import (
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forebay/fault"

	"github.com/go-json-experiment/json/jsontext"
)

// timeFormat is how the member's timestamps are written, where the place's own format is def.
func (m *Member) timeFormat(def TimeFormat) TimeFormat {
	switch {
	case m.Time != TimeDefault:
		return m.Time
	case m.Shape.Time != TimeDefault:
		return m.Shape.Time
	default:
		return def
	}
}

func (m *Member) at() string { return m.Name }

// SetText stores the value of a member that travels as a text of its own (a header, a part of the
// path, a form field) and checks its constraints. def is the format of timestamps in that place.
// What is no value of the member's type is of kind Malformed.
func (m *Member) SetText(text, path string, def TimeFormat, into Target, bad *Faults) error {
	s := m.Shape
	wrong := func(err error) error {
		return fault.Wrap(fault.Malformed, err, "STRING_VALUE cannot be converted to "+typeNames[s.Type]+" at '"+path+"'")
	}
	switch s.Type {
	case String:
		return m.setString(text, path, into, bad)
	case Blob:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return wrong(err)
		}
		into.set(b)
	case Boolean:
		if text != "true" && text != "false" {
			return wrong(nil)
		}
		into.set(text == "true")
	case Timestamp:
		t, err := parseTime(m.timeFormat(def), text)
		if err != nil {
			return wrong(err)
		}
		into.set(t)
	case Integer, Long, Float, Double:
		v, err := parseNumber(s.Type, text)
		if err != nil {
			return wrong(err)
		}
		into.set(v)
		bad.number(s, asFloat(v), text, func() string { return path }, false)
	default:
		return fault.Newf(fault.Internal, "a member of type %d as a text", s.Type)
	}
	return nil
}

func (m *Member) setString(text, path string, into Target, bad *Faults) error {
	if (m.JSONValue || m.Shape.JSONValue) && m.Location == InHeader {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || !jsontext.Value(b).IsValid() {
			return fault.Wrap(fault.Malformed, err, "Invalid JSON value at '"+path+"'")
		}
		into.set(jsontext.Value(b))
		return nil
	}
	bad.checkText(m.Shape, text, func() string { return path }, false)
	into.setString(text)
	return nil
}

// SetBytes stores a blob that is not encoded, without a copy, and checks its length.
func (m *Member) SetBytes(b []byte, into Target, bad *Faults) {
	into.set(b)
	bad.Length(m.Shape, len(b), m.Name)
}

// SetTexts stores a list whose elements are texts of their own.
func (m *Member) SetTexts(texts []string, def TimeFormat, into Target, bad *Faults) error {
	elem := Member{Shape: m.Shape.Elem}
	list := into.Elements()
	var inner Faults
	for _, text := range texts {
		e := list.Next()
		if err := elem.SetText(text, m.Name, def, e, &inner); err != nil {
			return err
		}
		list.Keep(e)
	}
	list.Done()
	show := func() string {
		if m.Shape.Sensitive || m.Shape.Elem.Sensitive {
			return ""
		}
		return quoted("[" + strings.Join(texts, ", ") + "]")
	}
	bad.length(m.Shape, len(texts), m.at, show)
	if inner.n > 0 {
		bad.add(show(), m.Name, "Member must satisfy constraint: "+m.Shape.Elem.rules())
	}
	return nil
}

// SetMap stores a map whose values are texts, or lists of texts.
func (m *Member) SetMap(keys []string, values func(key string) []string, def TimeFormat, into Target, bad *Faults) error {
	elem := Member{Name: m.Name, Shape: m.Shape.Elem}
	entries := into.Entries()
	var broken Faults
	for _, k := range keys {
		e := entries.Next()
		broken.checkText(m.Shape.Key, k, m.at, false)
		var err error
		if texts := values(k); elem.Shape.Type == List {
			err = elem.SetTexts(texts, def, e, bad)
		} else {
			err = elem.SetText(texts[0], m.Name, def, e, bad)
		}
		if err != nil {
			return err
		}
		entries.Keep(k, e)
	}
	entries.Done()
	bad.Length(m.Shape, len(keys), m.Name)
	if broken.n > 0 {
		bad.add("", m.Name, "Map keys must satisfy constraint: "+m.Shape.Key.rules())
	}
	return nil
}

// parseNumber reads a number within the range of its type: int64 or float64.
func parseNumber(t Type, text string) (any, error) {
	switch t {
	case Integer:
		return strconv.ParseInt(text, 10, 32)
	case Long:
		return strconv.ParseInt(text, 10, 64)
	default:
		switch text {
		case "NaN":
			return math.NaN(), nil
		case "Infinity":
			return math.Inf(1), nil
		case "-Infinity":
			return math.Inf(-1), nil
		}
		bits := 64
		if t == Float {
			bits = 32
		}
		v, err := strconv.ParseFloat(text, bits)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.Join(strconv.ErrRange, err)
		}
		if t == Float { // the nearest decimal, not the float32's neighbour in 64 bits
			return strconv.ParseFloat(text, 64)
		}
		return v, nil
	}
}

// httpDate is the format of dates in HTTP headers; Go's parser takes fractions as well.
const httpDate = http.TimeFormat

// parseTime reads a timestamp, in UTC.
func parseTime(f TimeFormat, text string) (time.Time, error) {
	switch f {
	case ISO8601:
		t, err := time.Parse(time.RFC3339, strings.ToUpper(text))
		return t.UTC(), err
	case HTTPDate:
		t, err := time.Parse(httpDate, text)
		return t.UTC(), err
	default:
		return parseSeconds(text)
	}
}

// maxSeconds bounds timestamps to what a calendar has a year for.
const maxSeconds = 1e12

// parseSeconds reads seconds since 1970. The usual form is read digit by digit: a float has too few of
// them for a distant time.
func parseSeconds(text string) (time.Time, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.Abs(v) > maxSeconds {
		return time.Time{}, errors.Join(strconv.ErrRange, err)
	}
	digits, negative := strings.CutPrefix(text, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	if strings.Trim(whole+frac, "0123456789") != "" { // an exponent
		s, f := math.Modf(v)
		return time.Unix(int64(s), int64(math.Round(f*1e6))*1e3).UTC(), nil
	}
	s, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	ns, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64) // digits, as was seen
	if negative {
		s, ns = -s, -ns
	}
	return time.Unix(s, ns).UTC(), nil
}

// formatTime writes a timestamp, to the millisecond where it has fractions.
func formatTime(f TimeFormat, t time.Time) string {
	t = t.UTC()
	ms := t.Nanosecond() / 1e6
	switch f {
	case ISO8601:
		return t.Format("2006-01-02T15:04:05.999Z")
	case HTTPDate:
		if ms > 0 {
			return t.Format("Mon, 02 Jan 2006 15:04:05.999 GMT")
		}
		return t.Format(httpDate)
	default:
		text := strconv.FormatInt(t.Unix(), 10)
		if ms > 0 {
			if t.Unix() < 0 { // -1.5 is 500 ms after -2
				return strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', -1, 64)
			}
			text += strings.TrimRight("."+strconv.Itoa(1000 + ms)[1:], "0")
		}
		return text
	}
}

func formatFloat(v float64, bits int) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	default:
		return strconv.FormatFloat(v, 'g', -1, bits)
	}
}
