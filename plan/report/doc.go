// Package report shows a plan's answer to people: as text for a terminal, as one HTML page that needs no network, as a picture, as CSV, and as the
// sheet that a request for quota asks for. It computes nothing: every figure is the answer's own.
package report
