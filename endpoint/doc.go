// Package endpoint is what callers deploy on instances of their own: models, configurations of endpoints, and endpoints. A Book keeps them
// in the store, where they survive restarts and are changed in transactions.
//
// A model says which container runs over which files, a configuration which models run on how many instances and what share of the calls each
// of these variants gets. Both never change once they are made.
package endpoint
