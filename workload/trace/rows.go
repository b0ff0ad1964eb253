package trace

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/workload"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// row is one call as the file has it.
type row struct {
	at time.Time
	q  workload.Request
}

// reader reads the rows of a file.
type reader struct {
	of      *source
	in      *bufio.Scanner
	line    int64
	text    string
	columns map[meaning]int
	unit    time.Duration // of times that are numbers
	clock   string        // the form of times that are none
	tenants map[string]int32
}

// table reads comma- or semicolon-separated rows under a header. Quoted fields stay within their line.
func (r *reader) table(each func(*reader, row, string) error) error {
	var comma rune
	for r.in.Scan() {
		r.line++
		r.text = strings.TrimSuffix(r.in.Text(), "\r")
		if strings.TrimSpace(r.text) == "" {
			continue
		}
		if r.columns == nil {
			comma = ','
			if !strings.Contains(r.text, ",") && strings.Contains(r.text, ";") {
				comma = ';'
			}
			header, err := fields(strings.TrimPrefix(r.text, "\ufeff"), comma)
			if err != nil {
				return r.of.invalid("line %d is no header: %v", r.line, err)
			}
			if r.columns, err = r.of.assign(header); err != nil {
				return err
			}
			continue
		}
		cells, err := fields(r.text, comma)
		if err != nil {
			if err := each(r, row{}, "the row is not comma-separated"); err != nil {
				return err
			}
			continue
		}
		x, problem := r.parse(func(m meaning) (string, bool) {
			at := r.columns[m]
			if at < 0 || at >= len(cells) {
				return "", at >= 0
			}
			return cells[at], true
		})
		if err := each(r, x, problem); err != nil {
			return err
		}
	}
	return r.end()
}

func (r *reader) end() error {
	if err := r.in.Err(); err != nil {
		return r.of.invalid("line %d: %v", r.line+1, err)
	}
	return nil
}

func fields(line string, comma rune) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, string(comma)), nil
	}
	c := csv.NewReader(strings.NewReader(line))
	c.Comma, c.LazyQuotes = comma, true
	return c.Read()
}

// lines reads a JSON object a line.
func (r *reader) lines(each func(*reader, row, string) error) error {
	var header []string
	for r.in.Scan() {
		r.line++
		r.text = r.in.Text()
		if strings.TrimSpace(r.text) == "" {
			continue
		}
		var object map[string]jsontext.Value
		if err := json.Unmarshal([]byte(r.text), &object); err != nil {
			if err := each(r, row{}, "the row is no JSON object"); err != nil {
				return err
			}
			continue
		}
		if header == nil {
			flatten(object)
			header = slices.Sorted(maps.Keys(object))
			var err error
			if r.columns, err = r.of.assign(header); err != nil {
				return err
			}
		} else {
			flatten(object)
		}
		x, problem := r.parse(func(m meaning) (string, bool) {
			if r.columns[m] < 0 {
				return "", false
			}
			v := object[header[r.columns[m]]]
			if v.Kind() == '"' {
				var text string
				_ = json.Unmarshal(v, &text)
				return text, true
			}
			return string(v), true
		})
		if err := each(r, x, problem); err != nil {
			return err
		}
	}
	return r.end()
}

// flatten brings the members of objects within an object up, as those of Bedrock's invocation logs.
func flatten(object map[string]jsontext.Value) {
	for _, name := range []string{"input", "output", "usage"} {
		if object[name].Kind() != '{' {
			continue
		}
		var inner map[string]jsontext.Value
		if json.Unmarshal(object[name], &inner) == nil {
			delete(object, name)
			for k, v := range inner {
				if _, taken := object[k]; !taken {
					object[k] = v
				}
			}
		}
	}
}

