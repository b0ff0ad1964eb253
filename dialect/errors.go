package dialect

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// wording is in whose words a dialect reports a body that breaks its schema.
type wording uint8

const (
	// wordsAnthropic: "max_tokens: Field required".
	wordsAnthropic wording = iota
	// wordsOpenAI: "Missing required parameter: 'messages[0].role'."
	wordsOpenAI
	// wordsNative is the schema validator in front of Bedrock's native bodies:
	// "Malformed input request: #/prompt: expected type: String, found: Integer, please ...".
	wordsNative
	// wordsConverse is the service model's: "1 validation error detected: Value '0' at
	// 'inferenceConfig.maxTokens' failed to satisfy constraint: ...". Types that do not fit
	// are no valid input at all.
	wordsConverse
)

// breach is the way in which a body breaks the schema.
type breach uint8

const (
	breachMissing breach = iota
	breachType
	breachExtra
	breachEnum
	breachMin
	breachMax
	breachMinItems
	breachMaxItems
)

// schemaError is one breach of a dialect's schema, in no particular wording. Path is the
// member's, with dots ("messages.0.role").
type schemaError struct {
	breach  breach
	path    string
	want    string   // type name, or the bound
	got     string   // type name, or the value
	values  []string // breachEnum: what is allowed
	decimal bool     // breachMin and breachMax: the member may have a fraction
}

// Error implements error in Anthropic's words.
func (e *schemaError) Error() string { return e.anthropic() }

func missing(path string) error { return &schemaError{breach: breachMissing, path: path} }

func badType(path, want, got string) error {
	return &schemaError{breach: breachType, path: path, want: want, got: got}
}

func badEnum(path, got string, values ...string) error {
	return &schemaError{breach: breachEnum, path: path, got: got, values: values}
}

func outOfRange(b breach, path, bound, got string) error {
	return &schemaError{breach: b, path: path, want: bound, got: got}
}

// decimalOutOfRange is outOfRange for a member that may have a fraction.
func decimalOutOfRange(b breach, path, bound, got string) error {
	return &schemaError{breach: b, path: path, want: bound, got: got, decimal: true}
}

// invalid is a rule beyond the schema, in the words that the service itself uses.
func invalid(path, format string, args ...any) error {
	e := fault.Newf(fault.Invalid, path+": "+format, args...)
	e.Param = path
	return e
}

func malformed(cause error, message string) error {
	return fault.Wrap(fault.Malformed, cause, message)
}

var malformedText = [...]string{
	wordsAnthropic: "The request body is not valid JSON.",
	wordsOpenAI:    "We could not parse the JSON body of your request.",
	wordsNative:    "Malformed input request, please reformat your input and try again.",
	wordsConverse:  "The request body is not valid JSON.",
}

// fault puts an error into the words of the dialect. Errors that are no breach of the
// schema stay as they are.
func (w wording) fault(err error) error {
	if err == nil {
		return nil
	}
	var s *schemaError
	if !errors.As(err, &s) {
		if f := fault.From(err); f.Kind == fault.Malformed && f.Message == malformedText[wordsAnthropic] {
			return fault.Wrap(fault.Malformed, err, malformedText[w])
		}
		return err
	}
	var f *fault.Error
	switch w {
	case wordsOpenAI:
		f = fault.Wrap(fault.Invalid, s, s.openAI())
		f.Param, f.Code = brackets(s.path), s.openAICode()
	case wordsNative:
		f = fault.Wrap(fault.Invalid, s, s.native())
	case wordsConverse:
		if s.breach == breachType {
			return fault.Wrap(fault.Malformed, s, s.got+" at '"+s.path+"' can not be converted to "+nouns[s.want]+".")
		}
		f = fault.Wrap(fault.Invalid, s, s.anthropic())
	default:
		f = fault.Wrap(fault.Invalid, s, s.anthropic())
		f.Param = s.path
	}
	return f
}

