package resource

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"forebay/fault"
)

// Listed is something that lists show, in the order in which it was made.
type Listed interface {
	Made() time.Time
	Identity() string // differs between any two of a list
}

// Filter says which part of a list is asked for. The zero value asks for all of it, in pages of the default size.
type Filter struct {
	After, Before time.Time // when it was made, both exclusive
	NameContains  string
	Descending    bool
	// ByIdentity orders by Identity alone, which lists then choose to fit.
	ByIdentity bool
	Max        int // of a page
	Token      string
}

// defaultPage is the size of a page where nobody says one.
const defaultPage = 100

// Page returns the part of a list that a filter asks for, ordered by time, and the token of the next, "" at the end.
// Tokens name the last of a page and not its number: what is made or deleted meanwhile neither hides nor repeats
// others. Faults: Invalid for a token that is none of ours.
func Page[T Listed](list []T, f *Filter) (page []T, next string, err error) {
	against := func(a T, made time.Time, identity string) int {
		if c := a.Made().Compare(made); c != 0 && !f.ByIdentity {
			return c
		}
		return strings.Compare(a.Identity(), identity)
	}
	order := func(a, b T) int { return against(a, b.Made(), b.Identity()) }
	if f.Descending {
		ascending := order
		order = func(a, b T) int { return ascending(b, a) }
	}
	list = slices.DeleteFunc(slices.Clone(list), func(x T) bool {
		at := x.Made()
		return !f.After.IsZero() && !at.After(f.After) || !f.Before.IsZero() && !at.Before(f.Before)
	})
	slices.SortFunc(list, order)
	if f.Token != "" {
		last, err := parseToken(f.Token)
		if err != nil {
			return nil, "", err
		}
		list = slices.DeleteFunc(list, func(x T) bool {
			c := against(x, last.made, last.identity)
			if f.Descending {
				c = -c
			}
			return c <= 0
		})
	}
	size := f.Max
	if size == 0 {
		size = defaultPage
	}
	if len(list) <= size {
		return list, "", nil
	}
	return list[:size], token(list[size-1]), nil
}

// Holds reports whether a name has the part that is asked for.
func (f *Filter) Holds(name string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(f.NameContains))
}

type place struct {
	made     time.Time
	identity string
}

// token names the last of a page. Its time is in seconds and nanoseconds: that of what was never made is out of the range of nanoseconds alone.
func token(x Listed) string {
	at := x.Made()
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %s", at.Unix(), at.Nanosecond(), x.Identity()))
}

func parseToken(s string) (place, error) {
	text, err := base64.RawURLEncoding.DecodeString(s)
	var seconds, ns int64
	var p place
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d %d %s", &seconds, &ns, &p.identity)
	}
	if err != nil {
		return p, fault.New(fault.Invalid, "The provided nextToken is invalid.")
	}
	p.made = time.Unix(seconds, ns)
	return p, nil
}
