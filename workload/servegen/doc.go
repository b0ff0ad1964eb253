// Package servegen makes traffic of the folders of ServeGen: for each client of a service its rate, the distribution of the gaps between its calls, and the
// sizes of these, by windows of time. The parameters are kept, and calls are made of them as a stream, by a seed.
package servegen
