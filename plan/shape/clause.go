package shape

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/workload/arrival"
)

// Clause is one thing that words can say.
type Clause struct {
	// Form is an example of it, Means what it says.
	Form, Means string

	pattern *regexp.Regexp
	take    func(p *parser, part string, m []string) error
}

const (
	amount = `(\d[\d_.]*[kKM]?)`
	decade = `([\d.]+)`
	days   = `(?i:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)`
)

func clause(form, means, pattern string, take func(p *parser, part string, m []string) error) Clause {
	return Clause{form, means, regexp.MustCompile(`^` + pattern + `$`), take}
}

// Clauses lists what words can say, but for the time zone, which is a name such as America/New_York.
func Clauses() []Clause { return slices.Clone(clauses) }

var clauses = []Clause{
	clause("50k/day", "calls a day, or an hour, minute, s, week or month (30 days); with k and M. A day is an ordinary one: those that a clause names have more or fewer; a week and a month have as many as are said", amount+`\s*/\s*(s|second|min|minute|hour|day|week|month)`, (*parser).takeVolume),
	clause("80% 09-17", "share of the day's calls in these hours of the clock; what no share names is spread over the hours that are left", decade+`\s*%\s*(\d{1,2})-(\d{1,2})`, (*parser).takeWindow),
	clause("peak x2", "the busiest minute over the mean of the densest of these windows", `peak\s+x\s*`+decade, (*parser).takePeak),
	clause("bursts cv 4", "calls come in bursts: the times between them vary by so many times their mean (1: independently of each other); with the distribution, bursts weibull cv 4, else gamma", `bursts\s+(?:(gamma|weibull)\s+)?cv\s*`+decade, (*parser).takeBursts),
	clause("weekends 30%", "calls of Saturdays and Sundays over those of an ordinary day; no weekends: none", `(?:weekends\s+`+decade+`\s*%|no weekends)`, (*parser).takeWeekends),
	clause("fri 80%", "calls of a day of the week, or of some (mon-thu 110%), over those of an ordinary day", `(`+days+`)(?:-(`+days+`))?\s+`+decade+`\s*%`, (*parser).takeWeekday),
	clause("holidays 10% 2026-01-06", "calls of these days over those of an ordinary day, whatever day of the week they are", `holidays\s+`+decade+`\s*%((?:\s+\d{4}-\d{2}-\d{2})+)`, (*parser).takeHolidays),
	clause("in 1000", "tokens of a prompt, cached ones included", `in\s+`+amount, (*parser).takeInput),
	clause("cached 40%", "share of the prompt that is read from a cache", `cached\s+`+decade+`\s*%`, (*parser).takeCached),
	clause("out 300", "tokens of an answer", `out\s+`+amount, (*parser).takeOutput),
	clause("max-tokens 1024", "the max_tokens that callers send", `max-tokens\s+`+amount, (*parser).takeMost),
	clause("tenants web 60% batch 40%", "callers, by name, with their shares of the calls; or 20 tenants, all alike", `(?:tenants\s+(\S+\s+`+decade+`\s*%(?:\s+\S+\s+`+decade+`\s*%)*)|(\d+)\s+tenants)`, (*parser).takeCallers),
	clause("growth 5% a month", "by how much the traffic grows in 30 days, from its start on; with -5% it shrinks", `growth\s+(-?[\d.]+)\s*%\s*(?:a|per|/)\s*month`, (*parser).takeGrowth),
	clause("from 2026-03-02", "first day, else 2026-01-05, a Monday", `from\s+(\d{4}-\d{2}-\d{2})`, (*parser).takeFirst),
	clause("for 4 weeks", "length, 1 to 104 weeks, else one, or 26 where the traffic grows", `(?:for\s+)?(\d+)\s+weeks?`, (*parser).takeLength),
}

// number reads a number with k or M. It is false for what is none.
func number(s string) (float64, bool) {
	times := 1.0
	switch s[len(s)-1] {
	case 'k', 'K':
		times = 1e3
	case 'M':
		times = 1e6
	}
	if times > 1 {
		s = s[:len(s)-1]
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return v * times, err == nil
}

// percent reads a share in percent, of 0 to a bound. It is false for what is none.
func percent(s string, most float64) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v / 100, err == nil && v <= most
}

func (p *parser) takeVolume(part string, m []string) error {
	if err := p.once("how many calls there are", part); err != nil {
		return err
	}
	n, ok := number(m[1])
	if !ok || n <= 0 || n > 1e10 {
		return invalid("%q: give more than 0 and at most 10,000,000,000 calls", part)
	}
	each := map[string]volume{"month": {1, month}, "week": {1, 7}, "day": {1, 0}, "hour": {24, 0}, "minute": {1440, 0}, "min": {1440, 0}, "second": {86400, 0}, "s": {86400, 0}}
	p.volume = each[m[2]]
	p.volume.calls *= n
	return nil
}

