// Package wire is the home of what lies between bytes and calls: the sub-packages
// eventstream and sse frame streams, scan looks into JSON bodies without decoding them.
package wire
