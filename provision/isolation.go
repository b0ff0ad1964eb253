package provision

import (
	"slices"

	"forebay/fault"
	"forebay/resource"
)

// Isolation is what a throughput shares with others.
type Isolation string

const (
	// Shared is slots of replicas that others use, too.
	Shared Isolation = ""
	// Replica is whole replicas, on which others' calls run only as long as they can be recalled.
	Replica Isolation = "replica"
)

// IsolationTag is the key of the tag that asks for isolation where an API has no member for it: its value is that of Replica.
const IsolationTag = "forebay:isolation"

// Whole are replicas of an engine that one throughput has for itself.
type Whole struct {
	Engine   string `json:"engine,omitempty"` // "" of all together, as accounts are told
	Replicas int64  `json:"replicas"`
}

// isolate takes the isolation of an order from its tags, if they have it. Faults: Invalid for one that is none, or two that differ.
func (o *Order) isolate() error {
	i := slices.IndexFunc(o.Tags, func(t resource.Tag) bool { return t.Key == IsolationTag })
	asked := o.Isolation
	if i >= 0 {
		asked = Isolation(o.Tags[i].Value)
	}
	switch {
	case asked != Shared && asked != Replica, i >= 0 && asked == Shared:
		return fault.Newf(fault.Invalid, "The isolation %.32q (tag %s) is not one of replica.", string(asked), IsolationTag)
	case i >= 0 && o.Isolation != Shared && o.Isolation != asked:
		return fault.Newf(fault.Invalid, "The tag %s contradicts the isolation of the order.", IsolationTag)
	}
	o.Isolation = asked
	return nil
}
