package wire

import (
	"regexp"
	"sync"
)

// Type is the kind of value that a shape describes.
type Type uint8

// The types of the service models.
const (
	Structure Type = iota
	Union          // a structure with exactly one member set
	List
	Map
	String
	Blob
	Boolean
	Integer // 32 bits
	Long    // 64 bits
	Float
	Double
	Timestamp
	Document // any JSON value
)

// TimeFormat is how a timestamp is written.
type TimeFormat uint8

// The formats. The default depends on where the value stands: seconds since 1970 in
// bodies, an HTTP date in headers, ISO 8601 in paths and queries.
const (
	TimeDefault  TimeFormat = iota
	EpochSeconds            // a number, perhaps with fractions
	ISO8601                 // RFC 3339
	HTTPDate                // RFC 9110, section 5.6.7, perhaps with fractions of a second
)

// Location is where a member travels.
type Location uint8

// The locations of the REST protocols. Members of the other protocols are all in the body.
const (
	InBody Location = iota
	InHeader
	InHeaders // a map: one header per entry, behind a prefix
	InQuery
	InPath
	InStatus
)

// Shape describes a type: what its values are and which of them are allowed.
type Shape struct {
	Name    string
	Type    Type
	Members []Member // of structures and unions
	Elem    *Shape   // of lists and maps
	Key     *Shape   // of maps
	// Payload is one more than the index of the member that is the whole HTTP body; 0 when the members
	// without a location of their own make up a JSON object.
	Payload int

	Bounds  *Bounds
	Pattern string // the whole of a string must match
	Enum    []string

	Time      TimeFormat
	Sensitive bool // values are never shown
	JSONValue bool // a string that holds a JSON text, in base64 where it is a header
	Streaming bool // a blob that is not held in memory, or a union of events
	Exception bool // an error
	// Status is the HTTP status of an error; 0 when the model has none.
	Status int
	// Code is what an error was called in the query protocol, where that is another name.
	Code string
	// Flat lists and maps have no element of their own in the query protocol.
	Flat bool
	// ElemName is the name of a list's elements in the query protocol, "member" when empty.
	ElemName string

	once    sync.Once
	pattern *regexp.Regexp
}

// Bounds are the least and the greatest number, or length of a string (in characters), blob (in
// bytes), list or map (in entries).
type Bounds struct {
	Min, Max       float64
	HasMin, HasMax bool
}

// Member is one member of a structure.
type Member struct {
	Name     string // in the model
	WireName string // on the wire, where it differs; of a header in its canonical form
	Shape    *Shape
	Location Location
	Required bool
	Time     TimeFormat // overrides the shape's
	// JSONValue is as in Shape, for one member.
	JSONValue bool
	Flat      bool
	// Header says that the member of an event is a header of its frame.
	Header bool
}

// Wire is the member's name on the wire.
func (m *Member) Wire() string {
	if m.WireName != "" {
		return m.WireName
	}
	return m.Name
}

// Said is the member's name in the messages of faults, where services write all of them with a small letter.
func (m *Member) Said() string {
	if c := m.Name[0]; 'A' <= c && c <= 'Z' {
		return string(c+'a'-'A') + m.Name[1:]
	}
	return m.Name
}

// Operation is one operation of a service.
type Operation struct {
	Name   string
	Method string
	Path   string // a template: /model/{modelId}/invoke; {key+} may hold slashes
	Status int    // of a success
	// Input, Output and Errors are there for operations that are served; others are
	// only known by name.
	Input, Output *Shape
	Errors        []*Shape
	// ResultWrapper is the element around the output in the query protocol.
	ResultWrapper string
}

// Service is what a service's model says of it.
type Service struct {
	Name         string // the folder of its model: bedrock-runtime
	Version      string // of the API
	TargetPrefix string // of X-Amz-Target in the awsJson protocols
	JSONVersion  string // 1.0 or 1.1
	// QueryCompatible services were query services once: errors carry their old code in a header.
	QueryCompatible bool
	Namespace       string // of the query protocol's XML
	Operations      []*Operation
}

// Operation returns the operation of the name, nil when there is none.
func (s *Service) Operation(name string) *Operation {
	for _, op := range s.Operations {
		if op.Name == name {
			return op
		}
	}
	return nil
}

// Member returns the member with the model's name, nil when there is none.
func (s *Shape) Member(name string) *Member {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return &s.Members[i]
		}
	}
	return nil
}

// find returns the index of a member of the body by its name on the wire, -1 when there is none.
func (s *Shape) find(name []byte) int {
	for i := range s.Members {
		if m := &s.Members[i]; m.Location == InBody && string(name) == m.Wire() {
			return i
		}
	}
	return -1
}

// matches reports whether the whole of text matches the pattern.
func (s *Shape) matches(text string) bool {
	s.once.Do(func() { s.pattern = regexp.MustCompile("^(?:" + s.Pattern + ")$") })
	return s.pattern.MatchString(text)
}

// scalar reports whether values are one text.
func (s *Shape) scalar() bool { return s.Type >= String && s.Type != Document }

// constrained reports whether the shape itself, not what lies in it, restricts its values.
func (s *Shape) constrained() bool {
	return s.Bounds != nil || s.Pattern != "" || len(s.Enum) > 0
}
