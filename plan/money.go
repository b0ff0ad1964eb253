package plan

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"forebay/fault"
)

// million is what prices of tokens are for.
const million = 1_000_000

// errMoney is an amount that no int64 of nano-units holds.
var errMoney = fault.New(fault.Invalid, "the cost is beyond nine billion units of the currency: check the traffic's numbers and the prices")

// product returns the product of the factors over that of the divisors, rounded once, half to even. None may be negative.
func product(factors, divisors []int64) (int64, error) {
	n, d := big.NewInt(1), big.NewInt(1)
	for _, f := range factors {
		n.Mul(n, big.NewInt(f))
	}
	for _, f := range divisors {
		d.Mul(d, big.NewInt(f))
	}
	if d.Sign() <= 0 || n.Sign() < 0 {
		return 0, errMoney
	}
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	if c := r.Lsh(r, 1).Cmp(d); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	if !q.IsInt64() {
		return 0, errMoney
	}
	return q.Int64(), nil
}

// sumOf adds amounts that are not negative.
func sumOf(rows []CostRow) (int64, error) {
	total := int64(0)
	for i := range rows {
		if rows[i].Amount > math.MaxInt64-total {
			return 0, errMoney
		}
		total += rows[i].Amount
	}
	return total, nil
}

// Amount writes nano-units rounded half up to two places, with thousands apart: "1,234.50". Amounts under a cent keep two digits that tell something.
func Amount(nano int64) string {
	const cent = 10_000_000
	if nano < 0 {
		return "-" + Amount(-nano)
	}
	if nano > 0 && nano < cent {
		n, err := strconv.ParseFloat(strconv.FormatFloat(float64(nano)/1e9, 'g', 2, 64), 64)
		if err == nil {
			return strconv.FormatFloat(n, 'f', -1, 64)
		}
	}
	cents := nano/cent + nano%cent*2/cent
	return fmt.Sprintf("%s.%02d", Grouped(cents/100), cents%100)
}

// Grouped writes a number with thousands apart: "50,000".
func Grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// Milli writes thousandths: "83.333", "83".
func Milli(n int64) string {
	s := Grouped(n / 1000)
	if r := n % 1000; r != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%03d", r), "0")
	}
	return s
}
