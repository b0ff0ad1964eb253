// Package plan answers the buyer's question: on demand, provisioned throughput, an endpoint of one's own or a serverless one, or a mix of
// them, for a traffic and a model.
//
// It goes from coarse to fine. Closed forms over the traffic's flow by the minute put every way of serving into order by cost; replay of the busiest day
// through the scheduler that admits live calls decides between the best, and says what they refuse and how long calls take. An Answer says of each figure
// which of the two it comes from, and has the formula and the values of each.
//
// What is not known is not made up. Where a price or a size is missing, the answer is given by bounds: at which price, or size, it would be
// another one, and how that compares with everything that is published. A range over named assumptions is called a range, one from resampled
// data an interval.
//
// Money is nano-units of one currency, each row computed exactly and rounded once. A month is Question.Days of 24 hours. The same question has
// the same answer, whatever the number of cores.
package plan