// Native puts a fault about a body into the words of the validator in front of Bedrock's
// native bodies. A fault that is no breach of a schema keeps its words: the service passes
// on what the model's own validation says.
func Native(err error) error {
	if s, ok := errors.AsType[*schemaError](err); ok {
		return fault.Wrap(fault.Invalid, s, s.native())
	}
	if e := fault.From(err); e != nil && e.Kind == fault.Malformed {
		return fault.Wrap(fault.Invalid, err, malformedText[wordsNative])
	}
	return err
}

// IsMissing reports whether a fault says that a required member is missing, and which: its
// Param is the path. Faults in native words say it in their message only.
func IsMissing(e *fault.Error) bool {
	if s, ok := errors.AsType[*schemaError](e); ok {
		return s.breach == breachMissing && e.Param != ""
	}
	return e.Kind == fault.Invalid && strings.HasSuffix(e.Message, ": Field required")
}

// Article and noun of a type in Anthropic's and OpenAI's messages; the schema
// validator's own names are in nativeTypes.
var nouns = map[string]string{
	"number": "a number", "integer": "an integer", "string": "a string", "boolean": "a boolean", "list": "an array",
	"object": "an object", "null": "null", "": "another type",
}

var nativeTypes = map[string]string{
	"number": "Number", "integer": "Integer", "string": "String", "boolean": "Boolean", "list": "JSONArray", "object": "JSONObject", "null": "Null",
}

func (e *schemaError) anthropic() string {
	if e.path == "" {
		return "Input should be a valid " + e.want
	}
	switch e.breach {
	case breachMissing:
		return e.path + ": Field required"
	case breachType:
		want := e.want
		switch want {
		case "list", "object":
			return e.path + ": Input should be " + strings.Replace(nouns[want], "an array", "a valid list", 1)
		}
		return e.path + ": Input should be a valid " + want
	case breachExtra:
		return e.path + ": Extra inputs are not permitted"
	case breachEnum:
		return e.path + ": Input should be " + orList(e.values)
	case breachMin:
		return e.path + ": Input should be greater than or equal to " + e.want
	case breachMax:
		return e.path + ": Input should be less than or equal to " + e.want
	case breachMinItems:
		return e.path + ": List should have at least " + e.want + " item after validation, not " + e.got
	default:
		return e.path + ": List should have at most " + e.want + " items after validation, not " + e.got
	}
}

func (e *schemaError) openAI() string {
	if e.path == "" {
		return "Invalid body: expected " + nouns[e.want] + ", but got " + nouns[e.got] + " instead."
	}
	p := "'" + brackets(e.path) + "'"
	switch e.breach {
	case breachMissing:
		return "Missing required parameter: " + p + "."
	case breachType:
		return "Invalid type for " + p + ": expected " + nouns[e.want] + ", but got " + nouns[e.got] + " instead."
	case breachExtra:
		return "Unknown parameter: " + p + "."
	case breachEnum:
		return "Invalid value: '" + e.got + "'. Supported values are: " + strings.ReplaceAll(orList(e.values), " or ", ", and ") + "."
	case breachMin:
		return "Invalid " + p + ": " + e.numberType() + " below minimum value. Expected a value >= " + e.want + ", but got " + e.got + " instead."
	case breachMax:
		return "Invalid " + p + ": " + e.numberType() + " above maximum value. Expected a value <= " + e.want + ", but got " + e.got + " instead."
	case breachMinItems:
		return "Invalid " + p + ": empty array. Expected an array with minimum length " + e.want + ", but got an empty array instead."
	default:
		return "Invalid " + p + ": array too long. Expected an array with maximum length " + e.want + ", but got an array with length " + e.got + " instead."
	}
}

