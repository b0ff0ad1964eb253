// Package accrual posts what reserved capacity costs: the unit-hours of every purchase from
// its creation to its deletion, used or not.
//
// What is posted, and when, is a pure function of a purchase, of what the ledger has of it and of the wall clock
// (standing.due). An hour is posted once, when it is over or the purchase has ended, in the transaction that reads how far
// the purchase has been posted. So nothing is posted twice and nothing is left out, whoever else posts, wherever a
// process dies and whatever the clock does: a clock that goes back posts nothing until it has caught up, and what was missed
// while no process ran is posted by the next. What a clock ahead of time has posted beyond the end of a purchase is given back with its end.
//
// Purchases are counted in whole seconds. A posting never crosses a full hour (UTC), a midnight of the account's billing
// zone, the end of a term or a change of the price, and is charged for its seconds: an amount is rate x units x seconds /
// 3600, computed in 128 bits and rounded once, half to even. Hence a purchase ends at the second of its deletion, and
// every posting belongs to one hour, one day and one month.
//
// Between the hours stand contracts: what was agreed from an instant on. One is posted when a purchase begins, when its term
// renews, when its price changes and when anything else of it does, and a last one when it ends. A rate that is not
// known makes an amount that is not known, never one of zero.
package accrual
