package workload

import (
	"iter"
	"time"
)

// Request is one call of a traffic.
type Request struct {
	// At is when it arrives, from the start of the traffic on.
	At time.Duration
	// Input are the tokens of the prompt, Cached those of them that were read from a cache, Output those of the answer.
	Input, Cached, Output int64
	// MaxOutput is what the caller asked for at most; 0 is nothing asked, which stands for the model's maximum.
	MaxOutput int64
	// Tenant is the caller, as a number from 0 on; Info.Tenants may name it.
	Tenant int32
	// Prefix tells prompts that begin alike; 0 is unknown.
	Prefix uint64
	// Patience says how long the caller can wait for the whole answer; 0 is a call that somebody waits for.
	Patience time.Duration
	// Refused says that the call was refused when it was recorded. It is part of the demand; its Output is an estimate.
	Refused bool
}

// Info is what is known of a traffic before any of it is read, and after.
type Info struct {
	// Name is the file or the words that it comes from, Format how it was read ("azure-2023", "shape", "ledger").
	Name, Format string
	// Start is the wall clock of instant 0, in the location in which days are counted; zero if the source tells none.
	Start time.Time
	// Length is the time covered; 0 until it has been read, where only the last row tells.
	Length time.Duration
	// Grain is how coarse arrivals are known: 0 exact, a minute for counts per minute. Within a grain they are spread by the rule in Notes.
	Grain time.Duration
	// Unknown are times of which nothing is known, in order: no call lies in them, and that says nothing of the demand.
	Unknown []Span
	// Tenants names callers, by number.
	Tenants []string
	// Columns says which column was taken for what, in the order of the file.
	Columns []Column
	// Notes are what the reader assumed and what that costs in certainty, each a sentence for the report.
	Notes []string
}

// Span is a time from one instant of a traffic to another.
type Span struct{ From, To time.Duration }

// Column is one column of a file, and what it was taken for; an empty Meaning is a column that is not used.
type Column struct {
	Name, Meaning string
	Guessed       bool // and not told
}

// Fault is rows of a file that were left out, and why.
type Fault struct {
	Reason string
	Count  int64
	// Line is the first of them, Text what it says, shortened.
	Line int64
	Text string
}

// Source is a traffic. It is read as a stream, as often as wanted, each time from its start and with the same result, also by several readers at
// once.
type Source interface {
	// Info returns what is known of it.
	Info() Info
	// All yields its requests in order of time. An error ends it: the file cannot be read, or is none of its kind. Rows that cannot be read are left
	// out and counted.
	All() iter.Seq2[Request, error]
	// Faults returns what the last complete reading left out, in order of the first line.
	Faults() []Fault
}

// Ranged is a traffic of which a part can be had without what comes before it.
type Ranged interface {
	Source
	// Between yields the requests of a time, and may yield some before and behind it. The same time has the same requests; they need not be those of All.
	Between(from, to time.Duration) iter.Seq2[Request, error]
}
