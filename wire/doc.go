// Package wire is the home of what lies between bytes and calls: descriptors of shapes and
// operations, as the public service models have them, and one codec that they drive.
//
// The codec reads a JSON document by a Shape into a Go value and checks the model's
// constraints on the way, so that a request is read once: UnmarshalBody, Unmarshal. What is wrong with a value
// is collected in Faults, which tells all of it at once in the services' own words; what
// is no value of the shape at all is an error of kind fault.Malformed. Members that a shape
// does not have are ignored, null is an absent member. Marshal writes a value by its shape.
//
// Values are Go structs whose fields are the shape's members in order (the generated packages
// below shapes have them), or, where the target is an any, maps by member name, slices, string,
// int64, float64, bool, []byte, time.Time and, for documents, the JSON text. A nil target
// checks and keeps nothing.
//
// The protocols lay an operation's input and output on HTTP: restjson, awsjson and
// query. Streams are framed by eventstream and sse, and scan looks into JSON bodies without
// decoding them. Descriptors are immutable and safe for concurrent use.
package wire