func (p *parser) takePeak(part string, m []string) error {
	if err := p.once("the peak", part); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil || f < 1 || f > 100 {
		return invalid("%q: the busiest minute is between 1 and 100 times the mean of its hours", part)
	}
	p.peak, p.said.peak = f, true
	return nil
}

func (p *parser) takeBursts(part string, m []string) error {
	if err := p.once("how calls follow each other", part); err != nil {
		return err
	}
	cv, err := strconv.ParseFloat(m[2], 64)
	if err != nil || cv < arrival.Least || cv > arrival.Most {
		return invalid("%q: the times between calls vary by %g to %g times their mean; 1 is calls that come independently of each other", part, arrival.Least, arrival.Most)
	}
	if p.process = arrival.Gamma(cv); m[1] == "weibull" {
		p.process = arrival.Weibull(cv)
	}
	return nil
}

func (p *parser) takeWeekends(part string, m []string) error {
	if m[1] == "" {
		m[1] = "0"
	}
	return p.takeShare(part, m[1], []time.Weekday{time.Saturday, time.Sunday})
}

func (p *parser) takeWeekday(part string, m []string) error {
	first, last := dayOf(m[1]), dayOf(m[1])
	if m[2] != "" {
		last = dayOf(m[2])
	}
	of := []time.Weekday{first}
	for d := first; d != last; of = append(of, d) {
		d = (d + 1) % 7
	}
	return p.takeShare(part, m[3], of)
}

// dayOf returns the day that begins with three letters.
func dayOf(name string) time.Weekday {
	for d := range time.Weekday(7) {
		if strings.EqualFold(d.String()[:3], name[:3]) {
			return d
		}
	}
	return time.Sunday // the pattern lets nothing else through
}

// takeShare gives some days their calls, over those of an ordinary day.
func (p *parser) takeShare(part, text string, of []time.Weekday) error {
	f, ok := percent(text, 1000)
	if !ok {
		return invalid("%q: a day has 0 to 1000 %% of the calls of an ordinary one", part)
	}
	for _, d := range of {
		if err := p.once("what "+d.String()+"s have", part); err != nil {
			return err
		}
		p.week[d], p.said.day[d] = f, true
	}
	return nil
}

func (p *parser) takeHolidays(part string, m []string) error {
	f, ok := percent(m[1], 1000)
	if !ok {
		return invalid("%q: a day has 0 to 1000 %% of the calls of an ordinary one", part)
	}
	for text := range strings.FieldsSeq(m[2]) {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return invalid("%q: there is no day %s", part, text)
		}
		if err := p.once("what "+text+" has", part); err != nil {
			return err
		}
		p.holidays = append(p.holidays, holiday{day, f, part})
	}
	return nil
}

// takeTokens reads the size of something.
func (p *parser) takeTokens(what, part, text string, to *int64) error {
	if err := p.once(what, part); err != nil {
		return err
	}
	n, ok := number(text)
	if n = math.Round(n); !ok || n < 1 || n > 10_000_000 {
		return invalid("%q: give between 1 and 10,000,000 tokens", part)
	}
	*to = int64(n)
	return nil
}

func (p *parser) takeInput(part string, m []string) error {
	p.said.in = true
	return p.takeTokens("the size of prompts", part, m[1], &p.in)
}

func (p *parser) takeOutput(part string, m []string) error {
	p.said.out = true
	return p.takeTokens(saysOut, part, m[1], &p.out)
}

func (p *parser) takeMost(part string, m []string) error {
	return p.takeTokens(saysMost, part, m[1], &p.most)
}

func (p *parser) takeCached(part string, m []string) error {
	if err := p.once("what is cached", part); err != nil {
		return err
	}
	var ok bool
	if p.cached, ok = percent(m[1], 100); !ok {
		return invalid("%q: 0 to 100 %% of a prompt can be read from a cache", part)
	}
	return nil
}

// The most tenants of a shape.
const manyTenants = 1000

func (p *parser) takeCallers(part string, m []string) error {
	if err := p.once("who calls", part); err != nil {
		return err
	}
	if m[1] == "" {
		n, err := strconv.Atoi(m[4])
		if err != nil || n < 1 || n > manyTenants {
			return invalid("%q: give 1 to %d tenants", part, manyTenants)
		}
		for i := range n {
			p.tenants = append(p.tenants, tenant{strconv.Itoa(i + 1), float64(i+1) / float64(n)})
		}
		return nil
	}
	words := strings.Fields(strings.ReplaceAll(m[1], "%", " "))
	sum := 0.0
	for i := 0; i+1 < len(words); i += 2 {
		f, ok := percent(words[i+1], 100)
		name := words[i]
		if !ok || slices.ContainsFunc(p.tenants, func(t tenant) bool { return t.name == name }) {
			return invalid("%q: give each tenant once, with a share of 0 to 100 %%", part)
		}
		sum += f
		p.tenants = append(p.tenants, tenant{name, sum})
	}
	if len(words)%2 != 0 || math.Abs(sum-1) > 1e-6 {
		return invalid("%q: the tenants' shares add up to %.6g %%: they must be 100 %% together; name those that are left, too", part, 100*sum)
	}
	return nil
}