// parse makes a call of a row's cells, or says what is wrong with it.
func (r *reader) parse(cell func(meaning) (string, bool)) (x row, problem string) {
	text, _ := cell(isTime)
	if x.at, problem = r.time(strings.TrimSpace(text)); problem != "" {
		return x, problem
	}
	for _, c := range []struct {
		is   meaning
		into *int64
	}{{isInput, &x.q.Input}, {isCached, &x.q.Cached}, {isOutput, &x.q.Output}, {isMax, &x.q.MaxOutput}} {
		text, there := cell(c.is)
		if text = strings.TrimSpace(text); !there || text == "" && c.is != isInput && c.is != isOutput {
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil || math.IsNaN(v):
			return x, "the " + string(c.is) + " tokens are no number"
		case v < 0:
			return x, "the " + string(c.is) + " tokens are negative"
		case v > maxTokens:
			return x, fmt.Sprintf("the %s tokens are more than %d, which no call has", c.is, maxTokens)
		}
		*c.into = int64(math.Round(v))
	}
	if x.q.Cached > x.q.Input {
		return x, "more tokens were read from a cache than the prompt has"
	}
	if name, there := cell(isTenant); there && name != "" {
		x.q.Tenant = r.tenant(name)
	}
	return x, ""
}

// maxTenants bounds how many callers are told apart.
const maxTenants = 1 << 20

// tenant numbers callers in the order in which they come, which is the same at each reading.
func (r *reader) tenant(name string) int32 {
	n, known := r.tenants[name]
	if known || len(r.tenants) == maxTenants {
		return n
	}
	if r.tenants == nil {
		r.tenants = map[string]int32{}
	}
	n = int32(len(r.tenants))
	r.tenants[name] = n
	return n
}

// clocks are the forms of times, beside numbers. Fractions of a second may follow seconds in each of them.
var clocks = []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006/01/02 15:04:05"}

// time reads an instant. The first row decides which form all have.
func (r *reader) time(text string) (at time.Time, problem string) {
	if text == "" {
		return at, "there is no time"
	}
	if r.clock == "" && r.unit == 0 {
		r.decide(text)
	}
	if r.unit > 0 {
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil || math.IsNaN(v):
			return at, "the time is not of the form that the first one has"
		case v < 0:
			return at, "the time is negative"
		case v*float64(r.unit) > math.MaxInt64/2:
			return at, "the time is in another unit than the first one"
		}
		// Whole units and the rest apart: a float of nanoseconds since 1970 would lose some.
		units, rest := math.Modf(v)
		return time.Unix(0, 0).UTC().Add(time.Duration(units)*r.unit + time.Duration(math.Round(rest*float64(r.unit)))), ""
	}
	at, err := time.Parse(r.clock, text)
	if err != nil {
		return at, "the time is not of the form that the first one has"
	}
	return at, ""
}

// decide finds the form of a file's times from the first.
func (r *reader) decide(text string) {
	note := func(format string, args ...any) {
		if r.of.origin.IsZero() && len(r.of.info.Notes) == 0 {
			r.of.note(format, args...)
		}
	}
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		name := r.of.nameOf(isTime)
		switch {
		case v > 1e17:
			r.unit = time.Nanosecond
		case v > 1e14:
			r.unit = time.Microsecond
		case v > 1e11, strings.Contains(strings.ToLower(name), "ms"), name == "timestamp" && r.of.nameOf(isInput) == "input_length":
			r.unit = time.Millisecond // Mooncake's form counts from 0 in milliseconds
		default:
			r.unit = time.Second
		}
		note("times are numbers, taken for units of %v", r.unit)
		return
	}
	for _, clock := range clocks {
		if _, err := time.Parse(clock, text); err == nil {
			r.clock = clock
			if !strings.Contains(clock, "Z07:00") {
				note("times have no zone: they are taken for UTC")
			}
			return
		}
	}
	r.clock = time.RFC3339
}

// nameOf is the name of the column of a meaning.
func (s *source) nameOf(m meaning) string {
	for _, c := range s.info.Columns {
		if c.Meaning == string(m) {
			return c.Name
		}
	}
	return ""
}
