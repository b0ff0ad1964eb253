// Package endpoint is what callers deploy on instances of their own: models, configurations of endpoints, and endpoints. A Book keeps them
// in the store, where they survive restarts and are changed in transactions; what runs comes and goes through the small port Fleet.
//
// A model says which container runs over which files, a configuration which models run on how many instances and what share of the calls each
// of these variants gets. Both never change once they are made, and an endpoint keeps a copy of what it runs: neither is needed any more once it
// was deployed.
//
// The life of an endpoint:
//
//	Creating ──> InService <──> Updating ──> RollingBack ──> InService, UpdateRollbackFailed
//	    └──────> Failed             any of them ──> Deleting
//
// What callers ask for is checked and stored, and returns. Run does the rest, one step at a time: what a step wants is stored before anything
// follows from it, what follows (Ensure and Remove of a Fleet) can be done again, and the next step is worked out from what is stored and from
// what the fleet has. So a step that a crash cuts off is taken again after the start, wherever it was.
package endpoint
