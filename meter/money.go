package meter

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// perMillion is the unit of prices: nano-units per million tokens.
const perMillion = 1_000_000

// ErrOverflow is returned for an amount beyond the range of int64 nano-units (about nine
// billion units of a currency).
var ErrOverflow = errors.New("amount of money out of range")

// Amount returns rate x tokens / 1,000,000, computed in 128 bits and rounded half to
// even. Both must not be negative.
func Amount(rate, tokens int64) (int64, error) { return Proportion(rate, tokens, perMillion) }

// Proportion returns amount x part / whole, computed in 128 bits and rounded half to even. The
// amount and the part must not be negative, and the whole must be positive.
func Proportion(amount, part, whole int64) (int64, error) {
	if amount < 0 || part < 0 || whole <= 0 {
		return 0, ErrOverflow
	}
	hi, lo := bits.Mul64(uint64(amount), uint64(part))
	if hi >= uint64(whole) {
		return 0, ErrOverflow
	}
	q, r := bits.Div64(hi, lo, uint64(whole))
	if rest := uint64(whole) - r; r > rest || r == rest && q&1 == 1 {
		q++
	}
	if q > math.MaxInt64 {
		return 0, ErrOverflow
	}
	return int64(q), nil
}

const nano = 1_000_000_000

// FormatMoney writes nano-units as a decimal without trailing zeros, at least two places,
// with its currency: "0.000625 USD".
func FormatMoney(v int64, currency string) string {
	neg := v < 0
	u := uint64(v)
	if neg {
		u = -u
	}
	frac := strconv.FormatUint(u%nano+nano, 10)[1:]
	frac = strings.TrimRight(frac, "0")
	for len(frac) < 2 {
		frac += "0"
	}
	s := strconv.FormatUint(u/nano, 10) + "." + frac
	if neg {
		s = "-" + s
	}
	if currency != "" {
		s += " " + currency
	}
	return s
}

// ParseMoney reads a decimal amount with up to nine places as nano-units.
func ParseMoney(s string) (int64, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if len(frac) > 9 || whole == "" && frac == "" || strings.HasPrefix(frac, "-") || strings.HasPrefix(frac, "+") {
		return 0, errors.New("an amount of money is a decimal with at most nine places")
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 9-len(frac)), 10, 64)
	if err != nil {
		return 0, errors.New("an amount of money is a decimal with at most nine places")
	}
	return n, nil
}
