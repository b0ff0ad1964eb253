// Package meter turns usage into money and keeps the ledger: one append-only row per
// call, refused calls included, with a child row for each attempt where there was more
// than one or it failed. Amounts are integers in nano-units of a currency; a line is computed in
// 128 bits and rounded once, half to even; totals never mix currencies; what is unknown
// is unknown and never zero.
//
// The ledger is a SQLite file of its own in write-ahead mode, with a journal before it. Append writes a row to the
// journal and returns when the operating system (or the disk, with Sync) has it, so that an acknowledged
// row survives kill -9 (or a power cut); those who come while others are being written share the next
// write, and nobody waits for a timer. Rows move from the journal into the tables by the
// hundred, within a second, before any query is answered, and when the ledger is opened or closed, each exactly once.
package meter
