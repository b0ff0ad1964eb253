// Package interval says how far a figure of a plan may be off because only so many days of traffic were seen: intervals by resampling whole days, for
// costs, for the best number of units, and for the regret of a number; and courses that demand may take from here (flat, growth, the week's shape).
//
// What is resampled is whole days, weekdays and weekend days apart, because the minutes of a day are not independent of each other: the same
// mornings are busy, and a good day is good all day. To resample minutes is to count each of them as evidence, and gives intervals several times
// too narrow; a test shows that. A day is added as a distribution (purchase.Demand), so that memory grows with days and not with calls.
//
// What an interval holds: the cost, the best number, or the regret in the long run of days like these, a week being five weekdays and two weekend days. What it does
// not: that next month is like this one. Growth, seasons and the end of a project are for the scenarios, and days that depend on
// the days before make intervals too narrow, which is said where it shows.
//
// Everything here takes values and gives values; draws come from a seed that is given. Days is used by one goroutine while days are added, and by any
// number of them afterwards.
package interval