// openAICode is the code that clients of OpenAI's API match on, as the service answers it.
func (e *schemaError) openAICode() string {
	switch e.breach {
	case breachMissing:
		return "missing_required_parameter"
	case breachType:
		return "invalid_type"
	case breachExtra:
		return "unknown_parameter"
	case breachEnum:
		return "invalid_value"
	case breachMin:
		return e.numberType() + "_below_min_value"
	case breachMax:
		return e.numberType() + "_above_max_value"
	case breachMinItems:
		return "empty_array"
	default:
		return "array_above_max_length"
	}
}

func (e *schemaError) numberType() string {
	if e.decimal {
		return "decimal"
	}
	return "integer"
}

// native is the wording of the JSON schema validator whose messages clients of Bedrock see.
func (e *schemaError) native() string {
	parent, name := "#", e.path
	if i := strings.LastIndexByte(e.path, '.'); i >= 0 {
		parent, name = "#/"+strings.ReplaceAll(e.path[:i], ".", "/"), e.path[i+1:]
	}
	at := "#/" + strings.ReplaceAll(e.path, ".", "/")
	if e.path == "" {
		at = "#"
	}
	var text string
	switch e.breach {
	case breachMissing:
		text = parent + ": required key [" + name + "] not found"
	case breachType:
		text = at + ": expected type: " + nativeTypes[e.want] + ", found: " + nativeTypes[e.got]
	case breachExtra:
		text = parent + ": extraneous key [" + name + "] is not permitted"
	case breachEnum:
		text = at + ": " + e.got + " is not a valid enum value"
	case breachMin:
		text = at + ": " + e.got + " is not greater or equal to " + e.want
	case breachMax:
		text = at + ": " + e.got + " is not less or equal to " + e.want
	case breachMinItems:
		text = at + ": expected minimum item count: " + e.want + ", found: " + e.got
	default:
		text = at + ": expected maximum item count: " + e.want + ", found: " + e.got
	}
	return "Malformed input request: " + text + ", please reformat your input and try again."
}

func orList(values []string) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i > 0 && i == len(values)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString("'" + v + "'")
	}
	return b.String()
}

// brackets writes list positions as OpenAI does: messages[0].role.
func brackets(path string) string {
	var b strings.Builder
	for i, part := range strings.Split(path, ".") {
		switch {
		case part != "" && strings.Trim(part, "0123456789") == "":
			b.WriteString("[" + part + "]")
		case i > 0:
			b.WriteString("." + part)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}

// Codes of what a model does not support, as clients of OpenAI's API know them.
const (
	CodeUnsupportedParameter = "unsupported_parameter" // Param names the member
	CodeUnsupportedValue     = "unsupported_value"
)

// unsupported is a feature of the request that the engine's dialect cannot express: a member, or a description of something.
func unsupported(what string, d infer.Dialect) error {
	e := fault.Newf(fault.Invalid, "%s is not supported with this model.", what)
	e.Param, e.Code = what, CodeUnsupportedParameter
	if strings.Contains(what, " ") || slices.Contains(slices.Collect(maps.Values(blockNames)), what) {
		e.Code = CodeUnsupportedValue
	}
	return e.WithReason("the engine's dialect %s cannot express %s", d, what)
}

// unmarshalOpen is unmarshal for a body whose own members may be others than v has. They
// come back apart; what lies deeper is still decoded strictly.
func unmarshalOpen(body []byte, v any) (extra map[string]jsontext.Value, err error) {
	var all map[string]jsontext.Value
	if err := unmarshal("", body, &all); err != nil {
		return nil, err
	}
	known := memberNames(reflect.TypeOf(v).Elem())
	for name, value := range all {
		if known[name] {
			continue
		}
		if extra == nil {
			extra = map[string]jsontext.Value{}
		}
		extra[name] = value
		delete(all, name)
	}
	if extra != nil {
		body = must(all)
	}
	return extra, unmarshal("", body, v)
}

// memberNames are the members that a struct has for JSON.
func memberNames(t reflect.Type) map[string]bool {
	out := map[string]bool{}
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out[name] = true
		}
	}
	return out
}

