package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"forebay/identity"
	"forebay/meter"

	"github.com/goccy/go-yaml"
)

// Size is a number of bytes, written as a number or with a unit: 25MB, 1GiB.
type Size int64

// units of sizes, the longer names first.
var units = []struct {
	name string
	n    int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// ParseSize reads a number of bytes with a unit.
func ParseSize(s string) (Size, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.n {
			break
		}
		return Size(n * u.n), nil
	}
	return 0, fmt.Errorf("%q is no size; write bytes, or a unit of KB, MB, GB, KiB, MiB, GiB, such as 25MiB", s)
}

// ParseTime reads a time, or a date as its first instant in UTC.
func ParseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date or time; write 2030-01-31 or 2030-01-31T10:00:00Z", s)
}

// Parse returns the limits as the scheduler takes them.
func (l *Limits) Parse() (identity.Limits, error) {
	out := identity.Limits{
		RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute, TokensPerDay: l.TokensPerDay, ConcurrentCalls: l.ConcurrentCalls,
	}
	if min(l.RequestsPerMinute, l.TokensPerMinute, l.TokensPerDay, l.ConcurrentCalls) < 0 {
		return out, errors.New("limits must not be negative; leave them out for no limit")
	}
	var err error
	var cur string
	if l.SpendPerDay != "" {
		if out.SpendPerDay, cur, err = Money(l.SpendPerDay); err != nil {
			return out, err
		}
		out.Currency = cur
	}
	if l.SpendPerMonth != "" {
		if out.SpendPerMonth, cur, err = Money(l.SpendPerMonth); err != nil {
			return out, err
		}
		if out.Currency != "" && out.Currency != cur {
			return out, errors.New("the limits per day and per month are in different currencies")
		}
		out.Currency = cur
	}
	return out, nil
}

// Parse returns the policy as identity evaluates it.
func (p *Policy) Parse() (identity.Policy, error) {
	l, err := p.Limits.Parse()
	return identity.Policy{Actions: p.Allow, Models: p.Models, Tier: p.Tier, Limits: l}, err
}

// PolicyOf writes a policy as the file has it.
func PolicyOf(p *identity.Policy) Policy {
	l := &p.Limits
	return Policy{Allow: p.Actions, Models: p.Models, Tier: p.Tier, Limits: Limits{
		RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute, TokensPerDay: l.TokensPerDay, ConcurrentCalls: l.ConcurrentCalls,
		SpendPerDay: amount(l.SpendPerDay, l.Currency), SpendPerMonth: amount(l.SpendPerMonth, l.Currency),
	}}
}

// amount writes a limit on spend; "" is none.
func amount(nano int64, currency string) string {
	if nano == 0 {
		return ""
	}
	return meter.FormatMoney(nano, currency)
}

// Rates are parsed prices, nano-units per million tokens.
type Rates struct {
	Currency                             string
	Input, Output, CacheRead, CacheWrite *int64
	// Factors of the tiers, per mille; 0 where none is said.
	PriorityPermille, FlexPermille, BatchPermille int64
}

// Parse returns the prices in nano-units.
func (p *Price) Parse() (Rates, error) {
	var r Rates
	for _, x := range []struct {
		text string
		to   **int64
	}{{p.Input, &r.Input}, {p.Output, &r.Output}, {p.CacheRead, &r.CacheRead}, {p.CacheWrite, &r.CacheWrite}} {
		if x.text == "" {
			continue
		}
		v, cur, err := Money(x.text)
		if err != nil {
			return r, err
		}
		if v%1000 != 0 {
			return r, fmt.Errorf("%q has more than six places", x.text)
		}
		if r.Currency != "" && r.Currency != cur {
			return r, errors.New("the prices of a model must be in one currency")
		}
		r.Currency = cur
		*x.to = &v
	}
	for _, x := range []struct {
		factor float64
		to     *int64
	}{{p.Priority, &r.PriorityPermille}, {p.Flex, &r.FlexPermille}, {p.Batch, &r.BatchPermille}} {
		permille := math.Round(x.factor * 1000)
		if !(permille >= 0 && permille <= maxFactor*1000) || math.Abs(permille-x.factor*1000) > 1e-6 {
			return r, fmt.Errorf("the factor %v of a tier is not a multiple with three places, from 0 to %d", x.factor, maxFactor)
		}
		*x.to = int64(permille)
	}
	return r, nil
}

// maxFactor bounds the factor of a tier.
const maxFactor = 100

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

// Money reads "0.25 USD" as nano-units and a currency.
func Money(s string) (int64, string, error) {
	amount, cur, ok := strings.Cut(s, " ")
	if !ok || !currencyCode.MatchString(cur) {
		return 0, "", fmt.Errorf("%q is not an amount with its currency, such as 0.25 USD", s)
	}
	v, err := meter.ParseMoney(amount)
	if err != nil || v < 0 {
		return 0, "", fmt.Errorf("%q is not an amount with its currency, such as 0.25 USD", s)
	}
	return v, cur, nil
}

// Secret reads a secret by reference: env:NAME or file:PATH. A secret written into the
// file itself is refused, so that it does not end in a repository.
func Secret(ref string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if v := os.Getenv(name); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		b, err := os.ReadFile(path) //nolint:gosec // the operator's own file
		if err != nil {
			return "", err
		}
		v := strings.TrimSpace(string(b))
		if v == "" {
			return "", fmt.Errorf("the file %s is empty", path)
		}
		return v, nil
	}
	return "", errors.New("write env:NAME or file:PATH, not the secret itself")
}

// Marshal writes the configuration as forebay.yaml. Secrets are references, so none shows.
func (c *Config) Marshal() ([]byte, error) { return marshal(c) }

// marshal writes values of the configuration's types as YAML.
func marshal(v any) ([]byte, error) {
	return yaml.MarshalWithOptions(v, yaml.CustomMarshaler(func(d time.Duration) ([]byte, error) { return []byte(d.String()), nil }),
		yaml.CustomMarshaler(func(f float64) ([]byte, error) { return strconv.AppendFloat(nil, f, 'f', -1, 64), nil })) // 1e-06 is text in YAML
}
