package fleet

import "time"

// Status is how a variant stands.
type Status struct {
	ID string
	// Desired is the number of replicas that there should be, Ready of those that take calls, Starting of those that will, Stopping of those that end.
	Desired, Ready, Starting, Stopping int32
	// Failed says that replicas do not come up and are no more tried, with the last failure as Reason. A new Ensure tries again.
	Failed bool
	// Reason is the last failure of a replica, "" when there was none since one was last ready.
	Reason   string
	Replicas []Replica // by name; those that ended are kept for a while
	// Protocol is what the container speaks.
	Protocol Protocol
}

// Phase is where a replica is in its life.
type Phase string

// The phases, in their order.
const (
	PhaseQueued      Phase = "queued"      // for resources, or a pause after a crash
	PhaseDownloading Phase = "downloading" // its weights
	PhaseStarting    Phase = "starting"    // its process exists
	PhaseReady       Phase = "ready"
	PhaseDraining    Phase = "draining" // takes no new calls and finishes those that it has
	PhaseEnded       Phase = "ended"
)

// Replica is one replica and how it came to where it is.
type Replica struct {
	Name    string
	Variant string // its ID
	Phase   Phase
	Addr    string
	// Done and Total are bytes of weights, while they come; Total is 0 where it is not known.
	Done, Total int64
	Reason      string // why it ended; "" when it was stopped
	Log         string // the file of its output
	Timeline    Timeline
}

// Timeline holds the moments of a replica's life by the wall clock; zero for what has not been.
type Timeline struct {
	Queued      time.Time
	Downloading time.Time
	Starting    time.Time // the process is started
	Ready       time.Time // first good probe
	FirstCall   time.Time
	Draining    time.Time
	Ended       time.Time
}