// unmarshal decodes a request strictly: a member that v does not have is a breach. Paths
// in errors begin with prefix.
func unmarshal(prefix string, body []byte, v any) error {
	return explain(prefix, json.Unmarshal(body, v, json.RejectUnknownMembers(true)))
}

// explain finds the breach in an error of decoding.
func explain(prefix string, err error) error {
	if err == nil {
		return nil
	}
	var se *json.SemanticError
	if !errors.As(err, &se) {
		return malformed(err, malformedText[wordsAnthropic])
	}
	path := strings.ReplaceAll(strings.TrimPrefix(string(se.JSONPointer), "/"), "/", ".")
	if prefix != "" {
		path = strings.TrimSuffix(prefix+"."+path, ".")
	}
	if errors.Is(err, json.ErrUnknownName) {
		return &schemaError{breach: breachExtra, path: path}
	}
	return badType(path, goKind(se.GoType), jsonKind(se.JSONKind, se.JSONValue))
}

// required reports the first of the members that a body lacks. It is asked when a strict
// decoding has failed, so that a body of another family is told what is missing and not what is too many.
func required(body []byte, names ...string) error {
	var o map[string]jsontext.Value
	_ = json.Unmarshal(body, &o) // what is no object lacks nothing: the decoding says what is wrong with it
	if o == nil {
		return nil
	}
	for _, name := range names {
		if k := o[name].Kind(); k == 0 || k == 'n' {
			return missing(name)
		}
	}
	return nil
}

// goKind names what a member should have been.
func goKind(t reflect.Type) string {
	if t == nil {
		return "object"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Float64, reflect.Float32:
		return "number"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		return "list"
	case reflect.String:
		return "string"
	default:
		return "object"
	}
}

func jsonKind(k jsontext.Kind, v jsontext.Value) string {
	switch k {
	case '"':
		return "string"
	case '0':
		if strings.ContainsAny(string(v), ".eE") {
			return "number"
		}
		return "integer"
	case 't', 'f':
		return "boolean"
	case '[':
		return "list"
	case '{':
		return "object"
	case 'n':
		return "null"
	default:
		return ""
	}
}

// engineError is a failure that an engine reports in place of an answer. The error comes
// as an object with a message and perhaps a code, or as a plain string.
func engineError(raw jsontext.Value) error {
	f := fault.New(fault.StreamFailed, "The model failed to answer.")
	f.OriginalStatus = 500
	var o struct {
		Message string         `json:"message"`
		Type    string         `json:"type"`
		Code    jsontext.Value `json:"code"`
		Status  jsontext.Value `json:"status"`
	}
	switch raw.Kind() {
	case '{':
		_ = json.Unmarshal(raw, &o, lenient)
		f.OriginalMessage = o.Message
		if s := errorStatus[o.Type]; s != 0 {
			f.OriginalStatus = s
		}
		for _, v := range []jsontext.Value{o.Status, o.Code} {
			var n int
			if json.Unmarshal(v, &n, lenient) == nil && n >= 400 && n < 600 {
				f.OriginalStatus = n
			}
		}
	case '"':
		_ = json.Unmarshal(raw, &f.OriginalMessage, lenient)
	}
	return f
}

// errorStatus is the HTTP status of Anthropic's error types (API reference, "Errors"),
// which OpenAI's share in part.
var errorStatus = map[string]int{
	"invalid_request_error": 400, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
	"request_too_large": 413, "rate_limit_error": 429, "timeout_error": 504, "overloaded_error": 529,
}

// lenient accepts what real engines send beyond the standard's letter.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func decodeEngine(body []byte, v any) error {
	if err := json.Unmarshal(body, v, lenient); err != nil {
		return fault.Wrap(fault.StreamFailed, err, "The engine's answer could not be understood.")
	}
	return nil
}
