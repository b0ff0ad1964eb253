// Package clouds has the rules by which other clouds admit calls to bought capacity, and bill them, as far as they are published, so that a traffic can be
// held against them: the leaky bucket of provisioned units, the estimate that is put right afterwards, and capacity by the minute that is lost
// if it is not used. What is not published is a parameter with a name, and its default is an assumption that is said to be one.
//
// Rules are values that are told of calls in order of time, and answer at once. Time is an argument, measured from any start. They are exact integers, hold no
// lock, and belong to one goroutine.
package clouds
