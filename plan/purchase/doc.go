// Package purchase is the theory of buying capacity for a demand: how many units to reserve where what they do not hold is paid for by the token,
// which mix of units, terms and instances costs least, what to buy while the future is not known, and what a purchase is regretted by when the
// demand turns out otherwise. It works on plain series of volume per period, knows no requests, and simulates nothing.
//
// Volume is whatever units and prices are stated in: tokens, or tokens weighted as the unit weighs them. Money is nano-units of a currency
// (int64), prices of use are nano-units per million of volume, prices of units nano-units per hour, as in packages catalog and meter. What is
// compared is compared exactly, in 128 bits; each row of a bill is rounded once, half to even.
//
// Everything here takes values and gives values: no clock, no files, no randomness but from a seed that is given. Values are not changed after
// they were made, and may be used by several goroutines at once, but for an Advisor, which belongs to one.
//
// The page docs/purchase-theory.md tells it for readers who buy rather than program.
package purchase
