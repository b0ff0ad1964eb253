// Package scale decides how many instances of an endpoint there should be: by target tracking, by steps, at once with the calls in
// flight, by a schedule, between a minimum and a maximum.
//
// A Scaler is values in and values out. Observations of a pool and times go in, and the desired number comes out; there is no clock, lock,
// float or random number in it. Package capacity has one for each pool that scales, so that live endpoints, recorded ones and planned
// ones follow the same rules. What it counts are instances: what SageMaker calls instances of a variant, or copies of a component.
//
// # Data points and alarms
//
// Time is cut into periods of ten seconds or whole minutes, from the clock's origin on. At the end of each, a policy's metric gives a data point. Target
// tracking takes more instances when three points in a row lie above its target, and fewer when those of 15 minutes all lie below 90 % of it;
// both are what Application Auto Scaling sets its two alarms to. The number that it takes brings the newest point (the largest of those
// 15 minutes) to the target: ceil(total / target). Steps have an alarm of their own. Where policies differ the most instances win, and fewer
// are taken only when every target tracking policy that may is ready to.
//
// # Cooldowns
//
// A change is complete when what was started is up, which takes Rules.Start. From then on, within the cooldown of more instances, a step counts from
// the number before the change, so that only a larger one adds to it; and fewer are not taken before the cooldown of fewer has passed.
// More are never kept back.
//
// # Invariants
//
// The desired number is never above Max, and never below the larger of Min and Provisioned. It falls by a rule never sooner than
// the cooldown after it was changed by one, and not to 0 while calls are in flight. It depends on the observations alone, not on how often time was told in between.
package scale
