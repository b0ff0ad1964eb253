// Package eventlog is the format in which the events of a scheduler are recorded, so that what it did can be looked at and done again.
//
// A segment begins with a snapshot of the scheduler's State, so each can be replayed by itself. Feeding the events of a segment to
// the restored State gives the actions that were taken live; of these the segment keeps the number and a checksum after each event,
// which Replay compares.
//
//	segment  = magic, block of the snapshot, blocks of records
//	magic    = "FBEVLOG" and the version, one byte
//	block    = length and CRC-32C of the payload, 4 bytes little-endian each, payload
//	snapshot = Unix time in nanoseconds, capacity.State.Snapshot
//	record   = 0, time since the record before (the first: since the snapshot), event, number of actions,
//	           and unless that is 0 the CRC-32C of the actions' encoding, 4 bytes
//	         | 1, kind, handle, name: what people call an object from here on
//
// Events are written with the fields that their kind reads (see capacity.EventKind), configurations in full, both by package
// codec. A process that dies may leave a block that ends early; what comes before it is good.
package eventlog
