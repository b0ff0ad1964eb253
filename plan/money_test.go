package plan

import "testing"

func TestAmountsOfEverySize(t *testing.T) {
	for nano, want := range map[int64]string{
		0: "0.00", 1: "0.000000001", 900: "0.0000009", 72_345: "0.000072", 9_999_999: "0.01", 10_000_000: "0.01", 15_000_000: "0.02", -72_345: "-0.000072", 1_234_500_000_000: "1,234.50",
	} {
		if got := Amount(nano); got != want {
			t.Errorf("%d nano-units are written %s, want %s", nano, got, want)
		}
	}
}