func (p *parser) takeGrowth(part string, m []string) error {
	if err := p.once("the growth", part); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil || v <= -100 || v > 1000 {
		return invalid("%q: a traffic grows by more than -100 %% and at most 1000 %% a month", part)
	}
	p.growth = v / 100
	return nil
}

func (p *parser) takeFirst(part string, m []string) error {
	if err := p.once("the first day", part); err != nil {
		return err
	}
	day, err := time.Parse(time.DateOnly, m[1])
	if err != nil || day.Year() < 2000 || day.Year() > 2099 {
		return invalid("%q: give a day from 2000-01-01 to 2099-12-31", part)
	}
	p.day = day
	return nil
}

func (p *parser) takeLength(part string, m []string) error {
	if err := p.once("the length", part); err != nil {
		return err
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 1 || n > 104 {
		return invalid("%q: give 1 to 104 weeks", part)
	}
	p.weeks = n
	return nil
}

// zones are names that are often taken for time zones, and those that are meant.
var zones = map[string]string{
	"EDT": "America/New_York", "ET": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago", "CT": "America/Chicago", "MDT": "America/Denver", "MT": "America/Denver",
	"PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "PT": "America/Los_Angeles", "BST": "Europe/London", "CEST": "Europe/Berlin", "JST": "Asia/Tokyo", "IST": "Asia/Kolkata", "AEST": "Australia/Sydney",
}

// standard are the names of zones without daylight saving time that are often taken for those with it.
var standard = map[string]string{"EST": "America/New_York", "MST": "America/Denver"}

// takeZone takes what is no clause for a time zone.
func (p *parser) takeZone(part string) error {
	if meant, ok := zones[part]; ok {
		return invalid("%q names no place, and its clock is not the same all the year: write %s", part, meant)
	}
	place, err := time.LoadLocation(part)
	if err != nil || part == "Local" {
		return notUnderstood(part)
	}
	if err := p.once(saysZone, part); err != nil {
		return err
	}
	p.place = place
	if lived, ok := standard[part]; ok {
		p.notes = append(p.notes, part+" has no daylight saving time; people there live by "+lived)
	}
	return nil
}

var threeDigits = regexp.MustCompile(`^\d{1,3}$`)

// notUnderstood says what can be written instead.
func notUnderstood(part string) error {
	if threeDigits.MatchString(part) {
		return invalid("%q is not understood: commas divide what is said, so write numbers without them, such as 50000/day or 50k/day", part)
	}
	forms := make([]string, len(clauses))
	for i := range clauses {
		forms[i] = clauses[i].Form
		word, _, _ := strings.Cut(part, " ")
		if first, _, _ := strings.Cut(forms[i], " "); strings.EqualFold(first, word) {
			return invalid("%q is not understood: write it as %s (%s)", part, forms[i], clauses[i].Means)
		}
	}
	return invalid("%q is not understood: write %s, or a time zone such as America/New_York", part, strings.Join(forms, ", "))
}

// What clauses say, where it is asked for later.
const (
	saysOut  = "the size of answers"
	saysMost = "max_tokens"
	saysZone = "the time zone"
)

// once refuses what was said before.
func (p *parser) once(what, part string) error {
	if before, ok := p.by[what]; ok {
		return invalid("%q: %s is said already, by %q: leave one of them out", part, what, before)
	}
	p.by[what] = part
	return nil
}

func (p *parser) takeWindow(part string, m []string) error {
	share, err := strconv.ParseFloat(m[1], 64)
	from, _ := strconv.Atoi(m[2])
	to, _ := strconv.Atoi(m[3])
	if err != nil || from > 23 || to > 24 || from == to%24 && to != 24 {
		return invalid("%q: hours are 00 to 24, and the end is another one than the beginning", part)
	}
	if p.left -= share; p.left < -1e-9 {
		return invalid("%q: the shares of the shape add up to %g %%, at most 100 %% can be: lower one of them", part, 100-p.left)
	}
	length := (to - from + 24) % 24
	if length == 0 {
		length = 24
	}
	for i := range length {
		h := (from + i) % 24
		if before := p.given[h]; before != "" {
			return invalid("%q: hour %02d has a share already, by %q: let them not overlap", part, h, before)
		}
		p.given[h], p.hours[h] = part, share/100/float64(length)
	}
	if p.to == 0 || share/float64(length) > 100*p.hours[p.from] {
		p.from, p.to = from, from+length
	}
	return nil
}
