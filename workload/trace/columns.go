package trace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"forebay/fault"
	"forebay/workload"
)

// meaning is what a column says of a call, or of a window.
type meaning int

const (
	means meaning = iota // nothing
	meansTime
	meansInput
	meansCached
	meansOutput
	meansMax
	meansTenant
	meansPrefix
	meansStatus
	meansCount // calls of a window
	meansRate  // calls a minute of a window

	numMeanings = int(iota)
)

var meaningNames = [numMeanings]string{"", "time", "input", "cached", "output", "max-output", "tenant", "prefix", "status", "count", "rate"}

// known are the names of columns by what they mean, in the order in which they are preferred: letters and digits alone, in lower case. Sources:
// the headers of the public traces, and the documented fields of the services' logs.
var known = [numMeanings][]string{
	meansTime: {
		"arrivaltime", "arrivedat", "timestamp", "timeutc", "starttime", "reqtime", "requesttime", "createdat", "datetime", "time", "date", "at", "lineitemusagestartdate",
	},
	meansInput: {
		"inputinputtokencount", "inputtokencount", "contexttokens", "inputtokens", "inputtoks", "inputlength", "prompttokens", "promptlen", "requesttokens", "numprefilltokens", "input", "in",
	},
	meansCached: {"inputcachereadinputtokencount", "cachereadinputtokens", "cachereadtokens", "cachedtokens", "cached"},
	meansOutput: {
		"outputoutputtokencount", "outputtokencount", "generatedtokens", "outputtokens", "outputtoks", "outputlength", "completiontokens", "outputlen", "responsetokens", "numdecodetokens", "output", "out",
	},
	meansMax:    {"maxtokens", "maxoutput", "maxcompletiontokens", "maxoutputtokens"},
	meansTenant: {"adapterdir", "tenant", "team", "teamid", "apikey", "user", "clientid", "identityarn", "account", "accountid"},
	meansPrefix: {"hashids"},
	meansStatus: {"errorcode", "status"},
	meansCount:  {"invocations", "invocationcount", "requestcount", "requests", "count", "calls", "samplecount"},
	meansRate:   {"requestsperminmidscaled", "requestsperminute", "requestspermin", "requestsperminmid", "rpm"},
}

// columns says in which column of a row each meaning is.
type columns struct {
	names   []string
	at      [numMeanings]int // -1 for none
	guessed [numMeanings]bool
}

func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// guess finds what the columns mean, by what was told and then by their names.
func guess(file string, names []string, told map[string]string) (*columns, error) {
	c := &columns{names: names}
	for m := range c.at {
		c.at[m] = -1
	}
	for what, name := range told {
		m := slices.Index(meaningNames[:], what)
		if m <= 0 {
			return nil, fault.Newf(fault.Invalid, "--columns: %q is nothing that a column can say: it can say %s", what, strings.Join(meaningNames[1:], ", "))
		}
		if c.at[m] = c.find(name); c.at[m] < 0 {
			return nil, fault.Newf(fault.Invalid, "--columns %s=%s: %s has no such column: there are %s", what, name, file, c.list())
		}
	}
	plains := make([]string, len(names))
	for i, n := range names {
		plains[i] = plain(n)
	}
	for m, wanted := range known {
		for _, w := range wanted {
			if i := slices.Index(plains, w); c.at[m] < 0 && i >= 0 && !slices.Contains(c.at[:], i) {
				c.at[m], c.guessed[m] = i, true
			}
		}
	}
	return c, c.check(file)
}

// find returns a column by its name, or its number from 1 on.
func (c *columns) find(name string) int {
	if i := slices.IndexFunc(c.names, func(n string) bool { return strings.EqualFold(n, name) }); i >= 0 {
		return i
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(c.names) {
		return n - 1
	}
	return -1
}

func (c *columns) check(file string) error {
	var missing string
	switch {
	case c.at[meansTime] < 0:
		missing = "when calls come (time)"
	case c.counts() || c.at[meansInput] >= 0:
		return nil
	default:
		missing = "how many tokens a call has (input, output), nor how many calls come in a window (count, rate)"
	}
	return fault.Newf(fault.Invalid, "%s: no column tells %s: there are %s; say which is which, such as --columns time=%s,input=NAME,output=NAME", file, missing, c.list(), c.example())
}

// counts says whether a row is a window, and not a call.
func (c *columns) counts() bool { return c.at[meansCount] >= 0 || c.at[meansRate] >= 0 }

func (c *columns) list() string {
	const most = 20
	if len(c.names) > most {
		return strings.Join(c.names[:most], ", ") + fmt.Sprintf(" and %d more", len(c.names)-most)
	}
	return strings.Join(c.names, ", ")
}

func (c *columns) example() string {
	if len(c.names) == 0 {
		return "NAME"
	}
	return c.names[0]
}

func (c *columns) told() []workload.Column {
	out := make([]workload.Column, len(c.names))
	for i, n := range c.names {
		out[i].Name = n
	}
	for m, i := range c.at {
		if i >= 0 {
			out[i].Meaning, out[i].Guessed = meaningNames[m], c.guessed[m]
		}
	}
	return out
}

// value is what a row says of a meaning; "" is nothing.
func (c *columns) value(row []string, m meaning) string {
	if i := c.at[m]; i >= 0 && i < len(row) {
		return strings.TrimSpace(row[i])
	}
	return ""
}
