// Package api is what all the served APIs share: the Call that a request becomes, the
// Writer that owns a response's status, keep-alive and framing, bodies within a budget,
// and the typed Operation by which the AWS services are described. The sub-packages are
// one API each; they import neither engines, stores nor each other.
//
// A handler returns (output, error). Encoding, error tables, logging and metering of a
// response happen in one place each: an operation never writes to the connection
// itself, except through Writer.
package api
