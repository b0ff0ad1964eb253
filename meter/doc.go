// Package meter turns usage into money and keeps the ledger: one append-only row per
// call, refused calls included, with a child row for each attempt where there was more
// than one or it failed. Amounts are integers in nano-units of a currency; a line is computed in
// 128 bits and rounded once, half to even; totals never mix currencies; what is unknown
// is unknown and never zero.
//
// The ledger is a SQLite file of its own in write-ahead mode. Rows are written in
// groups: Append returns when the group with its row has reached the operating system (or
// the disk, with Sync), so that an acknowledged row survives kill -9 (or a power cut). There
// is no timer: a group is whatever came while the one before was being written.
package meter
