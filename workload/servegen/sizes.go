package servegen

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"forebay/fault"
	"forebay/workload/rows"

	"github.com/go-json-experiment/json/jsontext"
)

// strata are how many equally likely parts a distribution of sizes is kept in, each by its mean: so the mean of all stays, and memory is bounded.
const strata = 32

// maxSizes bounds the distributions of a folder: 256 bytes each.
const maxSizes = 500_000

// sizes are how large prompts or answers are, in equally likely parts.
type sizes [strata]float32

// draw returns a size of at least 1.
func (s *sizes) draw(random *rand.Rand) int64 {
	return max(int64(math.Round(float64(s[random.IntN(strata)]))), 1)
}

func (s *sizes) mean() (mean float64) {
	for _, v := range s {
		mean += float64(v) / strata
	}
	return mean
}

// bin is a size with its weight.
type bin struct{ size, weight float64 }

// stratify divides a distribution. ok is false where it is none.
func stratify(bins []bin) (s *sizes, ok bool) {
	total := 0.0
	for _, b := range bins {
		if !(b.size >= 0 && b.size <= maxTokens && b.weight >= 0 && b.weight < 1e15) {
			return nil, false
		}
		total += b.weight
	}
	if total == 0 {
		return nil, false
	}
	slices.SortFunc(bins, func(a, b bin) int { return cmp.Compare(a.size, b.size) })
	s = &sizes{}
	each := total / strata
	i, left := 0, bins[0].weight
	for k := range s {
		sum, need := 0.0, each
		for need > 0 && i < len(bins) {
			part := min(need, left)
			sum += part * bins[i].size
			need -= part
			if left -= part; left <= 0 {
				if i++; i < len(bins) {
					left = bins[i].weight
				}
			}
		}
		if got := each - need; got > 0 {
			s[k] = float32(sum / got)
		} else { // what rounding leaves
			s[k] = float32(bins[len(bins)-1].size)
		}
	}
	return s, true
}

// bins reads a distribution: an object, or a text that looks like one, of weights by size, or an array of weights by size from 0 on.
func bins(v jsontext.Value) (out []bin, ok bool) {
	text := string(v)
	if v.Kind() == '"' {
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return nil, false
		}
		text = string(b)
	}
	text = strings.TrimSpace(text)
	if len(text) < 2 || text[0] != '{' && text[0] != '[' {
		return nil, false
	}
	number := func(s string) float64 {
		n, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(s), `"'`), 64)
		if err != nil {
			return math.NaN()
		}
		return n
	}
	at := 0.0
	for part := range strings.SplitSeq(text[1:len(text)-1], ",") {
		size, weight, pair := strings.Cut(part, ":")
		switch {
		case strings.TrimSpace(part) == "":
			continue
		case pair:
			out = append(out, bin{number(size), number(weight)})
		default:
			out = append(out, bin{at, number(size)})
			at++
		}
	}
	return out, true
}

// sized is the distributions of a client from an instant on.
type sized struct {
	from    int64 // seconds
	in, out *sizes
}

// sizesOf reads the sizes of a client's calls, by when each distribution begins; none where there is no file.
func sizesOf(path string, x rows.Faults) (list []sized, err error) {
	in, closer, err := rows.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	d := jsontext.NewDecoder(in.Reader, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	broken := func(err error) error {
		return fault.Newf(fault.Invalid, "%s: %v: mend the file, or take it out of the folder", path, err)
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, broken(cmp.Or(err, errors.New("it is no object of sizes by the start of a window")))
	}
	for d.PeekKind() == '"' {
		in.Row()
		name, err := d.ReadToken()
		if err != nil {
			return nil, broken(err)
		}
		at := name.String() // a token is good until the next
		v, err := d.ReadValue()
		if err != nil {
			return nil, broken(err)
		}
		s, ok := sizedOf(at, v)
		if !ok {
			x.LeaveOut("the sizes of a window are no distributions", int64(len(list)+1), []string{filepath.Base(path) + ": " + at})
			continue
		}
		list = append(list, s)
	}
	if _, err := d.ReadToken(); err != nil && !errors.Is(err, io.EOF) {
		return nil, broken(err)
	}
	slices.SortStableFunc(list, func(a, b sized) int { return cmp.Compare(a.from, b.from) })
	return list, nil
}

// sizedOf reads the sizes of a window.
func sizedOf(at string, v jsontext.Value) (s sized, ok bool) {
	from, err := strconv.ParseFloat(at, 64)
	if err != nil || !(from >= 0 && from < 1e9) {
		return s, false
	}
	s.from = int64(from)
	d := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return s, false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return s, false
		}
		to := map[string]**sizes{"input_tokens": &s.in, "output_tokens": &s.out}[name.String()]
		value, err := d.ReadValue()
		if err != nil {
			return s, false
		}
		if to == nil {
			continue
		}
		b, ok := bins(value)
		if !ok {
			return s, false
		}
		if *to, ok = stratify(b); !ok {
			return s, false
		}
	}
	return s, s.in != nil && s.out != nil
}
