// Package fleet keeps the replicas of endpoints: what there should be goes in as a Variant, and what there is comes out as its Status. How
// many replicas there should be is decided by package capacity/scale inside the scheduler; the fleet starts and stops them through an
// engine.Launcher and tells the scheduler when one is up, draining or gone.
package fleet
