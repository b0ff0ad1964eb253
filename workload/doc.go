// Package workload is traffic: what calls come when, and how large they are. It reads recorded traffic from files, makes traffic from a shape
// given in words or from the parameters of arrival processes, and hands all of it on in the same form, as a stream.
//
// Nothing here holds a whole traffic in memory. Generated traffic depends on its seed alone.
package workload
